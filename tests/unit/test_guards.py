"""Guards of local ports: frames that hide what a host reads end on the bridge where they come in."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flows.actions import Punt
from flows.compile import compile_bridge
from flows.features.local_services import NO_TRUNCATION
from flows.flow import Meter, Program
from flows.match import ARP, ICMPV6, IGMP, IPV4, IPV6, UDP, ZERO_MAC, Header
from flows.tables import Table
from flows.trace import Frame, Trace, trace
from flows.view import AllowedAddressPair, Limits, NetworkPort, Role
from tests.views import BROADCAST, RED, RED_FAR, RED_MAC, RED_PORT, TRUNK, TUNNEL, alone, bridge

OWN, OWN6 = "10.1.1.1", "fe80::ff:fe00:1"
TAG = 30


def program(*, strict: bool, may: frozenset[Role] = frozenset()) -> Program:
    """An access port and a trunk of one station, both with port security or both without."""
    speaker = AllowedAddressPair(RED_MAC, (OWN, OWN6)) if strict else None
    access = NetworkPort(RED_PORT, 10, tagged=False, allowed=speaker, roles=may)
    trunk = NetworkPort(TRUNK, TAG, tagged=True, allowed=speaker, roles=may)
    return compile_bridge(bridge(alone(RED, access, trunk, peers=(TUNNEL,))))


LEARNING, STRICT = program(strict=False), program(strict=True)
ROUTING = program(strict=True, may=frozenset({"router"}))
PROGRAMS = {"learning": LEARNING, "strict": STRICT, "router": ROUTING}


def sent(to: Program, header: Header, port: int = RED_PORT, *inner: int, source: str = RED_MAC) -> Trace:
    tags = (TAG, *inner) if port == TRUNK else inner
    return trace(to, Frame(port, source, BROADCAST, tags, header=header))


UDP4, UDP6 = Header(IPV4, UDP, ipv4_src=OWN), Header(IPV6, UDP, ipv6_src=OWN6)
ND = Header(IPV6, ICMPV6, ipv6_src=OWN6)
HIDDEN = {
    "DHCP offer with more fragments": UDP4._replace(udp_src=67, udp_dst=68, ip_frag="first"),
    "DHCPv6 reply with more fragments": UDP6._replace(udp_src=547, udp_dst=546, ip_frag="first"),
    "UDP in a later fragment": UDP6._replace(ip_frag="first"),
    "UDP cut short": UDP4,
    "first fragment of UDP cut short": UDP4._replace(ip_frag="first"),
    "router advertisement with more fragments": ND._replace(icmpv6_type=134, ip_frag="first"),
    "redirect with more fragments": ND._replace(icmpv6_type=137, ip_frag="first"),
    "ICMPv6 in a later fragment": ND._replace(ip_frag="first"),
    "extension headers in a later fragment": Header(IPV6, ipv6_src=OWN6),
    "IPv4 whose length is wrong": Header(IPV4, ipv4_src=OWN),
    "ARP of another hardware type": Header(ARP),
    "advertisement with an option twice": ND._replace(icmpv6_type=136),
    "advertisement in fragments": ND._replace(icmpv6_type=136, nd_target=OWN6, ip_frag="first"),
    "solicitation in fragments": ND._replace(icmpv6_type=135, nd_target="fe80::2", ip_frag="first"),
    "router solicitation in fragments": ND._replace(icmpv6_type=133, ip_frag="first"),
}
"""Where a fragment hides a protocol, or Open vSwitch takes a packet for malformed, it has zeros."""


@pytest.mark.parametrize("port", [RED_PORT, TRUNK])
@pytest.mark.parametrize("kind", ["learning", "strict"])
@pytest.mark.parametrize("name", HIDDEN)
def test_what_hides_from_a_guard_ends_whatever_the_port(name: str, kind: str, port: int) -> None:
    ended = sent(PROGRAMS[kind], HIDDEN[name], port)

    assert ended.copies == ()
    assert ended.dropped_in in {
        Table.PORT_SECURITY_IP,
        Table.PORT_SECURITY_ND,
        Table.DHCP_RA_GUARD,
        Table.NEIGHBOR_SNOOPING,
    }


FRAGMENTS = {
    "of UDP": [UDP4._replace(udp_src=9, udp_dst=9, ip_frag="first"), UDP4._replace(ip_frag="later")],
    "of TCP": [Header(IPV4, 6, ipv4_src=OWN, ip_frag=frag) for frag in ("first", "later")],
    "of ping": [Header(IPV4, 1, ipv4_src=OWN, ip_frag=frag) for frag in ("first", "later")],
    "of UDP in IPv6": [
        UDP6._replace(udp_src=9, udp_dst=9, ip_frag="first"),
        Header(IPV6, 44, ipv6_src=OWN6, ip_frag="later"),
    ],
    "of ping in IPv6": [ND._replace(icmpv6_type=128, ip_frag="first")],
}


@pytest.mark.parametrize("kind", PROGRAMS)
@pytest.mark.parametrize("name", FRAGMENTS)
def test_fragments_of_other_packets_pass(name: str, kind: str) -> None:
    for fragment in FRAGMENTS[name]:
        assert sent(PROGRAMS[kind], fragment).ports == {TUNNEL, TRUNK}


@pytest.mark.parametrize("inner", [(0,), (20,), (0, 0)])
def test_a_second_tag_ends_at_a_port_with_port_security_and_passes_elsewhere(inner: tuple[int, ...]) -> None:
    said = Header(ARP, arp_op=1, arp_spa="10.1.1.2", arp_sha=RED_MAC)

    assert sent(STRICT, said, TRUNK, *inner).dropped_in is Table.SPOOF_PREFILTER
    assert sent(ROUTING, said, TRUNK, *inner).dropped_in is Table.SPOOF_PREFILTER
    assert TUNNEL in sent(LEARNING, said, TRUNK, *inner).ports


@pytest.mark.parametrize("kind", [0x8100, 0x88A8, 0x9100])
def test_so_does_any_kind_of_tag(kind: int) -> None:
    """Open vSwitch takes the last of these for no tag at all."""
    for port in (RED_PORT, TRUNK):
        assert sent(STRICT, Header(kind), port).dropped_in is Table.SPOOF_PREFILTER


BAD = {
    "solicitation with an option twice": ND._replace(icmpv6_type=135),
    "solicitation in fragments": ND._replace(
        icmpv6_type=135, nd_target="fe80::2", nd_sll=RED_MAC, ip_frag="first"
    ),
    "advertisement in fragments": ND._replace(icmpv6_type=136, nd_target=OWN6, ip_frag="first"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("kind", ["strict", "router"])
def test_neighbour_messages_that_hosts_must_ignore_leave_no_port_with_port_security(
    kind: str, name: str
) -> None:
    ended = sent(PROGRAMS[kind], BAD[name])

    assert ended.dropped_in in {Table.PORT_SECURITY_IP, Table.PORT_SECURITY_ND}


def test_questions_without_an_option_leave_it() -> None:
    asked = ND._replace(icmpv6_type=135, icmpv6_code=0, nd_target="fe80::2", nd_sll=ZERO_MAC)

    assert sent(STRICT, asked).ports == {TUNNEL, TRUNK}


QUERIES = {
    "IGMP": (Header(IPV4, IGMP, ipv4_src=OWN, ipv4_dst="224.0.0.1"), "01:00:5e:00:00:01"),
    "MLD": (ND._replace(ipv6_dst="ff02::1", icmpv6_type=130), "33:33:00:00:00:01"),
}


@pytest.mark.parametrize("name", QUERIES)
def test_queries_for_listeners_come_from_routers_where_there_is_port_security(name: str) -> None:
    header, group = QUERIES[name]
    frame = Frame(RED_PORT, RED_MAC, group, header=header)

    assert trace(STRICT, frame).dropped_in is Table.PORT_SECURITY_IP
    for may_ask in (LEARNING, ROUTING):
        assert trace(may_ask, frame).ports == {TUNNEL, TRUNK}
        assert trace(may_ask, frame).punted


@pytest.mark.parametrize("to", ["10.1.1.2", "255.255.255.255", "0.0.0.0"])
def test_igmp_to_what_is_no_group_leaves_no_port_with_port_security(to: str) -> None:
    """OpenFlow has no field for its type, and reports are sent to groups."""
    said = Header(IPV4, IGMP, ipv4_src=OWN, ipv4_dst=to)
    report = said._replace(ipv4_dst="239.1.2.3")

    assert sent(STRICT, said).dropped_in is Table.PORT_SECURITY_IP
    assert sent(STRICT, report._replace(ip_frag="first")).dropped_in is Table.PORT_SECURITY_IP
    assert sent(STRICT, report).ports == {TUNNEL, TRUNK}


def test_a_query_is_heard_behind_all_that_may_keep_listeners_from_it() -> None:
    """``storm_control`` in the table storm: who does not receive a query does not answer it."""
    header, group = QUERIES["IGMP"]
    limited = replace(
        bridge(alone(RED, NetworkPort(RED_PORT, 10, tagged=False), peers=(TUNNEL,))),
        limits={RED_PORT: Limits(flood=Meter(1, 1, 1))},
    )
    met = trace(compile_bridge(limited), Frame(RED_PORT, RED_MAC, group, header=header)).flows
    heard = [flow.table for flow in met if Punt(NO_TRUNCATION) in flow.actions]

    assert heard == [Table.MULTICAST]
    assert [flow.table for flow in met].index(Table.STORM_CONTROL) < [flow.table for flow in met].index(
        heard[0]
    )


def test_what_a_tunnel_brings_was_checked_by_its_peer() -> None:
    for header in HIDDEN.values():
        frame = Frame(TUNNEL, RED_FAR, BROADCAST, key=RED, header=header)
        assert trace(LEARNING, frame).ports == {RED_PORT, TRUNK}
