"""Frames that hide from guards what Linux reads: none passes, and what only looks like them does."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import partial, reduce
from ipaddress import ip_address

import pytest

from sdnapp.frames.packet import octets
from sdnapp.lab.echo import tagged
from tests.groups import query
from tests.netns.conftest import Running, until
from tests.netns.frames import EVERYONE, advertisement, arp, frame, icmpv6, udp
from tests.netns.raw import wires

FILE = """
overlay: {encapsulation: vxlan}
tenants:
  red: {networks: {web: {vlan: 10, vni: 5010, subnet: [10.1.1.0/24, "fd00:1::/64"]}}}
hosts:
  host1: {vtep: 192.168.4.201}
  host2: {vtep: 192.168.4.202}
ports:
  red1: {host: host1, network: red/web, address: [10.1.1.1, "fd00:1::1"], mac: "02:00:00:00:00:01"}
  red2: {host: host2, network: red/web, address: [10.1.1.2, "fd00:1::2"], mac: "02:00:00:00:00:02"}
  tag1: {host: host1, trunk: {red/web: 30}, address: [10.1.1.3, "fd00:1::3"], mac: "02:00:00:00:00:03"}
  any1: {host: host1, network: red/web, address: [10.1.1.4, "fd00:1::4"], mac: "02:00:00:00:00:04",
         port_security: false}
  qnq1: {host: host1, trunk: {red/web: 40}, address: [10.1.1.5, "fd00:1::5"], mac: "02:00:00:00:00:05",
         port_security: false}
  qnq2: {host: host2, trunk: {red/web: 41}, address: [10.1.1.6, "fd00:1::6"], mac: "02:00:00:00:00:06",
         port_security: false}
"""
MAC = {number: f"02:00:00:00:00:0{number}" for number in range(1, 7)}
EDGE = {"tag1": 30, "qnq1": 40, "qnq2": 41}
NUMBER = {"red1": 1, "tag1": 3, "any1": 4, "qnq1": 5}
ALL_NODES = "33:33:00:00:00:01"


@pytest.fixture(scope="module")
def running(bring_up: Callable[..., Running]) -> Running:
    running = bring_up(FILE)
    for port in ("red1", "red2", "any1"):
        until(partial(_is_settled, running, port))
    return running


def _is_settled(running: Running, port: str) -> bool:
    return not running.run(port, "ip", "-6", "address", "show", "tentative")


def behind(data: bytes, vlan: int, *, kind: int) -> bytes:
    """The frame with a tag of this kind."""
    return data[:12] + struct.pack("!HH", kind, vlan) + data[12:]


def at_edge(port: str, data: bytes) -> bytes:
    return tagged(data, EDGE[port]) if port in EDGE else data


def fragment(data: bytes) -> bytes:
    """An IPv4 packet that says that more of it follows."""
    header = data[14:20] + b"\x20\0" + data[22:24] + bytes(2) + data[26:34]
    total = sum(struct.unpack("!10H", header))
    total = (total & 0xFFFF) + (total >> 16)
    checksum: bytes = (total ^ 0xFFFF).to_bytes(2, "big")
    return data[:14] + header[:10] + checksum + header[12:] + data[34:]


def fragment6(data: bytes, extra: bytes = b"") -> bytes:
    """The same of IPv6, behind a fragment header; ``extra``: a header in front of the payload."""
    first = extra[0] if extra else data[20]
    following = data[20:21] + extra[1:] if extra else b""
    header = bytes([60 if extra else first, 0, 0, 1]) + bytes(4)
    payload = header + following + data[54:]
    return data[:18] + len(payload).to_bytes(2, "big") + b"\x2c" + data[21:54] + payload


def hostile(number: int) -> dict[str, bytes]:
    """What this port says about red2, or as a server or router, unhidden."""
    own, link = f"10.1.1.{number}", f"fe80::ff:fe00:{number}"
    mac, claim = MAC[number], advertisement("fd00:1::2", MAC[number])
    router = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0)
    return {
        "request": arp(mac, mac, "10.1.1.2", "10.1.1.99"),
        "reply": arp(mac, mac, "10.1.1.2", "10.1.1.1", op=2, to=MAC[1]),
        "advertisement": icmpv6(mac, ALL_NODES, link, "ff02::1", claim),
        "router": icmpv6(mac, ALL_NODES, link, "ff02::1", router),
        "offer": udp(mac, EVERYONE, own, "255.255.255.255", (67, 68)),
    }


TAGS = [(0,), (10,), (20,), (0, 0)]


KINDS = {"tag1": (0x8100, 0x88A8, 0x9100), "qnq1": (0x8100, 0x88A8)}
"""Of tags. That of the last kind is none to Linux, and passes where there is no port security."""


@pytest.mark.parametrize(("port", "expected"), [("tag1", set()), ("qnq1", {"qnq2"})])
def test_nothing_hides_behind_a_second_tag(running: Running, port: str, expected: set[str]) -> None:
    """Not from a port with port security; from another, only trunks of its kind get it, as it was sent."""
    nested = [
        reduce(partial(behind, kind=kind), inner, said)
        for said in hostile(NUMBER[port]).values()
        for kind in KINDS[port]
        for inner in TAGS
    ]
    with wires(running) as at:
        for data in nested:
            at.send(port, at_edge(port, data))
        seen = at.ending(tuple(data[12:] for data in nested), seconds=1.0)

    assert seen == dict.fromkeys(expected, len(nested))
    for owned in ("10.1.1.2", "fd00:1::2"):
        assert MAC[NUMBER[port]] not in running.run("red1", "ip", "neigh", "show", owned)


def test_tags_of_a_tenant_pass_between_trunks_without_port_security(running: Running) -> None:
    sent = frame(
        MAC[5], MAC[6], 0x8100, (20).to_bytes(2, "big") + b"\x81\0" + b"\0\7" + b"\x08\0" + bytes(50)
    )
    with wires(running) as at:
        at.send("qnq1", at_edge("qnq1", sent))
        seen = at.containing(sent[12:])

    assert seen == {"qnq2": 1}


@pytest.mark.parametrize("port", ["red1", "any1"])
def test_fragments_hide_neither_servers_nor_routers(running: Running, port: str) -> None:
    number = NUMBER[port]
    mac, unhidden = MAC[number], hostile(number)
    options = bytes([60, 255]) + bytes(6)
    reply = udp(mac, MAC[2], f"fd00:1::{number}", "fd00:1::2", (547, 546))
    hidden = {
        "offer, more follows": fragment(unhidden["offer"]),
        "DHCPv6, more follows": fragment6(reply),
        "router, more follows": fragment6(unhidden["router"]),
        "claim, more follows": fragment6(unhidden["advertisement"]),
        "nothing of the port": fragment(unhidden["offer"])[:34],
        "headers that do not end": fragment6(unhidden["router"], options),
        "length beyond the frame": unhidden["offer"][:16] + b"\x04\0" + unhidden["offer"][18:],
    }
    with wires(running) as at:
        for said in hidden.values():
            at.send(port, said)
        seen = at.ending(tuple(data[12:] for data in hidden.values()))
    assert seen == {}


@pytest.mark.parametrize("port", ["red1", "any1"])
def test_fragments_of_other_packets_pass(running: Running, port: str) -> None:
    for words in (("10.1.1.2",), ("-6", "fd00:1::2")):
        done = running.run(port, "ping", "-c", "2", "-i", "0.2", "-W", "3", "-s", "3000", *words)
        assert "2 received" in done


def test_malformed_claims_of_what_is_anothers_end(running: Running) -> None:
    claim = advertisement("fd00:1::2", MAC[4]) + b"\2\1" + octets(MAC[4])
    plain = hostile(4)["reply"]
    said = {
        "hardware type of IEEE 802": plain[:14] + b"\0\6" + plain[16:],
        "option twice": icmpv6(MAC[4], MAC[1], "fe80::ff:fe00:4", "fd00:1::1", claim),
        "SNAP": plain[:12] + b"\0\x24\xaa\xaa\3\0\0\0" + plain[12:],
    }
    running.run("red1", "ping", "-c", "1", "-W", "2", "10.1.1.2")
    running.run("red1", "ping", "-6", "-c", "1", "-W", "2", "fd00:1::2")
    with wires(running) as at:
        for each in said.values():
            at.send("any1", each)
        assert at.ending(tuple(each[12:] for each in said.values())) == {}
    for address in ("10.1.1.2", "fd00:1::2"):
        assert MAC[2] in running.run("red1", "ip", "neigh", "show", address)


def test_a_solicitation_with_an_option_twice_leaves_no_strict_port(
    running: Running,
) -> None:
    option = b"\1\1" + octets(MAC[1])
    asked = struct.pack("!BBHI", 135, 0, 0, 0) + ip_address("fd00:1::2").packed + option
    once, twice = (
        icmpv6(MAC[1], MAC[2], "fd00:1::1", "fd00:1::2", asked + option * more) for more in range(2)
    )
    with wires(running) as at:
        at.send("red1", twice)
        assert at.seen(twice) == {}
        at.send("red1", once)
        assert at.seen(once) == {"red2": 1}


def forged(data: bytes) -> bytes:
    """A query of any1 that hosts drop: the checksum of its IP header is wrong."""
    return data[:6] + octets(MAC[4]) + data[12:24] + bytes([data[24] ^ 0xFF]) + data[25:]


def test_a_forged_query_begins_nothing(running: Running) -> None:
    """From a port without port security, as hosts ignore it; from one with it, not at all."""
    (network,) = running.get("/v1/networks")
    assert network["multicast"]["ipv4"] == "flooding"
    asks = query(3, interval=30)
    with wires(running) as at:
        at.send("any1", forged(asks))
        at.send("red1", own := asks[:6] + octets(MAC[1]) + asks[12:])
        assert at.seen(own) == {}
    running.settled()
    (network,) = running.get("/v1/networks")
    assert network["multicast"]["ipv4"] == "flooding"
