"""What of a file was read before: its entries, by their text.

A large file is mostly block mappings whose entries are a line or some lines each. An entry that is written
as it was before has the value that it had before, wherever it stands, so that reading a file again takes time
for what differs. This module splits text at the lines that begin with a plain key, and leaves the reading of
each entry to ``document``; all of a file in which anything is not as plain as that: anchors, faults.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from sdnapp.config import document
from sdnapp.config.document import Document
from sdnapp.config.results import Results

_NAME = "[A-Za-z0-9_][A-Za-z0-9_.-]*"
_KEY = re.compile(rf" *({_NAME}):(?=[ \n]|$)")
_HEAD = re.compile(rf"{_NAME}: *(?:#.*)?")
"""The first line of an entry that holds entries of its own, in the lines below."""
_NOTHING = re.compile(r"(?: *(?:#.*)?\n)*")
"""Blank lines and comments."""
_ODD_BREAK = re.compile("[\r\x85\u2028\u2029]")
"""What ends a line in YAML 1.1 (section 5.4), and is easily overlooked."""


class _NotPlain(Exception):
    """The text may mean something else than its lines seem to say."""


def read(data: bytes, source: str, results: Results) -> Document:
    """The same as ``document.read``, in less time where ``results`` have what is written."""
    text = document.decode(data, source)
    try:
        values, count = _entries(text, (), results)
    except _NotPlain:
        return document.whole(text, source)
    if count > document.MAX_VALUES:
        return document.whole(text, source)
    return Document(source, values, lambda: document.whole(text, source).places())


def _entries(text: str, path: tuple[str, ...], results: Results) -> tuple[dict[str, Any], int]:
    """A block mapping, and how many values it is, with those that it holds."""
    values: dict[str, Any] = {}
    count = 1
    for key, entry in _split(text, inside=bool(path)):
        head, _, body = entry.partition("\n")
        if not path and _HEAD.fullmatch(head) and not _NOTHING.fullmatch(body):
            value, size = _entries(body, (key,), results)
        else:
            value, size = results.of((*path, key), _value, entry, key, len(path))
        if key in values:
            raise _NotPlain
        values[key] = value
        count += size
    if not values:
        raise _NotPlain
    return values, count


def _split(text: str, *, inside: bool) -> Iterator[tuple[str, str]]:
    """The entries of a block mapping, each with its key, and with what follows until the next one begins."""
    if _ODD_BREAK.search(text):
        raise _NotPlain
    nothing = _NOTHING.match(text)
    first = nothing.end() if nothing else 0
    indent = len(text) - first - len(text[first:].lstrip(" "))
    if indent and not inside:  # what stands further left might end the document instead
        raise _NotPlain
    begins = re.compile(rf"^ {{{indent}}}(?=[^ \n#])", re.MULTILINE)
    places = [found.start() for found in begins.finditer(text, first)]
    for start, end in pairwise([*places, len(text)]):
        if (found := _KEY.match(text, start, end)) is None:
            raise _NotPlain
        yield found[1], text[start:end]


def _value(entry: str, key: str, depth: int) -> tuple[Any, int]:
    """The value of an entry that lies so deep, and how many values that is."""
    found = document.part(entry, depth)
    if found is None or not isinstance(found[0], dict) or [*found[0]] != [key]:
        raise _NotPlain
    return found[0][key], found[1] - 1
