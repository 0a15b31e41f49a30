"""A bridge that is none: it takes part in the handshake, and then sends whatever it is told to."""

from __future__ import annotations

import socket
from struct import pack, unpack

HELLO, ECHO_REQUEST, ECHO_REPLY, FEATURES_REQUEST, FEATURES_REPLY = 0, 2, 3, 5, 6
MULTIPART_REQUEST, MULTIPART_REPLY = 18, 19
_PORTS = 13


class Pretender:
    """One connection to a controller, as the bridge with this datapath id; without one, no handshake."""

    def __init__(self, port: int, dpid: int | None = None) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        if dpid is not None:
            self.send(HELLO)
            self._answer(FEATURES_REQUEST, FEATURES_REPLY, pack("!QIBBxxII", dpid, 0, 254, 0, 0, 0))
            self._answer(MULTIPART_REQUEST, MULTIPART_REPLY, pack("!HHI", _PORTS, 0, 0))

    def __enter__(self) -> Pretender:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, kind: int, body: bytes = b"", xid: int = 1) -> None:
        self.say(pack("!BBHI", 4, kind, 8 + len(body), xid) + body)

    def say(self, raw: bytes) -> None:
        self._socket.sendall(raw)

    def echoes(self) -> bool:
        """Whether the controller answers, after whatever it said before."""
        self.send(ECHO_REQUEST, b"there?", 7)
        return self._next(ECHO_REPLY) == (7, b"there?")

    def is_closed(self) -> bool:
        """Whether the controller ends the connection, whatever it says until then."""
        try:
            while self._socket.recv(65536):
                pass
        except TimeoutError:
            return False
        except OSError:
            return True
        return True

    def _answer(self, kind: int, reply: int, body: bytes) -> None:
        xid, _ = self._next(kind)
        self.send(reply, body, xid)

    def _next(self, wanted: int) -> tuple[int, bytes]:
        """The xid and body of the next message of this type; others are passed over."""
        while True:
            _, kind, length, xid = unpack("!BBHI", self._exactly(8))
            body = self._exactly(length - 8)
            if kind == wanted:
                return xid, body

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            received = self._socket.recv(count - len(data))
            if not received:
                raise ConnectionError("the controller hung up")
            data += received
        return data
