"""What a fault is: done to a lab, undone as a supervisor or an operator would, in a table by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from random import Random

from tests.chaos.scope import Scope
from tests.chaos.subject import Subject

Inflict = Callable[[Subject, Random], Iterator[Scope]]


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault. Two that touch the same ``part`` are never inflicted at once.

    ``loses``: which streams may lose packets meanwhile, in words; the ``Scope`` of each time says it exactly.
    ``inflict`` returns a context: the fault is there inside, and is over, but for what the product is to
    repair itself, when it ends.
    """

    name: str
    part: str
    loses: str
    inflict: Callable[[Subject, Random], AbstractContextManager[Scope]]


FAULTS: dict[str, Fault] = {}
"""Every fault by its name."""


def fault(part: str, *, loses: str) -> Callable[[Inflict], Inflict]:
    """Enter a function into the table, under its own name in words."""

    def enter(function: Inflict) -> Inflict:
        name = function.__name__.replace("_", " ")
        FAULTS[name] = Fault(name, part, loses, contextmanager(function))
        return function

    return enter
