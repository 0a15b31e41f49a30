"""Cache of results between two readings of a file: only changed parts are computed again."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

_Given = ParamSpec("_Given")
_Item = TypeVar("_Item", bound=Hashable)
_Made = TypeVar("_Made")

CachedResults = Mapping[Hashable, tuple[Any, Any, Any]]
"""By function and name: arguments, result, and cached results of the parts."""
_NOTHING = None, None, None


class ResultCache:
    """Results of one reading; ``known``: those of the previous one. Older results are dropped.

    What makes things is a pure function; a name tells apart what it makes. Dicts are equal whatever the order
    of their keys, so what is made should not depend on it.
    """

    def __init__(self, known: CachedResults | None = None) -> None:
        self._known: CachedResults = known or {}
        self.made: dict[Hashable, tuple[Any, Any, Any]] = {}

    def of(
        self, name: Hashable, make: Callable[_Given, _Made], /, *given: _Given.args, **named: _Given.kwargs
    ) -> _Made:
        """Call ``make``, or return the identical previous result if the arguments are equal."""
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
        """Call ``make``, which caches results of its parts, if the arguments differ."""
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
        """Call ``make`` for each item with the further arguments; fast for many items."""
        asked, (before, known, _) = (given, named), self._known.get((make, name), _NOTHING)
        if before != asked:
            known = {}
        made = {item: known[item] if item in known else make(item, *given, **named) for item in items}
        self.made[make, name] = asked, made, None
        return [made[item] for item in items]
