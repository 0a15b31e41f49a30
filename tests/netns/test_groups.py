"""Multicast among kernels: a bridge that asks, sockets that join and leave, streams that go there alone."""

from __future__ import annotations

import os
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from sdnapp.lab.machine import entered
from tests.netns.conftest import Running, until
from tests.netns.test_flooding import Wires, wires

FILE = """
tenants:
  red: {networks: {web: {vlan: 10, vni: 5010, subnet: [10.1.1.0/24, "fd00:1::/64"]}}}
hosts:
  host1: {vtep: 192.168.4.201}
  host2: {vtep: 192.168.4.202}
  host3: {vtep: 192.168.4.203}
ports:
  router: {host: host1, network: red/web}
  red1:   {host: host1, network: red/web, address: [10.1.1.1, "fd00:1::1"]}
  red2:   {host: host2, network: red/web, address: [10.1.1.2, "fd00:1::2"]}
  red3:   {host: host3, network: red/web, address: [10.1.1.3, "fd00:1::3"]}
  red4:   {host: host3, network: red/web, address: [10.1.1.4, "fd00:1::4"]}
"""
GROUP = {4: "239.1.2.3", 6: "ff05::1:3"}
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
PORT = 5555
EVERYBODY = {"router", "red2", "red3", "red4"}
SECONDS = ("300", "100")
"""Between two questions of the bridge, and for an answer; in hundredths (ip-link(8))."""


@pytest.fixture(scope="module")
def lab(bring_up: Callable[..., Running]) -> Running:
    return bring_up(FILE)


@contextmanager
def asking(lab: Running) -> Iterator[None]:
    """The kernel of the router has a bridge that asks who listens."""
    asks = ("mcast_snooping", "1", "mcast_querier", "1", "mcast_query_use_ifaddr", "1")
    often = ("mcast_query_interval", SECONDS[0], "mcast_startup_query_interval", SECONDS[0])
    soon = ("mcast_query_response_interval", SECONDS[1], "mcast_mld_version", "2")
    lab.run("router", "ip", "link", "add", "br0", "type", "bridge", *asks, *often, *soon)
    lab.run("router", "ip", "address", "add", "10.1.1.254/24", "dev", "br0")
    lab.run("router", "ip", "link", "set", "eth0", "master", "br0")
    lab.run("router", "ip", "link", "set", "br0", "up")
    yield
    lab.run("router", "ip", "link", "del", "br0")


@contextmanager
def opened(lab: Running, port: str, version: int) -> Iterator[tuple[socket.socket, int]]:
    """A UDP socket at a port, and the number of its device."""
    at = lab.overlay.ports[port]
    with entered(lab.lab.hosts[at.host], at.namespace):
        made, device = socket.socket(FAMILY[version], socket.SOCK_DGRAM), socket.if_nametoindex("eth0")
    with made:
        yield made, device


@contextmanager
def listening(lab: Running, port: str, version: int) -> Iterator[socket.socket]:
    """A process at this port has joined the group."""
    with opened(lab, port, version) as (listener, device):
        group = socket.inet_pton(FAMILY[version], GROUP[version])
        if version == 6:
            joined = group + struct.pack("=i", device)
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, joined)
        else:
            joined = group + struct.pack("=4si", bytes(4), device)
            listener.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, joined)
        listener.bind((GROUP[version], PORT))
        listener.settimeout(2)
        yield listener


def streamed(lab: Running, at: Wires, version: int, source: str = "red1") -> tuple[bytes, Counter[str]]:
    """A port sends to the group: what, and how often it came in at each port."""
    said = os.urandom(16)
    with opened(lab, source, version) as (sender, device):
        if version == 6:
            sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, device)
            sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 8)
        else:
            through = struct.pack("=4s4si", bytes(4), bytes(4), device)
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, through)
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 8)
        sender.sendto(said, (GROUP[version], PORT))
    return said, at.containing(said)


def known(lab: Running, version: int) -> tuple[str, set[str]]:
    """What bridges do with groups, and who is known to listen to this one."""
    (network,) = lab.get("/v1/networks")
    multicast = network["multicast"]
    return multicast[f"ipv{version}"], set(multicast["groups"].get(GROUP[version], ()))


def listens(lab: Running, version: int, *ports: str) -> None:
    """Wait until these are known to listen, and bridges send accordingly."""
    until(lambda: known(lab, version) == ("snooping", set(ports)), 30)
    lab.settled()
    time.sleep(0.6)


def test_while_nobody_asks_a_stream_goes_everywhere(lab: Running) -> None:
    with wires(lab) as at:
        for version in (4, 6):
            assert streamed(lab, at, version)[1] == dict.fromkeys(EVERYBODY, 1)


@pytest.mark.parametrize("version", [4, 6])
def test_a_stream_goes_where_kernels_joined_and_nowhere_else(lab: Running, version: int) -> None:
    with wires(lab) as at, asking(lab), listening(lab, "red2", version) as red2:
        listens(lab, version, "red2")
        said, seen = streamed(lab, at, version)
        assert seen == {"red2": 1, "router": 1}
        assert red2.recv(100) == said
        with listening(lab, "red4", version) as red4:
            listens(lab, version, "red2", "red4")
            said, seen = streamed(lab, at, version)
            assert seen == {"red2": 1, "red4": 1, "router": 1}
            assert red2.recv(100) == red4.recv(100) == said
        listens(lab, version, "red2")
        assert streamed(lab, at, version)[1] == {"red2": 1, "router": 1}
