"""YAML text to plain values that remember where they stand.

Every scalar stays the text that was written, or None where nothing was: what is a number and what is an
address, the schema decides, so that ``mac: 02:00:00:00:00:01`` and a network named ``on`` need no quotes.
Size, depth and repetition (aliases) are bounded before memory is spent. This module knows no schema.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from sdnapp.config.problem import LIMIT, Finding, Invalid, Path, Problem, dotted, shown

MAX_BYTES = 10_000_000
"""What a file may hold; 50,000 ports need about 4 MB."""

MAX_DEPTH = 32
MAX_VALUES = 500_000
"""Values in a file, counting what aliases repeat; a port has about five."""

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


@dataclass(slots=True)
class Node:
    """A value and where it stands, counted from 0; ``keys`` are the places of a mapping's keys."""

    line: int
    column: int
    value: str | list[Node] | dict[str, Node] | None
    keys: dict[str, tuple[int, int]] = field(default_factory=dict)
    size: int = 1
    """How many values this is, with all below it."""


@dataclass(frozen=True, slots=True)
class Document:
    """A file's values; ``problems`` are those that did not keep it from being read (duplicate keys)."""

    source: str
    root: Node
    problems: tuple[Problem, ...]

    def plain(self) -> Any:
        """The values as fresh dicts, lists, text and None."""
        return _plain(self.root)

    def problem(self, finding: Finding) -> Problem:
        """Give a finding its line and column: of its value, or of the nearest thing above that exists."""
        node, line, column, depth = self.root, self.root.line, self.root.column, 0
        for step in finding.path:
            if isinstance(node.value, dict) and step in node.value:
                line, column = node.keys[str(step)]
                node = node.value[str(step)]
            elif isinstance(node.value, list) and isinstance(step, int) and step < len(node.value):
                node = node.value[step]
                line, column = node.line, node.column
            else:
                break
            depth += 1
        if isinstance(node.value, str) and not finding.key:
            line, column = node.line, node.column
        where = dotted(finding.path[:depth])
        return Problem(self.source, line + 1, column + 1, where, finding.message, finding.remedy)


def read(data: bytes, source: str) -> Document:
    """Parse one YAML document; raises ``Invalid`` for what cannot be read at all."""
    text = _decode(data, source)
    return _Reader(text, source).document()


def _plain(node: Node) -> Any:
    if isinstance(node.value, dict):
        return {key: _plain(child) for key, child in node.value.items()}
    if isinstance(node.value, list):
        return [_plain(child) for child in node.value]
    return node.value


def _place(event: Any) -> tuple[int, int]:
    return event.start_mark.line, event.start_mark.column


def too_big(source: str) -> Invalid:
    """The refusal of a file of more than ``MAX_BYTES``."""
    message = f"the file is larger than {MAX_BYTES // 1_000_000} MB"
    return Invalid([Problem(source, 1, 1, "", message, "Is this the right file?")])


def _decode(data: bytes, source: str) -> str:
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
    if strange := _UNPRINTABLE.search(text):
        message = f"control character U+{ord(strange.group()):04X}"
        raise refusal(text[: strange.start()], message, "Remove it: the file must be text.")
    return text


class _Reader:
    """One pass over the parser's events, which come one at a time, so that a bound met early stays cheap."""

    def __init__(self, text: str, source: str) -> None:
        self.text = text
        self.source = source
        self.events: Iterator[Any] = yaml.parse(text, Loader=_LOADER)
        self.anchors: dict[str, Node | None] = {}
        self.values = 0
        self.problems: list[Problem] = []

    def document(self) -> Document:
        try:
            next(self.events)  # the stream begins
            if isinstance(next(self.events), yaml.StreamEndEvent):
                raise self.refusal(None, "the file is empty", "Start from the example in the README.")
            root = self.node(next(self.events), ())
            next(self.events)  # the document ends
            if not isinstance(more := next(self.events), yaml.StreamEndEvent):
                raise self.refusal(more, "a second document begins here", "One file holds one overlay.")
        except yaml.MarkedYAMLError as error:
            raise self.syntax(error) from None
        return Document(self.source, root, tuple(self.problems))

    def node(self, event: Any, path: Path) -> Node:
        if isinstance(event, yaml.AliasEvent):
            return self.alias(event, path)
        self.count(event, 1, path)
        if event.tag is not None:
            raise self.refusal(event, f"the tag {shown(event.tag)} is not supported", "Remove it.", path)
        if len(path) > MAX_DEPTH:
            raise self.refusal(event, "nested too deeply", f"At most {MAX_DEPTH} levels are read.", path)
        if event.anchor is not None:
            self.anchors[event.anchor] = None
        node = Node(*_place(event), value=None)
        if isinstance(event, yaml.MappingStartEvent):
            self.mapping(node, path)
        elif isinstance(event, yaml.SequenceStartEvent):
            self.sequence(node, path)
        elif event.style or event.value not in _NULL:
            node.value = event.value
        if event.anchor is not None:
            self.anchors[event.anchor] = node
        return node

    def mapping(self, node: Node, path: Path) -> None:
        values: dict[str, Node] = {}
        node.value = values
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                raise self.refusal(event, "a key must be plain text", "Write key: value.", path)
            key, place = event.value, _place(event)
            if key == "<<":
                raise self.refusal(event, "merge keys ('<<') are not supported", "Write the keys out.", path)
            child = self.node(next(self.events), (*path, key))
            node.size += child.size
            if key in values:
                message = f"the key {shown(key)} is here twice, first in line {node.keys[key][0] + 1}"
                self.note(event, message, "Remove one of them.", (*path, key))
            else:
                values[key], node.keys[key] = child, place

    def sequence(self, node: Node, path: Path) -> None:
        values: list[Node] = []
        node.value = values
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            values.append(child := self.node(event, (*path, len(values))))
            node.size += child.size

    def alias(self, event: Any, path: Path) -> Node:
        if event.anchor not in self.anchors:
            raise self.refusal(event, f"there is no anchor '&{event.anchor}'", "Define it further up.", path)
        if (node := self.anchors[event.anchor]) is None:
            raise self.refusal(event, f"'*{event.anchor}' holds itself", "Write the value out.", path)
        self.count(event, node.size, path)
        return node

    def count(self, event: Any, values: int, path: Path) -> None:
        self.values += values
        if self.values > MAX_VALUES:
            message = f"the file holds more than {MAX_VALUES} values, counting what aliases repeat"
            raise self.refusal(event, message, "Is this the right file?", path)

    def note(self, event: Any, message: str, remedy: str, path: Path = ()) -> None:
        line, column = _place(event) if event else (0, 0)
        self.problems.append(Problem(self.source, line + 1, column + 1, dotted(path), message, remedy))
        if len(self.problems) >= LIMIT:
            raise Invalid(self.problems)

    def refusal(self, event: Any, message: str, remedy: str, path: Path = ()) -> Invalid:
        self.note(event, message, remedy, path)
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
