"""Routes: declared once, for the falcon resources and the OpenAPI document."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel

from sdnapp.rest.access import Scope
from sdnapp.rest.backend import Backend

Found = TypeVar("Found")


class Problem(Exception):
    """Error response: HTTP status, error and remedy."""

    def __init__(self, status: int, error: str, remedy: str | None = None) -> None:
        super().__init__(error)
        self.status = status
        self.error = error
        self.remedy = remedy


def get_or_404(found: Mapping[str, Found], name: str, what: str) -> Found:
    """Look up a name; raises ``Problem`` 404 that lists the known ones."""
    if name in found:
        return found[name]
    raise Problem(404, f"no {what} {name!r}", f"there are {', '.join(found) or 'none'}")


class Stream:
    """A body that is made while it is sent. ``close`` lets go of what the making holds, wherever it stands.

    The first piece is made at once, so that what fails early still fails with a status of its own.
    """

    def __init__(self, pieces: Generator[bytes]) -> None:
        self._first = next(pieces)
        self._pieces = pieces
        self.close = pieces.close

    def __iter__(self) -> Iterator[bytes]:
        yield self._first
        yield from self._pieces


@dataclass(frozen=True, slots=True)
class Call:
    """One request: the parts of its path, and its body as the route's model."""

    path: Mapping[str, str]
    body: Any = None


Answer = Callable[[Backend, Call], Any]


@dataclass(frozen=True, slots=True)
class Route:
    """A method on a path (RFC 6570 level 1, such as ``/v1/hosts/{host}``) and what it answers.

    ``returns`` is a type that pydantic can serialise; ``accepts`` is the model of an optional JSON body. A
    route without ``returns`` never answers with success.
    """

    method: str
    path: str
    summary: str
    answer: Answer
    returns: Any = None
    accepts: type[BaseModel] | None = None
    scope: Scope = "read"
    """Scope that the client needs."""
