"""The smallest OpenFlow client: raw bytes to a bridge's management socket, errors and replies back."""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterator
from pathlib import Path
from struct import pack, unpack

from flows.diff import Plan
from sdnapp.openflow import encode

HELLO, ERROR, SET_CONFIG, BARRIER_REPLY = 0, 1, 9, 21


class Client:
    """One connection in OpenFlow 1.3."""

    def __init__(self, management: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(20)
        self._socket.connect(str(management))
        self._socket.sendall(pack("!BBHI", encode.VERSION, HELLO, 8, 0))
        self._socket.sendall(pack("!BBHIHH", encode.VERSION, SET_CONFIG, 12, 1, encode.FRAG_NX_MATCH, 0xFFFF))

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def apply(self, plan: Plan, known: Collection[int] = ()) -> list[bytes]:
        """Send the plan as one bundle, meters before it; the bodies of all errors."""
        messages = [encode.set_meter(meter, 5, exists=meter.id in known) for meter in plan.meters]
        messages.append(encode.open_bundle(1, 6))
        mods = encode.flow_mods(plan.add, plan.delete, 100)
        messages += [encode.in_bundle(1, message, xid) for xid, message in mods]
        messages.append(encode.commit_bundle(1, 7))
        messages += [encode.delete_meter(number, 8) for number in plan.unused]
        messages.append(encode.barrier(9))
        self._socket.sendall(b"".join(messages))
        errors = []
        for kind, body in self._messages():
            if kind == ERROR:
                errors.append(body)
            elif kind == BARRIER_REPLY:
                return errors
        raise AssertionError("the bridge hung up")

    def _messages(self) -> Iterator[tuple[int, bytes]]:
        while head := self._exactly(8):
            _, kind, length, _ = unpack("!BBHI", head)
            yield kind, self._exactly(length - 8)

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            received = self._socket.recv(count - len(data))
            if not received:
                return b""
            data += received
        return data
