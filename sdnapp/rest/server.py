"""The HTTP server: a WSGI application on a listening socket, one hub thread a connection.

It runs inside the controller, under either hub of os-ken, and knows no route. h11 speaks HTTP/1.1; this
module moves the bytes, bounded in number, size and time. The usual servers do not fit: eventlet's knows one
hub only, waitress and cheroot wake up when idle, and waitress lets a client that stops reading keep a thread.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from os_ken.lib import hub

from sdnapp.log import event
from sdnapp.rest.conversation import Conversation, peer
from sdnapp.rest.crowd import Crowd, Guest, Limits
from sdnapp.tls import Credentials
from sdnapp.tls.stream import Refused, Stream

LOG = logging.getLogger("sdnapp.rest")

_FIRST_INHERITED = 3
_SCARCE = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_PAUSE = 0.1
"""Seconds after which ``accept`` is tried again when there are no files left."""
_AT_ONCE = 256
"""Connections that are accepted before the first of them is served."""
_BACKLOG = 1024
"""A client that finds no place in it comes again after a second (tcp(7))."""


def _ask_for_tls(client: socket.socket) -> None:
    """Answer a request that came in clear text (RFC 2817, section 4.2)."""
    body = json.dumps({"error": "this port uses TLS", "remedy": "write https://"}).encode()
    head = (
        "HTTP/1.1 426 Upgrade Required\r\nUpgrade: TLS/1.2\r\nConnection: Upgrade, close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with suppress(OSError):
        client.sendall(head.encode() + body)


def listener(host: str, port: int) -> socket.socket:
    """The socket that systemd handed over (sd_listen_fds(3)), else a new one on host and port.

    ``OSError`` when the address is taken or not ours.
    """
    if os.environ.get("LISTEN_PID") == str(os.getpid()) and os.environ.get("LISTEN_FDS", "0") != "0":
        for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
            os.environ.pop(name, None)  # ours, not our children's
        os.set_inheritable(_FIRST_INHERITED, False)
        return socket.socket(fileno=_FIRST_INHERITED)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=_BACKLOG)


def serve(
    app: Callable[..., Iterable[bytes]],
    listening: socket.socket,
    limits: Limits | None = None,
    *,
    tls: Credentials | None = None,
    urgent: frozenset[bytes] = frozenset(),
) -> Server:
    """Serve ``app`` on ``listening`` from now on, in the background, until the server is closed.

    With ``tls`` that is HTTPS. ``urgent``: paths that are answered however many other requests there are.
    """
    server = Server(app, listening, limits or Limits(), tls, urgent)
    hub.spawn(server.run)
    return server


class Server:
    """Accepts connections until closed."""

    def __init__(
        self,
        app: Callable[..., Iterable[bytes]],
        listening: socket.socket,
        limits: Limits,
        tls: Credentials | None = None,
        urgent: frozenset[bytes] = frozenset(),
    ) -> None:
        self._tls = tls
        self._urgent = urgent
        self._app = app
        self._listening = listening
        self._limits = limits
        self._crowd = Crowd(limits)
        self._wake, self._woken = socket.socketpair()

    def run(self) -> None:
        """Accept and hand over until closed."""
        # For a client that is gone before it is accepted. Not setblocking(False): then eventlet's accept
        # returns sockets that are not green, and one slow client stops the whole process.
        self._listening.settimeout(1)
        # A selector rather than a blocking accept, which no other thread can end: shutdown() would, but the
        # socket may be systemd's as well.
        with selectors.DefaultSelector() as selector, self._listening, self._woken:
            selector.register(self._listening, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while all(key.fileobj is self._listening for key, _ in selector.select()):
                self._accept_all(selector)

    def close(self) -> None:
        """Accept nothing more and hang up on everyone; returns at once."""
        self._wake.close()
        self._crowd.end()

    def _accept_all(self, selector: selectors.BaseSelector) -> None:
        """Accept what there is, and only then give threads to those that have a place by then: a burst of
        connections that make room for each other costs little.
        """
        fresh: deque[Guest] = deque()
        for _ in range(_AT_ONCE):
            if (guest := self._accept()) is not None:
                fresh.append(guest)
            while fresh and fresh[0] not in self._crowd:
                fresh.popleft().client.close()
            if guest is None or not selector.select(0):
                break
        for guest in fresh:
            hub.spawn(self._converse, guest)

    def _accept(self) -> Guest | None:
        try:
            client, address = self._listening.accept()
        except OSError as error:  # the client has gone again, or there is no file for it
            if error.errno in _SCARCE:
                event(LOG, "files.exhausted", level=logging.ERROR, reason=str(error))
                self._crowd.end_slowest(time.monotonic())
                hub.sleep(_PAUSE)
            return None
        return self._crowd.enter(client, str(address[0]), time.monotonic())

    def _converse(self, guest: Guest) -> None:
        client = guest.client
        connection: Any = client
        try:
            if self._tls is not None:  # here, and not where it is accepted: others need not wait for it
                connection = Stream(client, self._tls.context)
                connection.handshake(self._limits.handshake)
            Conversation(connection, self._app, self._crowd, guest, self._urgent).run()
        except Refused as refused:
            event(LOG, "rest.refused", level=logging.DEBUG, address=peer(client), reason=str(refused))
            if refused.http:
                _ask_for_tls(client)
        except OSError as error:
            LOG.debug("rest: connection lost: %s", error)
        except Exception:
            LOG.exception("rest: response broken off")
        finally:
            self._crowd.leave(guest)
            connection.close()
