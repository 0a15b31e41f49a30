"""REST: what the controller knows, over HTTP. It changes nothing but to unfreeze a MAC or release a port."""
