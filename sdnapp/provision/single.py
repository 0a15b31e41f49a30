"""One agent for each OVSDB of a network namespace: two would undo each other's changes."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

_CREDENTIALS = struct.Struct("=iII")  # struct ucred of unix(7): pid, uid, gid


class Taken(Exception):
    """Another agent runs; the text says which process."""


@contextmanager
def only_one(remote: str) -> Iterator[None]:
    """Hold the place of the agent of this OVSDB for the block. Raises ``Taken``.

    It is an abstract address of unix(7): it belongs to the network namespace, and ends with the process.
    """
    address = f"\0sdnapp-provision {remote}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as place:
        try:
            place.bind(address)
        except OSError:
            raise Taken(f"another agent keeps this host: process {_holder(address)}") from None
        place.listen()
        yield


def _holder(address: str) -> int | str:
    """The process that listens there, as this PID namespace has it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
        try:
            other.connect(address)
        except OSError:
            return "unknown"
        credentials = other.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid: int = _CREDENTIALS.unpack(credentials)[0]
    return pid or "of another PID namespace"
