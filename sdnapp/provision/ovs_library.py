"""The ``ovs`` library, imported without eventlet, which it would patch itself for, and with a fast parser.

``ovs.poller`` imports eventlet wherever that is installed, to find out whether it is in use. Here it never
is, and importing it takes a quarter of a second. ``ovs.json`` reads JSON letter by letter where its part in C
was not built, and a full table or the schema keeps it busy for a long time.
"""

from __future__ import annotations

import json
import re
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
    import ovs.json
    from ovs.db.idl import Idl, SchemaHelper, Transaction
    from ovs.jsonrpc import Connection, Message
    from ovs.poller import Poller
    from ovs.stream import Stream

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|["{}\[\]]', re.DOTALL)
"""A string, a bracket, or the quote of a string that has not ended yet."""


class Parser:
    """What ``ovs.json.Parser`` is: fed with pieces of text, it says where a JSON object ends."""

    def __init__(self) -> None:
        self._text = ""
        self._depth = self._scanned = 0
        self._done = False

    def feed(self, text: str) -> int:
        """Take in what belongs to the object; returns how much that is."""
        before = len(self._text)
        self._text += text
        for token in _TOKEN.finditer(self._text, self._scanned):
            if token[0] == '"':
                break
            self._scanned = token.end()
            self._depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(token[0], 0)
            if self._depth == 0:
                self._done = True
                return self._scanned - before
        return len(text)

    def is_done(self) -> bool:
        """Whether the object has ended."""
        return self._done

    def finish(self) -> object:
        """Return the object, or, as the original does, a text that says what is wrong."""
        try:
            return json.loads(self._text[: self._scanned])
        except ValueError as error:
            return str(error)


if ovs.json.PARSER == ovs.json.PARSER_PY:
    ovs.json.Parser = Parser

__all__ = ["Connection", "Idl", "Message", "Parser", "Poller", "SchemaHelper", "Stream", "Transaction"]
