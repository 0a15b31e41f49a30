"""A hundred thousand frames that nobody should send, on real hosts."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from random import Random

from sdnapp.lab import services
from tests.fuzz import frames
from tests.netns.conftest import Running, until
from tests.netns.raw import device
from tests.netns.wire import Outer, send_encapsulated

COUNT, TUNNELLED, BURST = 100_000, 2_000, 250

FILE = """
overlay: {mtu: 1500}  # more than the underlay carries
controller: {target: "tcp:192.168.4.10:6653"}
tenants:
  red:  {networks: {web: {vni: 5010, vlan: 10, subnet: [10.1.1.0/24, "fd00:1::/64"], dhcp: true}}}
  blue: {networks: {web: {vni: 5020, vlan: 10, subnet: [10.1.1.0/24, "fd00:1::/64"], dhcp: true}}}
hosts:
  host1: {vtep: 192.168.4.201}
  host2: {vtep: 192.168.4.202}
ports:
  red1:  {host: host1, network: red/web,  address: [10.1.1.1, "fd00:1::1"], mac: "02:00:00:00:00:01"}
  red2:  {host: host2, network: red/web,  address: [10.1.1.2, "fd00:1::2"], mac: "02:00:00:00:00:02"}
  blue1: {host: host1, network: blue/web, address: [10.1.1.1, "fd00:1::1"], mac: "02:00:00:00:00:01"}
  blue2: {host: host2, network: blue/web, address: [10.1.1.2, "fd00:1::2"], mac: "02:00:00:00:00:02"}
"""
STATIONS = ("02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:03")


def test_they_reach_no_other_tenant_and_harm_neither_controller_nor_bridges(
    bring_up: Callable[..., Running],
) -> None:
    running = bring_up(FILE)
    running.settled()
    for port in ("red1", "red2"):  # what they are told of routers and neighbours is not to last
        running.run(port, "sysctl", "-qw", "net.ipv6.conf.all.accept_ra=0", "net.ipv6.conf.eth0.accept_ra=0")
    sent: set[bytes] = set()
    reached = 0
    with taps(running, "blue1", "blue2") as seen, taps(running, "red2") as arrived, ExitStack() as stack:
        out = stack.enter_context(device(running, "red1"))
        out.setblocking(True)
        before = received(running, "host1", "red1")
        for number, frame in enumerate(frames(7, COUNT + COUNT // 10, STATIONS, ("10.1.1.1", "10.1.1.2"))):
            data = frame[:1514]
            sent |= {data[12:], data[16:]}  # with its tag, and with that taken off by the kernel
            out.send(data)
            if number % BURST == 0:
                assert not sent & seen()
                reached += len(sent & arrived())
                time.sleep(0.01)
        _tunnelled(running, sent)
        assert not sent & seen()
        until(lambda: received(running, "host1", "red1") - before >= COUNT)

    assert reached > COUNT // 100  # many are sound enough to be delivered where they belong
    running.settled(patience=30)
    assert "failed" not in _log(running)
    for port in ("red1", "red2"):
        running.run(port, "ip", "neigh", "flush", "all")
    assert running.broken() == {}
    said = running.get("/v1/networks/red/web")["service_counters"]
    assert sum(said.values()) > 0


def _tunnelled(running: Running, sent: set[bytes]) -> None:
    """The same from the other host, with keys of ours and others."""
    host1, host2 = (running.overlay.hosts[name].vtep for name in ("host1", "host2"))
    random = Random(8)
    for frame in frames(9, TUNNELLED, STATIONS, ("10.1.1.1", "10.1.1.2")):
        inner = frame[:1400]
        key = random.choice((5010, 5010, 0, 1, 5011, 2**24 - 1))
        sent.add(inner[12:])
        send_encapsulated(running.lab.hosts["host2"], host2, host1, Outer("vxlan", key, inner))


@contextmanager
def taps(running: Running, *ports: str) -> Iterator[Callable[[], set[bytes]]]:
    """What these ports have received since the last time, without the MAC addresses."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(device(running, port)) for port in ports]

        def seen() -> set[bytes]:
            found: set[bytes] = set()
            for each in sockets:
                while True:
                    try:
                        data, origin = each.recvfrom(4096)
                    except BlockingIOError:
                        break
                    if origin[2] != socket.PACKET_OUTGOING:
                        found.add(data[12:])
            return found

        yield seen


def received(running: Running, host: str, interface: str) -> int:
    return int(running.run(host, "ovs-vsctl", "get", "interface", interface, "statistics:rx_packets"))


def _log(running: Running) -> str:
    return running.lab.log(services.CONTROLLER, services.CONTROLLER).read_text()
