"""The ``ovs`` library, imported without eventlet, which it would patch itself for.

``ovs.poller`` imports eventlet wherever that is installed, to find out whether it is in use. Here it never
is, and importing it takes a quarter of a second.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType


@contextmanager
def _hidden(name: str) -> Iterator[None]:
    """Let ``import name`` fail, unless it has been imported already."""
    modules: dict[str, ModuleType | None] = sys.modules  # type: ignore[assignment]
    if name in modules:
        yield
        return
    modules[name] = None
    try:
        yield
    finally:
        del modules[name]


with _hidden("eventlet"):
    from ovs.db.idl import Idl, SchemaHelper, Transaction
    from ovs.jsonrpc import Connection, Message
    from ovs.poller import Poller
    from ovs.stream import Stream

__all__ = ["Connection", "Idl", "Message", "Poller", "SchemaHelper", "Stream", "Transaction"]
