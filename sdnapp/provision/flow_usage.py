"""Ports in use by flows of a bridge, read over its management socket.

It owns the few bytes of OpenFlow 1.3 that the question needs, and refuses to know any other.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping
from pathlib import Path

_TIMEOUT = 2.0
"""Seconds until a bridge that says nothing counts as one that does not answer."""

# OpenFlow Switch Specification 1.3.5: sections A.1 (header), A.3.5 (multipart), A.2.3 (match), A.2.1 (ports).
_VERSION = 4
_HELLO, _ERROR, _ECHO_REQUEST, _ECHO_REPLY, _REQUEST, _REPLY = 0, 1, 2, 3, 18, 19
_HEADER = struct.Struct("!BBHI")
_AGGREGATE = struct.Struct("!HH4xB3xII4xQQ")
_COUNT = struct.Struct("!HH4x16xI4x")
_ANY = 0xFFFFFFFF
_ALL_TABLES = 0xFF
_EVERY_PACKET = struct.pack("!HH4x", 1, 4)


class Unanswered(Exception):
    """The bridge does not say; the text is why."""


def used(management: Path, numbers: Mapping[str, int]) -> frozenset[str]:
    """Of these ports of one bridge, by name and number, those that a flow matches or outputs to.

    ``management`` is the bridge's socket: ovs-vswitchd(8), "BRIDGE.mgmt". Raises ``Unanswered``.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as bridge:
            bridge.settimeout(_TIMEOUT)
            bridge.connect(str(management))
            bridge.sendall(_HEADER.pack(_VERSION, _HELLO, _HEADER.size, 0))
            return frozenset(name for name, number in numbers.items() if _is_used(bridge, number))
    except OSError as error:
        raise Unanswered(f"{management}: {error.strerror or error}") from error


def _is_used(bridge: socket.socket, number: int) -> bool:
    """Matches are checked before outputs: a bridge stops sending before it stops receiving."""
    return bool(
        _count(bridge, _ANY, struct.pack("!HHII4x", 1, 12, 0x80000004, number))
        or _count(bridge, number, _EVERY_PACKET)
    )


def _count(bridge: socket.socket, out_port: int, match: bytes) -> int:
    """How many flows match at least this, and output there if that is not ``_ANY``."""
    body = _AGGREGATE.pack(2, 0, _ALL_TABLES, out_port, _ANY, 0, 0) + match
    bridge.sendall(_HEADER.pack(_VERSION, _REQUEST, _HEADER.size + len(body), 1) + body)
    while True:
        version, kind, length, xid = _HEADER.unpack(_receive(bridge, _HEADER.size))
        message = _receive(bridge, length - _HEADER.size)
        if kind == _REPLY:
            return int(_COUNT.unpack(message)[-1])
        if kind == _ECHO_REQUEST:
            bridge.sendall(_HEADER.pack(version, _ECHO_REPLY, length, xid) + message)
        elif kind == _ERROR:
            raise OSError(f"OpenFlow error {message[:4].hex()}")


def _receive(bridge: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        if not (more := bridge.recv(size - len(data))):
            raise OSError("the connection was closed")
        data += more
    return data
