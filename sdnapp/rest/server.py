"""The HTTP server: a WSGI application on a listening socket, one hub thread a connection.

It runs inside the controller, under either hub of os-ken, and knows no route. h11 speaks HTTP/1.1; this
module moves the bytes, bounded in number, size and time. The usual servers do not fit: eventlet's knows one
hub only, waitress and cheroot wake up when idle, and waitress lets a client that stops reading keep a thread.
"""

from __future__ import annotations

import json
import logging
import os
import selectors
import socket
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from email.utils import formatdate
from io import BytesIO
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

import h11
from os_ken.lib import hub

from sdnapp.log import event
from sdnapp.tls import Credentials, peer_names
from sdnapp.tls.stream import Refused, Stream

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

LOG = logging.getLogger("sdnapp.rest")

PEER_NAMES = "sdnapp.peer_names"
"""Key of the WSGI environment: names of the client's verified certificate."""

_RECEIVE_BYTES = 64 * 1024
_SEND_BUFFER = 128 * 1024
"""Else the kernel keeps megabytes for each client that reads slowly."""
_FIRST_INHERITED = 3


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client, or all of them, may take. Sizes in bytes, times in seconds."""

    connections: int = 64
    head: int = 16 * 1024
    body: int = 64 * 1024
    request: float = 30.0
    """From the wait for a request to its last byte; so long an idle connection is kept."""
    handshake: float = 5.0
    """For all of a TLS handshake."""
    write: float = 30.0
    """For one piece of a response, some 16 kB; a slower client is cut off."""


def _ask_for_tls(client: socket.socket) -> None:
    """Answer a request that came in clear text (RFC 2817, section 4.2)."""
    body = json.dumps({"error": "this port uses TLS", "remedy": "write https://"}).encode()
    head = (
        "HTTP/1.1 426 Upgrade Required\r\nUpgrade: TLS/1.2\r\nConnection: Upgrade, close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with suppress(OSError):
        client.sendall(head.encode() + body)


def _peer(client: Any) -> str:
    """The address of a client; none of one that is gone."""
    try:
        return str(client.getpeername()[0])
    except OSError:
        return ""


class Rejected(Exception):
    """The request cannot be served; ``status`` is the HTTP status that says so."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


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
    return socket.create_server((host, port), family=family, backlog=128)


def serve(
    app: Callable[..., Iterable[bytes]],
    listening: socket.socket,
    limits: Limits | None = None,
    *,
    tls: Credentials | None = None,
) -> Server:
    """Serve ``app`` on ``listening`` from now on, in the background, until the server is closed.

    With ``tls`` that is HTTPS.
    """
    server = Server(app, listening, limits or Limits(), tls)
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
    ) -> None:
        self._tls = tls
        self._app = app
        self._listening = listening
        self._limits = limits
        self._open: set[socket.socket] = set()
        self._wake, self._woken = socket.socketpair()

    def run(self) -> None:
        """Accept and hand over until closed."""
        # For a client that is gone before it is accepted. Not setblocking(False): then eventlet's accept
        # returns sockets that are not green, and one slow client stops the whole process.
        self._listening.settimeout(1)
        # A selector rather than a blocking accept, which nobody else can end: shutdown() would, but the
        # socket may be systemd's as well.
        with selectors.DefaultSelector() as selector, self._listening, self._woken:
            selector.register(self._listening, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while all(key.fileobj is self._listening for key, _ in selector.select()):
                with suppress(OSError):  # the client has gone again
                    self._accept()

    def close(self) -> None:
        """Accept nothing more and hang up on everyone; returns at once."""
        self._wake.close()
        for client in list(self._open):
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        client, _ = self._listening.accept()
        if len(self._open) >= self._limits.connections:
            client.close()
            return
        self._open.add(client)
        hub.spawn(self._converse, client)

    def _converse(self, client: socket.socket) -> None:
        connection: Any = client
        try:
            if self._tls is not None:  # here, and not where it is accepted: others need not wait for it
                connection = Stream(client, self._tls.context)
                connection.handshake(self._limits.handshake)
            _Conversation(connection, self._app, self._limits).run()
        except Refused as refused:
            event(LOG, "rest.refused", level=logging.DEBUG, address=_peer(client), reason=str(refused))
            if refused.http:
                _ask_for_tls(client)
        except OSError as error:
            LOG.debug("rest: connection lost: %s", error)
        except Exception:
            LOG.exception("rest: response broken off")
        finally:
            self._open.discard(client)
            connection.close()


class _Conversation:
    """One connection: requests and responses in turn."""

    def __init__(self, client: Any, app: Callable[..., Iterable[bytes]], limits: Limits) -> None:
        """``client``: a socket, or a ``Stream``."""
        self._client = client
        self._app = app
        self._limits = limits
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.head)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)

    def run(self) -> None:
        """Serve requests until either side has had enough."""
        try:
            while received := self._receive():
                self._respond(*received)
                if self._http.our_state is not h11.DONE:
                    return
                self._http.start_next_cycle()
        except (Rejected, h11.RemoteProtocolError) as error:
            self._refuse(error)

    def _receive(self) -> tuple[h11.Request, bytes] | None:
        """The next request and its body; None when the client wants no more."""
        deadline = time.monotonic() + self._limits.request
        request: h11.Request | None = None
        body = bytearray()
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                if not self._more(deadline, request):
                    return None
            elif isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > self._limits.body:
                    raise Rejected(413, f"the request body is larger than {self._limits.body} bytes")
            elif isinstance(event, h11.EndOfMessage) and request:
                return request, bytes(body)
            else:
                return None

    def _more(self, deadline: float, request: h11.Request | None) -> bool:
        """Feed h11 with what comes next; False when the connection was idle up to the deadline."""
        if self._http.they_are_waiting_for_100_continue:
            self._send(h11.InformationalResponse(status_code=100, headers=[]))
        self._client.settimeout(max(0.001, deadline - time.monotonic()))
        try:
            self._http.receive_data(self._client.recv(_RECEIVE_BYTES))
        except TimeoutError as error:
            if request or self._http.trailing_data[0]:
                raise Rejected(408, f"no complete request in {self._limits.request:g} s") from error
            return False
        return True

    def _respond(self, request: h11.Request, body: bytes) -> None:
        """Run the application and send what it yields as it comes, so that nothing piles up."""
        head: list[h11.Response] = []

        def start_response(status: str, headers: list[tuple[str, str]], _: Any = None, /) -> Any:
            code, _, reason = status.partition(" ")
            dated = [*headers, ("Date", formatdate(usegmt=True))]
            head[:] = [h11.Response(status_code=int(code), reason=reason, headers=dated)]

        pieces = self._app(self._environment(request, body), start_response)
        try:
            self._stream(request, head, pieces)
        finally:
            close = getattr(pieces, "close", None)
            if close:
                close()

    def _stream(self, request: h11.Request, head: list[h11.Response], pieces: Iterable[bytes]) -> None:
        for piece in pieces:
            if head:
                self._send(head.pop())
            if piece and request.method != b"HEAD":
                self._send(h11.Data(data=piece))
        if head:
            self._send(head.pop())
        self._send(h11.EndOfMessage())

    def _refuse(self, error: Rejected | h11.RemoteProtocolError) -> None:
        """Say why this request cannot be served, and wait for the client to hear it."""
        if self._http.our_state not in {h11.IDLE, h11.SEND_RESPONSE}:
            return
        status = error.status if isinstance(error, Rejected) else error.error_status_hint
        body = json.dumps({"error": str(error)}).encode()
        headers = [
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
            ("Connection", "close"),
        ]
        self._send(h11.Response(status_code=status, headers=headers))
        self._send(h11.Data(data=body))
        self._send(h11.EndOfMessage())
        # To close while the client still sends would reset the connection and take the answer along.
        self._client.shutdown(socket.SHUT_WR)
        deadline = time.monotonic() + 1
        while (left := deadline - time.monotonic()) > 0:
            self._client.settimeout(left)
            if not self._client.recv(_RECEIVE_BYTES):
                return

    def _send(self, event: h11.Event) -> None:
        self._client.settimeout(self._limits.write)
        self._client.sendall(self._http.send(event) or b"")

    def _environment(self, request: h11.Request, body: bytes) -> WSGIEnvironment:
        """The request as PEP 3333 has it."""
        path, _, query = request.target.partition(b"?")
        if not path.startswith(b"/"):
            raise Rejected(400, "the request target is not a path")
        name, port = self._client.getsockname()[:2]
        environment: WSGIEnvironment = {
            "REQUEST_METHOD": request.method.decode("ascii"),
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
            "QUERY_STRING": query.decode("latin-1"),
            "SERVER_NAME": name,
            "SERVER_PORT": str(port),
            "SERVER_PROTOCOL": f"HTTP/{request.http_version.decode('ascii')}",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "https" if isinstance(self._client, Stream) else "http",
            "REMOTE_ADDR": _peer(self._client),
            PEER_NAMES: peer_names(self._client),
            "wsgi.input": BytesIO(body),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        for field, value in request.headers:
            key = "HTTP_" + field.decode("ascii").upper().replace("-", "_")
            text = value.decode("latin-1")
            environment[key] = f"{environment[key]},{text}" if key in environment else text
        environment["CONTENT_TYPE"] = environment.pop("HTTP_CONTENT_TYPE", "")
        environment["CONTENT_LENGTH"] = str(len(body))
        environment.pop("HTTP_CONTENT_LENGTH", None)
        return environment
