"""The engine: events in, effects out. It has the state, and one session per connected bridge.

It does no input or output: no sockets, threads, clocks or os-ken. ``handle`` takes events and returns
effects, and ``sdnapp.overlay`` carries them out. A bridge is read before it is written, and has at most one
plan under way; what changes meanwhile is in the next one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from flows.compile import EMPTY_COMPILED, Compiled
from flows.counters import FlowCounter, counted_flows
from flows.diff import relief_first
from flows.flow import FlowKey, Meter
from flows.tables import Table
from sdnapp.config import Problem
from sdnapp.config.names import is_iface_id_port
from sdnapp.engine.announcing import TICK as ANNOUNCING
from sdnapp.engine.announcing import Announcements
from sdnapp.engine.conflict_events import claim_alarms, claim_notes
from sdnapp.engine.fdb_events import learning_alarms, learning_effects
from sdnapp.engine.loop_events import Probes, elsewhere, loop_alarms, loop_notes
from sdnapp.engine.messages import (
    AnnouncementsDue,
    BridgeRead,
    ConfigChanged,
    ConfigRejected,
    Connected,
    Describe,
    Described,
    DescriptionsDue,
    Disconnected,
    DriftDetected,
    Effect,
    Event,
    FdbFlowExpired,
    FromBridge,
    LogEvent,
    NeighborFlowExpired,
    PacketIn,
    PacketOut,
    PersistConfig,
    PlanApplied,
    PortChanged,
    Read,
    Rejection,
    ReleaseAsked,
    Send,
    SourceSeen,
    StartTimer,
    StartupGraceExpired,
    ThawAsked,
    Timed,
    TimerFired,
)
from sdnapp.engine.multicast_events import multicast_notes, multicast_status
from sdnapp.engine.port_binding_events import binding_alarms, binding_notes
from sdnapp.engine.report import bridge_status
from sdnapp.engine.session import Session
from sdnapp.engine.status import Status, locations
from sdnapp.engine.tunnel_events import agent_alarms, health_alarms, health_notes
from sdnapp.net import dhcp_snooping, responder
from sdnapp.net.agent_problems import problems
from sdnapp.net.dhcp_snooping import LeaseEvent
from sdnapp.net.encap import NO_ENCAP, EncapState
from sdnapp.net.encap_migration import assume_programmed
from sdnapp.net.events import (
    BridgeFound,
    BridgeReadBack,
    Configured,
    ContestOver,
    EncapProgrammed,
    FdbKey,
    GracePeriodExpired,
    GroupsHeard,
    KeysReleased,
    LoopFound,
    LoopsAged,
    MacUnfrozen,
    MulticastTick,
    PortReleased,
    PortsFound,
    PortsLost,
    SourceExpired,
    SourcesSeen,
    TxDrained,
)
from sdnapp.net.fdb import PortRef
from sdnapp.net.igmp_mld import decode
from sdnapp.net.model import Host, Overlay
from sdnapp.net.neighbor_snooping import (
    SnoopedBinding,
    on_arp_nd,
    on_expiry,
    on_lease,
    on_release,
    prune_bindings,
    restore_bindings,
)
from sdnapp.net.neighbors import RecoveredNeighbor, parse_arp_nd
from sdnapp.net.network_facts import NetworkFactsCache
from sdnapp.net.project import BridgeMemo
from sdnapp.net.responder import Reply
from sdnapp.net.state import State, port_ref
from sdnapp.net.step import step

REVALIDATION_DELAY = 0.5
"""Seconds after its barrier until a bridge surely takes what its flows say. By then Open vSwitch has revised
what its datapath cached (ovs-vswitchd.conf.db(5), ``max-revalidator``); a barrier does not wait for that.
"""
DESCRIBE, DESCRIBED = 5.0, 40
"""Seconds between two looks at the descriptions of all bridges; of so many bridges a second at most."""
TICK = 1.0
"""Seconds between two looks at what grows old."""
DRAIN_TIME = 1.0
"""Seconds after which nothing is on its way any more that a bridge sent before."""
STARTUP_GRACE = 3.0
"""Seconds in which every bridge that is there connects to a controller that has started."""
CONFIG_GRACE = 30.0
"""Seconds after a new configuration until bridges that were never heard of do not count any more."""
RELEASE = 10.0
"""Seconds more until a key that another network had is used, where each host has its own controller.

So much later than another may a host read the file, and still no frame comes out in the wrong network.
"""
CONTESTED = 60.0
"""Seconds after a connection replaced another that had not ended, in which it does not count what its bridge
lacks of what was learned: it may be another bridge under the same datapath id.
"""
ATTEMPTS = 3
"""How often in a row a bridge is read anew after it refused a whole plan, before it is left alone."""


class Engine:
    """Keeps every connected bridge at what the state asks of it."""

    def __init__(self, overlay: Overlay, *, held: bool = False, key: bytes = bytes(16)) -> None:
        """``held``: the bridges hold what the overlay asks for, as far as is known.

        ``key``: of the probes for loops, known to nothing else.
        """
        self._state = assume_programmed(overlay) if held else State.of(overlay)
        self._sessions: dict[int, Session] = {}
        self._away: dict[
            str, tuple[BridgeMemo, Compiled]
        ] = {}  # by host, what its bridge will need on its return
        self._strangers: dict[int, Connected] = {}
        self._broken: tuple[Problem, ...] = ()
        self._gathering = True
        self._drift: dict[str, int] = {}
        self._latest: dict[str, EncapState] = {}
        self._spoken: Counter[tuple[str, str]] = Counter()
        self._archive = NetworkFactsCache()
        self._clock = 0.0
        self._looking = False
        self._probes, self._probing = Probes(key), False
        self._describing = False
        self._announcements, self._announcing = Announcements(), False

    @property
    def state(self) -> State:
        """What is known of the world."""
        return self._state

    @property
    def probe_source(self) -> bytes:
        """The source MAC of probes for loops: their data counts, not that they were seen."""
        return self._probes.source

    def start(self) -> list[Effect]:
        """What is to be done before anything happened, and again with each new configuration."""
        wanted = self._state.wanted
        later: list[Effect] = [StartTimer(CONFIG_GRACE, TimerFired(GracePeriodExpired(wanted)))]
        if wanted.controller.per_host:
            later.append(StartTimer(CONFIG_GRACE + RELEASE, TimerFired(KeysReleased(wanted))))
        return (
            [*later, StartTimer(STARTUP_GRACE, TimerFired(StartupGraceExpired()))]
            if self._gathering
            else later
        )

    def handle(self, events: Iterable[Event]) -> Iterator[Effect | None]:
        """Take in what happened, in order; yield what is to be done, in order.

        None in between means that others may have a turn: what follows takes a while.
        """
        before = self._state
        for many, run in groupby(events, _alike):
            if many is None:
                for event in run:
                    yield from self._take(event)
            elif (session := self._session(*many[:2])) is not None:
                yield from self._take_many(session, list(run))
        self._state = prune_bindings(before, self._state)
        yield from binding_notes(before, self._state)
        yield from health_notes(before, self._state)
        yield from learning_effects(before, self._state)
        yield from claim_notes(before, self._state)
        yield from multicast_notes(before, self._state)
        yield from loop_notes(before, self._state)
        if self._state.overlay is not before.overlay:
            self._announcements.follow(before.overlay.ports, self._state.overlay.ports)
        yield from self._look_again()
        reconciled: State | None = None
        while reconciled is not self._state:  # what one bridge confirms may be what its peers wait for
            reconciled = self._state
            for dpid, session in self._sessions.items():
                if session.due or session.followed is not self._state:
                    yield from self._reconcile(dpid, session)

    def _look_again(self) -> Iterator[Effect]:
        """Expire multicast state, probe ports for loops, announce new addresses."""
        if self._state.multicast.listening and not self._looking:
            self._looking = True
            yield StartTimer(TICK, TimerFired(MulticastTick(self._clock + TICK)))
        if self._probes.follow(self._state.overlay) and self._sessions and not self._probing:
            self._probing = True
            yield StartTimer(TICK, TimerFired(LoopsAged(self._clock + TICK)))
        if self._sessions and not self._describing:
            self._describing = True
            yield StartTimer(max(DESCRIBE, len(self._sessions) / DESCRIBED), TimerFired(DescriptionsDue()))
        if self._announcements.pending and self._sessions and not self._announcing:
            self._announcing = True
            yield StartTimer(ANNOUNCING, TimerFired(AnnouncementsDue()))

    def _take(self, event: Event) -> list[Effect]:
        match event:
            case ConfigChanged():
                return self._configure(event)
            case TimerFired(later):
                return self._elapse(later)
            case ReleaseAsked(name):
                if (port := self._state.overlay.ports.get(name)) is not None:
                    self._state = step(self._state, PortReleased(PortRef(port.host, port.interface)))
                return []
            case ConfigRejected(found):
                self._broken, reason = found, "; ".join(map(str, found))
                return [LogEvent("config.invalid", {"reason": reason}, warning=True)]
            case ThawAsked(network, mac):
                since = self._state.learned.frozen.get((network, mac))
                self._state = step(self._state, MacUnfrozen(network, mac, since))
                return []
            case Connected():
                return self._connect(event)
            case Disconnected():
                return self._disconnect(event)
        session = self._session(event.dpid, event.connection)
        return [] if session is None else self._hear(session, event)

    def _elapse(
        self, event: AnnouncementsDue | DescriptionsDue | StartupGraceExpired | Timed
    ) -> list[Effect]:
        """What is due, as it was asked for by ``StartTimer``."""
        match event:
            case StartupGraceExpired():
                self._gathering = False
            case AnnouncementsDue():
                return self._announce()
            case DescriptionsDue():
                self._describing = False
                return [Describe(dpid, connection=s.connection) for dpid, s in self._sessions.items()]
            case MulticastTick(now):
                self._clock, self._looking = now, False
                self._state = step(self._state, event)
            case LoopsAged(now):
                return self._probe(now)
            case EncapProgrammed(host, dialect) if dialect != self._latest[host]:
                pass  # another one has been sent since
            case _:
                self._state = step(self._state, event)
        return []

    def _probe(self, now: float) -> list[Effect]:
        """Release ports that were held down for long enough; send the probes for loops that are due."""
        now = max(now, self._clock)  # events that came meanwhile had the time of day
        self._clock, self._probing = now, False
        self._state = step(self._state, LoopsAged(now))
        there = {session.host: dpid for dpid, session in self._sessions.items()}
        probes = self._probes.due(self._state, there, now)
        return [replace(each, connection=self._sessions[each.dpid].connection) for each in probes]

    def _session(self, dpid: int, connection: int) -> Session | None:
        """The session that an event belongs to; None for events of a connection that was replaced."""
        session = self._sessions.get(dpid)
        return None if session is None or session.connection != connection else session

    def _take_many(self, session: Session, events: Sequence[Event]) -> Iterator[Effect]:
        """Many of a kind from one bridge of ours: what follows from them is worked out once."""
        host = session.host
        match events:
            case [SourceSeen(now=now), *_]:
                sightings = tuple(event.sighting for event in events if isinstance(event, SourceSeen))
                before = self._state
                self._state, self._clock = step(before, SourcesSeen(host, sightings, now)), now
                self._probes.suspect(elsewhere(before, host, sightings), now)
            case [FdbFlowExpired(), *_]:
                silent = [event for event in events if isinstance(event, FdbFlowExpired)]
                self._state = step(
                    self._state, SourceExpired(host, tuple(event.sighting for event in silent))
                )
                session.lose({event.gone for event in silent})
            case [PortChanged(), *_]:
                yield from self._see_ports(host, [e for e in events if isinstance(e, PortChanged)])

    def _see_ports(self, host: str, changes: Sequence[PortChanged]) -> Iterator[LogEvent]:
        """Ports that came, or ports that went."""
        number = self._state.ports(host).number
        found = [(change.interface, change.ofport) for change in changes if change.ofport is not None]
        latest = {change.interface: change for change in changes}
        dead = frozenset(interface for interface, change in latest.items() if change.dead)
        seen = PortsFound(host, found, dead) if found else PortsLost(host, latest.keys())
        self._state = step(self._state, seen)
        for interface, change in latest.items():
            fields: dict[str, Any] = {"host": host, "port": interface}
            if change.ofport is None and not is_iface_id_port(interface):
                yield LogEvent("port.removed", fields)
            elif change.ofport != number.get(interface) and not is_iface_id_port(interface):
                yield LogEvent("port.added", {**fields, "ofport": change.ofport})

    def _hear(self, session: Session, event: FromBridge) -> list[Effect]:
        """Something from a bridge of ours."""
        host = session.host
        match event:
            case PacketIn():
                return self._listen(host, event)
            case NeighborFlowExpired(_, RecoveredNeighbor(vni, claim, ofport, seconds), gone):
                if ofport is not None:
                    self._state = on_expiry(self._state, SnoopedBinding(host, vni, ofport, claim, seconds))
                session.lose({gone})
            case BridgeRead(_, flows, meters, memories, crowded, groups, now, monitored, addresses, foreign):
                self._clock = now
                read = self._state.read
                self._state = step(self._state, BridgeReadBack(host, memories, crowded, groups, now))
                self._state = restore_bindings(self._state, host, addresses, read)
                session.was_read(flows, meters, foreign)
                fields = {"host": host, "flows": len(flows), "monitored": monitored}
                self._drift[host] = self._drift.get(host, 0) + session.untold
                return [*_drifted(session), LogEvent("bridge.read", fields, warning=not monitored)]
            case DriftDetected(dpid, count, altered):
                session.suspect |= altered & session.program.flows.keys()
                # Told once the bridge answers: ovs-vswitchd deletes the flows itself just before it ends.
                session.untold += count
                if session.reads > 1:  # the last of these begins when one before it has ended: it sees this
                    return []
                session.reads += 1
                return [Read(dpid, connection=session.connection)]
            case Described(_, text):
                before, session.problems = session.problems, problems(text)
                if session.problems != before:
                    said = {"host": host, "problems": session.problems or "none"}
                    return [LogEvent("host.problems", said, warning=bool(session.problems))]
            case PlanApplied(dpid, rejections):
                return self._confirm(dpid, session, rejections)
        return []

    def _listen(self, host: str, said: PacketIn) -> list[Effect]:
        """A frame that counts for what it says."""
        match said:
            case PacketIn(_, Table.NEIGHBOR_SNOOPING, vni, ofport, data, now):
                if (claim := parse_arp_nd(data)) is not None:
                    self._state = on_arp_nd(self._state, SnoopedBinding(host, vni, ofport, claim), now)
            case PacketIn(_, Table.DHCP_RA_GUARD | Table.MULTICAST, vni, ofport, data, now):
                if (message := decode(data)) is not None:
                    self._clock = now
                    self._state = step(self._state, GroupsHeard(host, vni, ofport, message, now))
                return [
                    note
                    for word in dhcp_snooping.decode(data)
                    for note in self._lease(
                        SnoopedBinding(host, vni, ofport, word.claim, word.lease), word, now
                    )
                ]
            case PacketIn(_, Table.MAC_LEARNING, vni, ofport, data, now):
                self._clock = now
                self._probe_returned(host, vni, ofport, data, now)
                return []
            case PacketIn(_, _, vni, ofport, data):
                spoken = responder.respond(self._state, host, vni, ofport, data)
                return self._answer(said, spoken)
        return []

    def _probe_returned(self, host: str, vni: int, ofport: int, data: bytes, now: float) -> None:
        """A frame from the source of probes: one of ours that came in, or of a station that is called so."""
        sender, place = self._probes.returned(data), port_ref(self._state, host, ofport)
        if sender is None:
            sighting = FdbKey(vni, data[6:12].hex(":"), ofport)
            self._state = step(self._state, SourcesSeen(host, (sighting,), now))
        elif place is not None and self._state.paths.get(vni) == sender.network:
            self._state = step(self._state, LoopFound(sender.network, (sender.place, place), now))

    def _announce(self) -> list[Effect]:
        """Send what is to be announced now by bridges that hold what they should."""
        self._announcing = False
        ready = {session.host: dpid for dpid, session in self._sessions.items() if session.in_sync}
        frames = self._announcements.due(self._state, ready)
        return [replace(each, connection=self._sessions[each.dpid].connection) for each in frames]

    def _lease(self, said: SnoopedBinding, word: LeaseEvent, now: float) -> Iterator[Effect]:
        """A server, or a client, said this of a lease."""
        before, what = self._state, "learned" if said.lease else "ended"
        self._state = on_lease(before, said, now) if word.by_server else on_release(before, said)
        if self._state is not before:
            network, (ip, mac) = before.paths[said.vni], said.claim
            self._spoken[network, f"lease {what}"] += 1
            fields = {"network": network, "ip": ip, "mac": mac, "seconds": said.lease}
            yield LogEvent(f"lease.{what}", fields)

    def _answer(self, asked: PacketIn, spoken: Reply | None) -> list[Effect]:
        """Count what a network said; have it leave on the port that the question came in on."""
        if spoken is None:
            return []
        self._spoken[spoken.network, spoken.what] += 1
        if spoken.frame is None:
            return []
        return [PacketOut(asked.dpid, asked.ofport, spoken.frame, connection=asked.connection)]

    def _configure(self, event: ConfigChanged) -> list[Effect]:
        overlay = event.overlay
        self._broken = ()
        self._archive.keep(overlay.networks)
        for gone in self._away.keys() - overlay.hosts.keys():
            del self._away[gone]
        self._state = step(self._state, Configured(overlay))
        effects: list[Effect] = [
            LogEvent("config.loaded", {"hosts": len(overlay.hosts), "ports": len(overlay.ports)}),
            PersistConfig(event.text),
            *self.start(),
        ]
        for dpid, session in list(self._sessions.items()):
            host = self._host_of(dpid)
            if host is None or host.name != session.host:
                ports = self._state.ports(session.host)
                del self._sessions[dpid]
                again = Connected(
                    dpid,
                    session.address,
                    ports.number,
                    session.since,
                    ports.dead,
                    connection=session.connection,
                )
                effects += self._connect(again)
        for dpid, stranger in list(self._strangers.items()):
            if self._host_of(dpid) is not None:
                del self._strangers[dpid]
                effects += self._connect(stranger)
        return effects

    def _host_of(self, dpid: int) -> Host | None:
        return next((h for h in self._state.overlay.hosts.values() if h.datapath_id == dpid), None)

    def _connect(self, event: Connected) -> list[Effect]:
        host = self._host_of(event.dpid)
        fields = {"dpid": f"{event.dpid:016x}", "address": event.address}
        older = self._sessions.get(event.dpid) or self._strangers.get(event.dpid)
        if older is not None and older.connection > event.connection:
            return []
        if host is None:
            self._strangers[event.dpid] = event
            return [LogEvent("bridge.unknown", fields, warning=True)]
        replaced = self._leave(event.dpid)
        contested = event.now if event.contested else None
        memo, compiled = self._away.pop(host.name, (BridgeMemo(self._archive), EMPTY_COMPILED))
        session = Session(
            host.name, event.address, event.now, memo, compiled=compiled, connection=event.connection
        )
        self._sessions[event.dpid] = session
        self._state = step(self._state, BridgeFound(host.name, event.ports, event.dead, contested))
        was = {} if replaced is None else {"replaced": replaced.address}
        over = (
            []
            if contested is None
            else [StartTimer(CONTESTED, TimerFired(ContestOver(host.name, contested)))]
        )
        return [
            LogEvent("bridge.up", {"host": host.name, **fields, **was}),
            Read(event.dpid, connection=event.connection),
            *over,
        ]

    def _disconnect(self, event: Disconnected) -> list[Effect]:
        stranger = self._strangers.get(event.dpid)
        if stranger is not None and stranger.connection == event.connection:
            del self._strangers[event.dpid]
        session = self._session(event.dpid, event.connection)
        if session is None:
            return []
        self._leave(event.dpid)
        return [LogEvent("bridge.down", {"host": session.host}, warning=True)]

    def _leave(self, dpid: int) -> Session | None:
        session = self._sessions.pop(dpid, None)
        if session is not None:
            self._away[session.host] = session.memo, session.compiled
        return session

    def _confirm(self, dpid: int, session: Session, rejections: tuple[Rejection, ...]) -> list[Effect]:
        plan, session.sending, session.due = session.sending, None, True
        if plan is None or session.installed is None:
            return []
        notes: list[Effect] = []
        for rejection in rejections:
            fields: dict[str, Any] = {
                "host": session.host,
                "what": str(rejection.what or "plan"),
                "reason": rejection.reason,
            }
            notes.append(LogEvent("bridge.flow_rejected", fields, warning=True))
            if rejection.what is not None:
                session.rejected[rejection.what] = rejection.reason
        if any(not isinstance(r.what, Meter) for r in rejections):
            return [*notes, *self._retry(dpid, session, rejections[0])]
        session.took(plan)
        fields = {"host": session.host, "added": len(plan.add), "deleted": len(plan.delete)}
        in_force = self._in_force(session.host, session.sent_encap)
        return [*notes, LogEvent("bridge.programmed", fields), *in_force]

    def _retry(self, dpid: int, session: Session, rejection: Rejection) -> list[Effect]:
        """Nothing of the plan counts as done. Without the flow to blame, look at the bridge again."""
        if rejection.what is not None:
            return []
        session.failures += 1
        if session.failures > ATTEMPTS:
            session.failure = rejection.reason
            return []
        session.reads += 1
        return [Read(dpid, connection=session.connection)]

    def _is_guessing(self) -> bool:
        """Whether some bridge has not been read since the controller started, during the startup grace.

        Until then, bridges with flows of an earlier controller are left unchanged, as learned state on unread
        bridges is unknown.
        """
        overlay = self._state.overlay
        return (
            self._gathering
            and not overlay.controller.per_host
            and not overlay.hosts.keys() <= self._state.read
        )

    def _reconcile(self, dpid: int, session: Session) -> Iterator[Effect | None]:
        """Send what the bridge lacks, unless it is being read or written, or sending was given up.

        On the first read its program is compiled while the read is under way.
        """
        if session.sending or session.failure or (session.reads and session.compiled is not EMPTY_COMPILED):
            return
        yield from session.follow(self._state)
        if session.reads or session.installed is None or not session.due:
            return
        session.due = False
        plan = session.lack()
        if plan and session.inherited and self._is_guessing():
            session.due = True
        elif plan:
            first = relief_first(plan)
            whole = first is plan or session.host not in self._state.confirmed
            session.sending = plan if whole else first
            session.sent_encap = session.encap if whole else self._state.confirmed[session.host]
            meters = frozenset(meter.id for meter in session.meters)
            yield Send(dpid, session.sending, meters, connection=session.connection)
        else:
            session.doubtful = set()
            yield from _greet(session)
            yield from self._in_force(session.host, session.encap)

    def _in_force(self, host: str, spoken: EncapState) -> list[Effect]:
        """Confirm the encapsulation state of a bridge that holds its program.

        What it newly accepts counts after ``REVALIDATION_DELAY``, and what it no longer sends is drained.
        """
        self._latest[host] = spoken
        if self._state.confirmed.get(host) == spoken:
            return []
        before = self._state.confirmed.get(host, NO_ENCAP)
        ended = before.stopped_tx(host, spoken)
        at_once = replace(
            spoken, hears=spoken.hears & before.hears, understands=spoken.understands & before.understands
        )
        self._state = step(self._state, EncapProgrammed(host, at_once))
        later = (
            [StartTimer(REVALIDATION_DELAY, TimerFired(EncapProgrammed(host, spoken)))]
            if at_once != spoken
            else []
        )
        return [*later, StartTimer(DRAIN_TIME, TimerFired(TxDrained(ended)))] if ended else [*later]

    def counted_flows(self, dpid: int) -> Mapping[FlowKey, FlowCounter]:
        """Return the flows of a connected bridge with counters that are reported."""
        session = self._sessions.get(dpid)
        return {} if session is None else counted_flows(session.compiled.view, session.compiled.program)

    def status(self, config_path: str) -> Status:
        """A picture of now; ``config_path`` is the file that the configuration comes from."""
        by_host = {session.host: session for session in self._sessions.values()}
        return Status(
            overlay=self._state.overlay,
            config_path=config_path,
            config_problems=self._broken,
            bridges={
                host.name: bridge_status(self._state, host, by_host.get(host.name), self._drift)
                for host in self._state.overlay.hosts.values()
            },
            unknown_bridges={dpid: stranger.address for dpid, stranger in self._strangers.items()},
            locations=tuple(locations(self._state)),
            alarms=(
                *binding_alarms(self._state),
                *health_alarms(self._state),
                *learning_alarms(self._state),
                *claim_alarms(self._state),
                *loop_alarms(self._state),
                *agent_alarms(self._sessions.values()),
            ),
            multicast=multicast_status(self._state),
            service_counters=_by_network(self._spoken),
        )


def _alike(event: Event) -> tuple[int, int, type, bool] | None:
    """What can be taken in together when it comes in a row; None: this event stands alone."""
    match event:
        case SourceSeen(dpid):
            return dpid, event.connection, SourceSeen, True
        case FdbFlowExpired(dpid):
            return dpid, event.connection, FdbFlowExpired, True
        case PortChanged(dpid, _, ofport):
            return dpid, event.connection, PortChanged, ofport is None
    return None


def _by_network(spoken: Mapping[tuple[str, str], int]) -> Mapping[str, Mapping[str, int]]:
    networks: dict[str, dict[str, int]] = {}
    for (network, what), count in sorted(spoken.items()):
        networks.setdefault(network, {})[what] = count
    return networks


def _drifted(session: Session) -> list[Effect]:
    """What others did to the bridge and the log does not have yet."""
    count, session.untold = session.untold, 0
    fields = {"host": session.host, "changes": count}
    return [LogEvent("bridge.drift", fields, warning=True)] if count else []


def _greet(session: Session) -> list[Effect]:
    """Say once in each connection that the bridge holds what it should."""
    if session.greeted or not session.in_sync:
        return []
    session.greeted = True
    return [LogEvent("bridge.in_sync", {"host": session.host, "flows": len(session.program.flows)})]
