"""Trace a frame through a program as Open vSwitch would. Tests compare it with ofproto/trace."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from flows.actions import (
    Action,
    ApplyMeter,
    CheckPacketLarger,
    Goto,
    Learn,
    Move,
    NoteNumber,
    Output,
    OutputInPort,
    OutputMetered,
    PopVlan,
    Punt,
    PushVlan,
    SetField,
    SetIngress,
    SetNetwork,
    SetTunnelKey,
)
from flows.flow import Flow, Program
from flows.match import (
    NO_HEADER,
    REGISTER_DEFAULTS,
    TAGGED,
    UNTAGGED,
    VLAN,
    Header,
    Ingress,
    Match,
    field_matches,
)
from flows.tables import Table

_TAG = Header(eth_type=VLAN)


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame as it enters a bridge. ``vlans``: 802.1Q tags, outermost first. ``key``: of a tunnel port.

    ``header``: what lies behind them; a field that is None is not there. ``size``: in bytes, all told.
    Open vSwitch reads one tag (ovs-vswitchd.conf.db(5), ``vlan-limit``): behind a second one it sees no
    header, and ``eth_type`` is that of the second tag.
    """

    in_port: int
    eth_src: str
    eth_dst: str
    vlans: tuple[int, ...] = ()
    key: int = 0
    header: Header = NO_HEADER
    size: int = 64


@dataclass(frozen=True, slots=True)
class OutputPacket:
    """A copy of the frame leaves on ``port`` with these tags, and with ``key`` where the port is a tunnel.

    ``rewritten``: fields that differ from those of the frame, by name.
    """

    port: int
    vlans: tuple[int, ...]
    key: int
    rewritten: tuple[tuple[str, int | str], ...] = ()


@dataclass(frozen=True, slots=True)
class Trace:
    """Result of a trace: copies that were sent, flows that matched, and whether the frame was punted."""

    copies: tuple[OutputPacket, ...]
    flows: tuple[Flow, ...]
    punted: bool

    @property
    def ports(self) -> frozenset[int]:
        """The ports on which a copy left."""
        return frozenset(copy.port for copy in self.copies)

    @property
    def dropped_in(self) -> Table | None:
        """The table that dropped the frame; None where a copy went out or was punted."""
        return None if self.copies else self.flows[-1].table


@dataclass(slots=True)
class _State:
    """A frame on its way. ``read``: how many of its tags, from the outermost, Open vSwitch parsed."""

    vlans: list[int]
    read: int
    key: int
    fields: dict[str, int | str]
    ingress: Ingress = Ingress.LOCAL
    network: int = 0
    copies: list[OutputPacket] = field(default_factory=list)
    punted: bool = False


def trace(program: Program, frame: Frame) -> Trace:
    """Follow the frame from table 0 until no table is next. A table without a matching flow drops it."""
    state = _State(
        list(frame.vlans), min(len(frame.vlans), 1), frame.key, {**_fields(frame), **REGISTER_DEFAULTS}
    )
    met: list[Flow] = []
    table: Table | None = Table.CLASSIFY
    while table is not None:
        found = _lookup(program, table, frame, state)
        if found is None:
            break
        met.append(found)
        for action in found.actions:
            if isinstance(action, OutputMetered):
                met.append(_pace(program, state, frame, action.port))
            else:
                _act(state, frame, action)
        table = found.goto
    return Trace(tuple(state.copies), tuple(met), state.punted)


def _lookup(program: Program, table: Table, frame: Frame, state: _State) -> Flow | None:
    matching = (f for f in program.flows.values() if f.table is table and _matches(f.match, frame, state))
    return max(matching, key=lambda flow: flow.priority, default=None)


def _matches(match: Match, frame: Frame, state: _State) -> bool:
    return (
        match.in_port in (None, frame.in_port)
        and match.ingress in (None, state.ingress)
        and match.key in (None, state.key)
        and match.network in (None, state.network)
        and _matches_vlan(match.vlan, state.vlans[: state.read])
        and (match.eth_src is None or field_matches(match.eth_src, state.fields["eth_src"]))
        and (match.eth_dst is None or field_matches(match.eth_dst, state.fields["eth_dst"]))
        and all(
            field_matches(value, state.fields.get(name)) for name, value in (match.header or NO_HEADER).said()
        )
    )


def _matches_vlan(wanted: int | None, vlans: list[int]) -> bool:
    if wanted is None:
        return True
    if wanted == UNTAGGED:
        return not vlans
    return bool(vlans) and wanted in (TAGGED, vlans[0])


def _fields(frame: Frame) -> dict[str, int | str]:
    header = frame.header if len(frame.vlans) < 2 else _TAG
    return {"eth_src": frame.eth_src, "eth_dst": frame.eth_dst, **header.parsed()}


def _copy(state: _State, frame: Frame, port: int) -> OutputPacket:
    was = _fields(frame)
    rewritten = (
        (name, value)
        for name, value in sorted(state.fields.items())
        if was.get(name) != value and name not in REGISTER_DEFAULTS
    )
    return OutputPacket(port, tuple(state.vlans), state.key, tuple(rewritten))


def _pace(program: Program, state: _State, frame: Frame, port: int) -> Flow:
    """Return the flow of this port in ``egress-policer``, applied to a copy of the frame."""
    found = _lookup(program, Table.EGRESS_POLICER, replace(frame, in_port=port), state)
    assert found is not None
    for action in found.actions:
        _act(state, frame, action)
    return found


def _act(state: _State, frame: Frame, action: Action) -> None:
    match action:
        case Output(port):
            if port != frame.in_port:
                state.copies.append(_copy(state, frame, port))
        case OutputInPort():
            state.copies.append(_copy(state, frame, frame.in_port))
        case SetField() | Move():
            _rewrite(state.fields, action)
        case PushVlan(vlan):
            state.vlans.insert(0, vlan)
            state.read += 1
        case PopVlan():
            del state.vlans[: min(state.read, 1)]
            state.read = max(state.read - 1, 0)
        case SetTunnelKey() | SetIngress() | SetNetwork():
            _carry(state, action)
        case CheckPacketLarger(size):
            if frame.size > size:
                state.ingress = Ingress.TOO_LARGE
        case Punt():
            state.punted = True
        case Goto() | ApplyMeter() | OutputMetered() | NoteNumber() | Learn():
            pass


def _carry(state: _State, action: SetTunnelKey | SetIngress | SetNetwork) -> None:
    match action:
        case SetTunnelKey(key):
            state.key = key
        case SetIngress(ingress):
            state.ingress = ingress
        case SetNetwork(network):
            state.network = network


def _rewrite(fields: dict[str, int | str], action: SetField | Move) -> None:
    if isinstance(action, Move):
        fields[action.target] = fields[action.source]
    else:
        fields[action.name] = action.value
