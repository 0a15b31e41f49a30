"""Certificate authorities, certificates and their condition, in files."""
