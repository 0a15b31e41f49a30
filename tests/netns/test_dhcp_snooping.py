"""Somebody else's DHCP server gives a machine its address on real hosts: everybody knows it from then on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from ipaddress import IPv6Address
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from sdnapp.frames.packet import Ends, link_local, octets, with_icmp
from sdnapp.lab import faults
from tests.netns.conftest import Running, until
from tests.netns.dhclient import ask, give_back
from tests.netns.dhcp_server import DhcpServer
from tests.netns.external_vteps import Strangers
from tests.netns.frames import answers, arp, questions
from tests.netns.guest import behind
from tests.netns.raw import device, heard
from tests.netns.wire import underlay_tap

FILE = """
controller: {target: "tcp:192.168.4.10:6653"}
tenants:
  red: {networks: {web: {vlan: 10, vni: 5010, subnet: [10.1.1.0/24, "fd00:1::/64"]}}}
hosts:
  host1: {vtep: 192.168.4.201}
  host2: {vtep: 192.168.4.202}
ports:
  any1: {host: host1, network: red/web, mac: "02:00:00:00:00:01"}
  any2: {host: host2, network: red/web, mac: "02:00:00:00:00:02"}
  red2: {host: host2, network: red/web, mac: "02:00:00:00:00:03", address: [10.1.1.3, "fd00:1::3"]}
  srv2: {host: host2, network: red/web, mac: "02:00:00:00:00:04", address: [10.1.1.4, "fd00:1::4"],
         roles: dhcp-server}
peers:
  nas: {host: host2, vtep: 192.168.4.79, keys: {red/web: 7010}, roles: [dhcp-server, router]}
  lab: {host: host2, vtep: 192.168.4.78, keys: {red/web: 7011}}
"""
ASKER = "02:00:00:00:00:03"
guests = count(1)
NUMBERS = {"srv2": 4, "any2": 2, "vni7010": 5, "vni7011": 6}


@pytest.fixture(scope="module")
def net(bring_up: Callable[..., Running]) -> Iterator[Strangers]:
    with ExitStack() as stack:
        running = bring_up(FILE)
        net = Strangers(running, stack)
        net.kernel("nas", "192.168.4.202", "192.168.4.79", {7010: "10.1.1.5"})
        net.kernel("lab", "192.168.4.202", "192.168.4.78", {7011: "10.1.1.6"})
        running.settled()
        yield net


@contextmanager
def guest(net: Strangers) -> Iterator[str]:
    """A machine that nobody has seen, behind a port that learns; its MAC."""
    with behind(net.lab, "any1", f"02:aa:00:00:00:{next(guests):02x}") as mac:
        yield mac


@contextmanager
def serving(net: Strangers, place: str, lease: int) -> Iterator[DhcpServer]:
    """Somebody serves there: each server gives addresses of its own."""
    number, raw = NUMBERS[place], net.tap(place)
    first = (f"10.1.1.{number}0", f"fd00:1::{number}0")
    with DhcpServer(raw, f"10.1.1.{number}", first, lease).serving() as server:
        yield server


def told(net: Strangers, directory: Path, *version: str, **how: Any) -> str:
    """What the guest's client is told."""
    return ask(partial(net.lab.run, "any1"), "guest", directory, *version, **how)[1]


def known(net: Strangers, mac: str) -> set[str]:
    """The addresses that the controller knows a guest by, but for link-local ones."""
    heard = (ip for at in net.lab.get("/v1/locations") if at["mac"] == mac for ip in at["addresses"])
    return {ip for ip in heard if not ip.startswith("fe80:")}


@pytest.mark.parametrize("place", ["srv2", "vni7010"])
def test_what_a_server_leased_is_answered_and_asked_for_in_no_tunnel(
    net: Strangers, tmp_path: Path, place: str
) -> None:
    """Before the machine has said a word about its address itself."""
    ip, ip6 = f"10.1.1.{NUMBERS[place]}0", f"fd00:1::{NUMBERS[place]}0"
    with guest(net) as mac, serving(net, place, 3600):
        assert f"new_ip_address={ip}" in told(net, tmp_path, "-4")
        until(lambda: ip in known(net, mac))
        net.lab.settled()
        with device(net.lab, "red2") as red2, underlay_tap(net.lab, "host2") as seen:
            red2.send(arp(ASKER, ASKER, "10.1.1.3", ip))
            (answer,) = answers(heard(red2))
            assert answer[22:28] == octets(mac)
            assert questions([outer.inner for outer in seen()]) == []
        assert "1 received" in net.lab.run("red2", "ping", "-c", "1", "-W", "2", ip)

        assert f"new_ip6_address={ip6}" in told(net, tmp_path, "-6")
        until(lambda: ip6 in known(net, mac))
        give_back(partial(net.lab.run, "any1"), "guest", tmp_path, "-6")
        until(lambda: ip6 not in known(net, mac))


def test_a_lease_ends_where_it_is_given_back_or_runs_out(net: Strangers, tmp_path: Path) -> None:
    with guest(net) as mac, serving(net, "srv2", 3600) as server:
        told(net, tmp_path, "-4")
        until(lambda: known(net, mac) == {"10.1.1.40"})
        # The client keeps the address. If the server's kernel had to ask for its MAC, to answer that nobody
        # listens there, and did so after the lease ended, the client would say that it has the address.
        net.lab.run("any1", "ping", "-c", "1", "-W", "2", "10.1.1.4")
        give_back(partial(net.lab.run, "any1"), "guest", tmp_path, "-4")
        until(lambda: not known(net, mac))

        server.lease = 8
        began = time.monotonic()
        for _ in range(2):  # the second time, it is renewed: so it ends later
            told(net, tmp_path, "-4")
            until(lambda: known(net, mac) == {"10.1.1.40"})
            time.sleep(max(0, began + 5 - time.monotonic()))
        renewed = time.monotonic()
        while time.monotonic() < began + 10:
            assert known(net, mac) == {"10.1.1.40"}
        until(lambda: not known(net, mac))
        assert time.monotonic() - renewed < 12


def test_a_lease_outlives_a_controller_and_nothing_is_sent(net: Strangers, tmp_path: Path) -> None:
    """What bridges hold is what they must, also of the seconds that a lease has left."""
    with guest(net) as mac, serving(net, "srv2", 3600):
        told(net, tmp_path, "-4")
        until(lambda: known(net, mac) == {"10.1.1.40"})
        net.lab.settled()
        before = flows(net, mac)
        assert any("hard_timeout=3600" in flow for flow in before["host1"])
        faults.kill_controller(net.lab.lab)
        faults.start_controller(net.lab.lab)
        net.lab.settled()
        until(lambda: known(net, mac) == {"10.1.1.40"})
        assert flows(net, mac) == before


def flows(net: Strangers, mac: str) -> dict[str, set[str]]:
    """What bridges hold of a station."""
    return {host: {flow for flow in net.lab.flows(host) if mac in flow} for host in net.lab.lab.hosts}


@pytest.mark.parametrize(("place", "arrives"), [("vni7010", 1), ("vni7011", 0)])
def test_a_stranger_is_a_router_if_it_may(net: Strangers, place: str, arrives: int) -> None:
    with net.tap(place) as tap, device(net.lab, "red2") as red2:
        mac = tap.getsockname()[4].hex(":")
        ends = Ends(mac, "33:33:00:00:00:01", link_local(mac), IPv6Address("ff02::1"))
        said = with_icmp(ends, 134, 0, rest=64 << 24 | 1800, payload=bytes(8))
        tap.send(said)
        assert heard(red2).count(said) == arrives


@pytest.mark.parametrize("place", ["any2", "vni7011"])
def test_nobody_else_gives_leases(net: Strangers, tmp_path: Path, place: str) -> None:
    with guest(net) as mac, serving(net, place, 3600):
        assert "new_ip_address" not in told(net, tmp_path, "-4", check=False, patience=6)
        assert not known(net, mac)
