"""What a message does to a controller: it comes by a connection, and all that it says is read."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Address, ip_interface
from operator import itemgetter
from time import process_time
from typing import Any

from os_ken.controller import ofp_event
from os_ken.controller.handler import CONFIG_DISPATCHER, HANDSHAKE_DISPATCHER, MAIN_DISPATCHER
from os_ken.controller.ofp_handler import OFPHandler
from os_ken.ofproto import ofproto_v1_3 as ofproto
from os_ken.ofproto import ofproto_v1_3_parser as parser

from flows.tables import Table
from sdnapp.frames import packet
from sdnapp.net import dhcp, dhcp_snooping, igmp_mld, neighbors, packet_too_big
from sdnapp.net.model import Dhcp
from sdnapp.openflow import connection, flowstats, monitor, ondemand
from sdnapp.openflow import decode_multicast as group_memories
from sdnapp.openflow.decode_neighbors import remembered
from sdnapp.openflow.flowstats import Entries, FlowStats
from sdnapp.openflow.matchshape import Malformed, Unreadable
from sdnapp.openflow.oxm import exact
from sdnapp.openflow.switch import _learned_flow, _reason
from sdnapp.rest import flowdump

LONGEST = 0.05
"""Seconds of the processor that a message may take, and each part that is parsed when it is asked for."""
FOREVER = 5.0
"""Seconds of the processor after which something goes round forever."""

Step = tuple[float, str, bytes]
"""Seconds of the processor, for what, of which message."""

flowstats.install()
ondemand.install()


_SETTINGS = Dhcp(IPv4Address("10.1.1.254"), (IPv4Address("192.0.2.53"),), "example.com", 3600)
_ADDRESSES = (ip_interface("10.1.1.7/24"), ip_interface("fd00::7/64"))
_CLIENTS = [dhcp.DhcpClient("p", None, addresses, 1400, _SETTINGS) for addresses in (_ADDRESSES, ())]


class Endless(BaseException):
    """A message that goes round forever."""


class _Socket:
    """A connection that brings these bytes and ends."""

    family = 0

    def __init__(self, piece: bytes) -> None:
        self._pieces = [piece]

    def fileno(self) -> int:
        return -1

    def recv(self, _: int) -> bytes:
        return self._pieces.pop() if self._pieces else b""

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


class Bridge(connection.Connection):
    """A connection on which this arrives; what it would send is dropped."""

    supported_ofp_version = (ofproto.OFP_VERSION,)

    def __init__(self, said: bytes, state: str, hear: Any) -> None:
        super().__init__(_Socket(said), ("192.0.2.7", 40000))
        self.set_version(ofproto.OFP_VERSION)
        self.ofp_brick = hear
        self.state = state
        self.ports: dict[int, Any] = {}

    def send(self, buf: bytes, close_socket: bool = False) -> bool:  # noqa: ARG002
        return True


@dataclass
class Report:
    """``slow`` and ``raised``: what must not be, with the message. ``worst``: the slowest step of all."""

    messages: int = 0
    heard: int = 0
    worst: Step = (0.0, "", b"")
    slow: list[Step] = field(default_factory=list)
    raised: list[tuple[str, bytes]] = field(default_factory=list)


class Clock:
    """How long the steps of a message take, one after the other, and which takes longest."""

    def __init__(self) -> None:
        self.longest, self.step, self._began = 0.0, "", process_time()

    def lap(self, step: str) -> None:
        """A step is over, and the next begins."""
        now = process_time()
        if now - self._began > self.longest:
            self.longest, self.step = now - self._began, step
        self._began = now


def _read(message: Any, clock: Clock) -> None:
    """All that the overlay and REST read of a message."""
    if isinstance(message, parser.OFPPacketIn):
        exact(message.match, "metadata")
        frame(message.data[: packet.LONGEST])
    elif isinstance(message, parser.OFPFlowRemoved) and message.table_id == Table.NEIGHBOR_SNOOPING:
        remembered(message)
    elif isinstance(message, parser.OFPErrorMsg):
        _reason(message)
    elif isinstance(message, parser.OFPExperimenterStatsReply):
        list(monitor.decode(message.body))
    elif isinstance(message, parser.OFPMultipartReply):
        _parts(message.body, clock)


def frame(data: bytes) -> None:
    """All that is read of a frame."""
    neighbors.parse_arp_nd(data)
    list(dhcp_snooping.decode(data))
    igmp_mld.decode(data)
    if (asked := packet.read(data)) is not None:
        for client in _CLIENTS:
            dhcp.dhcp_reply(client, asked)
        packet_too_big.packet_too_big(asked, 1400)


def _parts(body: Any, clock: Clock) -> None:
    with suppress(Malformed):
        _each(body, clock)


def _each(body: Any, clock: Clock) -> None:
    if isinstance(body, Entries):
        list(body.heads())
    for part in body if isinstance(body, ondemand.Parts) else ():
        with suppress(Malformed, Unreadable):
            part.parse()
            for memory in (_learned_flow, remembered, group_memories.remembered, _crowded):
                if isinstance(part, FlowStats):
                    memory(part)
        clock.lap("part")
        if isinstance(part, FlowStats):
            flowdump.flow(part)
            clock.lap("flow as JSON")


def _crowded(entry: Any) -> None:
    exact(entry.match, "in_port")


class Hear(OFPHandler):  # type: ignore[misc]  # os-ken has no types
    """os-ken's own handlers, and whoever reads all that there is to read of a message."""

    def __init__(self) -> None:
        super().__init__()
        self.heard, self.clock = 0, Clock()

    def send_event_to_observers(self, ev: Any, state: str | None = None) -> None:  # noqa: ARG002
        if isinstance(ev, ofp_event.EventOFPMsgBase):
            self.heard += 1
            self.clock.lap("parse")
            _read(ev.msg, self.clock)
            self.clock.lap("read")


_STATES = (HANDSHAKE_DISPATCHER, CONFIG_DISPATCHER, MAIN_DISPATCHER, MAIN_DISPATCHER, MAIN_DISPATCHER)


def judge(messages: Iterable[bytes]) -> Report:
    """Say each of these to a controller of its own."""
    told, hear = Report(), Hear()
    with _deadline():
        for message in messages:
            told.messages += 1
            state = _STATES[told.messages % len(_STATES)]
            try:
                step = min(_say(hear, message, state), key=itemgetter(0))
            except (Exception, Endless) as error:
                told.raised.append((f"{type(error).__name__}: {error}", message))
                continue
            told.worst = max(told.worst, step)
            if step[0] > LONGEST:
                told.slow.append(step)
    told.heard = hear.heard
    return told


def _say(hear: Hear, message: bytes, state: str) -> Iterator[Step]:
    """The slowest step; again if it was slow: garbage collections and other processes are not its fault."""
    for _ in range(3):
        signal.setitimer(signal.ITIMER_VIRTUAL, FOREVER)
        hear.clock = Clock()
        connection._receive(Bridge(message, state, hear))
        hear.clock.lap("end")
        yield hear.clock.longest, hear.clock.step, message
        if hear.clock.longest <= LONGEST / 2:
            return


@contextmanager
def _deadline() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise Endless

    before = signal.signal(signal.SIGVTALRM, stop)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
