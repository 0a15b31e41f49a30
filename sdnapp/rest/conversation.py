"""HTTP/1.1 connection of REST over h11: requests and responses in turn."""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Callable, Iterable
from email.utils import formatdate
from io import BytesIO
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

import h11

from sdnapp.rest.crowd import Crowd, Guest
from sdnapp.tls import peer_names
from sdnapp.tls.stream import Stream

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

PEER_NAMES = "sdnapp.peer_names"
"""Key of the WSGI environment: names of the client's verified certificate."""

_RECEIVE_BYTES = 64 * 1024
_SEND_BUFFER = 128 * 1024
"""Else the kernel keeps megabytes for each client that reads slowly."""


class Rejected(Exception):
    """The request cannot be served; ``status`` is the HTTP status that says so."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def peer(client: Any) -> str:
    """The address of a client; none of one that is gone."""
    try:
        return str(client.getpeername()[0])
    except OSError:
        return ""


class Conversation:
    """One connection: requests and responses in turn."""

    def __init__(
        self,
        client: Any,
        app: Callable[..., Iterable[bytes]],
        crowd: Crowd,
        guest: Guest,
        urgent: frozenset[bytes],
    ) -> None:
        """``client``: the guest's socket, or a ``Stream`` over it."""
        self._client = client
        self._app = app
        self._crowd = crowd
        self._guest = guest
        self._urgent = urgent
        self._limits = crowd.limits
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=self._limits.head)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)

    def run(self) -> None:
        """Serve requests until either side closes."""
        try:
            while received := self._receive():
                self._admit(received[0])
                self._respond(*received)
                self._crowd.wait(self._guest, time.monotonic())
                if self._http.our_state is not h11.DONE:
                    return
                self._http.start_next_cycle()
        except (Rejected, h11.RemoteProtocolError) as error:
            self._refuse(error)

    def _receive(self) -> tuple[h11.Request, bytes] | None:
        """Next request and its body; None at the end of the connection."""
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

    def _admit(self, request: h11.Request) -> None:
        """Reserve capacity for the response, or raise ``Rejected``."""
        urgent = request.target.partition(b"?")[0] in self._urgent
        if not self._crowd.answer(self._guest, urgent=urgent, now=time.monotonic()):
            raise Rejected(503, f"{self._limits.answers} requests are being answered: ask again in a second")

    def _respond(self, request: h11.Request, body: bytes) -> None:
        """Run the application and send each piece as it is yielded, without buffering."""
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
        """Send an error response, and wait until the client has received it."""
        if self._http.our_state not in {h11.IDLE, h11.SEND_RESPONSE}:
            return
        status = error.status if isinstance(error, Rejected) else error.error_status_hint
        body = json.dumps({"error": str(error)}).encode()
        headers = [
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
            ("Connection", "close"),
            *([("Retry-After", "1")] if status == 503 else []),
        ]
        self._send(h11.Response(status_code=status, headers=headers))
        self._send(h11.Data(data=body))
        self._send(h11.EndOfMessage())
        self._crowd.refuse(self._guest, time.monotonic())
        # To close while the client still sends would reset the connection and take the answer along.
        self._client.shutdown(socket.SHUT_WR)
        deadline = time.monotonic() + 1
        while (left := deadline - time.monotonic()) > 0:
            self._client.settimeout(left)
            if not self._client.recv(_RECEIVE_BYTES):
                return

    def _send(self, event: h11.Event) -> None:
        self._client.settimeout(self._limits.write)
        self._guest.since = time.monotonic()
        self._client.sendall(self._http.send(event) or b"")
        self._guest.since = None

    def _environment(self, request: h11.Request, body: bytes) -> WSGIEnvironment:
        """WSGI environment of the request (PEP 3333)."""
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
            "REMOTE_ADDR": peer(self._client),
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
