"""Ports that appear, one or hundreds, and restarts while they are there: beside hosts by hand, and OVN."""

from __future__ import annotations

import os
import select
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

from sdnapp.lab import echo
from sdnapp.lab.errors import LabError
from sdnapp.lab.machine import entered
from sdnapp.lab.packet_loss import Count
from sdnapp.lab.stream import streaming
from tests.bench import by_hand, ground, hosts, ovn, traffic
from tests.bench.figure import (
    Effort,
    Figure,
    absolute,
    as_good,
    by_turns,
    interleaved,
    no_later,
    plain,
    within,
)
from tests.bench.flow_count import flow_count
from tests.bench.ovn import Ovn
from tests.bench.sides import FAR, LATE, MTU, NEAR, ByHand, Ours, Side, text

OVN = ", OVN beside it"

FEW, MANY, ALL = 0, 500, 1000
"""Ports that nothing is behind."""

FEW_OF_OVN = 3
"""Rounds of what takes OVN half a minute."""

EVERY = 0.001
"""Seconds between the pings that a new port does not answer yet."""

PATIENCE, QUIET, TICK = 120.0, 1.0, 0.01
"""Seconds: until something has gone wrong; without a change until it is over; between two looks."""

CLEAR_LATER = 8000
"""Milliseconds that ovn-controller keeps the flows that it finds, where it is told to."""


def figures(effort: Effort) -> Iterator[Figure]:
    """Do the same to two hosts under sdnapp and to two by hand."""
    with ExitStack() as ends:
        ours, bare = _ground(ends)
        yield from _measure(effort, ours, bare, None)


def beside_ovn(effort: Effort) -> Iterator[Figure]:
    """Do the same to two hosts under OVN, too; without OVN, raise LabError when the others are done."""
    try:
        ovn.require()
    except LabError:
        yield from figures(effort)
        raise
    effort = replace(effort, few=min(effort.few, FEW_OF_OVN))
    with ExitStack() as ends:
        ours, bare = _ground(ends)
        peer = Ovn(ends.enter_context(hosts.like(ours.lab, f"{ours.lab.name}-ovn", MTU)), ours.lab)
        yield from _traffic(effort, ours, peer)
        yield from _measure(effort, ours, bare, peer)


def _ground(ends: ExitStack) -> tuple[Ours, ByHand]:
    directory = Path(ends.enter_context(tempfile.TemporaryDirectory()))
    lab = ends.enter_context(ground.laboratory(directory / "overlay.yaml", text(FEW)))
    like = ends.enter_context(hosts.like(lab, by_hand.name_of(lab), MTU))
    by_hand.bridge(like, lab)
    return Ours(lab), ByHand(like)


def _traffic(effort: Effort, ours: Ours, peer: Ovn) -> Iterator[Figure]:
    our, their = (ground.reaching(ground.Pair(s.workload(NEAR), s.workload(FAR))) for s in (ours, peer))
    trip, rate = traffic.round_trip, traffic.rate
    trips = interleaved(partial(trip, our), partial(trip, their), effort.rounds * traffic.BURSTS)
    yield as_good(f"round-trip time, Geneve{OVN}", trips, "ms", at_least=0.95, less_is_better=True)
    rates = interleaved(partial(rate, our), partial(rate, their), effort.rounds * traffic.TRANSFERS)
    yield as_good(f"TCP throughput, Geneve{OVN}", rates, "Gbit/s", at_least=0.95)


def _measure(effort: Effort, ours: Ours, bare: ByHand, peer: Ovn | None) -> Iterator[Figure]:
    """Begin with two ports: the more there are, the longer a peer takes to get rid of them again."""
    sides: list[Side] = [ours, *([peer] if peer else [])]
    yield from _first_pings(effort, ours, bare, peer)
    if not effort.quick:
        yield from _switch_restarts(effort, ours, bare, peer)
    yield from _bulk(effort, MANY, sides)
    bare.fill(MANY)
    yield from _switch_restarts(effort, ours, bare, peer)
    yield from _controller_restarts(effort, ours, peer)
    if not effort.quick:
        yield from _bulk(effort, ALL, sides)
    bare.fill(ours.present)
    sides.insert(1, bare)
    rounds = effort.rounds if effort.quick else _appearances(effort)
    among, by_hand_, *others = by_turns([partial(_appear, s) for s in sides], rounds)
    name = f"a port of the file appears among {ours.present:,}, until its first ping"
    yield plain(f"{name}, standalone bridges beside it", among, "ms", by_hand_)
    yield from (plain(f"{name}{OVN}", among, "ms", other) for other in others)
    ours.fill(FEW)
    bare.fill(FEW)  # now: a machine is not as fast at all times
    few, by_hand_few = by_turns([partial(_appear, s) for s in (ours, bare)], rounds)
    yield within(f"{name}, beside that without them", (among, few), "ms", times=1.5)
    yield plain(f"{name}, beside that without them: standalone bridges", by_hand_, "ms", by_hand_few)


def _first_pings(effort: Effort, ours: Ours, bare: ByHand, peer: Ovn | None) -> Iterator[Figure]:
    sides: list[Side] = [ours, bare, *([peer] if peer else [])]
    few, by_hand_, *others = by_turns([partial(_appear, s) for s in sides], _appearances(effort))
    name = "a port of the file appears, until its first ping"
    yield within(f"{name}, standalone bridges beside it", (few, by_hand_), "ms", times=1.3)
    yield from (within(f"{name}{OVN}", (few, other), "ms", times=1) for other in others)


def _bulk(effort: Effort, ports: int, sides: list[Side]) -> Iterator[Figure]:
    """Let ports appear that nobody knew before: in the file, or OVN's database, and in Open vSwitch."""
    found = by_turns([partial(_fill, side, ports) for side in sides], effort.few)
    (times, busy), *others = [list(zip(*samples, strict=True)) for samples in found]
    name = f"{ports:,} new ports on two hosts"
    if not others:
        yield plain(f"{name}, until all is in force", times, "s")
        yield plain(f"{name}, processor time", busy, "s")
    for theirs, their_busy in others:
        yield within(f"{name}, until all is in force{OVN}", (times, theirs), "s", times=0.25)
        yield within(f"{name}, processor time{OVN}", (busy, their_busy), "s", times=0.25)


def _switch_restarts(effort: Effort, ours: Ours, bare: ByHand, peer: Ovn | None) -> Iterator[Figure]:
    """Kill ovs-vswitchd of a host; a packet that is lost for long shows for how long."""
    sides: list[Side] = [ours, bare, *([peer] if peer else [])]
    outage, by_hand_, *others = by_turns([partial(_outage, side) for side in sides], effort.few)
    name = f"ovs-vswitchd killed and started, {2 + ours.present} ports, outage"
    yield no_later(f"{name}, standalone bridges beside it", (outage, by_hand_), "ms", by=100)
    yield from (plain(f"{name}{OVN}", outage, "ms", other) for other in others)


def _controller_restarts(effort: Effort, ours: Ours, peer: Ovn | None) -> Iterator[Figure]:
    name = f"controller killed and started, {2 + ours.present} ports, packets lost"
    lost = [_lost(ours, ours.restart_controller) for _ in range(effort.few)]
    yield absolute(name, lost, "", at_most=0)
    if peer:
        yield plain(f"{name}{OVN}", lost, "", [_lost(peer, peer.restart_controllers) for _ in lost])
        peer.wait_before_clear(CLEAR_LATER)
        waiting = [_lost(peer, peer.restart_controllers) for _ in lost]
        peer.wait_before_clear(None)
        yield plain(f"{name}{OVN}, which waits before it clears", lost, "", waiting)


def _appearances(effort: Effort) -> int:
    """Return how often a port appears: the first ping after it is soon there, but not always as soon."""
    return effort.rounds * (2 if effort.quick else 4)


def _appear(side: Side) -> float:
    """Let LATE appear on one host; return the milliseconds until it answers the other. Then it goes again."""
    far, run = side.workload(FAR), os.urandom(8)
    with ExitStack() as ends:
        with entered(far.machine, far.namespace):
            asking = ends.enter_context(socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP))
        asking.connect((side.workload(LATE).address, 0))
        ends.callback(side.until_settled)
        ends.callback(side.unplug)
        if _answered(asking, run, 0, QUIET / 4):
            raise LabError(f"{LATE} of {side.name} answers before it is there")
        began = time.monotonic()
        ends.callback(side.plug().wait)
        for number in range(1, int(ground.PATIENCE / EVERY)):
            if _answered(asking, run, number, began + EVERY * number - time.monotonic()):
                return (time.monotonic() - began) * 1000
    raise LabError(f"{LATE} of {side.name} does not answer")


def _answered(asking: socket.socket, run: bytes, number: int, patience: float) -> bool:
    """Send one echo request; return whether one is answered within the patience, in seconds."""
    asking.send(echo.request(4, run, number))
    return bool(select.select([asking], [], [], max(0.0, patience))[0])


def _fill(side: Side, ports: int) -> tuple[float, float]:
    """Begin without the ports; return the seconds until the last flow is there, and those of processors."""
    side.fill(FEW)
    side.until_settled()
    with ExitStack() as ends:
        counts = [
            ends.enter_context(flow_count(side.lab.home(host) / "openvswitch/br-int.mgmt"))
            for host in side.lab.hosts
        ]
        last = [count() for count in counts]
        busy = side.busy()
        began = changed = time.monotonic()
        side.fill(ports)
        while time.monotonic() < changed + QUIET or not side.settled():
            now = [count() for count in counts]
            if now != last:
                last, changed = now, time.monotonic()
            if changed > began + PATIENCE:
                raise LabError(f"{side.name} does not come to rest with {ports} ports")
            time.sleep(TICK)
        return changed - began, side.busy() - busy


def _outage(side: Side) -> float:
    """Return the milliseconds in which nothing came through, in the worse direction."""
    return max(count.gap_ms for count in _disturbed(side, partial(side.restart_switch, "host1")))


def _lost(side: Side, act: Callable[[], None]) -> float:
    return sum(count.lost for count in _disturbed(side, act))


def _disturbed(side: Side, act: Callable[[], None]) -> tuple[Count, ...]:
    """Count 1,000 packets a second in each direction while something happens to the hosts."""
    with streaming(side.lab, [(NEAR, FAR), (FAR, NEAR)]) as stream:
        time.sleep(QUIET / 4)
        act()
        time.sleep(side.recovery)
    side.until_settled()
    return stream.counts()
