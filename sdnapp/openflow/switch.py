"""One connected bridge: requests joined to replies by xid, plans sent in bundles, errors joined to flows.

It blocks the hub thread that calls it and no other. It knows OpenFlow and os-ken's ``Datapath``; what a plan
is for, or what a reply means to the overlay, is not its business.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from typing import Any

from os_ken.lib import hub
from os_ken.ofproto import ofproto_v1_3 as ofproto
from os_ken.ofproto import ofproto_v1_3_parser as parser

from flows.diff import Plan, bundles
from flows.flow import CONTROLLER_METER, Flow, FlowKey, Meter, Origin, Unit, origin_of
from flows.tables import Table
from sdnapp.net.events import RecoveredGroupFlow
from sdnapp.net.neighbors import RecoveredNeighbor
from sdnapp.openflow import decode_neighbors, encode, monitor
from sdnapp.openflow.decode_multicast import remembered
from sdnapp.openflow.flowstats import FlowStats
from sdnapp.openflow.limits import LIMITS, Limits
from sdnapp.openflow.matchshape import Unreadable
from sdnapp.openflow.oxm import exact, value

TIMEOUT = 30.0
"""Seconds without any reply after which a bridge is taken for gone."""
_MOST_MOVES = 2**31
"""More of them than a MAC makes; the flow that remembers them has room for twice as many."""
CHUNK = 64 * 1024
"""Bytes given to the connection at once: small enough for echo replies to find a gap."""
_TOGETHER = 4096
"""Identities of flows that are made between two turns of the hub."""
_LEARNED, _CROWDED, _TAUGHT = Origin.LEARNED, Origin.MAC_LIMIT, Origin.SWITCH_LEARNED
"""By these names, because Python 3.11 takes longer to find a member of an enumeration than to read a flow."""


@dataclass(frozen=True, slots=True)
class LearnedFlow:
    """A flow with learned state: ``mac`` of network ``vni`` is behind ``ofport``, or is blocked (``denied``)
    there.

    ``moves``: the number in the flow's note; None where the flow only leads to the MAC.
    """

    vni: int
    mac: str
    ofport: int
    moves: int | None
    denied: bool


@dataclass(frozen=True, slots=True)
class BridgeContents:
    """What a bridge holds. ``crowded``: ports that exceeded their MAC limit; ``groups``: multicast state;
    ``addresses``: bindings; ``foreign``: OpenFlow groups of other programs.
    """

    flows: frozenset[FlowKey]
    meters: frozenset[Meter]
    learned: tuple[LearnedFlow, ...]
    crowded: tuple[int, ...]
    groups: tuple[RecoveredGroupFlow, ...]
    addresses: tuple[RecoveredNeighbor, ...]
    foreign: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class FlowError:
    """What a bridge refused, and why; ``what`` is None when it does not say."""

    what: Flow | Meter | None
    reason: str


@dataclass(slots=True)
class _Reply:
    """A request that waits: where its replies go, when it began, bytes that may come, and that came."""

    queue: Any
    begin: float
    most: int
    size: int = 0


class _Keys:
    """Identities of flows as they come, in nine bytes each: a reply may turn out to have no end."""

    def __init__(self) -> None:
        self._tables, self._cookies = bytearray(), array("Q")

    def add(self, table: int, cookie: int) -> None:
        """Add one."""
        self._tables.append(table)
        self._cookies.append(cookie)

    def keys(self) -> frozenset[FlowKey]:
        """All of them; the hub has its turns meanwhile."""
        found: set[FlowKey] = set()
        for at in range(0, len(self._tables), _TOGETHER):
            some = slice(at, at + _TOGETHER)
            found.update(zip(self._tables[some], self._cookies[some], strict=True))
            hub.sleep(0)
        return frozenset(found)


class Switch:
    """The connection to one bridge, as long as it lasts.

    ``serial``: no other has it. ``known``: the file has its datapath id.
    """

    _serials = count(1)

    def __init__(self, datapath: Any, *, known: bool = True, limits: Limits = LIMITS) -> None:
        self.serial = next(self._serials)
        self.known = known
        self.datapath = datapath
        self._limits = limits
        self.monitored = False
        self._waiting: dict[int, _Reply] = {}
        self._sent = range(0)
        self._answers: Any = None
        self._bundle = 0
        self._closed = False

    def reply(self, message: Any) -> None:
        """Deliver a reply or an error to the request with its xid. Called by the event handlers."""
        if message.xid in self._sent:
            self._answers.put(message)
            return
        reply = self._waiting.get(message.xid)
        if reply is None:
            return
        reply.size += message.msg_len
        limits = self._limits
        if reply.size > reply.most:
            reply.queue.put(ValueError(f"a reply of more than {reply.most} bytes"))
        elif time.monotonic() > reply.begin + limits.reply_seconds:
            reply.queue.put(ValueError(f"a reply that takes more than {limits.reply_seconds:g} s"))
        else:
            reply.queue.put(message)
            return
        self._waiting.pop(message.xid, None)  # what else comes of it is dropped

    def answers(self, seconds: float) -> bool:
        """Whether the bridge answers an echo in so many seconds."""
        if self._closed:
            return False
        xid, echo = self._reserve(1), parser.OFPEchoRequest(self.datapath, b"")
        echo.set_xid(xid)
        queue = hub.Queue()
        self._waiting[xid] = _Reply(queue, time.monotonic(), self._limits.reply_few_bytes)
        try:
            return bool(self.datapath.offer(echo)) and queue.get(timeout=seconds) is not None
        except hub.QueueEmpty:
            return False
        finally:
            self._waiting.pop(xid, None)

    def close(self) -> None:
        """The connection ended: all requests that wait end, and later ones fail at once."""
        self._closed = True
        waiting = [reply.queue for reply in list(self._waiting.values())]
        for queue in [*waiting, *([self._answers] if self._sent else [])]:
            queue.put(None)

    def request(self, message: Any) -> Iterator[Any]:
        """Send one os-ken request and yield its replies as they come.

        ``ConnectionError`` when the bridge goes, ``TimeoutError`` when it is silent, ``ValueError`` with its
        reason when it refuses.
        """
        yield from self._ask(message, self._limits.reply_bytes)

    def _ask(self, message: Any, most: int) -> Iterator[Any]:
        """The same, but it is sent at once: others may follow before the first reply."""
        xid = self._reserve(1)
        message.set_xid(xid)
        queue = hub.Queue()
        self._waiting[xid] = _Reply(queue, time.monotonic(), most)
        self.datapath.send_msg(message)
        if self._closed:
            queue.put(None)
        return self._replies(xid, queue)

    def _replies(self, xid: int, queue: Any) -> Iterator[Any]:
        try:
            while True:
                reply = self._next(queue)
                if isinstance(reply, parser.OFPErrorMsg):
                    raise ValueError(_reason(reply))
                yield reply
                if not getattr(reply, "flags", 0) & ofproto.OFPMPF_REPLY_MORE:
                    return
        finally:
            self._waiting.pop(xid, None)

    def read(self) -> BridgeContents:
        """All that the bridge was given; from before that on, it says what others do to it.

        Matches are parsed only for flows that stand for something learned. Whatever the bridge did with
        fragments, from now on flows see the ports of first ones.
        """
        self.datapath.send_msg(_show_fragments(self.datapath))
        watch, limits = None, self._limits
        if not self.monitored:
            self.datapath.send_msg(monitor.forward(self.datapath))
            watch = self._ask(monitor.request(self.datapath), limits.reply_bytes)
        flows = self._ask(_all_flows(self.datapath), limits.reply_bytes)
        which = (_meters(self.datapath, meter) for meter in (ofproto.OFPM_ALL, CONTROLLER_METER))
        meters = [self._ask(request, limits.reply_few_bytes) for request in which]
        foreign = self._ask(parser.OFPGroupDescStatsRequest(self.datapath), limits.reply_few_bytes)
        self.monitored = watch is None or _agrees(watch)
        held = _Keys()
        learned: list[LearnedFlow] = []
        crowded: list[int] = []
        groups: list[RecoveredGroupFlow] = []
        addresses: list[RecoveredNeighbor] = []
        entries, turn = 0, time.monotonic()
        for reply in flows:
            for at, table, cookie in reply.body.heads():
                entries += 1
                kind = origin_of(cookie)
                if kind is not _TAUGHT:
                    held.add(table, cookie)
                if kind is not _CROWDED and kind is not _LEARNED:
                    continue
                entry = FlowStats(reply.body.buffer, at)
                with suppress(Unreadable):  # a foreign flow with a cookie like ours
                    if kind is _CROWDED:
                        crowded += filter(None, [exact(entry.match, "in_port")])
                    elif table in {Table.NEIGHBOR_SNOOPING, Table.ARP_ND_RESPONDER}:
                        addresses += filter(None, [decode_neighbors.remembered(entry)])
                    elif table == Table.MULTICAST:
                        groups += filter(None, [remembered(entry)])
                    else:
                        learned += filter(None, [_learned_flow(entry)])
                if time.monotonic() > turn + limits.turn:
                    hub.sleep(0)
                    turn = time.monotonic()
            if entries > limits.reply_flows:
                raise ValueError(f"more than {limits.reply_flows} flows")
            hub.sleep(0)
        return BridgeContents(
            flows=held.keys(),
            meters=frozenset(meter for replies in meters for meter in _configured(replies)),
            learned=tuple(learned),
            crowded=tuple(crowded),
            groups=tuple(groups),
            addresses=tuple(addresses),
            foreign=tuple(group.group_id for reply in foreign for group in reply.body),
        )

    def description(self) -> str:
        """What describes the bridge, as its operator has set it (``dp-desc``); empty where nothing does."""
        (reply,) = self.request(parser.OFPDescStatsRequest(self.datapath))
        text: str = reply.body.dp_desc.rstrip(b"\0").decode("utf-8", "replace")
        return "" if text == "None" else text

    def apply(self, plan: Plan, known_meters: frozenset[int]) -> tuple[FlowError, ...]:
        """Send the plan and wait until the bridge is through with it.

        Flows take effect together or not at all, and most plans have but one part. The bridge takes in one
        chunk while the next is encoded: that is a matter of milliseconds, and OVS discards only a bundle that
        is idle for 10 s. A flow that changes alone needs no bundle.
        """
        together, bundled = tuple(bundles(plan)), len(plan.add) + len(plan.delete) > 1
        first = self._reserve(len(plan) + 2 * len(together) * bundled + 1)
        self._sent = range(first, self.datapath.xid)
        self._answers = hub.Queue()
        if self._closed:
            self._answers.put(None)
        blame: dict[int, Flow | Meter] = {}
        try:
            for chunk in _chunks(self._messages(plan, known_meters, together, blame, bundled=bundled)):
                self.datapath.send(chunk)
                if len(chunk) >= CHUNK:
                    hub.sleep(0)
            refused = []
            while (reply := self._next(self._answers)).xid != self._sent[-1]:
                if isinstance(reply, parser.OFPErrorMsg):
                    refused.append(FlowError(blame.get(reply.xid), _reason(reply)))
            named = tuple(r for r in refused if r.what is not None)
            return named or tuple(refused)
        finally:
            self._sent = range(0)

    def emit(self, ofport: int, data: bytes) -> None:
        """Have a frame leave on this port, soon; it is dropped where too many wait already. Never waits."""
        self._packet_out(ofproto.OFPP_CONTROLLER, ofport, data)

    def inject(self, ofport: int, data: bytes) -> None:
        """Have a frame go through all tables as if it came in on this port; as ``emit`` otherwise."""
        self._packet_out(ofport, ofproto.OFPP_TABLE, data)

    def _packet_out(self, in_port: int, ofport: int, data: bytes) -> None:
        out = [parser.OFPActionOutput(ofport, 0)]
        self.datapath.offer(parser.OFPPacketOut(self.datapath, ofproto.OFP_NO_BUFFER, in_port, out, data))

    def _messages(
        self,
        plan: Plan,
        known_meters: frozenset[int],
        together: Sequence[Sequence[Flow]],
        blame: dict[int, Flow | Meter],
        *,
        bundled: bool,
    ) -> Iterator[bytes]:
        """Meters, flows, in bundles or not, what goes after them, a barrier, with consecutive xids.

        ``blame`` gets what an error with one of these would be about.
        """
        xid = self._sent[0]
        for meter in plan.meters:
            blame[xid] = meter
            yield encode.set_meter(meter, xid, exists=meter.id in known_meters)
            xid += 1
        for part in together:
            if bundled:
                self._bundle += 1
                yield encode.open_bundle(self._bundle, xid)
                xid += 1
            delete = plan.delete if part is together[-1] else ()
            blame.update(zip(count(xid), part, strict=False))
            for flow_xid, message in encode.flow_mods(part, delete, xid):
                yield encode.in_bundle(self._bundle, message, flow_xid) if bundled else message
            xid += len(part) + len(delete)
            if bundled:
                yield encode.commit_bundle(self._bundle, xid)
                xid += 1
        for meter_id in plan.unused:
            yield encode.delete_meter(meter_id, xid)
            xid += 1
        for group_id in plan.groups:
            yield encode.delete_group(group_id, xid)
            xid += 1
        yield encode.barrier(xid)

    def _reserve(self, number: int) -> int:
        """The first of so many consecutive xids that os-ken will not use.

        ``ConnectionError`` once the connection has ended: no reply would come, until the wait for it is over.
        """
        if self._closed:
            raise ConnectionError("the bridge disconnected")
        first: int = self.datapath.xid + 1
        if first + number > ofproto.MAX_XID:
            first = 1
        self.datapath.xid = first + number
        return first

    def _next(self, queue: Any) -> Any:
        """The next reply. It may be behind tens of thousands of messages that the bridge sent before."""
        began = time.monotonic()
        while True:
            try:
                reply = queue.get(timeout=TIMEOUT)
                break
            except hub.QueueEmpty:
                waited = time.monotonic() - began
                if not self.datapath.is_behind or waited > self._limits.reply_seconds:
                    raise TimeoutError(f"no reply for {waited:.0f} s") from None
        if reply is None:
            raise ConnectionError("the bridge disconnected")
        if isinstance(reply, ValueError):
            raise reply
        return reply


def _agrees(replies: Iterator[Any]) -> bool:
    """Whether the bridge will say what others do; Open vSwitch before 3.0 does not."""
    try:
        for _ in replies:
            pass
    except ValueError:
        return False
    return True


def _configured(replies: Iterator[Any]) -> Iterator[Meter]:
    try:
        for reply in replies:
            yield from map(_meter, reply.body)
    except ValueError:  # OFPMMFC_UNKNOWN_METER: there is none yet
        return


def _meter(config: Any) -> Meter:
    """What we would have said to get this; a meter without a band lets nothing be known but its number."""
    if not config.bands:
        return Meter(config.meter_id, 0, 0)
    unit = Unit.KILOBITS if config.flags & ofproto.OFPMF_KBPS else Unit.FRAMES
    return Meter(config.meter_id, config.bands[0].rate, config.bands[0].burst_size, unit)


def _chunks(messages: Iterable[bytes]) -> Iterator[bytes]:
    chunk = bytearray()
    for message in messages:
        chunk += message
        if len(chunk) >= CHUNK:
            yield bytes(chunk)
            chunk.clear()
    yield bytes(chunk)


def _all_flows(datapath: Any) -> Any:
    return parser.OFPFlowStatsRequest(
        datapath, 0, ofproto.OFPTT_ALL, ofproto.OFPP_ANY, ofproto.OFPG_ANY, 0, 0, parser.OFPMatch()
    )


def _show_fragments(datapath: Any) -> Any:
    """Have flows match TCP and UDP ports and ICMP types of first fragments.

    Open vSwitch keeps it until another controller, or ``ovs-ofctl set-frags``, says otherwise, or until it
    starts anew, without flows. os-ken says nothing of it.
    """
    return parser.OFPSetConfig(datapath, encode.FRAG_NX_MATCH, ofproto.OFPCML_NO_BUFFER)


def _meters(datapath: Any, which: int) -> Any:
    return parser.OFPMeterConfigStatsRequest(datapath, 0, which)


def _learned_flow(entry: FlowStats) -> LearnedFlow | None:
    """Read a location out of its flow: the one that knows the source, or the one that reaches it remotely.

    There are tens of thousands, with few different instructions: os-ken parses each of these once.
    """
    entry.check()
    table, match = entry.table_id, entry.match_bytes
    vni, mac = value(match, "metadata"), value(match, "eth_src" if table == Table.MAC_LEARNING else "eth_dst")
    if vni is None or mac is None:
        return None
    key, station = int.from_bytes(vni, "big"), mac.hex(":")
    instructions = _parsed(bytes(entry.instruction_bytes))
    actions = [action for i in instructions for action in getattr(i, "actions", ())]
    if table == Table.MAC_LEARNING and (ofport := value(match, "in_port")) is not None:
        notes = (int.from_bytes(a.note, "big") for a in actions if isinstance(a, parser.NXActionNote))
        moves = next(notes, 0)
        at = int.from_bytes(ofport, "big")
        return LearnedFlow(key, station, at, moves if moves <= _MOST_MOVES else 0, not instructions)
    if table == Table.FORWARD and (source := value(match, "ingress")) and not any(source):  # Source.LOCAL
        for action in actions:
            if isinstance(action, parser.OFPActionOutput):
                return LearnedFlow(key, station, action.port, None, denied=False)
    return None


@lru_cache(maxsize=1024)
def _parsed(instructions: bytes) -> tuple[Any, ...]:
    found: list[Any] = []
    at = 0
    while at < len(instructions):
        found.append(parser.OFPInstruction.parser(instructions, at))
        at += found[-1].len
    return tuple(found)


def _reason(error: Any) -> str:
    """An error message in words, such as ``OFPFMFC_TABLE_FULL``."""
    if error.type == ofproto.OFPET_EXPERIMENTER:
        return f"experimenter error {error.exp_type}"
    kind = ofproto.ofp_error_type_to_str(error.type)
    code = ofproto.ofp_error_code_to_str(error.type, error.code)
    return f"{kind} {code}"
