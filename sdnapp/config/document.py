"""YAML parser: plain values with their line and column.

Every scalar stays the text that was written, or None where nothing was: what is a number and what is an
address, the schema decides, so that ``mac: 02:00:00:00:00:01`` and a network named ``on`` need no quotes.
Size, depth and repetition (aliases) are bounded before memory is spent. This module knows no schema.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import yaml
from yaml.events import (
    AliasEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    StreamEndEvent,
)

from sdnapp.config.problem import LIMIT, Finding, Invalid, Problem, dotted, shown

MAX_BYTES = 10_000_000
"""Maximum size of a file, in bytes; 50,000 ports need about 4 MB."""

MAX_DEPTH = 32
MAX_VALUES = 500_000
"""Maximum number of values in a file, repetitions by aliases included; a port has about five."""

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_REMEDIES = {
    "mapping values are not allowed": "Put the value in quotes if it holds ': ', or mend the indentation.",
    "found unexpected ':'": "Put the value in quotes.",
    "cannot start any token": "Put the value in quotes.",
    "unexpected end of stream": "Close the quote.",
    "expected ',' or": "Close the bracket, or put a comma between the items.",
}


Places = tuple[Any, Any, Any]
"""Where a value stands: the marks (which count from 0) of its key, None where it has none, and of itself;
then the places of what it holds, in a dict or list like the value's own."""


@dataclass(frozen=True, slots=True)
class Document:
    """A file's values, as dicts, lists, text and None; what an alias repeats is there as the same object.

    ``problems`` are those that did not keep it from being read (duplicate keys).
    """

    source: str
    values: Any
    places: Callable[[], Places]
    problems: tuple[Problem, ...] = ()

    def problem(self, finding: Finding) -> Problem:
        """Give a finding its line and column: of its value, or of the nearest thing above that exists."""
        value, (key, mark, inside) = self.values, self.places()
        depth = 0
        for step in finding.path:
            here = isinstance(value, dict) and step in value
            listed = isinstance(value, list) and isinstance(step, int) and step < len(value)
            if not here and not listed:
                break
            value, (key, mark, inside) = value[step], inside[step]
            depth += 1
        itself = key is None or (isinstance(value, str) and not finding.key)
        at = mark if itself else key
        where = dotted(finding.path[:depth])
        return Problem(self.source, at.line + 1, at.column + 1, where, finding.message, finding.remedy)


def read(text: str, source: str) -> Document:
    """Parse one YAML document; raises ``Invalid`` for what cannot be read at all."""
    return _Reader(text, source).document()


def part(text: str, depth: int) -> tuple[Any, int] | None:
    """Values of a part of a file at this depth, and their number.

    None if it cannot be read, or might mean something else where it stands: there are anchors, or problems.
    """
    reader = _Reader(text, "", depth)
    try:
        document = reader.document()
    except Invalid:
        return None
    return None if document.problems or reader.anchors else (document.values, reader.count)


def too_big(source: str) -> Invalid:
    """Error for a file of more than ``MAX_BYTES``."""
    message = f"the file is larger than {MAX_BYTES // 1_000_000} MB"
    return Invalid([Problem(source, 1, 1, "", message, "Is this the right file?")])


def decode(data: bytes, source: str) -> str:
    """Decode a file; raises ``Invalid`` if it is not UTF-8 text or too large."""
    if len(data) > MAX_BYTES:
        raise too_big(source)

    def refusal(before: str, message: str, remedy: str) -> Invalid:
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        return Invalid([Problem(source, line, column, "", message, remedy)])

    try:
        text = data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8")
        message = f"byte 0x{data[error.start]:02x} is not UTF-8"
        raise refusal(before, message, "Save the file as UTF-8 text.") from None
    # Python's idea of what is printable is narrower, and quickly asked.
    if not text.replace("\n", "").isprintable() and (strange := _UNPRINTABLE.search(text)):
        message = f"control character U+{ord(strange.group()):04X}"
        raise refusal(text[: strange.start()], message, "Remove it: the file must be text.")
    return text


class _Reader:
    """Reader of parser events, one at a time, so that limits apply before memory is spent."""

    def __init__(self, text: str, source: str, depth: int = 0) -> None:
        self.text = text
        self.source = source
        self.next: Callable[[], Any] = _LOADER(text).get_event
        self.anchors: dict[str, tuple[Any, Places, int] | None] = {}
        self.words: dict[str, str] = {}  # one object for all that are equal: hashed once, and kept once
        self.path: list[str | int] = [""] * depth
        self.count = 0
        self.problems: list[Problem] = []

    def document(self) -> Document:
        try:
            self.next()  # the stream begins
            if isinstance(self.next(), StreamEndEvent):
                raise self.refusal(None, "the file is empty", "Start from the example in the README.")
            values, places = self.value(self.next(), None)
            self.next()  # the document ends
            if not isinstance(more := self.next(), StreamEndEvent):
                raise self.refusal(more, "a second document begins here", "One file holds one overlay.")
        except yaml.MarkedYAMLError as error:
            raise self.syntax(error) from None
        return Document(self.source, values, lambda: places, tuple(self.problems))

    def value(self, event: Any, key: Any) -> tuple[Any, Places]:
        """The value that begins with this event; ``key``: mark of its key."""
        kind = type(event)
        if kind is AliasEvent:
            return self.alias(event, key)
        before, anchor = self.count, event.anchor
        self.add(event, 1)
        if event.tag is not None:
            raise self.refusal(event, f"the tag {shown(event.tag)} is not supported", "Remove it.")
        if len(self.path) > MAX_DEPTH:
            raise self.refusal(event, "nested too deeply", f"At most {MAX_DEPTH} levels are read.")
        if anchor is not None:
            self.anchors[anchor] = None
        value: Any
        inside: Any = None
        if kind is ScalarEvent:
            text = event.value
            value = self.words.setdefault(text, text) if event.style or text not in _NULL else None
        elif kind is MappingStartEvent:
            value, inside = self.mapping()
        else:
            value, inside = self.sequence()
        places = key, event.start_mark, inside
        if anchor is not None:
            self.anchors[anchor] = value, places, self.count - before
        return value, places

    def mapping(self) -> tuple[dict[str, Any], dict[str, Places]]:
        values: dict[str, Any] = {}
        places: dict[str, Places] = {}
        while (kind := type(event := self.next())) is not MappingEndEvent:
            if kind is not ScalarEvent:
                raise self.refusal(event, "a key must be plain text", "Write key: value.")
            key = self.words.setdefault(event.value, event.value)
            if key == "<<":
                raise self.refusal(event, "merge keys ('<<') are not supported", "Write the keys out.")
            self.path.append(key)
            value, place = self.value(self.next(), event.start_mark)
            if key in values:
                message = f"the key {shown(key)} is here twice, first in line {places[key][0].line + 1}"
                self.note(event, message, "Remove one of them.")
            else:
                values[key], places[key] = value, place
            self.path.pop()
        return values, places

    def sequence(self) -> tuple[list[Any], list[Places]]:
        values: list[Any] = []
        places: list[Places] = []
        while type(event := self.next()) is not SequenceEndEvent:
            self.path.append(len(values))
            value, place = self.value(event, None)
            values.append(value)
            places.append(place)
            self.path.pop()
        return values, places

    def alias(self, event: Any, key: Any) -> tuple[Any, Places]:
        if event.anchor not in self.anchors:
            raise self.refusal(event, f"there is no anchor '&{event.anchor}'", "Define it further up.")
        if (anchored := self.anchors[event.anchor]) is None:
            raise self.refusal(event, f"'*{event.anchor}' holds itself", "Write the value out.")
        value, (_, mark, inside), size = anchored
        self.add(event, size)
        return value, (key, mark, inside)

    def add(self, event: Any, values: int) -> None:
        self.count += values
        if self.count > MAX_VALUES:
            message = f"the file holds more than {MAX_VALUES} values, counting what aliases repeat"
            raise self.refusal(event, message, "Is this the right file?")

    def note(self, event: Any, message: str, remedy: str) -> None:
        line, column = (event.start_mark.line, event.start_mark.column) if event else (0, 0)
        where = dotted(tuple(self.path))
        self.problems.append(Problem(self.source, line + 1, column + 1, where, message, remedy))
        if len(self.problems) >= LIMIT:
            raise Invalid(self.problems)

    def refusal(self, event: Any, message: str, remedy: str) -> Invalid:
        self.note(event, message, remedy)
        return Invalid(self.problems)

    def syntax(self, error: yaml.MarkedYAMLError) -> Invalid:
        problem, mark = error.problem or "", error.problem_mark
        line, column = (mark.line, mark.column) if mark is not None else (0, 0)
        message = f"this is not YAML: {problem}"
        if error.context and error.context_mark and error.context_mark.line < line:
            message += f" {error.context} that begins in line {error.context_mark.line + 1}"
        if mark is not None and self.text[mark.index : mark.index + 1] == "\t":
            remedy = "Indent with spaces."
        else:
            found = (remedy for part, remedy in _REMEDIES.items() if part in problem)
            remedy = next(
                found, "Look for a wrong indent, or a missing colon, quote or bracket, here or above."
            )
        return Invalid([*self.problems, Problem(self.source, line + 1, column + 1, "", message, remedy)])
