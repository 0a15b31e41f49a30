"""Many bridges, ports and networks under one controller: from nothing, and when one port is added."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import quantiles

from tests.bench import bridges
from tests.bench.bridges import Fleet, Line
from tests.bench.figure import Curve, Effort, Figure, absolute, plain

NETWORKS, QUICK_NETWORKS = (1, 10, 100, 1000, 4000), (1000,)
HOSTS, TRUNK = 4, 10
"""Each host has all networks, so many on a trunk: with thousands of ports Open vSwitch takes minutes."""

BRIDGES, QUICK_BRIDGES = (1, 10, 20, 50, 100, 200), (40,)
"""How many, in racks of up to 20 that have 50 networks in common."""

PER_BRIDGE, IN_ALL = 0.1, 500
"""Seconds that each of most bridges may take, 200 within 20 s, and MB that all of them may."""

RACK, SHARED = 20, 50
SWITCHES = 10
"""Open vSwitches that many bridges share."""

CHANGES, QUICK_CHANGES = 100, 3
"""Ports that are added."""
CHANGED, QUICK_CHANGED = 100, 40
"""Bridges of the network that they are added to, with ``EACH`` ports there before."""
EACH = 10
PRIORITY = -10
"""Of the controller, as its unit in README has it: what shares two processors with it here, a hundred Open
vSwitches that all have something to do at once, is elsewhere where there are as many."""
ASKED, QUIET = 5, 0.3
"""Ports that appear as the file has them, and seconds after which nothing more is to come."""


@dataclass(frozen=True, slots=True)
class Start:
    """Seconds from the start of the controller until all is in force, and its memory in MB."""

    seconds: float
    megabytes: float


def figures(effort: Effort) -> Iterator[Figure | Curve]:
    """Let all bridges dial a controller that has just started; then change one thing at a time."""
    yield _networks(effort)
    yield from _bridges(effort)
    yield from _one_port(*((QUICK_CHANGED, QUICK_CHANGES) if effort.quick else (CHANGED, CHANGES)))


def _networks(effort: Effort) -> Curve:
    points = {}
    for networks in QUICK_NETWORKS if effort.quick else NETWORKS:
        rounds = effort.few if networks == 1000 else 1
        carried = [range(first, min(first + TRUNK, networks)) for first in range(0, networks, TRUNK)]
        text = bridges.text(HOSTS, networks, [], [(host, some) for host in range(HOSTS) for some in carried])
        seconds = [_from_nothing(text, switches=HOSTS).seconds for _ in range(rounds)]
        name = f"{networks:,} networks on {HOSTS} hosts, from nothing"
        points[networks] = (
            absolute(name, seconds, "s", at_most=5) if networks == 1000 else plain(name, seconds, "s")
        )
    return Curve(
        "networks", f"{HOSTS} hosts, from nothing until all flows are in force", "networks", "time", points
    )


def _bridges(effort: Effort) -> Iterator[Curve]:
    seconds, memory = {}, {}
    sizes = QUICK_BRIDGES if effort.quick else BRIDGES
    for hosts in sizes:
        rack, most = min(hosts, RACK), hosts == max(sizes)
        networks = -(-hosts // rack) * SHARED
        ports = [(host, host // rack * SHARED + n) for host in range(hosts) for n in range(SHARED)]
        text, switches = bridges.text(hosts, networks, ports), min(hosts, SWITCHES)
        starts = [_from_nothing(text, switches) for _ in range(effort.few if most else 1)]
        name = f"{hosts} bridges, {hosts * SHARED:,} ports, {networks} networks, from nothing"
        took, held = [start.seconds for start in starts], [start.megabytes for start in starts]
        seconds[hosts] = (
            absolute(name, took, "s", at_most=PER_BRIDGE * hosts) if most else plain(name, took, "s")
        )
        name = f"{name}: memory"
        memory[hosts] = absolute(name, held, "MB", at_most=IN_ALL) if most else plain(name, held, "MB")
    yield Curve(
        "bridges",
        f"bridges with {SHARED} ports each, from nothing until all flows are in force",
        "bridges",
        "time",
        seconds,
    )
    yield Curve("bridges", "memory of the controller", "bridges", "memory", memory)


def _from_nothing(text: str, switches: int) -> Start:
    """Start the controller when all bridges are there."""
    with bridges.fleet(text, switches) as fleet:
        fleet.build()
        began = fleet.start()
        lines = fleet.in_sync(len(fleet.overlay.hosts))
        return Start(max(line.at for line in lines) - began, fleet.memory())


def _one_port(hosts: int, changes: int) -> Iterator[Figure]:
    """Add ports to a network on all bridges: by their appearance, and by the file."""
    ports = [(number % hosts, 0) for number in range(hosts * EACH)]
    more = [(number % hosts, 0) for number in range(ASKED + changes)]
    late = [f"p{number}" for number in range(len(ports), len(ports) + len(more))]
    text = bridges.text(hosts, 1, ports + more)
    with bridges.fleet(text, SWITCHES) as fleet:
        fleet.start()
        fleet.prefer(PRIORITY)
        fleet.build(without=frozenset(late))
        fleet.in_sync(hosts)
        of, where = f"p99 of {changes}", f"{len(ports):,} ports on {hosts} bridges"
        mods = [_appear_as_asked(fleet, name) for name in late[:ASKED]]
        yield absolute(f"a port of the file appears, {where}: flow-mods", [max(mods)], "", at_most=0)
        appeared = [_appear(fleet, name) for name in late[ASKED:]]
        name = f"a port appears under a number of its own, {where}"
        yield absolute(f"{name}: in force, {of}", [_p99(appeared)], "ms", at_most=100)
        extra = [bridges.port(9000 + number, number % hosts, 0) for number in range(changes)]
        texts = ["\n".join([text, *extra[: n + 1], ""]) for n in range(changes)]
        written = [_write(fleet, text) for text in texts]
        name = f"a port is added to the file, {where}"
        everywhere = [_p99([s for s, _ in written])]
        yield absolute(f"{name}: in force everywhere, {of}", everywhere, "ms", at_most=100)
        yield absolute(f"{name}: flow-mods a bridge", [max(n for _, n in written)], "", at_most=1)


def _appear_as_asked(fleet: Fleet, name: str) -> int:
    """Let a port appear under the number that the file gives it; return the flow-mods that followed."""
    port = fleet.overlay.ports[name]
    fleet.news()
    fleet.plug(port.host, port.interface, port.ofport)
    return sum(map(_flow_mods, _programmed(fleet.quiet("port.added", QUIET))))


def _appear(fleet: Fleet, name: str) -> float:
    """Return the milliseconds from the bridge's word of it to its last barrier."""
    port = fleet.overlay.ports[name]
    fleet.news()
    fleet.plug(port.host, port.interface)
    lines = fleet.watch(lambda seen: bool(_programmed(seen)), f"no {name}")
    began = next(line.at for line in lines if line.event == "port.added")
    return (_programmed(lines)[-1].at - began) * 1000


def _write(fleet: Fleet, text: str) -> tuple[float, int]:
    """Return the milliseconds from the file to the last barrier, and the flow-mods of bridges not its own."""
    time.sleep(QUIET)
    fleet.news()
    began = time.time()
    fleet.controller.write(text)
    lines = fleet.watch(lambda seen: len(_programmed(seen)) >= len(fleet.overlay.hosts), "not everywhere")
    done = _programmed(lines)
    return (done[-1].at - began) * 1000, sorted(map(_flow_mods, done))[-2]


def _programmed(lines: list[Line]) -> list[Line]:
    return [line for line in lines if line.event == "bridge.programmed"]


def _flow_mods(line: Line) -> int:
    return int(line.fields["added"]) + int(line.fields["deleted"])


def _p99(samples: list[float]) -> float:
    return quantiles(samples, n=100, method="inclusive")[98]
