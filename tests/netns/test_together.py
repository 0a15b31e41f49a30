"""All features at once, on real hosts: what each promises holds beside the others."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from sdnapp.lab import faults
from tests.netns.conftest import Running, until
from tests.netns.frames import arp, frame
from tests.netns.strangers import Strangers
from tests.netns.test_speakers import device, heard
from tests.netns.wire import underlay_tap, watched_ports

FILE = """
overlay: {encapsulation: vxlan, bfd: 300, dscp: inherit, mac_age: 60}
controller: {target: "tcp:192.168.4.10:6653"}
tenants:
  red:
    networks:
      web: {vlan: 10, vni: 5010, subnet: [10.1.1.0/24, "fd00:1::/64"], dhcp: {router: 10.1.1.254}}
      db:  {vlan: 20, vni: 5011, subnet: 10.1.2.0/24, unknown_unicast: drop}
  blue: {networks: {web: {vlan: 10, vni: 5020, subnet: [10.1.1.0/24, "fd00:1::/64"], dhcp: true}}}
hosts:
  host1: {vtep: 192.168.4.201}
  host2: {vtep: 192.168.4.202, encapsulation: {host1: gre}}
  host3: {vtep: 192.168.4.203, encapsulation: {host2: geneve}, underlay_mtu: 1450}
ports:
  red1:  {host: host1, network: red/web, address: [10.1.1.1, "fd00:1::1"], rate: {send: 200M, receive: 200M},
          broadcast_rate: 1000}
  red2:  {host: host2, network: red/web, address: [10.1.1.2, "fd00:1::2"], security: learn}
  red3:  {host: host3, network: red/web, address: [10.1.1.3, "fd00:1::3"], security: learn, max_macs: 8}
  both1: {host: host1, trunk: {red/web: 30, red/db: 40}, address: [10.1.1.4, "fd00:1::4", 10.1.2.4]}
  db2:   {host: host2, network: red/db, address: 10.1.2.2, security: learn}
  db3:   {host: host3, network: red/db, address: 10.1.2.3, rate: {receive: 100M}}
  blue1: {host: host1, network: blue/web, address: [10.1.1.1, "fd00:1::1"]}
  blue3: {host: host3, network: blue/web, address: [10.1.1.3, "fd00:1::3"], may: [router, dhcp-server]}
  vm:    {attach: external, network: red/web, trunk: {red/db: 200}}
peers:
  lab7:  {host: host1, vtep: 192.168.4.77, encapsulation: gre, trunk: {red/web: 10, blue/web: 20}}
  nas:   {host: host2, vtep: 192.168.4.79, encapsulation: vxlan, keys: {red/web: 7010}}
"""
RED = {"red1", "red2", "red3", "both1"}


@pytest.fixture(scope="module")
def net(bring_up: Callable[..., Running]) -> Iterator[Strangers]:
    with ExitStack() as stack:
        net = Strangers(bring_up(FILE), stack)
        ports = {"red7": (10, "10.1.1.7"), "blue7": (20, "10.1.1.7")}
        net.bridge("lab7", "gre", "192.168.4.201", "192.168.4.77", ports)
        net.kernel("nas", "192.168.4.202", "192.168.4.79", {7010: "10.1.1.9"})
        net.lab.settled()
        yield net


def test_every_promise_is_kept(net: Strangers) -> None:
    assert net.lab.broken() == {}
    for source, address in (("red7", "10.1.1.3"), ("vni7010", "10.1.1.7"), ("blue7", "10.1.1.3")):
        assert "1 received" in net.run(source, "ping", "-c", "1", "-W", "2", address)


def test_a_broadcast_comes_out_once(net: Strangers) -> None:
    with watched_ports(net.lab) as ports, net.tap("red7") as red7, net.tap("vni7010") as nas:
        for number, source in enumerate(("red1", "red2", "red3")):
            ports.broadcast_from(source, number)
            assert ports.seen(number) == dict.fromkeys(RED - {source}, 1)
            said = ports.broadcast(source, number)
            assert [count(tap, said[6:]) for tap in (red7, nas)] == [1, 1]


def count(tap: socket.socket, said: bytes) -> int:
    found = 0
    while True:
        try:
            found += said in tap.recv(2048)
        except BlockingIOError:
            return found


def test_nobody_hears_of_the_unknown_where_it_is_dropped(net: Strangers) -> None:
    running = net.lab
    before = dropped(running)
    unknown = frame("02:dd:00:00:00:02", "02:dd:00:00:00:99", 0x88B5, bytes(46))
    db3 = running.overlay.ports["db3"].mac or ""
    known = frame("02:dd:00:00:00:02", db3, 0x88B5, bytes(46))
    with (
        device(running, "db2") as db2,
        device(running, "db3") as there,
        underlay_tap(running, "host2") as seen,
    ):
        for _ in range(5):
            db2.send(unknown)
            db2.send(known)
        got = heard(there)
        carried = [outer.inner for outer in seen()]

    assert (got.count(known), got.count(unknown)) == (5, 0)
    assert (carried.count(known), carried.count(unknown)) == (5, 0)
    until(lambda: dropped(running) >= before + 5)


def dropped(running: Running) -> int:
    """Frames of red/db that host2 flooded nowhere."""
    said = running.get("/v1/hosts/host2/counters")
    wanted = ("dropped", "flood", "red/db")
    return sum(c["frames"] for c in said if (c["what"], c["why"], c["network"]) == wanted)


def test_an_address_that_moves_to_another_station_is_answered_with_the_new_one(net: Strangers) -> None:
    """As with VRRP or keepalived: whoever takes over says so, by a gratuitous ARP."""
    running = net.lab
    virtual = "10.1.1.100"
    for port in ("red2", "red3", "red2"):
        mac = running.overlay.ports[port].mac or ""
        with device(running, port) as now:
            now.send(arp(mac, mac, virtual, virtual))
        until(lambda: answered(net, virtual) == mac, patience=3)  # noqa: B023
        time.sleep(1.2)


def answered(net: Strangers, ip: str) -> str | None:
    mac = net.lab.overlay.ports["red1"].mac or ""
    with device(net.lab, "red1") as red1, underlay_tap(net.lab, "host1") as seen:
        red1.send(arp(mac, mac, "10.1.1.1", ip))
        replies = [d for d in heard(red1, 0.1) if d[12:14] == b"\x08\x06" and d[21] == 2]
        if any(o.inner[:6] == b"\xff" * 6 for o in seen()):
            return None
    return replies[0][22:28].hex(":") if replies else None


def test_a_controller_that_starts_anew_changes_nothing(net: Strangers) -> None:
    running = net.lab
    before = {host: held(running, host) for host in running.overlay.hosts}
    faults.start_controller(faults.kill_controller(running.lab))
    running.settled()
    assert {host: held(running, host) for host in before} == before


def held(running: Running, host: str) -> set[str]:
    dump = running.run(host, "ovs-ofctl", "-O", "OpenFlow13", "--no-stats", "dump-flows", "br-int")
    return set(dump.splitlines()[1:])
