"""What goes over the underlay and what comes out at ports, byte by byte."""

from __future__ import annotations

import os
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

from sdnapp.frames.packet import Ends
from sdnapp.lab import echo
from sdnapp.lab.machine import Machine, entered
from sdnapp.lab.ping import Wire, present
from sdnapp.lab.reachability import Endpoint, Probe, endpoints
from sdnapp.net.model import Address
from tests.netns.conftest import Place, Running
from tests.netns.raw import raw

GRE = 47
UDP_PORTS = {"vxlan": 4789, "geneve": 6081}
_TEB = 0x6558  # Ethernet inside: RFC 1701 and RFC 8926


@dataclass(frozen=True)
class Outer:
    """A frame of the underlay taken apart: its encapsulation, key and DSCP, the Ethernet frame inside."""

    encapsulation: str
    key: int
    inner: bytes
    dscp: int = 0


def taken_apart(frame: bytes) -> Outer | None:
    """RFC 7348, RFC 2890, RFC 8926 on IPv4 or IPv6; None for what is no tunnel's."""
    if frame[12:14] == b"\x08\x00":
        protocol, rest, dscp = frame[23], frame[14 + 4 * (frame[14] & 0xF) :], frame[15] >> 2
    elif frame[12:14] == b"\x86\xdd":
        protocol, rest, dscp = frame[20], frame[54:], int.from_bytes(frame[14:16], "big") >> 6 & 0x3F
    else:
        return None
    if protocol == GRE:
        flags, kind, key = struct.unpack_from("!HHI", rest)
        return Outer("gre", key, rest[8:], dscp) if (flags, kind) == (0x2000, _TEB) else None
    if protocol == socket.IPPROTO_UDP:
        (port,) = struct.unpack_from("!H", rest, 2)
        head, key = struct.unpack_from("!II", rest, 8)
        if port == UDP_PORTS["vxlan"] and head == 0x08000000:
            return Outer("vxlan", key >> 8, rest[16:], dscp)
        if port == UDP_PORTS["geneve"] and head == _TEB:
            return Outer("geneve", key >> 8, rest[16:], dscp)
    return None


def send_encapsulated(sender: Machine, source: Address, destination: Address, outer: Outer) -> None:
    """Send an inner frame from a machine's own address, as a tunnel port of Open vSwitch would."""
    family = socket.AF_INET if source.version == 4 else socket.AF_INET6
    if outer.encapsulation == "gre":
        kind, protocol, port = socket.SOCK_RAW, GRE, 0
        head = struct.pack("!HHI", 0x2000, _TEB, outer.key)
    else:
        kind, protocol, port = socket.SOCK_DGRAM, 0, UDP_PORTS[outer.encapsulation]
        head = struct.pack("!II", 0x08000000 if outer.encapsulation == "vxlan" else _TEB, outer.key << 8)
    with entered(sender), socket.socket(family, kind, protocol) as out:
        out.bind((str(source), 0))
        out.sendto(head + outer.inner, (str(destination), port))


@contextmanager
def underlay_tap(running: Running, host: str) -> Iterator[Callable[[], list[Outer]]]:
    """Watch the underlay device of a host; the function returns what its tunnels have sent and received."""
    with raw(running.place(host), running.lab.uplinks[host]) as tap:

        def seen() -> list[Outer]:
            found: list[Outer] = []
            while True:
                try:
                    outer = taken_apart(tap.recv(65536))
                except BlockingIOError:
                    return found
                if outer is not None:
                    found.append(outer)

        yield seen


class Ports:
    """All ports of a lab, to send from and to watch."""

    def __init__(self, running: Running, stack: ExitStack) -> None:
        self.ends = present(running.lab, endpoints(running.overlay))
        self._wire = Wire(running.lab, self.ends, stack)
        self._run = os.urandom(8)

    def end(self, port: str) -> Endpoint:
        return next(end for end in self.ends if end.port == port)

    def broadcast(self, port: str, number: int) -> bytes:
        """Return the frame that ``broadcast_from`` sends."""
        source = self.end(port)
        address = source.addresses[0].ip
        return echo.frame(Ends(source.mac, echo.BROADCAST, address, address), self._run, number)

    def broadcast_from(self, port: str, number: int) -> None:
        """Send one broadcast frame from a port."""
        source = self.end(port)
        address = source.addresses[0].ip
        everyone = Probe(source, source, address, address, expected=True, routed=False, broadcast=True)
        self._wire.send(everyone, self._run, number)

    def seen(self, number: int, seconds: float = 0.5) -> Counter[str]:
        """Count, for ``seconds``, at which ports that frame comes out, and how often."""
        found: Counter[str] = Counter()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for port, _, data in self._wire.frames(0.02):
                sighting = echo.sighting(data, self._run)
                if sighting is not None and sighting.number == number:
                    found[port] += 1
        return found


@contextmanager
def watched_ports(running: Running) -> Iterator[Ports]:
    """Open every port of a lab, to send from and to watch."""
    with ExitStack() as stack:
        yield Ports(running, stack)


def transfer(running: Running, source: str, destination: str, size: int) -> int:
    """Move bytes by TCP from one port to another; return how many have arrived."""
    address = running.overlay.ports[destination].attachments[0].addresses[0].ip
    return carried(running.place(source), running.place(destination), str(address), size)


def carried(source: Place, destination: Place, address: str, size: int) -> int:
    """Move bytes by TCP to the address of a place; return how many have arrived."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with ExitStack() as stack:
        with entered(*destination):
            server = stack.enter_context(socket.create_server((address, 0), family=family))
        with entered(*source):
            client = stack.enter_context(socket.socket(family))
        for end in (client, server):
            end.settimeout(10)
        client.connect(server.getsockname())
        receiver = stack.enter_context(server.accept()[0])
        receiver.settimeout(10)
        return _pumped(client, receiver, size)


def _pumped(client: socket.socket, receiver: socket.socket, size: int) -> int:
    """Send and receive by turns, so that neither end needs a thread."""
    left = memoryview(bytes(size))
    arrived = 0
    client.setblocking(False)
    while arrived < size:
        if left:
            with suppress(BlockingIOError):
                left = left[client.send(left) :]
        data = receiver.recv(1 << 16)
        if not data:
            break
        arrived += len(data)
    return arrived
