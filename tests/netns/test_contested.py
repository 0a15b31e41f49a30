"""A second bridge has the datapath id of a host's, comes from the same address, and says it holds nothing."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

import pytest

from sdnapp.frames.packet import octets
from sdnapp.lab import services
from sdnapp.lab.machine import entered
from tests.netns.conftest import Running, until
from tests.netns.raw import Wires, received, wires
from tests.netns.test_loss import Witness, starved
from tests.overlays import numbers
from tests.ovs.rogue import Rogue

pytestmark = pytest.mark.alone

TEXT = """
overlay: {encapsulation: vxlan, mtu: 1400, mac_age: 300}
controller: {target: "tcp:192.168.4.10:6653"}
tenants:
  red: {networks: {web: {vlan: 10, vni: 5010, subnet: 10.1.1.0/24, unknown_unicast: drop}}}
hosts:
  host1: {vtep: 192.168.4.201}
  host2: {vtep: 192.168.4.202}
ports:
  red1: {host: host1, network: red/web, address: 10.1.1.1/24, port_security: false}
  red2: {host: host2, network: red/web, address: 10.1.1.2/24, port_security: false}
"""
"""A frame to a station whose location was removed is lost: it is not flooded."""
STATIONS = {"red1": octets("02:aa:00:00:00:01"), "red2": octets("02:aa:00:00:00:02")}
"""A MAC behind each port, which the file does not have."""
OTHER = {"red1": "red2", "red2": "red1"}
PACE, LINGER = 0.002, 0.5
"""Seconds between two frames of a station, and in which the last one has arrived."""


class Exchange:
    """The two stations send numbered frames to each other."""

    def __init__(self, at: Wires) -> None:
        self._at = at
        self._sent = 0
        self._came = dict.fromkeys(STATIONS, 0)
        self._ending = threading.Event()

    @property
    def lost(self) -> int:
        """How many frames did not arrive, in both directions."""
        return 2 * self._sent - sum(self._came.values())

    @contextmanager
    def going(self) -> Iterator[None]:
        """Send meanwhile; in the end, all that is on its way arrives."""
        for wire in self._at.sockets.values():
            wire.setblocking(False)
        thread = threading.Thread(target=self._go, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ending.set()
            thread.join()

    def _go(self) -> None:
        while not self._ending.wait(PACE):
            for port, other in OTHER.items():
                head = STATIONS[other] + STATIONS[port] + b"\x88\xb5counted"
                self._at.send(port, head + self._sent.to_bytes(4, "big") + bytes(32))
            self._sent += 1
            self._take()
        until = time.monotonic() + LINGER
        while time.monotonic() < until:
            time.sleep(PACE)
            self._take()

    def _take(self) -> None:
        for port, other in OTHER.items():
            head = STATIONS[port] + STATIONS[other] + b"\x88\xb5counted"
            with suppress(BlockingIOError):
                while True:
                    self._came[port] += received(self._at.sockets[port]).startswith(head)


@pytest.fixture(scope="module")
def running(bring_up: Callable[..., Running]) -> Running:
    """A lab that has learned both stations."""
    running = bring_up(TEXT)
    running.settled()
    with wires(running) as at:
        for port, mac in STATIONS.items():
            at.send(port, b"\xff" * 6 + mac + b"\x88\xb5" + bytes(46))
    until(lambda: len(learned(running)) == len(STATIONS))
    running.settled()
    running.followed()
    return running


def learned(running: Running) -> dict[str, str]:
    """By MAC, the port where it was learned."""
    return {each["mac"]: each["port"] for each in running.get("/v1/locations") if each["kind"] == "learned"}


@contextmanager
def second(running: Running, ports: Mapping[str, int]) -> Iterator[None]:
    """Another bridge with the datapath id of host1, from the same address, with these ports and no flows."""
    host = running.overlay.hosts["host1"]
    address = running.lab.targets[host.name].split(":")[1]
    with entered(running.lab.hosts[host.name]):
        rogue = Rogue((address, services.OPENFLOW_PORT), host.datapath_id, ports)
    thread = threading.Thread(target=rogue.play, daemon=True)
    thread.start()
    try:
        yield
    finally:
        rogue.close()
        thread.join()


def reads(seen: Witness) -> list[int]:
    """How many flows the bridge of host1 had, each time that it was read."""
    return [int(n) for line in seen.said for n in re.findall(r"bridge\.read host=host1 flows=(\d+)", line)]


@pytest.mark.parametrize("ports", ["same ports", "no ports"])
def test_a_read_back_of_nothing_removes_no_location(running: Running, ports: str) -> None:
    host, before = running.overlay.hosts["host1"], learned(running)
    assert len(before) == len(STATIONS)
    with wires(running) as at:
        exchange, seen, dropped = Exchange(at), Witness(running), starved(running)
        with exchange.going():
            for times in (1, 2, 3):
                while reads(seen).count(0) < times:  # the true bridge may be back before it is read
                    with second(running, numbers(host) if ports == "same ports" else {}):
                        time.sleep(0.5)
                        assert learned(running) == before
            until(lambda: reads(seen)[-1] > 0, 30)  # the true bridge
            running.settled()
        print(*seen.said, exchange.lost, sep="\n")

    assert exchange.lost - (starved(running) - dropped) <= 0
    assert learned(running) == before
