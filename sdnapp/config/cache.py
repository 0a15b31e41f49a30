"""What a file came to, piece by piece, so that of the next one only what differs is worked out."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

_Given = ParamSpec("_Given")
_Item = TypeVar("_Item", bound=Hashable)
_Made = TypeVar("_Made")

CachedResults = Mapping[Hashable, tuple[Any, Any, Any]]
"""By what makes it, and its name: what was given, what was made of it, and the results of its parts."""
_NOTHING = None, None, None


class ResultCache:
    """What one reading makes; ``known`` is what an earlier one made. Nothing else is kept.

    What makes things is a pure function; a name tells apart what it makes. Dicts are equal whatever the order
    of their keys, so what is made should not depend on it.
    """

    def __init__(self, known: CachedResults | None = None) -> None:
        self._known: CachedResults = known or {}
        self.made: dict[Hashable, tuple[Any, Any, Any]] = {}

    def of(
        self, name: Hashable, make: Callable[_Given, _Made], /, *given: _Given.args, **named: _Given.kwargs
    ) -> _Made:
        """What ``make`` makes of what is given: the very same as before where that is equal."""
        asked, (before, made, _) = (given, named), self._known.get((make, name), _NOTHING)
        if before != asked:
            made = make(*given, **named)
        self.made[make, name] = asked, made, None
        return made  # type: ignore[no-any-return]

    def parts(
        self,
        name: Hashable,
        make: Callable[Concatenate[ResultCache, _Given], _Made],
        /,
        *given: _Given.args,
        **named: _Given.kwargs,
    ) -> _Made:
        """The same of a whole whose parts have results of their own, asked for where the whole differs."""
        asked, (before, made, known) = (given, named), self._known.get((make, name), _NOTHING)
        if before != asked:
            results = ResultCache(known)
            made, known = make(results, *given, **named), results.made
        self.made[make, name] = asked, made, known
        return made  # type: ignore[no-any-return]

    def each(
        self,
        name: Hashable,
        make: Callable[Concatenate[_Item, _Given], _Made],
        items: Sequence[_Item],
        /,
        *given: _Given.args,
        **named: _Given.kwargs,
    ) -> list[_Made]:
        """What ``make`` makes of each item and of what else is given: quick where the items are many."""
        asked, (before, known, _) = (given, named), self._known.get((make, name), _NOTHING)
        if before != asked:
            known = {}
        made = {item: known[item] if item in known else make(item, *given, **named) for item in items}
        self.made[make, name] = asked, made, None
        return [made[item] for item in items]
