"""Frames as bytes and as values: what the controller reads and writes itself. It knows no overlay."""
