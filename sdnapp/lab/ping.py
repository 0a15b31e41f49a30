"""Send probes between the ports of a lab and capture in every port's namespace.

A reply alone proves little where two tenants have equal addresses. So each probe has a token of its own,
and a packet socket on every port's device sees where it comes out, and under which VLAN tag.
"""

from __future__ import annotations

import heapq
import os
import resource
import selectors
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from typing import Any

from sdnapp.frames.packet import Ends
from sdnapp.lab import echo
from sdnapp.lab.errors import LabError
from sdnapp.lab.machine import entered
from sdnapp.lab.model import Lab
from sdnapp.lab.reachability import Cell, Endpoint, Observed, Probe, compare, endpoints, probes
from sdnapp.net.model import Overlay

RETRIES = (0.0, 0.3, 0.6, 1.0)
"""Seconds before each attempt of a probe that must arrive; one that must not is sent once."""

QUIET = 0.4
"""Seconds after the last frame in which what must not arrive may still show up."""

_BURST = 64  # frames between two looks at what came out
_ETH_P_ALL = 3
_SOL_PACKET = 263
_PACKET_AUXDATA = 8
_AUXDATA = struct.Struct("=IIIHHHH")  # struct tpacket_auxdata, packet(7)
_VLAN_VALID = 1 << 4


class Wire:
    """The sockets of one run: on every port's device one that sees all, and senders for its networks."""

    def __init__(self, lab: Lab, ends: tuple[Endpoint, ...], stack: ExitStack) -> None:
        """Open them; ``stack`` closes them. Raises LabError when a namespace or a device is missing."""
        self.watching = selectors.DefaultSelector()
        stack.callback(self.watching.close)
        self._taps: dict[str, socket.socket] = {}
        self._senders: dict[tuple[str, int | None, int], socket.socket] = {}
        for end in ends:
            with _inside(lab, end):
                if end.port not in self._taps:
                    self._taps[end.port] = stack.enter_context(_tap(end.wire))
                    self.watching.register(self._taps[end.port], selectors.EVENT_READ, end.port)
                for version in (4, 6):
                    if end.device is not None and end.address(version) is not None:
                        sender = stack.enter_context(_sender(version, end.device))
                        self._senders[end.port, end.tag, version] = sender

    def send(self, probe: Probe, run: bytes, number: int) -> None:
        """Put one probe on the wire. A refusal, such as no route or no neighbour, is an answer too."""
        source, version = probe.source, probe.target.version
        with suppress(OSError):
            if probe.routed:
                sender = self._senders[source.port, source.tag, version]
                sender.sendto(echo.request(version, run, number), (str(probe.target), 0))
            else:
                mac = echo.BROADCAST if probe.broadcast else probe.destination.mac
                frame = echo.frame(Ends(source.mac, mac, probe.origin, probe.target), run, number)
                self._taps[source.port].send(echo.tagged(frame, source.tag))

    def frames(self, patience: float) -> Iterator[tuple[str, int | None, bytes]]:
        """Yield every frame that has come out of the overlay: its port, its tag and its bytes."""
        for key, _ in self.watching.select(patience):
            tap = key.fileobj
            assert isinstance(tap, socket.socket)
            with suppress(BlockingIOError):
                while True:
                    data, extra, _, sender = tap.recvmsg(2048, socket.CMSG_SPACE(_AUXDATA.size))
                    if sender[2] != socket.PACKET_OUTGOING:
                        yield key.data, _tag(extra), data


def measure(lab: Lab, overlay: Overlay, pairs: set[tuple[str, str]]) -> dict[tuple[str, str, int], Cell]:
    """Probe these ordered pairs of ports: expected and observed, by (from, to, IP version)."""
    ends = present(lab, endpoints(overlay))
    sent = probes(ends, pairs)
    return compare(sent, ping(lab, ends, sent), ends)


def present(lab: Lab, ends: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
    """Return the endpoints as they are: without the device of a VLAN that the kernel there has none for.

    Raises LabError when a namespace is missing.
    """

    def real(end: Endpoint) -> Endpoint:
        with _inside(lab, end):
            known = {name for _, name in socket.if_nameindex()}
        return end if end.tag is None or end.device in known else replace(end, device=None)

    return tuple(map(real, ends))


def ping(lab: Lab, ends: tuple[Endpoint, ...], sent: tuple[Probe, ...]) -> Observed:
    """Send all probes, the expected ones until they arrive or all attempts are used, and watch."""
    _allow_sockets(4 * len(ends) + 64)
    run = os.urandom(8)
    with ExitStack() as stack:
        return _watch(Wire(lab, ends, stack), sent, run)


def _watch(wire: Wire, sent: tuple[Probe, ...], run: bytes) -> Observed:
    arrivals: set[tuple[int, tuple[str, int | None]]] = set()
    answered: set[int] = set()
    start = last = time.monotonic()
    due = [(start, number, 0) for number in range(len(sent))]
    outstanding = {number for number, probe in enumerate(sent) if probe.expected}
    while due or time.monotonic() < last + (RETRIES[-1] if outstanding else QUIET):
        now = time.monotonic()
        for _ in range(_BURST):
            if not due or due[0][0] > now:
                break
            _, number, attempt = heapq.heappop(due)
            if sent[number].expected:
                if number not in outstanding:
                    continue
                if attempt + 1 < len(RETRIES):
                    heapq.heappush(due, (now + RETRIES[attempt + 1], number, attempt + 1))
            wire.send(sent[number], run, number)
            last = now
        for port, tag, data in wire.frames(0.01):
            token = echo.sighting(data, run)
            if token is None or token.number >= len(sent):
                continue
            probe = sent[token.number]
            if token.request:
                arrivals.add((token.number, (port, tag)))
            elif (port, tag) == (probe.source.port, probe.source.tag):
                answered.add(token.number)
            if _kept(token.number, probe, arrivals, answered):
                outstanding.discard(token.number)
        if not outstanding:
            due = [item for item in due if item[2] == 0]
            heapq.heapify(due)
    return Observed(frozenset(arrivals), frozenset(answered))


def _kept(
    number: int, probe: Probe, arrivals: set[tuple[int, tuple[str, int | None]]], answered: set[int]
) -> bool:
    arrived = (number, (probe.destination.port, probe.destination.tag)) in arrivals
    return arrived and (number in answered or not probe.routed)


@contextmanager
def _inside(lab: Lab, end: Endpoint) -> Iterator[None]:
    """Make what this thread opens belong to the namespace of a port."""
    machine = lab.hosts.get(end.host)
    if machine is None:
        raise LabError(f"{end.host}, where {end.port} is, is no host of lab '{lab.name}'")
    try:
        with entered(machine, end.namespace):
            yield
    except OSError as error:
        where = f"{end.device} in namespace {end.namespace} of {end.host}"
        raise LabError(f"port {end.port}: {where} cannot be used: {error.strerror}") from None


def _tap(device: str) -> socket.socket:
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK)
    tap.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)
    tap.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    tap.bind((device, _ETH_P_ALL))
    return tap


def _sender(version: int, device: str) -> socket.socket:
    family, protocol = {
        4: (socket.AF_INET, socket.IPPROTO_ICMP),
        6: (socket.AF_INET6, socket.IPPROTO_ICMPV6),
    }[version]
    sender = socket.socket(family, socket.SOCK_RAW | socket.SOCK_NONBLOCK, protocol)
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
    return sender


def _tag(extra: list[tuple[int, int, Any]]) -> int | None:
    """Return the VLAN tag that the kernel took off a frame."""
    for level, kind, data in extra:
        if (level, kind) == (_SOL_PACKET, _PACKET_AUXDATA):
            status, *_, tci, _ = _AUXDATA.unpack(data[: _AUXDATA.size])
            return int(tci) & 0xFFF if status & _VLAN_VALID else None
    return None


def _allow_sockets(count: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count <= hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
