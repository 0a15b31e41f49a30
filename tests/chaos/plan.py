"""What a run does, step by step: the same for the same seed, from whichever step it starts. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from random import Random

from tests.chaos.document import Change, Document, base, change


@dataclass(frozen=True, slots=True)
class Variant:
    """How the lab of a run is made. ``hub``: of os-ken, for all controllers."""

    central: bool
    hub: str


@dataclass(frozen=True, slots=True)
class Step:
    """The faults that are inflicted together, by name, and a change of the file meanwhile.

    ``before``: the document in force when it begins. ``hold``: seconds that the faults last.
    """

    number: int
    before: Document
    faults: tuple[str, ...]
    change: Change | None
    hold: float

    @property
    def after(self) -> Document:
        """The document in force when it ends."""
        return self.before if self.change is None else self.change.after


def variant(seed: int) -> Variant:
    """Return the lab for a seed."""
    return Variant(central=seed % 3 != 2, hub="native" if seed % 4 == 3 else "eventlet")


def steps(seed: int, parts: Mapping[str, str], wanted: Collection[str] = ()) -> Iterator[Step]:
    """Yield steps without end. ``parts``: what each fault touches; ``wanted``: only these faults."""
    document = base(central=variant(seed).central, random=Random(f"{seed}/base"))
    names = sorted(name for name in parts if not wanted or name in wanted)
    for number in count(1):
        random = Random(f"{seed}/{number}")
        chosen: list[str] = []
        for name in random.sample(names, min(len(names), random.choice([1, 1, 1, 2, 2, 3]))):
            if parts[name] not in {parts[other] for other in chosen}:
                chosen.append(name)
        free = not any(parts[name] == "file" for name in chosen)
        edit = change(document, random) if free and random.random() < 0.5 else None
        made = Step(number, document, tuple(chosen), edit, random.choice([0.1, 0.5, 1.0, 2.0, 4.0]))
        yield made
        document = made.after


def randomness(seed: int, step: Step) -> Random:
    """Return what the faults of a step draw from."""
    return Random(f"{seed}/{step.number}/faults")
