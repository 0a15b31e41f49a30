"""The network: what the configuration means, and what is known of the world. Pure."""
