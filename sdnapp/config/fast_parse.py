"""Incremental parser: entries are cached by their text.

A large file is mostly block mappings whose entries are a line or some lines each. An entry that is written
as it was before means what it meant before, wherever it stands, so that reading a file again takes time for
what differs. This module splits text at the lines that begin with a plain key, and leaves the reading of each
entry to ``document``, and its meaning to who asks; it makes nothing of a file in which anything is not as
plain as that: anchors, faults.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from sdnapp.config import document
from sdnapp.config.cache import ResultCache

_NAME = "[A-Za-z0-9_][A-Za-z0-9_.-]*"
_KEY = re.compile(rf" *({_NAME}):(?=[ \n]|$)")
_HEAD = re.compile(rf"{_NAME}: *(?:#.*)?")
"""The first line of an entry that holds entries of its own, in the lines below."""
_NOTHING = re.compile(r"(?: *(?:#.*)?\n)*")
"""Blank lines and comments."""
_ODD_BREAKS = "\r\x85\u2028\u2029"
"""Line breaks of YAML 1.1 (section 5.4) beside the line feed."""

Understand = Callable[[tuple[str, ...], str, Any], Any]
"""Interpreter of an entry: path of its mapping, key and value."""
_Entry = tuple[str, Any, int]
"""Key, interpreted value and number of values."""


def read(text: str, understand: Understand, results: ResultCache) -> dict[str, Any] | None:
    """What the entries of a file mean, those of its sections or the sections themselves; None if it is not
    plain, or too large. ``results`` may have the meaning of what is written; a whole section of which
    nothing differs is the very same.
    """
    if any(odd in text for odd in _ODD_BREAKS):
        return None
    whole = _mapping(*(_section(entry, understand, results) for entry in _split(text, inside=False)))
    return whole[0] if whole and whole[1] <= document.MAX_VALUES else None


def _section(text: str, understand: Understand, results: ResultCache) -> _Entry | None:
    head, _, body = text.partition("\n")
    name = head.partition(":")[0]
    if not _HEAD.fullmatch(head) or _NOTHING.fullmatch(body):
        return results.of(name, _entry, text, (), understand)
    entries = results.each(name, _entry, _split(body, inside=True), (name,), understand)
    whole = results.of(name, _mapping, *entries)
    return (name, *whole) if whole else None


def _split(text: str, *, inside: bool) -> list[str]:
    """The entries of a block mapping, each with what follows until the next one begins."""
    nothing = _NOTHING.match(text)
    first = nothing.end() if nothing else 0
    indent = len(text) - first - len(text[first:].lstrip(" "))
    if indent and not inside:  # what stands further left might end the document instead
        return [text]
    *others, last = re.split(rf"\n(?= {{{indent}}}[^ \n#])", text[first:])
    return [*(f"{entry}\n" for entry in others), last]


def _entry(text: str, path: tuple[str, ...], understand: Understand) -> _Entry | None:
    """Parse an entry; None if its lines alone do not define its meaning."""
    found, key = document.part(text, len(path)), _KEY.match(text)
    if found is None or key is None or not isinstance(found[0], dict) or [*found[0]] != [key[1]]:
        return None
    return key[1], understand(path, key[1], found[0][key[1]]), found[1] - 1


def _mapping(*entries: _Entry | None) -> tuple[dict[str, Any], int] | None:
    """A mapping of these entries, and how many values it is, with those that it holds; None if it is none."""
    plain = [entry for entry in entries if entry is not None]
    values = {key: value for key, value, _ in plain}
    return (values, 1 + sum(size for _, _, size in plain)) if len(values) == len(entries) else None
