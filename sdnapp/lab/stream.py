"""A stream of numbered packets between ports of a lab, counted at both ends, whatever happens meanwhile.

UDP sockets in the ports' namespaces, all served by one thread, so that a library user can disturb the lab at
leisure. A port that moves to another host while packets flow is followed there.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import threading
import time
from array import array
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import product

from sdnapp.config import Invalid
from sdnapp.config_file import Watch, load
from sdnapp.lab.active_config import in_force
from sdnapp.lab.errors import LabError
from sdnapp.lab.machine import entered
from sdnapp.lab.model import Lab
from sdnapp.lab.packet_loss import Count, count
from sdnapp.lab.reachability import Endpoint, endpoints
from sdnapp.net.model import Overlay

LINGER = 0.3
"""Seconds without an arrival after which nothing more is on its way."""

BURST = 16
"""Packets of one direction that make up for a delay at once, before arrivals are looked at again."""

WARM_UP = 5.0
"""Seconds until a packet must have come through in each direction, before counting begins."""

_BUFFER = 8 << 20  # bytes, beyond the system's limit: a receiver that is not scheduled for seconds loses none
_TOKEN = struct.Struct("!8sHI")  # the run, the route, the packet's number
_WARMING = 0xFFFFFFFF  # the number of packets that are not counted
_SO_RXQ_OVFL = 40
_DROPS = struct.Struct("=I")
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33  # <asm-generic/socket.h>


@dataclass(slots=True, eq=False)
class _End:
    """A port's sockets, the newest last: at most two, while it moves. ``voice`` is the one that sends."""

    at: Endpoint
    sockets: list[socket.socket]
    voice: socket.socket
    overruns: dict[socket.socket, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Route:
    """From one end to another: when each packet was sent, and the numbers of those that came."""

    source: _End
    destination: _End
    target: tuple[str, int]
    sent: array[float] = field(default_factory=lambda: array("d"))
    arrivals: array[int] = field(default_factory=lambda: array("I"))
    warm: bool = False


class Stream:
    """Packets on their way. ``counts`` is for after ``stop``."""

    def __init__(self, lab: Lab, pairs: Iterable[tuple[str, str]], rate: int) -> None:
        """Open the sockets. Raises LabError for ports that cannot talk to each other."""
        self._lab = lab
        self._rate = rate
        self._run = os.urandom(8)
        self._ends: dict[tuple[str, int | None], _End] = {}
        self._polled: dict[int, tuple[_End, socket.socket]] = {}
        self._poll = select.epoll()
        self._ending = threading.Event()
        self._started = 0.0
        overlay, _ = in_force(lab)
        chosen = [pick_path(overlay, *pair) for pair in pairs]
        self._version = {end: version for a, b, version in chosen for end in (a, b)}
        self._port, sockets = _bound(lab, self._version)
        self._routes = []
        for a, b, version in chosen:
            ends = [self._ends.setdefault((e.port, e.tag), _End(e, [], sockets[e])) for e in (a, b)]
            address = b.address(version)
            assert address is not None
            self._routes.append(_Route(ends[0], ends[1], (str(address.ip), self._port)))
        for end in self._ends.values():
            self._listen(end, end.voice)
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._flow, self._follow)]

    @property
    def marks(self) -> dict[tuple[str, str], bytes]:
        """What every packet of a direction begins with, by the ports that it leads from and to."""
        return {
            (route.source.at.port, route.destination.at.port): _TOKEN.pack(self._run, number, 0)[:-4]
            for number, route in enumerate(self._routes)
        }

    def start(self) -> None:
        """Begin to count once a packet has come through in each direction. Raises LabError if none does."""
        deadline = time.monotonic() + WARM_UP
        while not all(route.warm for route in self._routes):
            for number, route in enumerate(self._routes):
                self._send(number, route, _WARMING)
                if time.monotonic() > deadline:
                    names = f"from {route.source.at.port} to {route.destination.at.port}"
                    raise LabError(f"nothing comes through {names}")
            self._receive(0.05)
        self._started = time.monotonic()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop sending and wait for what is on its way."""
        self._ending.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def close(self) -> None:
        """Close every socket."""
        for _, one in self._polled.values():
            one.close()
        self._poll.close()

    def counts(self) -> tuple[Count, ...]:
        """Count each direction, in the order in which they were asked for."""
        return tuple(
            count(
                (route.source.at.port, route.destination.at.port),
                route.sent,
                route.arrivals,
                overrun=sum(route.destination.overruns.values()),
                period=1 / self._rate,
            )
            for route in self._routes
        )

    @property
    def missing(self) -> dict[tuple[str, str], tuple[int, int]]:
        """By direction, how many packets were sent, and how many of those are on their way or lost."""
        return {
            (route.source.at.port, route.destination.at.port): (sent, sent - min(sent, len(route.arrivals)))
            for route in self._routes
            for sent in (len(route.sent),)
        }

    def _flow(self) -> None:
        while not self._ending.is_set():
            now = time.monotonic()
            due = int((now - self._started) * self._rate) + 1
            late = False
            for number, route in enumerate(self._routes):
                missing = due - len(route.sent)
                late |= missing > BURST
                for _ in range(min(missing, BURST)):
                    route.sent.append(time.monotonic())
                    self._send(number, route, len(route.sent) - 1)
            self._receive(0.0 if late else max(0.0, self._started + due / self._rate - time.monotonic()))
        while self._receive(LINGER):
            pass

    def _send(self, route_number: int, route: _Route, number: int) -> None:
        packet = _TOKEN.pack(self._run, route_number, number).ljust(64, b"\0")
        try:
            route.source.voice.sendto(packet, route.target)
        except OSError:  # its place is gone, or not ready yet: the packet is lost
            route.source.voice = route.source.sockets[-1]

    def _receive(self, patience: float) -> bool:
        """Take in all that has arrived; wait for the first if there is none."""
        ready = self._poll.poll(patience)
        for handle, _ in ready:
            end, one = self._polled[handle]
            with suppress(OSError):
                while True:
                    data, extra, _, _ = one.recvmsg(128, socket.CMSG_SPACE(_DROPS.size))
                    for _, kind, value in extra:
                        if kind == _SO_RXQ_OVFL:
                            (end.overruns[one],) = _DROPS.unpack(value[: _DROPS.size])
                    self._arrived(end, one, data)
        return bool(ready)

    def _arrived(self, end: _End, at: socket.socket, data: bytes) -> None:
        if len(data) < _TOKEN.size:
            return
        run, route_number, number = _TOKEN.unpack_from(data)
        if run != self._run or self._routes[route_number].destination is not end:
            return
        if at is end.sockets[-1]:
            end.voice = at  # who has moved goes on where the network reaches him
        if number == _WARMING:
            self._routes[route_number].warm = True
        else:
            self._routes[route_number].arrivals.append(number)

    def _listen(self, end: _End, one: socket.socket) -> None:
        self._polled[one.fileno()] = (end, one)
        end.sockets.append(one)
        self._poll.register(one, select.EPOLLIN)

    def _follow(self) -> None:
        """Open sockets where the file says that a port is now, as soon as it is there."""
        with Watch(self._lab.file) as file:
            moved: dict[_End, Endpoint] = {}
            while not self._ending.is_set():
                if file.changed(0.005 if moved else 0.1):
                    with suppress(Invalid):
                        moved = self._moved(load(self._lab.file))
                for end, place in list(moved.items()):
                    with suppress(OSError):
                        self._listen(end, _open(self._lab, place, self._version[end.at], self._port))
                        del moved[end]
                        self._version[place] = self._version[end.at]
                        end.at = place

    def _moved(self, overlay: Overlay) -> dict[_End, Endpoint]:
        there = {(place.port, place.tag): place for place in endpoints(overlay)}
        return {
            end: there[key]
            for key, end in self._ends.items()
            if key in there and (there[key].host, there[key].namespace) != (end.at.host, end.at.namespace)
        }


@contextmanager
def streaming(lab: Lab, pairs: Iterable[tuple[str, str]], rate: int = 1000) -> Iterator[Stream]:
    """Send ``rate`` packets a second from the first to the second port of each pair; stop at the end.

    Raises LabError for ports that cannot talk, or do not, before anything is counted.
    """
    stream = Stream(lab, pairs, rate)
    try:
        stream.start()
        yield stream
    finally:
        stream.stop()
        stream.close()


def pick_path(overlay: Overlay, source: str, destination: str) -> tuple[Endpoint, Endpoint, int]:
    """Choose the network and the IP version in which two ports reach each other."""
    if source == destination:
        raise LabError(f"from {source} to itself? Name two ports")
    ends = endpoints(overlay)
    for port in (source, destination):
        if port not in {end.port for end in ends}:
            known = ", ".join(sorted({end.port for end in ends}))
            raise LabError(f"no port named '{port}' that can send; there is {known}")
    of_source = [end for end in ends if end.port == source]
    of_destination = [end for end in ends if end.port == destination]
    for version, a, b in product((4, 6), of_source, of_destination):
        if a.network == b.network and a != b and a.address(version) and b.address(version):
            return a, b, version
    raise LabError(f"{source} and {destination} have no network in common in which both have an address")


def _bound(lab: Lab, versions: dict[Endpoint, int]) -> tuple[int, dict[Endpoint, socket.socket]]:
    """Open a socket at each end, all with one port number that is free everywhere."""
    for _ in range(20):
        sockets: dict[Endpoint, socket.socket] = {}
        port = 0
        try:
            for end, version in versions.items():
                sockets[end] = _open(lab, end, version, port)
                port = sockets[end].getsockname()[1]
        except OSError as error:
            for one in sockets.values():
                one.close()
            reason = f"port {end.port}: namespace {end.namespace} of {end.host}: {error.strerror}"
        else:
            return port, sockets
    raise LabError(reason)


def _open(lab: Lab, end: Endpoint, version: int, port: int) -> socket.socket:
    """Open a UDP socket in a port's namespace. Raises OSError where that, or its address, is not there."""
    address = end.address(version)
    if address is None or end.device is None:
        raise LabError(f"port {end.port} has no device or no IPv{version} address")
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    with entered(lab.hosts[end.host], end.namespace):
        one = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, end.device.encode())
        for force in (_SO_RCVBUFFORCE, _SO_SNDBUFFORCE):
            one.setsockopt(socket.SOL_SOCKET, force, _BUFFER)
        one.setsockopt(socket.SOL_SOCKET, _SO_RXQ_OVFL, 1)
        one.bind((str(address.ip), port))
    except OSError:
        one.close()
        raise
    return one
