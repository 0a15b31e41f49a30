"""Flow, meter, program: what one bridge must hold, identified by content.

A flow's cookie is a digest of its content, so two flows are equal exactly if their cookies are, and the
difference between desired and installed is set arithmetic on (table, cookie). The content is numbers: those
of table, fields and actions, with their values. No name is part of it, so another name for a table, a field
or an action reprograms no bridge. Cookie layout, from the top: 8 bits owner (0x5d), 4 bits origin, 52 bits
digest. A program of 50,000 flows has a collision with probability 3e-7; ``collect`` refuses one by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from hashlib import blake2b
from itertools import chain
from typing import NamedTuple

from flows.actions import Action, Goto, Learn, canonical
from flows.fields import FRAGMENT_BITS, code
from flows.match import Header, Match
from flows.tables import Table

OWNER = 0x5D
_OWNER_SHIFT = 56
_KIND_SHIFT = 52
_DIGEST_MASK = (1 << _KIND_SHIFT) - 1

FlowKey = tuple[int, int]
"""(table id, cookie): the identity of a flow on a bridge."""


class Origin(IntEnum):
    """What a flow follows from.

    ``STATIC``: the configuration. ``LEARNED``: traffic. ``MAC_LIMIT``: a port that exceeded its MAC limit.
    ``SWITCH_LEARNED``: the bridge's own learn action; part of no program.
    """

    STATIC = 0
    LEARNED = 1
    MAC_LIMIT = 2
    SWITCH_LEARNED = 3


_KINDS = {OWNER << _OWNER_SHIFT - _KIND_SHIFT | kind: kind for kind in Origin}


class _Said(NamedTuple):
    table: Table
    priority: int
    match: Match
    actions: tuple[Action, ...]
    idle: int
    kind: Origin
    cookie: int
    hard: int


class Flow(_Said):
    """One entry of one table. The bridge removes it, and reports that, after ``idle`` seconds without a
    frame, or ``hard`` seconds after it was added.
    """

    __slots__ = ()

    def __new__(  # noqa: PLR0917  # a flow says seven things
        cls,
        table: Table,
        priority: int,
        match: Match,
        actions: tuple[Action, ...] = (),
        idle: int = 0,
        kind: Origin = Origin.STATIC,
        hard: int = 0,
    ) -> Flow:
        """The flow, with the cookie that follows from all that it says."""
        ages = f"{idle} hard={hard}" if hard else idle
        cookie = _cookie(kind, _content(table, priority, match, actions, ages))
        return tuple.__new__(cls, (table, priority, match, actions, idle, kind, cookie, hard))

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
        hard = f" hard={self.hard}" if self.hard else ""
        return f"{self.table.label} {self.priority} {self.match}{idle}{hard} -> {actions}"


def _content(table: Table, priority: int, match: Match, actions: tuple[Action, ...], ages: int | str) -> str:
    in_port, source, key, network, vlan, eth_src, eth_dst, header = match
    beyond = "" if header is None else _beyond(header)
    return (
        f"{int(table)} {priority} {ages} {in_port} {'' if source is None else int(source)} {key} "
        f"{network} {vlan} {eth_src} {eth_dst} {beyond}{_written(actions)}"
    )


@lru_cache(maxsize=16384)
def _beyond(header: Header) -> str:
    """Numbers and values of the fields behind the Ethernet header. Many flows share one such header."""
    return "".join([f"{code(name)}={_value(name, value)} " for name, value in header.said()])


def _value(name: str, value: int | str) -> object:
    return FRAGMENT_BITS[str(value)] if name == "ip_frag" else value


def _cookie(kind: Origin, content: str) -> int:
    digest = int.from_bytes(blake2b(content.encode(), digest_size=8).digest(), "big")
    return OWNER << _OWNER_SHIFT | kind << _KIND_SHIFT | digest & _DIGEST_MASK


@lru_cache(maxsize=4096)
def _written(actions: tuple[Action, ...]) -> str:
    """Numbers of the actions, with their arguments. Thousands of flows share a handful of these."""
    return " ".join(map(canonical, actions))


Flows = Mapping[FlowKey, Flow]


def origin_of(cookie: int) -> Origin | None:
    """Return what the flow with this cookie follows from; None: it is not of sdnapp."""
    return _KINDS.get(cookie >> _KIND_SHIFT)


def learn_cookie(action: Learn) -> int:
    """Return the cookie of the flows that a bridge adds by this action."""
    return _cookie(Origin.SWITCH_LEARNED, canonical(action))


class Unit(IntEnum):
    """What a meter counts, as OpenFlow numbers it (1.3 §A.3.4.4)."""

    KILOBITS = 1
    FRAMES = 2


@dataclass(frozen=True, slots=True)
class Meter:
    """Units per second that pass; ``burst`` units may come at once. Frames beyond that are dropped."""

    id: int
    rate: int
    burst: int
    unit: Unit = Unit.FRAMES

    def __str__(self) -> str:
        """``1000 kilobits/s, burst 512``."""
        return f"{self.rate} {self.unit.name.lower()}/s, burst {self.burst}"


CONTROLLER_METER = 0xFFFFFFFE
"""OFPM_CONTROLLER (OpenFlow 1.3 §A.3.4.4): the meter of all that a bridge sends to its controller."""


@dataclass(frozen=True, slots=True)
class Program:
    """All that one bridge must hold."""

    flows: Flows
    meters: Mapping[int, Meter]


EMPTY = Program({}, {})

SHARED_UP_TO = 4
"""MACs at a place."""


def flows_per_mac(  # noqa: PLR0917  # the fields of a flow
    macs: tuple[str, ...],
    field: str,
    table: Table,
    priority: int,
    match: Match,
    actions: tuple[Action, ...],
    idle: int = 0,
    kind: Origin = Origin.STATIC,
) -> Flows:
    """Return the flow once for each MAC in this field of its match.

    Most flows of a large bridge differ in one MAC alone; what they share is computed once. Where few MACs are
    at a place, other bridges mostly have equal flows.
    """
    work_out = shared if len(macs) <= SHARED_UP_TO else _work_out
    return work_out(macs, field, table, priority, match, actions, idle, kind)


def _work_out(  # noqa: PLR0917
    macs: tuple[str, ...],
    field: str,
    table: Table,
    priority: int,
    match: Match,
    actions: tuple[Action, ...],
    idle: int,
    kind: Origin,
) -> Flows:
    """Compute the flows; two with one identity are left to ``collect``."""
    place = match._fields.index(field)
    before, after = match[:place], match[place + 1 :]
    head, tail = _content(table, priority, Match._make((*before, "\n", *after)), actions, idle).split("\n")
    number, owner = int(table), OWNER << _OWNER_SHIFT | kind << _KIND_SHIFT
    flows: dict[FlowKey, Flow] = {}
    new, integer = tuple.__new__, int.from_bytes
    for mac in macs:
        digest = blake2b(f"{head}{mac}{tail}".encode(), digest_size=8).digest()
        cookie = owner | integer(digest, "big") & _DIGEST_MASK
        said = (table, priority, new(Match, (*before, mac, *after)), actions, idle, kind, cookie, 0)
        flows[number, cookie] = new(Flow, said)
    if len(flows) < len(macs):
        matches = (Match._make((*before, mac, *after)) for mac in macs)
        return collect(Flow(table, priority, each, actions, idle, kind) for each in matches)
    return flows


shared = lru_cache(maxsize=16384)(_work_out)
"""``flows.compile.forget`` empties it."""


def collect(flows: Iterable[Flow]) -> Flows:
    """Return flows by identity. Raises ValueError if two different ones share it.

    Of learned ones only one counts then: MACs come from the network, where two that collide may be chosen.
    """
    by_key: dict[FlowKey, Flow] = {}
    for flow in flows:
        other = by_key.setdefault(flow.key, flow)
        if other is not flow and other != flow:
            if flow.kind is not Origin.LEARNED:
                raise ValueError(f"two flows share cookie {flow.cookie:#x}: {other} / {flow}")
            by_key[flow.key] = min(flow, other, key=str)
    return by_key


class PatchedMapping(Mapping[FlowKey, Flow]):
    """A mapping from which few entries were removed, and to which few were added: it costs as much as these.

    ``gone`` are keys of ``base``; no added key is among the rest of ``base``.
    """

    __slots__ = ("base", "come", "gone")

    def __init__(self, base: Flows, gone: Set[FlowKey], come: Flows) -> None:
        self.base, self.gone, self.come = base, gone, come

    def __getitem__(self, key: FlowKey) -> Flow:
        if key in self.come:
            return self.come[key]
        if key in self.gone:
            raise KeyError(key)
        return self.base[key]

    def __iter__(self) -> Iterator[FlowKey]:
        return chain((key for key in self.base if key not in self.gone), self.come)

    def __len__(self) -> int:
        return len(self.base) - len(self.gone) + len(self.come)


def apply_delta(flows: Flows, gone: Sequence[Flows], come: Sequence[Flows]) -> Flows:
    """Return the flows without those that are gone, with those that came. Raises ValueError as ``collect``
    does.
    """
    last = flows if isinstance(flows, PatchedMapping) else PatchedMapping(flows, frozenset(), {})
    base, away, more = last.base, set(last.gone), dict(last.come)
    for key in chain.from_iterable(gone):
        if more.pop(key, None) is None and key in base:
            away.add(key)
    left, doubled = len(more), any(key in base and key not in away for key in chain.from_iterable(come))
    for piece in come:
        more.update(piece)
    if doubled or len(more) < left + sum(map(len, come)):
        names = frozenset(chain.from_iterable(gone))  # two share an identity
        stay = (flow for key, flow in flows.items() if key not in names)
        return collect(chain(stay, *(piece.values() for piece in come)))
    if (len(away) + len(more)) ** 2 <= len(base):
        return PatchedMapping(base, away, more)
    if not base:
        return more
    fresh = dict(base)  # copied in C, however many there are
    for key in away:
        del fresh[key]
    fresh.update(more)
    return fresh
