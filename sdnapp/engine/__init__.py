"""Keeps every connected bridge at what the state asks of it: events in, effects out, no I/O."""

from sdnapp.engine.engine import Engine

__all__ = ["Engine"]
