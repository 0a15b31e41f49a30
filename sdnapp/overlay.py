"""The os-ken application: ``osken-manager sdnapp.overlay``.

It carries events from os-ken, from the file and from signals to the engine, and the engine's effects to the
bridges and to the log. It decides nothing. One hub thread feeds the engine; each bridge has one that talks to
it, so that a slow bridge holds up nobody.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any

from os_ken.base.app_manager import OSKenApp
from os_ken.cfg import CONF
from os_ken.controller import ofp_event
from os_ken.controller.handler import DEAD_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from os_ken.lib import hub
from os_ken.ofproto import ofproto_v1_3 as ofproto

from flows.counters import Count
from flows.flow import FlowKey
from flows.tables import TABLES, Table
from sdnapp import renewal, source
from sdnapp.config import Invalid
from sdnapp.engine import Engine
from sdnapp.engine.messages import (
    AddressSilent,
    Connected,
    Disconnected,
    Effect,
    Emit,
    Event,
    FileBroken,
    FileChanged,
    FlowsAltered,
    Heard,
    Keep,
    Later,
    Note,
    PortChanged,
    Read,
    Rejection,
    ReleaseAsked,
    Send,
    SourceSeen,
    SourceSilent,
    ThawAsked,
    WasRead,
    WasSent,
)
from sdnapp.engine.status import Status
from sdnapp.frames.packet import LONGEST
from sdnapp.log import event as log_event
from sdnapp.net.events import Memory, Sighting
from sdnapp.net.learning import HEARSAY
from sdnapp.net.model import Rest, TlsFiles
from sdnapp.openflow import connection, flowstats, monitor, neighbours, ondemand
from sdnapp.openflow.connection import shown
from sdnapp.openflow.matchshape import Malformed
from sdnapp.openflow.oxm import exact
from sdnapp.openflow.switch import LearnedFlow, Switch
from sdnapp.rest.application import application
from sdnapp.rest.door import Door
from sdnapp.rest.server import listener, serve

LOG = logging.getLogger("sdnapp")

TURN = 0.005
"""Seconds that the engine may take until others have a turn."""
TOGETHER = 0.05
"""Seconds in which what it has for many bridges is gathered, to reach them close together: switches that
share processors with it, or with each other, wake less often.
"""

flowstats.install()
ondemand.install()
connection.install()


def guarded(handler: Callable[[OverlayApp, Any], None]) -> Callable[[OverlayApp, Any], None]:
    """One place for what must never happen: a handler that raises is logged, and the application lives on.

    Under os-ken's native hub an uncaught exception would silently end it. The bridge it came from is read
    anew, because what the event meant for it is lost.
    """

    @wraps(handler)
    def guard(self: OverlayApp, ev: Any) -> None:
        try:
            handler(self, ev)
        except Exception:
            LOG.exception("handler.failed", extra={"fields": {"handler": handler.__name__}})
            self.resync(getattr(getattr(ev, "msg", ev), "datapath", None))

    return guard


class OverlayApp(OSKenApp):  # type: ignore[misc]  # os-ken has no types
    """Programs every known bridge that connects."""

    OFP_VERSIONS = (ofproto.OFP_VERSION,)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.config_path = Path(CONF.overlay_config).absolute()
        self._file = source.Watch(self.config_path)
        self._loader = source.Loader(self.config_path, self._file)
        self._kept = source.Kept(CONF.state_dir)
        self._inbox: Any = hub.Queue()
        self._engine = self._begin()
        listen = self._settings.listens[0]
        CONF.set_default("ofp_listen_host", listen.host)
        CONF.set_default("ofp_tcp_listen_port", listen.port)
        self._loading: Any = hub.Semaphore()
        self._switches: dict[int, Switch] = {}
        self._tasks: dict[Switch, Any] = {}

    def _begin(self) -> Engine:
        """Bridges hold what was in force when a controller last ran; the file may say something else by now.

        Then it has changed, as if it had done so while we ran. Raises ``Invalid`` if it is no good, unless
        there is what was in force.
        """
        try:
            overlay = self._loader.load()
        except Invalid as invalid:
            if (before := self._kept.other_than(b"")) is None:
                raise
            self._inbox.put(_broken(invalid))
            self._settings = before.controller
            return Engine(before, held=True, key=os.urandom(16))
        self._settings = overlay.controller
        if (before := self._kept.other_than(self._loader.text)) is None:
            self._keep(self._loader.text)
            return Engine(overlay, key=os.urandom(16))
        self._inbox.put(FileChanged(overlay, self._loader.text))
        return Engine(before, held=True, key=os.urandom(16))

    def start(self) -> None:
        """Begin to serve: the engine, REST, and the eye on the file. ``OSError`` if a port is taken."""
        host, port = CONF.ofp_listen_host, CONF.ofp_tcp_listen_port
        with _named(
            "bridges", "listen", host, port
        ):  # os-ken would only log that it cannot listen, and live on deaf
            socket.create_server((host, port), family=_family(host)).close()
        host, port = self._settings.rest.host, self._settings.rest.port
        with _named("REST", "rest", host, port):
            listening = listener(host, port)
        rest = _open(self._settings.rest) if CONF.rest_open else self._settings.rest
        self._door = Door(rest, _tls_files(self._settings.tls))
        super().start()
        bridges = (CONF.ofp_listen_host, CONF.ofp_tcp_listen_port)
        log_event(LOG, "controller.listening", bridges=shown(bridges), rest=shown(listening.getsockname()))
        serve(application(self, self._door), listening, tls=self._door.credentials)
        renewal.follow(self._door.files)
        hub.spawn(self._run)
        hub.spawn(self._follow_file)

    def status(self) -> Status:
        """What the controller knows now."""
        return self._engine.status(str(self.config_path))

    def counted(self, dpid: int) -> Mapping[FlowKey, Count]:
        """The flows of this bridge whose counters are worth telling; none while it is not connected."""
        return self._engine.counted(dpid)

    def malformed(self) -> Mapping[str, int]:
        """How many connections ended with a malformed message, by the type of that message."""
        return connection.malformed

    def switches(self) -> list[int]:
        """Datapath ids of the connected switches, ours or not."""
        return sorted(self._switches)

    def datapath(self, dpid: int) -> Any:
        """os-ken's ``Datapath`` of a connected switch, else None."""
        switch = self._switches.get(dpid)
        return None if switch is None else switch.datapath

    def request(self, dpid: int, message: Any) -> Iterator[Any]:
        """Send one os-ken request and yield its replies; ``Switch.request`` says what it raises."""
        switch = self._switches.get(dpid)
        if switch is None:
            raise ConnectionError(f"switch {dpid} is not connected")
        return switch.request(message)

    def thaw(self, network: str, mac: str) -> None:
        """Let a frozen station move again."""
        self._inbox.put(ThawAsked(network, mac))

    def release(self, port: str) -> None:
        """Release a port that is held down."""
        self._inbox.put(ReleaseAsked(port))

    def resync(self, datapath: Any) -> None:
        """Look at this bridge anew."""
        for switch, tasks in self._tasks.items():
            if switch.datapath is datapath:
                tasks.put(Read(datapath.id))

    def reload(self) -> None:
        """Read the file again: it changed, or SIGHUP. If it is no good, the last good one stays in force.

        So it is with the files that it names.
        """
        renewal.renew(self._door.files)
        with self._loading:  # one at a time: an older content never comes after a newer one
            try:
                self._inbox.put(FileChanged(self._loader.load_aside(), self._loader.text))
            except Invalid as invalid:
                self._inbox.put(_broken(invalid))

    def _follow_file(self) -> None:
        while True:
            if self._file.changed(None):
                self.reload()

    def _run(self) -> None:
        """Feed the engine. What has piled up meanwhile is one batch: one look at the world, one plan each."""
        for effect in self._engine.start():
            self._perform(effect)
        while True:
            self._handle(self._take_all())

    def _take_all(self) -> list[Event]:
        events = [self._inbox.get()]
        while True:
            try:
                events.append(self._inbox.get(block=False))
            except hub.QueueEmpty:
                return events

    def _handle(self, events: list[Event]) -> None:
        turn = gathering = time.monotonic()
        gathered: list[Send] = []
        try:
            for effect in self._engine.handle(events):
                if isinstance(effect, Send):
                    gathered.append(effect)
                elif effect is not None:
                    self._perform(effect)
                elif (now := time.monotonic()) > turn + TURN:
                    if now > gathering + TOGETHER:
                        self._send(gathered)
                        gathering = now
                    hub.sleep(0)
                    turn = time.monotonic()
        except Exception:
            LOG.exception("engine.failed", extra={"fields": {"events": [type(e).__name__ for e in events]}})
        self._send(gathered)

    def _send(self, gathered: list[Send]) -> None:
        for send in gathered:
            self._perform(send)
        gathered.clear()

    def _perform(self, effect: Effect) -> None:
        if isinstance(effect, Note):
            level = logging.WARNING if effect.warning else logging.INFO
            log_event(LOG, effect.event, level=level, **effect.fields)
        elif isinstance(effect, Keep):
            self._keep(effect.text)
        elif isinstance(effect, Later):
            hub.spawn_after(effect.seconds, self._inbox.put, effect.event)
        elif effect.dpid not in self._switches:
            return
        elif isinstance(effect, Emit):
            self._switches[effect.dpid].emit(effect.ofport, effect.data)
        else:
            self._tasks[self._switches[effect.dpid]].put(effect)

    def _keep(self, text: bytes) -> None:
        try:
            self._kept.keep(text)
        except OSError as error:
            log_event(LOG, "config.unkept", level=logging.WARNING, reason=str(error))

    def _serve(self, switch: Switch, tasks: Any) -> None:
        """Do what the engine asks of one bridge, in order, until the connection ends."""
        while (task := tasks.get()) is not None:
            try:
                self._inbox.put(_do(switch, task))
            except Malformed as error:
                connection.refuse(switch.datapath, error)
                switch.datapath.close()
                return
            except (ConnectionError, TimeoutError, ValueError) as error:
                fields = {"dpid": f"{switch.datapath.id:016x}", "reason": str(error)}
                log_event(LOG, "bridge.lost", level=logging.WARNING, **fields)
                switch.datapath.close()
                return

    @set_ev_cls(ofp_event.EventOFPStateChange, [MAIN_DISPATCHER, DEAD_DISPATCHER])
    @guarded
    def on_state_change(self, ev: Any) -> None:
        """A bridge finished its handshake, or its connection ended."""
        datapath = ev.datapath
        if ev.state == MAIN_DISPATCHER:
            self._connect(datapath)
        elif datapath.id is not None:
            switch = self._switches.get(datapath.id)
            if switch is not None and switch.datapath is datapath:
                self._disconnect(switch)
                self._inbox.put(Disconnected(datapath.id))

    def _connect(self, datapath: Any) -> None:
        """Take over. An older connection with the same datapath id is dead, though nobody told us yet."""
        older = self._switches.get(datapath.id)
        if older is not None:
            self._disconnect(older)
            older.datapath.close()
        switch = self._switches[datapath.id] = Switch(datapath)
        tasks = self._tasks[switch] = hub.Queue()
        hub.spawn(self._serve, switch, tasks)
        there = [port for port in datapath.ports.values() if port.port_no <= ofproto.OFPP_MAX]
        ports = {_name(port): port.port_no for port in there}
        dead = frozenset(_name(port) for port in there if _is_dead(port))
        self._inbox.put(Connected(datapath.id, shown(datapath.address), ports, time.time(), dead))

    def _disconnect(self, switch: Switch) -> None:
        del self._switches[switch.datapath.id]
        self._tasks.pop(switch).put(None)
        switch.close()

    @set_ev_cls(ofp_event.EventOFPPortStatus, MAIN_DISPATCHER)
    @guarded
    def on_port_status(self, ev: Any) -> None:
        """A port was added, removed or modified."""
        port = ev.msg.desc
        if port.port_no <= ofproto.OFPP_MAX:
            number = None if ev.msg.reason == ofproto.OFPPR_DELETE else port.port_no
            self._inbox.put(PortChanged(ev.msg.datapath.id, _name(port), number, _is_dead(port)))

    @set_ev_cls(ofp_event.EventOFPPacketIn, MAIN_DISPATCHER)
    @guarded
    def on_packet_in(self, ev: Any) -> None:
        """A frame with an unknown source, or one that says something."""
        match, data, dpid = ev.msg.match, ev.msg.data[:LONGEST], ev.msg.datapath.id
        vni, ofport = exact(match, "metadata"), exact(match, "in_port")
        if vni is None or ofport is None or len(data) < 12:
            return
        if ev.msg.table_id == Table.LEARN and data[6:12] != self._engine.probe_source:
            self._inbox.put(SourceSeen(dpid, Sighting(vni, data[6:12].hex(":"), ofport), time.time()))
        elif ev.msg.table_id in TABLES:
            self._inbox.put(Heard(dpid, Table(ev.msg.table_id), vni, ofport, data, time.time()))

    @set_ev_cls(ofp_event.EventOFPFlowRemoved, MAIN_DISPATCHER)
    @guarded
    def on_flow_removed(self, ev: Any) -> None:
        """The flow of something learned expired: nobody was heard, or its lease has ended."""
        match, dpid, gone = ev.msg.match, ev.msg.datapath.id, (ev.msg.table_id, ev.msg.cookie)
        if ev.msg.reason not in {ofproto.OFPRR_IDLE_TIMEOUT, ofproto.OFPRR_HARD_TIMEOUT}:
            return
        if ev.msg.table_id == Table.ADDRESS:
            if (memory := neighbours.remembered(ev.msg)) is not None:
                self._inbox.put(AddressSilent(dpid, memory, gone))
            return
        vni, mac, ofport = (exact(match, name) for name in ("metadata", "eth_src", "in_port"))
        if vni is not None and mac is not None and ofport is not None:
            self._inbox.put(SourceSilent(dpid, Sighting(vni, mac, ofport), gone))

    @set_ev_cls(ofp_event.EventOFPExperimenterStatsReply, MAIN_DISPATCHER)
    @guarded
    def on_monitor(self, ev: Any) -> None:
        """Somebody else changed flows; or the bridge agrees to tell of that."""
        if ev.msg.xid:
            self.on_reply(ev)
            return
        changes = list(monitor.decode(ev.msg.body))
        if changes:
            there = frozenset((c.table, c.cookie) for c in changes if c.event is not monitor.Event.DELETED)
            self._inbox.put(FlowsAltered(ev.msg.datapath.id, len(changes), there))

    @set_ev_cls(ofp_event.EventOFPExperimenter, MAIN_DISPATCHER)
    @guarded
    def on_forwarded(self, ev: Any) -> None:
        """Somebody else changed a meter or a group."""
        if monitor.is_forwarded(ev.msg):
            self._inbox.put(FlowsAltered(ev.msg.datapath.id, 1, frozenset()))

    @set_ev_cls(
        [
            ofp_event.EventOFPErrorMsg,
            ofp_event.EventOFPBarrierReply,
            ofp_event.EventOFPRoleReply,
            ofp_event.EventOFPDescStatsReply,
            ofp_event.EventOFPFlowStatsReply,
            ofp_event.EventOFPAggregateStatsReply,
            ofp_event.EventOFPTableStatsReply,
            ofp_event.EventOFPTableFeaturesStatsReply,
            ofp_event.EventOFPPortStatsReply,
            ofp_event.EventOFPPortDescStatsReply,
            ofp_event.EventOFPQueueStatsReply,
            ofp_event.EventOFPQueueGetConfigReply,
            ofp_event.EventOFPGroupStatsReply,
            ofp_event.EventOFPGroupDescStatsReply,
            ofp_event.EventOFPGroupFeaturesStatsReply,
            ofp_event.EventOFPMeterStatsReply,
            ofp_event.EventOFPMeterConfigStatsReply,
            ofp_event.EventOFPMeterFeaturesStatsReply,
        ],
        MAIN_DISPATCHER,
    )
    @guarded
    def on_reply(self, ev: Any) -> None:
        """The answer to a request of ours, or an error."""
        switch = self._switches.get(ev.msg.datapath.id)
        if switch is not None:
            switch.reply(ev.msg)


def _broken(invalid: Invalid) -> FileBroken:
    return FileBroken("; ".join(map(str, invalid.problems)))


def _do(switch: Switch, task: Read | Send) -> Event:
    """Carry out what the engine asks for; what came of it is an event."""
    dpid = switch.datapath.id
    if isinstance(task, Read):
        contents = switch.read()
        return WasRead(
            dpid,
            contents.flows,
            contents.meters,
            tuple(_memory(flow) for flow in contents.learned),
            contents.crowded,
            contents.groups,
            time.time(),
            monitored=switch.monitored,
            addresses=contents.addresses,
            foreign=contents.foreign,
        )
    refused = switch.apply(task.plan, task.known_meters)
    return WasSent(dpid, tuple(Rejection(r.what, r.reason) for r in refused))


def _memory(flow: LearnedFlow) -> Memory:
    moves = HEARSAY if flow.moves is None else flow.moves
    return Memory(Sighting(flow.vni, flow.mac, flow.ofport), moves, flow.denied)


def _tls_files(named: TlsFiles) -> TlsFiles:
    """Where the controller's files are: as the file says, or by these names in ``--tls-dir``."""
    if CONF.tls_dir is None:
        return named
    paths = (named.key, named.certificate, named.ca)
    return TlsFiles(*(str(Path(CONF.tls_dir, Path(path).name)) for path in paths))


def _open(rest: Rest) -> Rest:
    """Neither TLS nor credentials."""
    return replace(rest, tls=False, access=None, client_ca=None)


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


@contextmanager
def _named(what: str, key: str, host: str, port: int) -> Iterator[None]:
    """Say what could not listen, and where; ``key`` of the file's controller is what to change."""
    try:
        yield
    except OSError as error:
        why = os.strerror(error.errno or 0)
        raise OSError(
            f"cannot listen for {what} on {host} port {port}: {why}. controller.{key} of the file says where"
        ) from None


def _name(port: Any) -> str:
    name: bytes = port.name
    return name.decode("utf-8", "replace")


def _is_dead(port: Any) -> bool:
    """Whether Open vSwitch says of a port that nothing can go there; with BFD, that it hears no peer."""
    return not port.state & ofproto.OFPPS_LIVE
