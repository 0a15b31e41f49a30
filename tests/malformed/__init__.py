"""Malformed messages: what bridges might say to a controller, and what it must take."""
