"""How fast a bridge gets up to 100,000 flows, or has them found to be right, and who waits meanwhile."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from tests.bench import bridges
from tests.bench.bridges import Fleet, Line
from tests.bench.figure import Curve, Effort, Figure, absolute, interleaved, plain, within
from tests.bench.pulse import pulse

HOSTS, PORTS = 5, 125
"""Each other host has so many ports in each network: nearly all flows of the first one are about them."""

BARRED = 100
"""Networks where the bridge has 50,000 flows: what is promised is promised for these."""

SIZES, QUICK_SIZES = (2, 4, 10, 20, 40, BARRED, 200), (20,)
"""Networks, of 500 flows each. A quick run measures what is promised with the most that it has."""

Sides = tuple[list[float], list[float]]


@dataclass(frozen=True, slots=True)
class Found:
    """What was measured of one size.

    Seconds by round of ours and of ovs-ofctl; how long another bridge waited at most, in milliseconds; the
    controller's memory in MB.
    """

    flows: int
    programmed: Sides
    checked: Sides
    waits: tuple[float, float]
    memory: float


def figures(effort: Effort) -> Iterator[Figure | Curve]:
    """Compare with what ovs-ofctl takes for the same flows on the same bridge."""
    sizes = QUICK_SIZES if effort.quick else SIZES
    ports = [(host, network) for network in range(max(sizes)) for host in range(HOSTS)]
    with bridges.fleet(bridges.text(HOSTS, max(sizes), ports), switches=1) as fleet:
        fleet.build([bridges.host(0)])
        barred = min(BARRED, max(sizes))
        rounds = dict.fromkeys(sizes, min(effort.few, 3)) | {barred: effort.rounds}
        found = {size: _measure(fleet, size, rounds[size]) for size in sizes}
    yield from _curves({one.flows: one for one in found.values()}, found[barred].flows, effort)


def _curves(found: dict[int, Found], barred: int, effort: Effort) -> Iterator[Figure | Curve]:
    """Show both ways side by side, and that each flow of many costs as much as each of few."""
    most = max(found)
    few = min(found, key=lambda flows: abs(flows - most / 10))
    ways: dict[str, tuple[str, Callable[[Found], Sides]]] = {
        "program an empty bridge": ("ovs-ofctl --bundle add-flows", lambda one: one.programmed),
        "find all flows to be right": ("ovs-ofctl dump-flows", lambda one: one.checked),
    }
    for number, (name, (reference, samples)) in enumerate(ways.items()):
        points, waits = {}, {}
        for flows, one in found.items():
            label, wait = f"{name}: {flows:,} flows", one.waits[number]
            ours, theirs = samples(one)
            longest = f"{label}: longest wait of another bridge for an echo"
            if flows == barred:
                points[flows] = within(label, (ours, theirs), "s", times=1.5)
                waits[flows] = absolute(longest, [wait], "ms", at_most=50)
            else:
                points[flows] = plain(label, ours, "s", theirs)
                waits[flows] = plain(longest, [wait], "ms")
        curve = Curve("flows", name, "flows", "time", points, reference)
        yield curve
        if not effort.quick:
            yield curve.each(few, most, times=1.5)
        yield Curve("waits", f"another bridge's longest wait: {name}", "flows", "wait", waits)
    memory = {flows: plain(f"memory: {flows:,} flows", [one.memory], "MB") for flows, one in found.items()}
    yield Curve("flows", "memory of the controller", "flows", "memory", memory)


def _measure(fleet: Fleet, networks: int, rounds: int) -> Found:
    """Let the first host's bridge have so many networks, and take the time of each way."""
    name = bridges.host(0)
    fleet.kill()
    fleet.controller.write(text(networks))
    empty(fleet)
    fleet.employ(name, controlled=True)
    lines, wait_programmed = _start(fleet)
    flows = next(int(line.fields["flows"]) for line in lines if line.event == "bridge.in_sync")
    written = fleet.controller.file.with_suffix(".flows")
    written.write_text("\n".join(fleet.ovs(name).flows(name)))
    programmed = interleaved(partial(_program, fleet), partial(_add, fleet, written.name), rounds)
    _program(fleet)  # whoever was the last one
    waits: list[float] = []
    checked = interleaved(partial(_check, fleet, waits), partial(_dump, fleet), rounds)
    return Found(flows, programmed, checked, (wait_programmed, max(waits)), fleet.memory())


def _start(fleet: Fleet) -> tuple[list[Line], float]:
    """Start the controller; return what it says until the bridge is right, and another one's longest wait."""
    fleet.news()
    with pulse(fleet.controller.openflow) as felt:
        fleet.start()
        lines = fleet.in_sync(1)
        return lines, felt.longest(*_span(lines))


def text(networks: int) -> str:
    """Write the file with so many networks."""
    ports = [(host, network) for network in range(networks) for host in range(HOSTS)]
    return bridges.text(HOSTS, networks, ports + [at for at in ports if at[0] for _ in range(PORTS - 1)])


def _program(fleet: Fleet) -> float:
    """Return how long the controller takes, from the bridge's handshake to its last barrier."""
    empty(fleet)
    fleet.news()
    fleet.employ(bridges.host(0), controlled=True)
    began, ended = _span(fleet.in_sync(1))
    return ended - began


def _add(fleet: Fleet, written: str) -> float:
    """Return how long ovs-ofctl takes."""
    empty(fleet)
    return _timed(lambda: _ofctl(fleet, "--bundle", "add-flows", written))


def _check(fleet: Fleet, waits: list[float]) -> float:
    """Return how long a controller that was restarted takes to find that there is nothing to do."""
    fleet.kill()
    lines, longest = _start(fleet)
    waits.append(longest)
    assert not any(line.event == "bridge.programmed" for line in lines), "it had something to send"
    began, ended = _span(lines)
    return ended - began


def _dump(fleet: Fleet) -> float:
    return _timed(lambda: _ofctl(fleet, "dump-flows"))


def empty(fleet: Fleet) -> None:
    """Take the first host's bridge its controller and its flows."""
    name = bridges.host(0)
    fleet.employ(name, controlled=False)
    fleet.ovs(name).ofctl("del-flows", name)
    fleet.await_flows(name, 0)


def _ofctl(fleet: Fleet, *words: str) -> None:
    name = bridges.host(0)
    options = [word for word in words if word.startswith("-")]
    command, *files = (word for word in words if word not in options)
    target = f"unix:{fleet.ovs(name).directory}/{name}.mgmt"
    arguments = ["ovs-ofctl", "-O", "OpenFlow13", *options, command, target, *files]
    home = fleet.controller.file.parent
    subprocess.run(arguments, stdout=subprocess.DEVNULL, cwd=home, check=True)


def _timed(deed: Callable[[], None]) -> float:
    began = time.perf_counter()
    deed()
    return time.perf_counter() - began


def _span(lines: list[Line]) -> tuple[float, float]:
    """Return when the bridge finished its handshake, and when it held what it should."""
    began = next(line.at for line in lines if line.event == "bridge.up")
    return began, max(line.at for line in lines if line.event == "bridge.in_sync")
