"""Many bridges, ports and networks under one controller: from nothing, and when one port is added."""

from __future__ import annotations

import time
from collections.abc import Iterator
from statistics import quantiles

from tests.bench import bridges
from tests.bench.bridges import Fleet, Line
from tests.bench.figure import Figure, absolute

CHANGES = 20
"""Ports that are added in a round."""


def figures(rounds: int) -> Iterator[Figure]:
    """Let all bridges dial a controller that has just started; then change one thing at a time."""
    networks = [_from_nothing(4, 4, 1000, switches=4)[0] for _ in range(rounds)]
    yield absolute("1,000 networks on 4 hosts, from nothing", networks, "s", at_most=5)
    fleets = [_from_nothing(200, 20, 50, switches=10) for _ in range(rounds)]
    name = "200 bridges, 10,000 ports, 500 networks, from nothing"
    yield absolute(name, [seconds for seconds, _ in fleets], "s", at_most=20)
    yield absolute(f"{name}: memory", [megabytes for _, megabytes in fleets], "MB", at_most=500)
    yield from _one_port(rounds * CHANGES)


def _from_nothing(hosts: int, rack: int, networks: int, switches: int) -> tuple[float, float]:
    """Return the seconds from the start of the controller until all is in force, and its memory.

    The hosts of a rack have so many networks in common, each host with one port in each.
    """
    ports = [(host, host // rack * networks + n) for host in range(hosts) for n in range(networks)]
    with bridges.fleet(bridges.text(hosts, hosts // rack * networks, ports), switches) as fleet:
        fleet.build()
        began = fleet.start()
        lines = fleet.in_sync(hosts)
        return max(line.at for line in lines) - began, fleet.memory()


def _one_port(changes: int) -> Iterator[Figure]:
    """Add ports to a network of 1,000 on 100 bridges: by their appearance, and by the file."""
    hosts, ports = 100, [(number % 100, 0) for number in range(1000)]
    more = [(number % hosts, 0) for number in range(changes)]
    late = frozenset(f"p{number}" for number in range(1000, 1000 + changes))
    text = bridges.text(hosts, 1, ports + more)
    with bridges.fleet(text, switches=10) as fleet:
        fleet.build(without=late)
        fleet.start()
        fleet.in_sync(hosts)
        appeared = [_appear(fleet, name) for name in sorted(late)]
        name = "a port of the file appears, 1,000 ports on 100 bridges"
        yield absolute(f"{name}: in force, p99", [_p99([s for s, _ in appeared])], "ms", at_most=100)
        yield absolute(f"{name}: flow-mods", [max(n for _, n in appeared)], "", at_most=6)
        extra = [bridges.port(9000 + number, number % hosts, 0) for number in range(changes)]
        texts = ["\n".join([text, *extra[: n + 1], ""]) for n in range(changes)]
        written = [_write(fleet, text) for text in texts]
        name = "a port is added to the file, 1,000 ports on 100 bridges"
        yield absolute(
            f"{name}: in force everywhere, p99", [_p99([s for s, _, _ in written])], "ms", at_most=100
        )
        yield absolute(f"{name}: of which reading it", [_p99([s for _, s, _ in written])], "ms", at_most=100)
        yield absolute(f"{name}: flow-mods a bridge", [max(n for _, _, n in written)], "", at_most=1)


def _appear(fleet: Fleet, name: str) -> tuple[float, int]:
    """Return the milliseconds from the bridge's word of it to its last barrier, and the flow-mods."""
    port = fleet.overlay.ports[name]
    fleet.news()
    fleet.plug(port.host, port.interface, port.ofport)
    lines = fleet.watch(lambda seen: any(line.event == "bridge.programmed" for line in seen), f"no {name}")
    began = next(line.at for line in lines if line.event == "port.added")
    done = [line for line in lines if line.event == "bridge.programmed"]
    return (done[-1].at - began) * 1000, sum(map(_flow_mods, done))


def _write(fleet: Fleet, text: str) -> tuple[float, float, int]:
    """Return the milliseconds from the file to the last barrier, those until it is read, and flow-mods.

    The port is not on its own bridge yet: all the others are told.
    """
    others = len(fleet.overlay.hosts) - 1
    time.sleep(0.3)
    fleet.news()
    began = time.time()
    fleet.controller.write(text)
    lines = fleet.watch(lambda seen: len(_programmed(seen)) >= others, "not everywhere")
    read = next(line.at for line in lines if line.event == "config.loaded")
    done = _programmed(lines)
    return (done[-1].at - began) * 1000, (read - began) * 1000, max(map(_flow_mods, done))


def _programmed(lines: list[Line]) -> list[Line]:
    return [line for line in lines if line.event == "bridge.programmed"]


def _flow_mods(line: Line) -> int:
    return int(line.fields["added"]) + int(line.fields["deleted"])


def _p99(samples: list[float]) -> float:
    return quantiles(samples, n=100, method="inclusive")[98]
