"""Findings and problems of a file, each with a remedy.

A ``Finding`` knows a place in the document; a ``Problem`` knows the line and column as well. Nothing here
knows YAML or the schema.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import TypeVar

Path = tuple[str | int, ...]

_Key = TypeVar("_Key", bound=Hashable)

LIMIT = 200
"""Maximum number of problems reported for a file, which bounds the work for a hostile one."""
MANY = 50
"""Maximum number of candidates for a suggestion; of more, those that share most letter pairs."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Error at ``path``; ``key``: in the key itself, not in its value."""

    path: Path
    message: str
    remedy: str
    key: bool = False


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """Error with its position. Lines and columns count from 1; ``path`` is empty for the whole file."""

    source: str
    line: int
    column: int
    path: str
    message: str
    remedy: str

    def __str__(self) -> str:
        where = f"{self.source}:{self.line}:{self.column}"
        return ": ".join(part for part in (where, self.path, f"{self.message}. {self.remedy}") if part)


class Invalid(Exception):
    """Invalid file; ``problems`` in the order of the file, at most ``LIMIT``."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems))[:LIMIT]
        super().__init__("\n".join(map(str, self.problems)))


def shown(value: object) -> str:
    """Quote ``value`` for a message: short, on one line, without control characters."""
    if value is None or value == "":
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = str(value)
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


def dotted(path: Path) -> str:
    """Format a path for messages: ``ports.red1.address[1]``."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            plain = step.isprintable() and 0 < len(step) <= 60
            text += ("." if text else "") + (step if plain else shown(step))
    return text


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Closest known word to ``word``, for a suggestion."""
    word, known = word[:100], tuple(known)
    if len(known) > MANY:
        near = Counter(chain.from_iterable(_having(frozenset(known)).get(pair, ()) for pair in _pairs(word)))
        known = tuple(name for name, _ in near.most_common(MANY))
    return next(iter(difflib.get_close_matches(word, known, n=1)), None)


@lru_cache(maxsize=4)  # a file with one wrong name often has it in many places
def _having(known: frozenset[str]) -> dict[str, list[str]]:
    """Words by each pair of adjacent characters."""
    having: dict[str, list[str]] = {}
    for word in sorted(known):
        for pair in _pairs(word):
            having.setdefault(pair, []).append(word)
    return having


def _pairs(word: str) -> set[str]:
    return {word[at : at + 2] for at in range(len(word) - 1)}


def join_or(words: Iterable[str]) -> str:
    """Join words: ``a, b or c``."""
    *head, last = words
    return f"{', '.join(head)} or {last}" if head else last


def duplicates(items: Iterable[tuple[_Key, str, Path]]) -> Iterator[tuple[_Key, str, Path]]:
    """For each duplicate key: the key, its first owner, and the path of the duplicate."""
    first: dict[_Key, str] = {}
    for key, owner, path in items:
        if key in first:
            yield key, first[key], path
        else:
            first[key] = owner
