"""Whether packets of a stream come out in another network than theirs, whatever happens meanwhile."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress

from sdnapp.lab.machine import entered
from sdnapp.net.model import Overlay
from tests.chaos.subject import Subject

_EVERYTHING = 3  # ETH_P_ALL
_ROOM = 16 << 20
"""Bytes that wait until they are looked at: more than comes in a step, but for storms."""
_SO_RCVBUFFORCE = 33
_LARGEST = 2048

Marks = Mapping[tuple[str, str], bytes]
"""What every packet of a stream has in it, by the ports that it leads from and to."""


class Taps:
    """A packet socket at each port that is in one network, to be closed."""

    def __init__(self, subject: Subject) -> None:
        self._overlay = subject.overlay
        self._sockets: dict[str, socket.socket] = {}
        for name, port in subject.overlay.ports.items():
            if port.namespace is not None and port.device is not None and len(port.attachments) == 1:
                with entered(subject.machine(port.host), port.namespace):
                    tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK)
                self._sockets[name] = tap
                tap.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _ROOM)
                tap.bind((port.device, _EVERYTHING))

    def strays(self, marks: Marks) -> Iterator[str]:
        """Yield, in words, what came in at ports where it does not belong; every socket is read empty."""
        for name, tap in self._sockets.items():
            barred = {
                mark: f"a packet from {source} to {destination} came out at {name}"
                for (source, destination), mark in marks.items()
                if _network(self._overlay, source) != _network(self._overlay, name)
            }
            seen: set[str] = set()
            with suppress(OSError):  # empty, or its device is gone
                while True:
                    data, origin = tap.recvfrom(_LARGEST)
                    if origin[2] != socket.PACKET_OUTGOING:
                        seen |= {words for mark, words in barred.items() if mark in data}
            yield from sorted(seen)

    def close(self) -> None:
        """Close every socket."""
        for tap in self._sockets.values():
            tap.close()


def _network(overlay: Overlay, port: str) -> str:
    return overlay.ports[port].attachments[0].network
