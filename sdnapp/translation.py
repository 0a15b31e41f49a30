"""Translation between os-ken messages and engine events; execution of engine tasks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from os_ken.ofproto import ofproto_v1_3 as ofproto
from os_ken.ofproto import ofproto_v1_3_parser as parser

from flows.tables import TABLES, Table
from sdnapp.engine.messages import (
    BridgeRead,
    Connected,
    Describe,
    Described,
    DriftDetected,
    FdbFlowExpired,
    FromBridge,
    NeighborFlowExpired,
    PacketIn,
    PlanApplied,
    PortChanged,
    Read,
    Rejection,
    SourceSeen,
    Task,
)
from sdnapp.frames.packet import LONGEST
from sdnapp.net.events import FdbKey, RecoveredFdb
from sdnapp.net.fdb import REMOTE_ONLY
from sdnapp.openflow import decode_neighbors, monitor
from sdnapp.openflow.connection import shown
from sdnapp.openflow.oxm import exact
from sdnapp.openflow.switch import LearnedFlow, Switch


def connected(switch: Switch, now: float, *, contested: bool = False) -> Connected:
    """Event of a connected bridge. ``contested``: another connection has the same datapath id."""
    datapath = switch.datapath
    there = [port for port in datapath.ports.values() if port.port_no <= ofproto.OFPP_MAX]
    return Connected(
        datapath.id,
        shown(datapath.address),
        {_name(port): port.port_no for port in there},
        now,
        frozenset(_name(port) for port in there if _is_dead(port)),
        contested,
        connection=switch.serial,
    )


def report(message: Any, connection: int, now: float, probes: bytes) -> FromBridge | None:
    """The event of a message that no request asked for; None where it says nothing that counts.

    ``connection``: its serial. ``now``: seconds since the epoch. ``probes``: source MAC of our own probes.
    """
    dpid = message.datapath.id
    if isinstance(message, parser.OFPPacketIn):
        return _packet_in(message, dpid, connection, now, probes)
    if isinstance(message, parser.OFPPortStatus):
        port = message.desc
        if port.port_no > ofproto.OFPP_MAX:
            return None
        number = None if message.reason == ofproto.OFPPR_DELETE else port.port_no
        return PortChanged(dpid, _name(port), number, _is_dead(port), connection=connection)
    if isinstance(message, parser.OFPFlowRemoved):
        return _flow_removed(message, dpid, connection)
    if isinstance(message, parser.OFPExperimenter):  # others changed a meter or a group
        forwarded = monitor.is_forwarded(message)
        return DriftDetected(dpid, 1, frozenset(), connection=connection) if forwarded else None
    changes = list(monitor.decode(message.body))
    there = frozenset((c.table, c.cookie) for c in changes if c.event is not monitor.Event.DELETED)
    return DriftDetected(dpid, len(changes), there, connection=connection) if changes else None


def _packet_in(message: Any, dpid: int, connection: int, now: float, probes: bytes) -> FromBridge | None:
    """A frame with an unknown source, or one that says something."""
    match, data = message.match, message.data[:LONGEST]
    vni, ofport = exact(match, "metadata"), exact(match, "in_port")
    if vni is None or ofport is None or len(data) < 12:
        return None
    if message.table_id == Table.MAC_LEARNING and data[6:12] != probes:
        return SourceSeen(dpid, FdbKey(vni, data[6:12].hex(":"), ofport), now, connection=connection)
    if message.table_id in TABLES:
        return PacketIn(dpid, Table(message.table_id), vni, ofport, data, now, connection=connection)
    return None


def _flow_removed(message: Any, dpid: int, connection: int) -> FromBridge | None:
    """The flow of something learned expired: no frame came for long enough, or its lease has ended."""
    match, gone = message.match, (message.table_id, message.cookie)
    if message.reason not in {ofproto.OFPRR_IDLE_TIMEOUT, ofproto.OFPRR_HARD_TIMEOUT}:
        return None
    if message.table_id == Table.NEIGHBOR_SNOOPING:
        memory = decode_neighbors.remembered(message)
        return None if memory is None else NeighborFlowExpired(dpid, memory, gone, connection=connection)
    vni, mac, ofport = (exact(match, name) for name in ("metadata", "eth_src", "in_port"))
    if vni is None or mac is None or ofport is None:
        return None
    return FdbFlowExpired(dpid, FdbKey(vni, mac, ofport), gone, connection=connection)


def carry_out(switch: Switch, task: Task, clock: Callable[[], float]) -> FromBridge:
    """Carry out what the engine asks for; what came of it is an event."""
    dpid = switch.datapath.id
    if isinstance(task, Read):
        contents = switch.read()
        return BridgeRead(
            dpid,
            contents.flows,
            contents.meters,
            tuple(_memory(flow) for flow in contents.learned),
            contents.crowded,
            contents.groups,
            clock(),
            monitored=switch.monitored,
            addresses=contents.addresses,
            foreign=contents.foreign,
            connection=switch.serial,
        )
    if isinstance(task, Describe):
        return Described(dpid, switch.description(), connection=switch.serial)
    refused = switch.apply(task.plan, task.known_meters)
    return PlanApplied(dpid, tuple(Rejection(r.what, r.reason) for r in refused), connection=switch.serial)


def _memory(flow: LearnedFlow) -> RecoveredFdb:
    moves = REMOTE_ONLY if flow.moves is None else flow.moves
    return RecoveredFdb(FdbKey(flow.vni, flow.mac, flow.ofport), moves, flow.denied)


def _name(port: Any) -> str:
    name: bytes = port.name
    return name.decode("utf-8", "replace")


def _is_dead(port: Any) -> bool:
    """Whether Open vSwitch reports a port as down; with BFD, its peer."""
    return not port.state & ofproto.OFPPS_LIVE
