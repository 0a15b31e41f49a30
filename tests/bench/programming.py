"""How fast a bridge gets 50,000 flows, how fast they are found to be right, and whether it needs so many."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial

from flows.compile import compile_bridge
from sdnapp.net.model import Overlay
from sdnapp.net.project import project
from sdnapp.net.speaking import dialect
from sdnapp.net.state import BridgeFound, State, step
from tests.bench import bridges
from tests.bench.bridges import Fleet, Line
from tests.bench.figure import Figure, absolute, interleaved, within

HOSTS, NETWORKS, PORTS = 5, 100, 125
"""Each other host has so many ports in each network: nearly all flows of the first one are about them."""

FIXED, PER_NETWORK, PER_PORT, PER_LOCATION = 15, 12, 5, 1
"""Flows that a bridge may need."""


def figures(rounds: int) -> Iterator[Figure]:
    """Compare with what ovs-ofctl takes for the same flows on the same bridge."""
    ports = [(host, network) for network in range(NETWORKS) for host in range(HOSTS)]
    ports += [at for at in ports if at[0] for _ in range(PORTS - 1)]
    with bridges.fleet(bridges.text(HOSTS, NETWORKS, ports), switches=1) as fleet:
        name = bridges.host(0)
        fleet.build([name])
        fleet.start()
        (line,) = [line for line in fleet.in_sync(1) if line.event == "bridge.in_sync"]
        flows = line.fields["flows"]
        written = fleet.controller.file.with_suffix(".flows")
        written.write_text("\n".join(fleet.ovs(name).flows(name)))
        added = interleaved(partial(_program, fleet), partial(_add, fleet, written.name), rounds)
        yield within(f"program {flows:,} flows on an empty bridge", added, "s", times=1.5)
        fleet.employ(name, controlled=True)
        fleet.in_sync(1)
        checked = interleaved(partial(_check, fleet), partial(_dump, fleet), rounds)
        yield within(f"find {flows:,} flows to be right", checked, "s", times=1.5)
        yield absolute("flows on that bridge, of those it may need", [excess(fleet.overlay)], "", at_most=1)


def _program(fleet: Fleet) -> float:
    """Return how long the controller takes, from the bridge's handshake to its last barrier."""
    name = bridges.host(0)
    _empty(fleet)
    fleet.news()
    fleet.employ(name, controlled=True)
    return _seconds(fleet.in_sync(1), "bridge.up", "bridge.in_sync")


def _add(fleet: Fleet, written: str) -> float:
    """Return how long ovs-ofctl takes."""
    _empty(fleet)
    return _timed(lambda: _ofctl(fleet, "--bundle", "add-flows", written))


def _check(fleet: Fleet) -> float:
    """Return how long a controller that was restarted takes to find that there is nothing to do."""
    fleet.kill()
    fleet.news()
    fleet.start()
    lines = fleet.in_sync(1)
    assert not any(line.event == "bridge.programmed" for line in lines), "it had something to send"
    return _seconds(lines, "bridge.up", "bridge.in_sync")


def _dump(fleet: Fleet) -> float:
    return _timed(lambda: _ofctl(fleet, "dump-flows"))


def _empty(fleet: Fleet) -> None:
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


def _seconds(lines: list[Line], first: str, last: str) -> float:
    began = next(line.at for line in lines if line.event == first)
    return max(line.at for line in lines if line.event == last) - began


def excess(overlay: Overlay) -> float:
    """Return the flows of the first host's bridge, as a part of those that it may need at most."""
    state = State.of(overlay)
    host = overlay.hosts[bridges.host(0)]
    numbers = {port.interface: port.ofport for port in host.ports}
    numbers |= {tunnel.interface: tunnel.ofport for tunnel in host.tunnels}
    state = step(state, BridgeFound(host.name, numbers))
    view = project(state, host.name, dialect(state, host.name))
    remote = sum(len(at.macs) for network in view.networks for at in network.locations if at.remote)
    may = FIXED + PER_NETWORK * len(view.networks) + PER_PORT * len(host.ports) + PER_LOCATION * remote
    return len(compile_bridge(view).flows) / may
