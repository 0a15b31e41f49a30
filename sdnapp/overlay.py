"""The os-ken application: ``osken-manager sdnapp.overlay``.

It carries events from os-ken, from the file and from signals to the engine, and the engine's effects to the
bridges and to the log. It decides nothing. One hub thread feeds the engine, and never waits for anything but
events (``sdnapp.inbox`` has the rule); each bridge has one that talks to it, so that a slow bridge holds up
no other.
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
from itertools import count
from pathlib import Path
from typing import Any

from os_ken.base.app_manager import OSKenApp
from os_ken.cfg import CONF
from os_ken.controller import ofp_event
from os_ken.controller.controller import DEFAULT_OFP_HOST
from os_ken.controller.handler import DEAD_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from os_ken.lib import hub
from os_ken.ofproto import ofproto_v1_3 as ofproto
from os_ken.ofproto import ofproto_v1_3_parser as parser

from flows.compile import forget
from flows.counters import FlowCounter
from flows.flow import FlowKey
from sdnapp import config_file, memory, renewal
from sdnapp.bridges import Bridges
from sdnapp.config import Invalid
from sdnapp.engine import Engine
from sdnapp.engine.messages import (
    ConfigChanged,
    ConfigRejected,
    DriftDetected,
    Effect,
    Event,
    FdbFlowExpired,
    Inject,
    LogEvent,
    PacketIn,
    PacketOut,
    PersistConfig,
    ReleaseAsked,
    Send,
    SourceSeen,
    StartTimer,
    ThawAsked,
)
from sdnapp.engine.status import Alarm, Status
from sdnapp.files import raise_file_limit
from sdnapp.inbox import Inbox
from sdnapp.log import event as log_event
from sdnapp.net.model import Overlay, Rest, TlsFiles
from sdnapp.openflow import connection, flowstats, ondemand, server
from sdnapp.openflow.connection import shown
from sdnapp.openflow.limits import LIMITS
from sdnapp.openflow.server import Server
from sdnapp.openflow.server import listening as listening_on
from sdnapp.renewal import Renewable
from sdnapp.rest.application import application
from sdnapp.rest.door import Door
from sdnapp.rest.server import listener, serve
from sdnapp.tls import Credentials
from sdnapp.translation import report
from sdnapp.watchdog import Watchdog

LOG = logging.getLogger("sdnapp")

TURN = 0.005
"""Maximum seconds of the engine before other green threads run."""
URGENT = frozenset({b"/healthz"})
"""Paths of REST that are served even beyond the connection limits."""
LONG, GATHER = 0.02, 0.5
"""Where few sightings take longer than ``LONG`` seconds, the engine waits as long, ``GATHER`` at most: among
tens of thousands of stations, few cost as much as thousands, which cannot be read meanwhile.
"""
BEAT: Any = object()
"""In the engine's queue: nothing but a sign that it is taken from."""
TOGETHER = 0.05
"""Seconds in which what it has for many bridges is gathered, to reach them close together: switches that
share processors with it, or with each other, wake less often.
"""

flowstats.install()
ondemand.install()
server.install()


def guarded(handler: Callable[[OverlayApp, Any], None]) -> Callable[[OverlayApp, Any], None]:
    """Decorator of event handlers: an exception is logged, and the application continues.

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
        self._file = config_file.Watch(self.config_path)
        self._loader = config_file.Loader(self.config_path, self._file)
        self._snapshot = config_file.ConfigSnapshot(CONF.state_dir)
        self._inbox: Inbox[Event] = Inbox(hub.Queue(), LIMITS.share)
        self._engine, overlay = self._begin()
        self._settings = overlay.controller
        self._bridges = Bridges(self._inbox, LIMITS, overlay)
        self._loading: Any = hub.Semaphore()
        self._watchdog = Watchdog()

    def _begin(self) -> tuple[Engine, Overlay]:
        """The engine, and the overlay by which bridges are let in: that of the file, if it is good.

        Bridges hold what was in force when a controller last ran; the file may say something else by now.
        Then it has changed, as if it had done so while we ran. Raises ``Invalid`` if it is no good, unless
        there is what was in force.
        """
        try:
            overlay = self._loader.load()
        except Invalid as invalid:
            if (before := self._snapshot.load_unless(b"")) is None:
                raise
            self._inbox.put(_broken(invalid))
            return Engine(before, held=True, key=os.urandom(16)), before
        if (before := self._snapshot.load_unless(self._loader.text)) is None:
            self._keep(self._loader.text)
            return Engine(overlay, key=os.urandom(16)), overlay
        self._inbox.put(ConfigChanged(overlay, self._loader.text))
        return Engine(before, held=True, key=os.urandom(16)), overlay

    def start(self) -> Any:
        """Begin to serve: the engine, bridges, REST, and the eye on the file; the thread that takes bridges.

        ``OSError`` if a port is taken, ``Unusable`` for files of TLS.
        """
        self._check_files(raise_file_limit())
        self._doors = self._listen()
        host, port = self._settings.rest.host, self._settings.rest.port
        with _named("REST", "rest", host, port):
            listening = listener(host, port)
        rest = _open(self._settings.rest) if CONF.rest_open else self._settings.rest
        self._door = Door(rest, _tls_files(self._settings.tls))
        tls = (credentials for _, credentials in self._doors if credentials is not None)
        openflow = (Renewable("TLS of bridges", each.paths, each.renew) for each in tls)
        self._renewable = (*self._door.files, *openflow)
        super().start()
        bridges = ", ".join(shown(sock.getsockname()) for sock, _ in self._doors)
        log_event(LOG, "controller.listening", bridges=bridges, rest=shown(listening.getsockname()))
        serve(application(self, self._door), listening, tls=self._door.credentials, urgent=URGENT)
        renewal.follow(self._renewable)
        hub.spawn(self._run)
        hub.spawn(self._beat)
        self._watchdog.start()
        hub.spawn(self._follow_file)
        doors = Server(self._doors, LIMITS, self._bridges.homes, self._bridges.refused_tls)
        return hub.spawn(doors.run)

    def _check_files(self, most: int) -> None:
        """Warn, and keep an alarm, where fewer files may be open than the bridges of all hosts need."""
        self._few_files: tuple[Alarm, ...] = ()
        needed = LIMITS.files(self._bridges.homes("")[1])
        if 0 <= most < needed:
            text = f"{most} files may be open, the hosts of the file need {needed}: raise LimitNOFILE"
            self._few_files = (Alarm("file-limit", text),)
            log_event(LOG, "files.limit_too_low", level=logging.WARNING, limit=most, needed=needed)

    def _listen(self) -> list[tuple[socket.socket, Credentials | None]]:
        """A socket for each address where bridges connect; options of the command line change the first."""
        first, *others = self._settings.listens
        host = CONF.ofp_listen_host if CONF.ofp_listen_host != DEFAULT_OFP_HOST else first.host
        first = replace(first, host=host, port=CONF.ofp_tcp_listen_port or first.port)
        doors = []
        for listen in (first, *others):
            files = _tls_files(self._settings.tls)
            credentials = Credentials(files, client="required") if listen.tls else None
            with _named("bridges", "listen", listen.host, listen.port):
                doors.append((listening_on(listen.host, listen.port), credentials))
        return doors

    def status(self) -> Status:
        """Status of the controller."""
        status = self._engine.status(str(self.config_path))
        refused = self._bridges.refusals.alarms(time.time())
        alarms = (*status.alarms, *refused, *self._few_files, *self._outdated(status.overlay))
        return replace(status, alarms=alarms)

    def _outdated(self, overlay: Overlay) -> Iterator[Alarm]:
        """An alarm where the file has other settings than those that are read at the start alone."""
        now, started = overlay.controller, self._settings
        pairs = {
            "listen": (now.listens, started.listens),
            "rest": (now.rest, started.rest),
            "tls": (now.tls, started.tls),
        }
        if changed := [f"controller.{name}" for name, (new, old) in pairs.items() if new != old]:
            text = f"the file has another {', '.join(changed)}: restart the controller for it"
            yield Alarm("restart-required", text)

    def _send_event(self, ev: Any, state: Any) -> None:
        """Handle an event in the hub thread of the connection that it is about.

        os-ken would put it into a queue with room for 128, and wait for room, for a loop of its own to
        handle it.
        """
        for handler in self.get_handlers(ev, state):
            handler(ev)

    def counted(self, dpid: int) -> Mapping[FlowKey, FlowCounter]:
        """Flows of a bridge with reported counters; none while it is not connected."""
        return self._engine.counted_flows(dpid)

    def late(self) -> bool:
        """Whether events have not been taken in for some seconds."""
        return self._watchdog.late

    def malformed(self) -> Mapping[str, int]:
        """How many connections ended with a malformed message, by the type of that message."""
        return connection.malformed

    def switches(self) -> list[int]:
        """Datapath ids of the connected switches, ours or not."""
        return list(self._bridges)

    def datapath(self, dpid: int) -> Any:
        """os-ken's ``Datapath`` of a connected switch, else None."""
        switch = self._bridges.get(dpid)
        return None if switch is None else switch.datapath

    def request(self, dpid: int, message: Any) -> Iterator[Any]:
        """Send one os-ken request and yield its replies; ``Switch.request`` says what it raises."""
        switch = self._bridges.get(dpid)
        if switch is None:
            raise ConnectionError(f"switch {dpid} is not connected")
        return switch.request(message)

    def unfreeze(self, network: str, mac: str) -> None:
        """Unfreeze a MAC."""
        self._inbox.put(ThawAsked(network, mac))

    def release(self, port: str) -> None:
        """Release a port that is held down."""
        self._inbox.put(ReleaseAsked(port))

    def resync(self, datapath: Any) -> None:
        """Look at this bridge anew."""
        switch = None if datapath is None else self._bridges.of(datapath)
        if switch is not None:
            self._inbox.put(DriftDetected(datapath.id, 0, frozenset(), connection=switch.serial))

    def reload(self) -> None:
        """Read the file again: it changed, or SIGHUP. If it is no good, the last good one stays in force.

        So it is with the files that it names.
        """
        renewal.renew(self._renewable)
        with self._loading:  # one at a time: an older content never comes after a newer one
            try:
                overlay = self._loader.load_aside()
            except Invalid as invalid:
                self._inbox.put(_broken(invalid))
                return
            self._inbox.put(ConfigChanged(overlay, self._loader.text))
            self._bridges.configure(overlay)
            for alarm in self._outdated(overlay):
                log_event(LOG, "config.needs_restart", level=logging.WARNING, reason=alarm.text)

    def _follow_file(self) -> None:
        while True:
            if self._file.changed(None):
                self.reload()

    def _run(self) -> None:
        """Feed the engine. What has piled up meanwhile is one batch: one look at the world, one plan each."""
        for effect in self._engine.start():
            self._perform(effect)
        while True:
            events = [event for event in self._inbox.take() if event is not BEAT]
            self._watchdog.turns += 1
            if events:
                began = time.monotonic()
                self._handle(events)
                took = time.monotonic() - began
                if took > LONG and len(events) < LIMITS.share and any(map(_is_sighting, events)):
                    hub.sleep(min(took, GATHER))

    def _beat(self) -> None:
        """Wake the engine's thread every second for the watchdog, and return free memory."""
        for second in count(1):
            self._inbox.put(BEAT)
            hub.sleep(1)
            if second % memory.PERIOD == 0:
                forget()
                memory.give_back()

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
                    self._watchdog.turns += 1
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
        if isinstance(effect, LogEvent):
            usual = logging.DEBUG if effect.detail else logging.INFO
            level = logging.WARNING if effect.warning else usual
            log_event(LOG, effect.event, level=level, **effect.fields)
        elif isinstance(effect, PersistConfig):
            self._keep(effect.text)
        elif isinstance(effect, StartTimer):
            hub.spawn_after(effect.seconds, self._inbox.put, effect.event)
        elif isinstance(effect, PacketOut | Inject):
            switch = self._bridges.get(effect.dpid)
            if switch is not None and switch.serial == effect.connection:
                leave = switch.emit if isinstance(effect, PacketOut) else switch.inject
                leave(effect.ofport, effect.data)
        else:
            self._bridges.put(effect.dpid, effect.connection, effect)

    def _keep(self, text: bytes) -> None:
        try:
            self._snapshot.save(text)
        except OSError as error:
            log_event(LOG, "config.snapshot_failed", level=logging.WARNING, reason=str(error))

    @set_ev_cls(ofp_event.EventOFPStateChange, [MAIN_DISPATCHER, DEAD_DISPATCHER])
    @guarded
    def on_state_change(self, ev: Any) -> None:
        """A connection finished its handshake, or it ended."""
        if ev.state == MAIN_DISPATCHER:
            self._bridges.connect(ev.datapath)
        elif ev.datapath.id is not None:
            self._bridges.disconnect(ev.datapath)

    @set_ev_cls(
        [
            ofp_event.EventOFPPortStatus,
            ofp_event.EventOFPPacketIn,
            ofp_event.EventOFPFlowRemoved,
            ofp_event.EventOFPExperimenter,
            ofp_event.EventOFPExperimenterStatsReply,
        ],
        MAIN_DISPATCHER,
    )
    @guarded
    def on_report(self, ev: Any) -> None:
        """A bridge says something that was not asked for, or agrees to do so."""
        message = ev.msg
        switch = self._bridges.of(message.datapath)
        if switch is None:
            return
        if isinstance(message, parser.OFPExperimenterStatsReply) and message.xid:
            switch.reply(message)
        elif switch.known:
            event = report(message, switch.serial, time.time(), self._engine.probe_source)
            if event is not None:
                size = len(event.data) if isinstance(event, PacketIn) else 0
                self._inbox.bring(event, message.datapath.backlog, size)

    @set_ev_cls(
        [
            ofp_event.EventOFPErrorMsg,
            ofp_event.EventOFPBarrierReply,
            ofp_event.EventOFPEchoReply,
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
        switch = self._bridges.of(ev.msg.datapath)
        if switch is not None:
            switch.reply(ev.msg)


def _is_sighting(event: Event) -> bool:
    return isinstance(event, SourceSeen | FdbFlowExpired)


def _broken(invalid: Invalid) -> ConfigRejected:
    return ConfigRejected(invalid.problems)


def _tls_files(named: TlsFiles) -> TlsFiles:
    """Where the controller's files are: as the file says, or by these names in ``--tls-dir``."""
    if CONF.tls_dir is None:
        return named
    paths = (named.key, named.certificate, named.ca)
    return TlsFiles(*(str(Path(CONF.tls_dir, Path(path).name)) for path in paths))


def _open(rest: Rest) -> Rest:
    """Neither TLS nor credentials."""
    return replace(rest, tls=False, access=None, client_ca=None)


@contextmanager
def _named(what: str, key: str, host: str, port: int) -> Iterator[None]:
    """Name the address that could not be bound, and the ``key`` of the controller section to change."""
    try:
        yield
    except OSError as error:
        why = os.strerror(error.errno or 0)
        raise OSError(
            f"cannot listen for {what} on {host} port {port}: {why}. controller.{key} of the file says where"
        ) from None
