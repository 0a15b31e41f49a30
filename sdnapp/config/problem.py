"""What can be wrong with a file, in words a person can act upon.

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
"""Problems reported for one file: more than anyone reads, and a bound on the work a hostile file causes."""
MANY = 50
"""Words that are compared letter by letter with an unknown one; of more, those that share most pairs."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong at ``path``; ``key``: with the key itself rather than with its value."""

    path: Path
    message: str
    remedy: str
    key: bool = False


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing to mend. Lines and columns count from 1; ``path`` is empty for the file as a whole."""

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
    """A file that means nothing; ``problems`` are in the order of the file, at most ``LIMIT`` of them."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems))[:LIMIT]
        super().__init__("\n".join(map(str, self.problems)))


def shown(value: object) -> str:
    """``value`` as messages quote it: short, on one line, without control characters."""
    if value is None or value == "":
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = str(value)
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


def dotted(path: Path) -> str:
    """``ports.red1.address[1]``: how messages write a path."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            plain = step.isprintable() and 0 < len(step) <= 60
            text += ("." if text else "") + (step if plain else shown(step))
    return text


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that ``word`` was probably meant to be."""
    word, known = word[:100], tuple(known)
    if len(known) > MANY:
        near = Counter(chain.from_iterable(_having(frozenset(known)).get(pair, ()) for pair in _pairs(word)))
        known = tuple(name for name, _ in near.most_common(MANY))
    return next(iter(difflib.get_close_matches(word, known, n=1)), None)


@lru_cache(maxsize=4)  # a file with one wrong name often has it in many places
def _having(known: frozenset[str]) -> dict[str, list[str]]:
    """The words that have each pair of neighbouring characters."""
    having: dict[str, list[str]] = {}
    for word in sorted(known):
        for pair in _pairs(word):
            having.setdefault(pair, []).append(word)
    return having


def _pairs(word: str) -> set[str]:
    return {word[at : at + 2] for at in range(len(word) - 1)}


def join_or(words: Iterable[str]) -> str:
    """``a, b or c``."""
    *head, last = words
    return f"{', '.join(head)} or {last}" if head else last


def duplicates(items: Iterable[tuple[_Key, str, Path]]) -> Iterator[tuple[_Key, str, Path]]:
    """For each key seen before: the key, who had it first, and where it is now."""
    first: dict[_Key, str] = {}
    for key, owner, path in items:
        if key in first:
            yield key, first[key], path
        else:
            first[key] = owner
