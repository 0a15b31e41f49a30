"""Thread that publishes iface-ids (``sdnapp.provision.iface_id_ports``) as soon as an interface appears.

A machine that was just plugged in waits for its port, and a pass of the agent may take half a second; so this
is a thread, with a connection to OVSDB of its own.
"""

from __future__ import annotations

import logging
import os
import select
import time
from contextlib import suppress

from sdnapp.net.model import Overlay
from sdnapp.provision import iface_id_ports
from sdnapp.provision.ovs_library import Poller
from sdnapp.provision.ovsdb import Conflict, Database, Rejected, Unreachable
from sdnapp.provision.plan import Change
from sdnapp.provision.thread import in_background

log = logging.getLogger(__name__)

RETRY = 1.0
"""Seconds until OVSDB is tried again after it was not reached."""


class IfaceIdPublisher:
    """Thread that maintains the iface-id ports of one host."""

    def __init__(self, remote: str, host: str) -> None:
        """Begin; ``remote`` is where OVSDB is."""
        self._remote, self._host = remote, host
        self._overlay: Overlay | None = None
        self._heard, self._tell = os.pipe()
        in_background(self._run)

    def follow(self, overlay: Overlay | None) -> None:
        """Maintain the iface-id ports of this overlay."""
        if overlay is not self._overlay:
            self._overlay = overlay
            os.write(self._tell, b".")

    def _run(self) -> None:
        database = None
        while True:
            try:
                database = database or Database(self._remote)
                seen = database.generation
                with suppress(Conflict):  # others made changes, which are news
                    self._note(database)
                self._wait(database, seen)
            except (Unreachable, Rejected) as error:
                log.warning("iface-ids are not published to the controller: %s", error)
                time.sleep(RETRY)

    def _note(self, database: Database) -> None:
        host = self._overlay.hosts.get(self._host) if self._overlay else None
        if not self._overlay or host is None or not database.connected:
            return
        changes = iface_id_ports.changes(self._overlay, host, database.noteworthy(host.bridge))
        if changes:
            database.apply([Change(*each) for each in changes], host.name)
            for each in changes:
                log.info(str(Change(*each)))

    def _wait(self, database: Database, seen: int) -> None:
        """Wait until OVSDB is another than ``seen``, or the overlay is."""
        while database.generation == seen and not select.select([self._heard], [], [], 0)[0]:
            poller = Poller()
            database.wait(poller)
            poller.fd_wait(self._heard, select.POLLIN)
            poller.block()
            database.take_in()
        if select.select([self._heard], [], [], 0)[0]:
            os.read(self._heard, 4096)
