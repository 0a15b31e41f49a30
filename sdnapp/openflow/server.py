"""Where bridges connect: one accept loop for each address, and bounds for what connects and says nothing.

os-ken's own loop ends at the first error of ``accept``, serves one address, by TCP or by TLS, and lets a TLS
handshake of a client hold up all others.
"""

from __future__ import annotations

import errno
import logging
import math
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from os_ken.controller import controller
from os_ken.lib import hub

from sdnapp.log import event as log_event
from sdnapp.openflow.connection import Connection, shown
from sdnapp.openflow.limits import Limits
from sdnapp.throttle import Allowance, Bucket
from sdnapp.tls import Credentials, peer_names
from sdnapp.tls.stream import Refused, Stream

LOG = logging.getLogger("sdnapp")

_SCARCE = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_PAUSE = 0.1
"""Seconds after which ``accept`` is tried again when there are no files left."""


@dataclass(frozen=True, eq=False, slots=True)
class Waiting:
    """A connection in its handshake. ``homes``: how many hosts of the file may connect from there."""

    plain: Any
    ip: str
    homes: int


class Server:
    """Accepts connections on all of its sockets, for ever."""

    def __init__(
        self,
        sockets: Sequence[tuple[socket.socket, Credentials | None]],
        limits: Limits,
        homes: Callable[[str], tuple[int, int]],
        refused: Callable[[Any, str], None],
    ) -> None:
        """``homes``: how many hosts of the file may connect from an address, and how many there are.
        ``refused`` gets each address with a TLS handshake that failed, and why.
        """
        self._sockets = sockets
        self._limits = limits
        self._homes = homes
        self._refused = refused
        self._waiting: dict[Waiting, None] = {}
        self._arrivals = Bucket(math.inf, time.monotonic())

    def run(self) -> None:
        """Accept until the process ends."""
        hub.joinall([hub.spawn(self._accept, *each) for each in self._sockets])

    def _accept(self, listening: Any, credentials: Credentials | None) -> None:
        while True:
            try:
                plain, address = listening.accept()
            except OSError as error:
                if error.errno in _SCARCE:
                    log_event(LOG, "files.exhausted", level=logging.ERROR, reason=str(error))
                    self._end_oldest(list(self._waiting))
                    hub.sleep(_PAUSE)
                continue
            self._welcome(plain, address, credentials)
            hub.sleep(0)  # connections in rapid succession do not hold up others

    def _welcome(self, plain: Any, address: Any, credentials: Credentials | None) -> None:
        homes, hosts = self._homes(address[0])
        limits, now = self._limits, time.monotonic()
        allowed = Allowance(limits.waiting + hosts, limits.arrivals)
        if not homes and not self._arrivals.take(allowed, now):
            log_event(LOG, "connection.limit_reached", level=logging.WARNING, address=address[0])
            plain.close()
            return
        guest = Waiting(plain, address[0], homes)
        self._waiting[guest] = None
        waiting = list(self._waiting)
        alike = [each for each in waiting if bool(each.homes) == bool(homes)]
        if len(alike) > (limits.waiting_known + hosts if homes else limits.waiting):
            self._end_oldest(alike)
        same = [each for each in waiting if each.ip == guest.ip]
        if len(same) > limits.waiting_each + homes:
            self._end_oldest(same)
        hub.spawn(self._converse, guest, address, credentials)

    def _end_oldest(self, waiting: Sequence[Waiting]) -> None:
        """Hang up on the first of these, so that there is room for the last."""
        if waiting:
            self._waiting.pop(waiting[0], None)
            log_event(LOG, "connection.evicted", level=logging.WARNING, address=waiting[0].ip)
            with suppress(OSError):
                waiting[0].plain.shutdown(socket.SHUT_RDWR)

    def _converse(self, guest: Waiting, address: Any, credentials: Credentials | None) -> None:
        """All of one connection, in a hub thread of its own."""
        begin, stream, names = time.monotonic(), guest.plain, None
        try:
            if credentials is not None:
                stream = Stream(guest.plain, credentials.context)
                stream.handshake(self._limits.handshake)
                names = peer_names(stream)
            established = self._waiting.pop
            Connection(
                stream,
                address,
                self._limits,
                names=names,
                begin=begin,
                established=lambda: established(guest, None),
            ).serve()
        except Refused as refused:
            self._refused(address, str(refused))
        except OSError as error:
            LOG.debug("%s: connection lost: %s", shown(address), error)
        except Exception:
            LOG.exception("connection.failed", extra={"fields": {"address": shown(address)}})
        finally:
            self._waiting.pop(guest, None)
            with suppress(OSError):
                stream.close()


def listening(host: str, port: int) -> socket.socket:
    """A socket for bridges. ``OSError`` when the address is taken or not ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=512)


def install() -> None:
    """Have os-ken listen for nothing, process-wide; again is harmless."""
    controller.OpenFlowController.server_loop = lambda *_: None
