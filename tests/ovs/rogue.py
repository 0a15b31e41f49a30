"""Connections to a controller that are no bridge: they say what a test has them say, byte by byte."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from struct import pack, unpack
from typing import Any

HELLO, ERROR, ECHO_REQUEST, ECHO_REPLY, FEATURES_REQUEST, FEATURES_REPLY = 0, 1, 2, 3, 5, 6
PACKET_IN, PORT_STATUS, PACKET_OUT, FLOW_MOD, MULTIPART_REQUEST, MULTIPART_REPLY = 10, 12, 13, 14, 18, 19
EXPERIMENTER, BARRIER_REQUEST, BARRIER_REPLY = 4, 20, 21
DESC, PORT_DESC, FLOWS, METERS, GROUPS, MULTIPART_EXPERIMENTER = 0, 13, 1, 10, 7, 0xFFFF
_DESCRIPTION = 1056
"""Bytes of ``struct ofp_desc``."""
_LIVE = 4


def message(kind: int, body: bytes = b"", xid: int = 1) -> bytes:
    """One message of OpenFlow 1.3."""
    return pack("!BBHI", 4, kind, 8 + len(body), xid) + body


def port(number: int, name: str) -> bytes:
    """``struct ofp_port``."""
    head = pack("!I4x6s2x16s", number, bytes(6), name.encode())
    return head + pack("!II6I", 0, _LIVE, 0, 0, 0, 0, 0, 0)


def port_status(number: int, name: str, reason: int) -> bytes:
    """A port was added (0), removed (1), or modified (2)."""
    return message(PORT_STATUS, pack("!B7x", reason) + port(number, name))


def packet_in(vni: int, ofport: int, data: bytes, table: int) -> bytes:
    """A frame that this table handed over."""
    fields = pack("!HBBI", 0x8000, 0, 4, ofport) + pack("!HBBQ", 0x8000, 4, 8, vni)
    match = pack("!HH", 1, 4 + len(fields)) + fields
    match += bytes(-len(match) % 8)
    return message(PACKET_IN, pack("!IHBBQ", 0xFFFFFFFF, len(data), 0, table, 0) + match + bytes(2) + data)


class Rogue:
    """One connection, with the datapath id that it claims."""

    def __init__(
        self,
        address: tuple[str, int],
        dpid: int,
        ports: Mapping[str, int] | None = None,
        *,
        source: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.dpid, self.ports = dpid, dict(ports or {})
        self.heard: list[tuple[int, bytes]] = []
        bound = (source, 0) if source else None
        self.socket: Any = socket.create_connection(address, timeout=10, source_address=bound)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket)
        self._held = b""
        self._saying = threading.Lock()

    def close(self) -> None:
        """Hang up, also where another thread listens."""
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()

    def say(self, data: bytes) -> None:
        with self._saying:  # of two threads, each is to finish its message
            self.socket.sendall(data)

    def handshake(self) -> None:
        """Up to the description of ports."""
        self.say(message(HELLO))
        for kind, xid, body in self.hear():
            if kind == FEATURES_REQUEST:
                self.say(message(FEATURES_REPLY, pack("!QIBB2xII", self.dpid, 0, 254, 0, 0, 0), xid))
            elif kind == MULTIPART_REQUEST and unpack("!H", body[:2])[0] == PORT_DESC:
                ports = b"".join(port(number, name) for name, number in self.ports.items())
                self.say(message(MULTIPART_REPLY, pack("!HH4x", PORT_DESC, 0) + ports, xid))
                return

    def hear(self) -> Iterator[tuple[int, int, bytes]]:
        """Type, xid and body of each message, until the controller hangs up."""
        while True:
            while len(self._held) < 8 or len(self._held) < unpack("!H", self._held[2:4])[0]:
                try:
                    piece = self.socket.recv(65536)
                except (ConnectionError, ssl.SSLError, ValueError):
                    return
                if not piece:
                    return
                self._held += piece
            _, kind, length, xid = unpack("!BBHI", self._held[:8])
            body, self._held = self._held[8:length], self._held[length:]
            self.heard.append((kind, body))
            yield kind, xid, body

    def answer(self, kind: int, xid: int, body: bytes) -> None:
        """As a bridge does that holds nothing."""
        if kind == ECHO_REQUEST:
            self.say(message(ECHO_REPLY, body, xid))
        elif kind == BARRIER_REQUEST:
            self.say(message(BARRIER_REPLY, b"", xid))
        elif kind == MULTIPART_REQUEST:
            (what,) = unpack("!H", body[:2])
            if what == MULTIPART_EXPERIMENTER:
                self.say(message(ERROR, pack("!HH", 1, 2), xid))
            else:
                described = bytes(_DESCRIPTION) if what == DESC else b""
                self.say(message(MULTIPART_REPLY, pack("!HH4x", what, 0) + described, xid))

    def play(self, *, until: int | None = None) -> None:
        """Handshake, then answer as an empty bridge: until it is hung up on, or gets such a message."""
        self.socket.settimeout(None)
        with suppress(OSError):  # hung up on while it answers
            self.handshake()
            for kind, xid, body in self.hear():
                self.answer(kind, xid, body)
                if kind == until:
                    return

    def hung_up(self, seconds: float = 10) -> bool:
        """Whether the controller hangs up in so many seconds."""
        self.socket.settimeout(seconds)
        try:
            for _ in self.hear():
                pass
        except TimeoutError:
            return False
        return True


@contextmanager
def rogue(address: tuple[str, int], dpid: int, **options: Any) -> Iterator[Rogue]:
    """One that ends with the block."""
    one = Rogue(address, dpid, **options)
    try:
        yield one
    finally:
        one.close()
