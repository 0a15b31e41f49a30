"""Draining of ports: they are removed when no flow of their bridge uses them any more.

The controller moves traffic from the old port to a new one, here or on another host, and goes on hearing
through the old one until every bridge has confirmed the new way. Its flows tell when that is over.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from operator import attrgetter

from sdnapp.provision.flow_usage import Unanswered, used
from sdnapp.provision.ovsdb import Database
from sdnapp.provision.world import Port

PATIENCE = 3.0
"""Seconds after which a workload is removed although flows still use its port."""

_FIRST, _LONGEST = 0.1, 0.5
"""Seconds between looks at the flows: they double."""


def in_use(ports: Iterable[Port], database: Database) -> tuple[frozenset[Port], list[str]]:
    """Ports in use by flows, or of bridges that do not answer; and messages about these."""
    found: set[Port] = set()
    silence = []
    for bridge, group in groupby(sorted(ports, key=attrgetter("bridge")), key=attrgetter("bridge")):
        numbers = database.numbers(bridge)
        there = {port.name: port for port in group if port.name in numbers}
        if not there:
            continue
        try:
            names = used(database.management(bridge), {name: numbers[name] for name in there})
        except Unanswered as error:
            silence.append(f"bridge {bridge} does not say what its flows use: {error}")
            names = frozenset(there)
        found.update(there[name] for name in names)
    return frozenset(found), silence


def words(ports: Iterable[Port]) -> list[str]:
    """Message for ports that are draining."""
    return sorted(f"{'tunnel' if p.type else 'port'} {p.name} stays until no flow uses it" for p in ports)


def overdue(since: Mapping[Port, float], now: float) -> frozenset[Port]:
    """Ports that have been draining for too long; tunnels have no limit."""
    return frozenset(port for port, then in since.items() if not port.type and now - then >= PATIENCE)


def pauses() -> Iterator[float]:
    """Say how long to wait before each look at the flows."""
    pause = _FIRST
    while True:
        yield pause
        pause = min(2 * pause, _LONGEST)
