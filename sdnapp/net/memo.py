"""What was worked out last, so that only what depends on something new is worked out again."""

from __future__ import annotations

from collections.abc import Callable
from operator import is_
from typing import Any, Concatenate, ParamSpec, TypeVar

_Inputs = ParamSpec("_Inputs")
_Made = TypeVar("_Made")


class Memo:
    """What pure functions made of their inputs last; of each function nothing but that.

    Inputs are looked at for what they are, not for what they equal: that costs nothing, however large.
    """

    __slots__ = ("_made",)

    def __init__(self) -> None:
        self._made: dict[Callable[..., Any], tuple[tuple[object, ...], Any]] = {}

    def knows(self, work: Callable[..., object], *inputs: object) -> bool:
        """Whether there is nothing to work out."""
        before = self._made.get(work)
        return before is not None and all(map(is_, inputs, before[0]))

    def of(self, work: Callable[_Inputs, _Made], *inputs: _Inputs.args, **named: _Inputs.kwargs) -> _Made:
        """What the function makes of these inputs: the object of before, if they are the same objects or what
        it makes is equal.
        """
        given = (*inputs, *named.values())
        before = self._made.get(work)
        if before is not None and all(map(is_, given, before[0])):
            found: _Made = before[1]
            return found
        made = work(*inputs, **named)
        if before is not None and before[1] == made:
            made = before[1]
        self._made[work] = (given, made)
        return made

    def onward(
        self,
        work: Callable[Concatenate[_Made | None, _Inputs], _Made],
        *inputs: _Inputs.args,
        **named: _Inputs.kwargs,
    ) -> _Made:
        """What the function makes of these inputs and of what it made last; None where there is nothing."""
        given = (*inputs, *named.values())
        before = self._made.get(work)
        last: _Made | None = None if before is None else before[1]
        if before is not None and last is not None and all(map(is_, given, before[0])):
            return last
        made = work(last, *inputs, **named)
        self._made[work] = (given, made)
        return made
