"""Connected bridges by datapath id, and admission of connections.

All of this runs in the hub thread of the connection that it is about, which may wait. Two connections never
have one datapath id: the later one takes over, or is refused.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Any

from os_ken.lib import hub
from os_ken.ofproto import ofproto_v1_3 as ofproto

from sdnapp.engine.messages import Disconnected, Event, Task
from sdnapp.engine.refusals import Kind, Refusals
from sdnapp.inbox import Inbox
from sdnapp.log import event as log_event
from sdnapp.net.admission import Admission, Peer, Refused, refused_names, replaces
from sdnapp.net.model import Overlay
from sdnapp.openflow.connection import refuse, shown
from sdnapp.openflow.limits import Limits
from sdnapp.openflow.matchshape import Malformed
from sdnapp.openflow.switch import Switch
from sdnapp.translation import carry_out, connected

LOG = logging.getLogger("sdnapp")

UNASKED = frozenset({ofproto.OFPT_PACKET_IN, ofproto.OFPT_PORT_STATUS, ofproto.OFPT_FLOW_REMOVED})
"""Asynchronous messages, disabled for bridges that are not in the file."""
ECHO = 2.0
"""Seconds in which a bridge must answer an echo, when a connection from elsewhere has its datapath id."""


class Bridges:
    """Connected switches by datapath id, those of no host in the file included."""

    def __init__(self, inbox: Inbox[Event], limits: Limits, overlay: Overlay) -> None:
        self.refusals = Refusals()
        self._inbox = inbox
        self._limits = limits
        self._admission = Admission(overlay)
        self._switches: dict[int, Switch] = {}
        self._tasks: dict[Switch, Any] = {}
        self._swap: Any = hub.Semaphore()  # held for a moment, never while something waits

    def __iter__(self) -> Iterator[int]:
        """Datapath ids."""
        return iter(sorted(self._switches))

    def get(self, dpid: int) -> Switch | None:
        """The switch that is connected with this id."""
        return self._switches.get(dpid)

    def of(self, datapath: Any) -> Switch | None:
        """The switch at this end of a connection; None if another one has taken over, or it was refused."""
        switch = self._switches.get(datapath.id)
        return switch if switch is not None and switch.datapath is datapath else None

    def homes(self, ip: str) -> tuple[int, int]:
        """How many hosts of the file may connect from this address, and how many it has."""
        return self._admission.homes(ip), len(self._admission.overlay.hosts)

    def configure(self, overlay: Overlay) -> None:
        """Apply this overlay: close connections that it refuses, and those of bridges that it adds."""
        self._admission = Admission(overlay)
        for switch in list(self._switches.values()):
            verdict = self._admission.admit(switch.datapath.id, _peer(switch.datapath))
            if isinstance(verdict, Refused):
                self._refuse(switch.datapath, "unauthorized-bridge", verdict.host, verdict.text)
            elif verdict.host is not None and not switch.known:
                switch.datapath.close()

    def connect(self, datapath: Any) -> None:
        """Admit a connection that has completed its handshake, or close it."""
        peer = _peer(datapath)
        verdict = self._admission.admit(datapath.id, peer)
        if isinstance(verdict, Refused):
            self._refuse(datapath, "unauthorized-bridge", verdict.host, verdict.text)
            return
        host = None if verdict.host is None else verdict.host.name
        while True:
            older = self.get(datapath.id)
            elsewhere = older is not None and not replaces(
                peer, _peer(older.datapath), known=host is not None
            )
            if older is not None and elsewhere and older.answers(ECHO):
                has = shown(older.datapath.address)
                self._refuse(datapath, "duplicate-datapath-id", host, f"its bridge is connected from {has}")
                return
            switch = Switch(datapath, known=host is not None, limits=self._limits)
            if not self._has_room(switch, older):
                fields = {"dpid": f"{datapath.id:016x}", "address": shown(datapath.address)}
                log_event(LOG, "bridge.limit_reached", level=logging.WARNING, **fields)
                datapath.close()
                return
            if self._take_over(switch, older):
                return

    def disconnect(self, datapath: Any) -> None:
        """A connection has ended."""
        with self._swap:
            switch = self.of(datapath)
            if switch is not None:
                del self._switches[datapath.id]
                self._leave(switch)
                event = Disconnected(datapath.id, connection=switch.serial)
                self._inbox.bring(event, datapath.backlog)

    def put(self, dpid: int, connection: int, task: Task) -> None:
        """Queue a task for a bridge, if it still has the same connection. Never blocks."""
        switch = self._switches.get(dpid)
        tasks = None if switch is None or switch.serial != connection else self._tasks.get(switch)
        if tasks is not None:
            tasks.put(task)

    def _take_over(self, switch: Switch, older: Switch | None) -> bool:
        """Whether the switch now has its datapath id; not if there is another than ``older`` by now."""
        datapath = switch.datapath
        with self._swap:
            if self._switches.get(datapath.id) is not older:
                return False
            self._switches[datapath.id] = switch
            if older is not None:
                self._leave(older)
            tasks = self._tasks[switch] = hub.Queue()
            contested = older is not None and not older.datapath.is_left
            self._inbox.bring(connected(switch, time.time(), contested=contested), datapath.backlog)
        hub.spawn(self._serve, switch, tasks)
        datapath.unread = frozenset() if switch.known else UNASKED
        datapath.established()
        if older is not None:
            older.datapath.close()
        return True

    def _leave(self, switch: Switch) -> None:
        self._tasks.pop(switch).put(None)
        switch.close()

    def _has_room(self, switch: Switch, older: Switch | None) -> bool:
        unknown = [each for each in list(self._switches.values()) if not each.known and each is not older]
        return switch.known or len(unknown) < self._limits.unknown

    def _refuse(self, datapath: Any, kind: Kind, host: str | None, why: str) -> None:
        """Close a connection that is not authorized for its datapath id, or duplicates a connected bridge."""
        peer, dpid = _peer(datapath), f"{datapath.id:016x}"
        names = refused_names(peer.names)
        fields = {"host": host or "-", "dpid": dpid, "address": shown(datapath.address), "names": names}
        log_event(
            LOG,
            f"bridge.{kind.removesuffix('-bridge').replace('-', '_')}",
            level=logging.WARNING,
            **fields,
            reason=why,
        )
        claimed = f"the bridge of {host}" if host else f"bridge {dpid}"
        text = f"{peer.ip} ({names}) was refused as {claimed}: {why}"
        self.refusals.add(kind, host=host, ip=peer.ip, names=names, text=text, now=time.time())
        datapath.close()

    def refused_tls(self, address: Any, why: str) -> None:
        """A TLS handshake failed: no valid certificate, or no TLS."""
        log_event(LOG, "bridge.unauthorized", level=logging.WARNING, address=shown(address), reason=why)
        text = f"{address[0]} was refused: {why}"
        self.refusals.add(
            "unauthorized-bridge", host=None, ip=address[0], names="-", text=text, now=time.time()
        )

    def _serve(self, switch: Switch, tasks: Any) -> None:
        """Execute the tasks of one bridge in order, until the connection ends."""
        while (task := tasks.get()) is not None:
            try:
                self._inbox.put(carry_out(switch, task, time.time))
            except Malformed as error:
                refuse(switch.datapath, error)
                switch.datapath.close()
                return
            except (ConnectionError, TimeoutError, ValueError) as error:
                if self.of(switch.datapath) is not None:  # else the connection has ended, which is known
                    fields = {"dpid": f"{switch.datapath.id:016x}", "reason": str(error)}
                    log_event(LOG, "bridge.connection_lost", level=logging.WARNING, **fields)
                switch.datapath.close()
                return


def _peer(datapath: Any) -> Peer:
    return Peer(datapath.address[0], datapath.names)
