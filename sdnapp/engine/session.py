"""A bridge that is connected: what it holds, what it should hold, and what is on its way to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field
from operator import is_

from flows.compile import EMPTY_COMPILED, Compiled, recompile
from flows.diff import Plan, diff
from flows.flow import Flow, FlowKey, Meter, Program, origin_of
from sdnapp.net.encap import NO_ENCAP, EncapState
from sdnapp.net.encap_migration import desired_encap, is_migrating
from sdnapp.net.project import BridgeMemo, project_incremental
from sdnapp.net.state import State


@dataclass(slots=True)
class Session:
    """A connected bridge of ours.

    ``installed`` is None until it has been read; ``reads`` are on their way. ``suspect`` flows may not be
    what their identity says: they count as missing. ``due``: something is new since the bridge was last
    compared, and none but ``doubtful`` flows can differ; None: any may. ``untold``: changes by others not
    logged yet. ``greeted``: it was in sync since it connected. ``inherited``: it came with flows of ours.
    ``foreign``: groups, which no program has. ``connection``: the serial of its connection.
    ``problems``: what the agent of its host cannot do.
    """

    host: str
    address: str
    since: float
    memo: BridgeMemo
    installed: set[FlowKey] | None = None
    meters: frozenset[Meter] = frozenset()
    foreign: tuple[int, ...] = ()
    followed: State | None = None
    inputs: tuple[object, ...] = ()
    encap: EncapState = NO_ENCAP
    compiled: Compiled = EMPTY_COMPILED
    due: bool = True
    doubtful: set[FlowKey] | None = None
    sending: Plan | None = None
    sent_encap: EncapState = NO_ENCAP
    rejected: dict[Flow | Meter, str] = field(default_factory=dict)
    reads: int = 1
    untold: int = 0
    greeted: bool = False
    inherited: bool = False
    suspect: frozenset[FlowKey] = frozenset()
    failures: int = 0
    failure: str | None = None
    connection: int = 0
    problems: str = ""

    @property
    def in_sync(self) -> bool:
        """It holds its program, as far as is known, and nothing is on its way."""
        settled = self.installed is not None and not self.reads and self.sending is None
        return settled and not self.rejected and self.failure is None

    @property
    def program(self) -> Program:
        """What it should hold."""
        return self.compiled.program

    def lose(self, gone: Set[FlowKey]) -> None:
        """The bridge dropped flows that had aged."""
        if self.installed is not None:
            self.installed.difference_update(gone)
        self.doubt(gone)

    def doubt(self, flows: Set[FlowKey] | None) -> None:
        """These, or any, may not be what the program says."""
        self.due = True
        if flows is None:
            self.doubtful = None
        elif self.doubtful is not None:
            self.doubtful |= flows

    def was_read(self, flows: frozenset[FlowKey], meters: frozenset[Meter], foreign: tuple[int, ...]) -> None:
        """Note what the bridge holds."""
        self.inherited |= self.installed is None and any(origin_of(cookie) is not None for _, cookie in flows)
        self.installed, self.meters, self.foreign = set(flows - self.suspect), meters, foreign
        self.doubt(None)
        self.reads -= 1
        if not self.reads:
            self.suspect = frozenset()

    def took(self, plan: Plan) -> None:
        """The plan is in force."""
        if self.installed is not None:
            self.installed.update(flow.key for flow in plan.add)
            self.installed.difference_update(plan.delete)
        self.meters = _replace_meters(self.meters, plan)
        self.foreign = tuple(group for group in self.foreign if group not in plan.groups)
        self.failures, self.failure = 0, None

    def lack(self) -> Plan:
        """What makes the bridge hold its program, so far as it takes it."""
        assert self.installed is not None
        program = _without(self.program, self.rejected)
        among = None if self.rejected else self.doubtful
        return diff(self.installed, self.meters, program, self.foreign, among=among)

    def follow(self, state: State) -> Iterator[None]:
        """Bring the program up to the state. Nothing is computed but what depends on something new."""
        if state is self.followed:
            return
        self.followed = state
        speaking = _speaking(state, self.host)
        taught = (state.learned, state.multicast.known, state.addresses)
        world = (state.members, state.networks, state.mac_age, state.loops.held, *taught)
        inputs = (*speaking, *world)
        if _same(inputs, self.inputs):
            return
        if not _same(speaking, self.inputs[: -len(world)]):
            now = desired_encap(state, self.host)
            if now != self.encap:
                self.encap, self.due = now, True
        self.inputs = inputs
        view = yield from project_incremental(state, self.host, self.encap, self.memo)
        if view != self.compiled.view:
            yield
            self.compiled = yield from recompile(view, self.compiled)
            self.doubt(self.compiled.changed)
            yield


def _speaking(state: State, host: str) -> tuple[object, ...]:
    """Return what the encapsulation state depends on; confirmations of others only during a migration."""
    inputs = (state.ports(host), state.here, state.having, state.paths, state.claims)
    if not is_migrating(state, host):
        return inputs
    return (*inputs, state.confirmed, state.fading, state.settled)


def _same(a: tuple[object, ...], b: tuple[object, ...]) -> bool:
    return len(a) == len(b) and all(map(is_, a, b))


def _without(program: Program, rejected: Mapping[Flow | Meter, str]) -> Program:
    if not rejected:
        return program
    flows = {key: flow for key, flow in program.flows.items() if flow not in rejected}
    return Program(flows, {i: meter for i, meter in program.meters.items() if meter not in rejected})


def _replace_meters(old: frozenset[Meter], plan: Plan) -> frozenset[Meter]:
    ids = {*plan.unused, *(meter.id for meter in plan.meters)}
    return frozenset(meter for meter in old if meter.id not in ids) | frozenset(plan.meters)
