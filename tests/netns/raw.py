"""Raw sockets on devices: what workloads send and what comes in there, whatever their kernels think."""

from __future__ import annotations

import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from sdnapp.lab.machine import entered
from tests.netns.conftest import Place, Running

_SOL_PACKET, _AUXDATA, _VLAN_VALID = 263, 8, 1 << 4
"""packet(7): the kernel takes the outermost tag off a frame, and tells it beside."""
_EVERYTHING = 3  # ETH_P_ALL


def raw(place: Place, device: str) -> socket.socket:
    """A socket on a device of a place, that does not wait."""
    with entered(*place):
        made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
        made.setsockopt(_SOL_PACKET, _AUXDATA, 1)
        made.bind((device, _EVERYTHING))
    return made


def device(running: Running, port: str) -> socket.socket:
    """The workload's end of a port."""
    return raw(running.place(port), str(running.overlay.ports[port].device))


def received(raw: socket.socket) -> bytes:
    """The next frame that comes in at a device, with its tags; nothing for one that goes out there."""
    data, extra, _, sender = raw.recvmsg(2048, socket.CMSG_SPACE(20))
    if sender[2] == socket.PACKET_OUTGOING:
        return b""
    status, *_, tag, kind = struct.unpack("=IIIHHHH", extra[0][2][:20])
    return data[:12] + struct.pack("!HH", kind, tag) + data[12:] if status & _VLAN_VALID else data


def heard(raw: socket.socket, seconds: float = 0.4) -> list[bytes]:
    """All that comes in at a device for a while."""
    found, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            found.append(received(raw))
        except BlockingIOError:
            time.sleep(0.01)
    return list(filter(None, found))


@dataclass(frozen=True)
class Wires:
    """A raw socket at each port of a lab."""

    sockets: dict[str, socket.socket]

    def send(self, port: str, *frames: bytes) -> None:
        for frame in frames:
            self.sockets[port].send(frame)

    def seen(self, frame: bytes, seconds: float = 0.5) -> Counter[str]:
        """How often a frame came in at each port, so long later."""
        return self._count(lambda data: data == frame, seconds)

    def containing(self, said: bytes, seconds: float = 0.5) -> Counter[str]:
        """How often a frame with this in it came in at each port."""
        return self._count(lambda data: said in data, seconds)

    def ending(self, tails: tuple[bytes, ...], seconds: float = 0.5) -> Counter[str]:
        """How often a frame that ends with one of these came in at each port."""
        return self._count(lambda data: data.endswith(tails), seconds)

    def _count(self, wanted: Callable[[bytes], bool], seconds: float) -> Counter[str]:
        found: Counter[str] = Counter()
        time.sleep(seconds)
        for port, wire in self.sockets.items():
            wire.settimeout(0.02)
            try:
                while True:
                    found[port] += wanted(received(wire))
            except TimeoutError:
                continue
        return +found


@contextmanager
def wires(lab: Running) -> Iterator[Wires]:
    with ExitStack() as stack:
        sockets = {port: stack.enter_context(device(lab, port)) for port in lab.overlay.ports}
        for wire in sockets.values():
            wire.setblocking(True)
        yield Wires(sockets)
