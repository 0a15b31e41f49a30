"""Connection limits of REST, and eviction of idle or slow clients.

A slow client is no fault in itself, and none is refused for the number of others. Where there are too many,
one that is slow makes room: of the address with most of them, the one without progress for longest. Progress
is a whole request, or a piece of a response that the client has taken; single bytes are none.

Requests that must be answered whatever happens (``urgent``) count apart.
"""

from __future__ import annotations

import logging
import socket
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from sdnapp.log import event

LOG = logging.getLogger("sdnapp.rest")


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits per client and in all. Sizes in bytes, times in seconds."""

    connections: int = 64
    """Connections that wait for a request. Beyond: one of them is evicted."""
    answers: int = 16
    """Requests in progress. Beyond: a slow reader is evicted, or the request gets 503."""
    urgent: int = 16
    """The same for urgent requests, and for connections that are closed with an error response."""
    slow: float = 1.0
    """Time between two pieces of a response after which its reader is slow."""
    head: int = 16 * 1024
    body: int = 64 * 1024
    request: float = 10.0
    """From the wait for a request to its last byte; so long an idle connection is kept."""
    handshake: float = 5.0
    """Time limit of a TLS handshake."""
    write: float = 10.0
    """Time limit for a piece of a response, some 16 kB; a slower client is disconnected."""


Place = Literal["waiting", "answered", "urgent", "refused"]


@dataclass(eq=False, slots=True)
class Guest:
    """A connection. ``since``: its latest progress; None while the answer, not the client, takes its time."""

    client: Any
    ip: str
    since: float | None
    place: Place = "waiting"


@dataclass(eq=False)
class Crowd:
    """All connections. Hub threads of many of them call this at once; nothing here waits."""

    limits: Limits
    _guests: dict[Guest, None] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._guests)

    def __contains__(self, guest: Guest) -> bool:
        """Whether it still has a place."""
        return guest in self._guests

    def enter(self, client: Any, ip: str, now: float) -> Guest:
        """Add a connection, which waits for its first request."""
        guest = Guest(client, ip, now)
        self._guests[guest] = None
        self._make_room(guest, self.limits.connections, now)
        return guest

    def leave(self, guest: Guest) -> None:
        """A connection has ended."""
        self._guests.pop(guest, None)

    def answer(self, guest: Guest, *, urgent: bool, now: float) -> bool:
        """Whether there is room for an answer to this guest's request."""
        guest.place, guest.since = "urgent" if urgent else "answered", None
        limits = self.limits
        most, before = (limits.urgent, now) if urgent else (limits.answers, now - limits.slow)
        return self._make_room(guest, most, before)

    def wait(self, guest: Guest, now: float) -> None:
        """A connection waits for the next request."""
        guest.place, guest.since = "waiting", now
        self._make_room(guest, self.limits.connections, now)

    def refuse(self, guest: Guest, now: float) -> None:
        """A connection gets an error response and is closed after it."""
        guest.place, guest.since = "refused", now
        self._make_room(guest, self.limits.urgent, now)

    def end(self) -> None:
        """Close all connections."""
        for guest in list(self._guests):
            _hang_up(guest)

    def end_slowest(self, now: float) -> None:
        """Make room for one more file."""
        self._end_slowest([guest for guest in list(self._guests) if guest.place == "waiting"], now)

    def _make_room(self, latest: Guest, most: int, before: float) -> bool:
        """Whether no more than ``most`` are where the latest is, when one of the others has ended."""
        others = [
            guest for guest in list(self._guests) if guest.place == latest.place and guest is not latest
        ]
        return len(others) < most or self._end_slowest(others, before)

    def _end_slowest(self, guests: Iterable[Guest], before: float) -> bool:
        """Evict a connection without progress since ``before``, if there is one."""
        times = ((guest, guest.since) for guest in guests)  # once, as other threads change it meanwhile
        slow = {guest: since for guest, since in times if since is not None and since <= before}
        if not slow:
            return False
        ((most_of, _),) = Counter(guest.ip for guest in slow).most_common(1)
        slowest = min((guest for guest in slow if guest.ip == most_of), key=slow.__getitem__)
        self._guests.pop(slowest, None)
        event(LOG, "rest.evicted", level=logging.WARNING, address=slowest.ip)
        _hang_up(slowest)
        return True


def _hang_up(guest: Guest) -> None:
    """Its hub thread finds the connection dead, and closes it."""
    with suppress(OSError):
        guest.client.shutdown(socket.SHUT_RDWR)
