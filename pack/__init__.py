"""Builds the Debian package: not part of what it packs."""
