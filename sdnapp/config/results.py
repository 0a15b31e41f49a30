"""What a file came to, piece by piece, so that of the next one only what differs is worked out."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any, ParamSpec, TypeVar

_Given = ParamSpec("_Given")
_Made = TypeVar("_Made")

Known = Mapping[Hashable, tuple[Any, Any, Any]]
"""By what makes it, and its name: what was given, what was given by keyword, and what was made of them."""


class Results:
    """What one reading makes; ``known`` is what an earlier one made. Nothing else is kept."""

    def __init__(self, known: Known | None = None) -> None:
        self._known: Known = known or {}
        self.made: dict[Hashable, tuple[Any, Any, Any]] = {}

    def of(
        self, name: Hashable, make: Callable[_Given, _Made], /, *given: _Given.args, **named: _Given.kwargs
    ) -> _Made:
        """What ``make`` makes of what is given: the very same as before where that is equal.

        ``make`` is a pure function; ``name`` tells apart what it makes. Dicts are equal whatever the order of
        their keys, so what is made should not depend on it.
        """
        entry = self._known.get((make, name))
        if entry is None or entry[0] != given or entry[1] != named:
            entry = given, named, make(*given, **named)
        self.made[make, name] = entry
        made: _Made = entry[2]
        return made
