"""A flow, a meter, a program: what one bridge must hold, with an identity that is its content.

A flow's cookie is derived from all that it says, so two flows are the same exactly if their cookies are,
and the difference between desired and installed is set arithmetic on (table, cookie). Cookie layout, from
the top: 8 bits owner (0x5d), 4 bits kind, 52 bits digest. A program of 50,000 flows meets a collision with
probability 3e-7; ``Program.of`` refuses one by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from hashlib import blake2b

from flows.actions import Action, Goto
from flows.match import Match
from flows.tables import Table

OWNER = 0x5D
_OWNER_SHIFT = 56
_KIND_SHIFT = 52
_DIGEST_MASK = (1 << _KIND_SHIFT) - 1

FlowKey = tuple[int, int]
"""(table id, cookie): the identity of a flow on a bridge."""


class Kind(IntEnum):
    """Whether a flow follows from the configuration, or from a location that the network taught us."""

    FIXED = 0
    LEARNED = 1


@dataclass(frozen=True, slots=True)
class Flow:
    """One entry of one table. ``idle``: seconds without a frame after which the bridge drops it and tells."""

    table: Table
    priority: int
    match: Match
    actions: tuple[Action, ...] = ()
    idle: int = 0
    kind: Kind = Kind.FIXED
    cookie: int = field(init=False, compare=False)

    def __post_init__(self) -> None:
        digest = int.from_bytes(blake2b(self._content().encode(), digest_size=8).digest(), "big")
        cookie = OWNER << _OWNER_SHIFT | self.kind << _KIND_SHIFT | digest & _DIGEST_MASK
        object.__setattr__(self, "cookie", cookie)

    def _content(self) -> str:
        """All that the flow says, in the form that is fastest to write: it is done for every flow."""
        match = self.match
        source = "" if match.source is None else int(match.source)
        return (
            f"{int(self.table)} {self.priority} {self.idle} {match.in_port} {source} {match.key} "
            f"{match.network} {match.vlan} {match.eth_src} {match.eth_dst} {' '.join(map(str, self.actions))}"
        )

    @property
    def key(self) -> FlowKey:
        """What identifies this flow on a bridge."""
        return (int(self.table), self.cookie)

    @property
    def goto(self) -> Table | None:
        """The table that a matching frame goes on to."""
        last = self.actions[-1] if self.actions else None
        return last.table if isinstance(last, Goto) else None

    def __str__(self) -> str:
        """One line: ``forward 100 network=5010 eth_dst=… -> output:3``."""
        actions = " ".join(map(str, self.actions)) or "drop"
        idle = f" idle={self.idle}" if self.idle else ""
        return f"{self.table.label} {self.priority} {self.match}{idle} -> {actions}"


def is_ours(cookie: int) -> bool:
    """Whether a flow with this cookie was put there by us."""
    return cookie >> _OWNER_SHIFT == OWNER


def is_learned(cookie: int) -> bool:
    """Whether the flow with this cookie stands for a learned location."""
    return is_ours(cookie) and cookie >> _KIND_SHIFT & 0xF == Kind.LEARNED


@dataclass(frozen=True, slots=True)
class Meter:
    """Frames per second that pass; ``burst`` frames may come at once. Above that they are dropped."""

    id: int
    rate: int
    burst: int


CONTROLLER_METER = 0xFFFFFFFE
"""OFPM_CONTROLLER (OpenFlow 1.3 §A.3.4.4): the meter of all that a bridge sends to its controller."""


@dataclass(frozen=True, slots=True)
class Program:
    """All that one bridge must hold."""

    flows: Mapping[FlowKey, Flow]
    meters: Mapping[int, Meter]

    @classmethod
    def of(cls, flows: Iterable[Flow], meters: Iterable[Meter] = ()) -> Program:
        """Collect; ``ValueError`` if two different flows share an identity."""
        by_key: dict[FlowKey, Flow] = {}
        for flow in flows:
            other = by_key.setdefault(flow.key, flow)
            if other is not flow and other != flow:
                raise ValueError(f"two flows share cookie {flow.cookie:#x}: {other} / {flow}")
        return cls(by_key, {meter.id: meter for meter in meters})


EMPTY = Program({}, {})
