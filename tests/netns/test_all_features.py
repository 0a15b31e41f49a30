"""All features at once, on real hosts: what each promises holds beside the others."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from ipaddress import ip_address

import pytest

from sdnapp.frames.packet import link_local, octets
from sdnapp.lab import faults
from tests.netns.conftest import Running, sdnapp, until
from tests.netns.external_vteps import Strangers
from tests.netns.frames import advertisement, answers, arp, frame, icmpv6, questions
from tests.netns.raw import device, heard
from tests.netns.wire import underlay_tap, watched_ports

FILE = """
overlay: {encapsulation: vxlan, bfd: 1000, dscp: inherit, mac_age: 600}
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
          storm_control: 1000}
  red2:  {host: host2, network: red/web, address: [10.1.1.2, "fd00:1::2"], port_security: false}
  red3:  {host: host3, network: red/web, address: [10.1.1.3, "fd00:1::3"], port_security: false, max_macs: 8}
  both1: {host: host1, trunk: {red/web: 30, red/db: 40}, address: [10.1.1.4, "fd00:1::4", 10.1.2.4]}
  db2:   {host: host2, network: red/db, address: 10.1.2.2, port_security: false}
  db3:   {host: host3, network: red/db, address: 10.1.2.3, rate: {receive: 100M}}
  blue1: {host: host1, network: blue/web, address: [10.1.1.1, "fd00:1::1"]}
  blue3: {host: host3, network: blue/web, address: [10.1.1.3, "fd00:1::3"], roles: [router, dhcp-server]}
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
    assert "mtu 1400 " in net.run("red1", "ip", "link", "show", "eth0")
    assert "as host3 carries no more" in sdnapp("show", "--name", net.lab.name).stdout
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
    wanted = ("dropped", "flood-remote", "red/db")
    return sum(c["frames"] for c in said if (c["what"], c["why"], c["network"]) == wanted)


@pytest.mark.parametrize("virtual", ["10.1.1.100", "fd00:1::100"])
def test_an_address_that_moves_to_another_station_is_answered_with_the_new_one(
    net: Strangers, virtual: str
) -> None:
    """As with VRRP: whoever takes over says so, by a gratuitous ARP or an unsolicited advertisement."""
    running = net.lab
    for port in ("red2", "red3", "red2"):
        mac = running.overlay.ports[port].mac or ""
        with device(running, port) as now:
            if ":" in virtual:
                own = str(link_local(mac))
                now.send(icmpv6(mac, "33:33:00:00:00:01", own, "ff02::1", advertisement(virtual, mac)))
            else:
                now.send(arp(mac, mac, virtual, virtual))
        until(lambda: answered(net, virtual) == mac, patience=3)  # noqa: B023
        time.sleep(1.2)  # two that quarrel are heard once a second


def answered(net: Strangers, ip: str) -> str | None:
    """The MAC that host1 says has this address; None where the question is flooded."""
    mac = net.lab.overlay.ports["red1"].mac or ""
    with device(net.lab, "red1") as red1, underlay_tap(net.lab, "host1") as seen:
        if ":" in ip:
            asks = struct.pack("!BBHI", 135, 0, 0, 0) + ip_address(ip).packed + b"\1\1" + octets(mac)
            red1.send(icmpv6(mac, "33:33:ff:00:01:00", "fd00:1::1", "ff02::1:ff00:100", asks))
            told = [data[80:86] for data in heard(red1, 0.1) if data[20] == 58 and data[54] == 136]
        else:
            red1.send(arp(mac, mac, "10.1.1.1", ip))
            told = [data[22:28] for data in answers(heard(red1, 0.1))]
        flooded = questions([outer.inner for outer in seen()])
    return told[0].hex(":") if told and not flooded else None


def test_a_controller_that_starts_anew_changes_nothing(net: Strangers) -> None:
    running = net.lab
    before = {host: running.flows(host) for host in running.overlay.hosts}
    faults.start_controller(faults.kill_controller(running.lab))
    running.settled()
    changed = {host: running.flows(host) ^ held for host, held in before.items()}
    assert not any(changed.values()), changed
