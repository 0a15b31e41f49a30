"""Multicast among kernels: a bridge that asks who listens, sockets that join a group, and that send to it."""

from __future__ import annotations

import os
import socket
import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from sdnapp.lab.machine import entered
from tests.netns.conftest import Running
from tests.netns.raw import Wires

GROUP = {4: "239.1.2.3", 6: "ff05::1:3"}
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
PORT = 5555
SECONDS = ("300", "100")
"""Between two questions of the bridge, and for an answer; in hundredths (ip-link(8))."""


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
    with entered(*lab.place(port)):
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
