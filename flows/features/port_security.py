"""Port security (spoof-prefilter-* and port-security-*), and the DHCP and RA guard.

A port with port security sends from its ``AllowedAddressPair`` only. Fields behind the Ethernet header are
matched on such ports alone, so that frames of other ports keep to flows that match layer 2. Messages of DHCP
servers and routers are dropped on every local port without that role. Each drop is a flow, with a reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache, reduce
from ipaddress import IPv4Address, IPv6Address
from operator import or_
from typing import Any, Literal

from flows.actions import Action, Goto, Punt, SetField
from flows.features.local_services import NO_TRUNCATION
from flows.flow import Flow
from flows.match import (
    ARP,
    DHCP6_CLIENT,
    DHCP6_SERVER,
    DHCP_CLIENT,
    DHCP_SERVER,
    ICMPV6,
    IGMP,
    IPV4,
    IPV6,
    OLD_SERVICE_VLAN,
    SERVICE_VLAN,
    TAGGED,
    UDP,
    UNSPECIFIED,
    VLAN,
    ZERO_MAC,
    Header,
    Ingress,
    Match,
    to_wire,
)
from flows.tables import Table
from flows.view import AllowedAddressPair, BridgeView, NetworkPort, NetworkView, Role

Reason = Literal[
    "multicast-source",
    "link-local-control",
    "tag",
    "unreadable",
    "mac",
    "arp",
    "ipv4",
    "ipv6",
    "neighbour",
    "dhcp-server",
    "router",
]
"""Why a frame was refused: its source MAC, a second tag, headers that cannot be read, its sender in ARP, IP
or ND, what only servers or routers send.
"""

TAGS, QUERIER, EXCEPTION, EXACT, GENERAL, REST = 400, 300, 200, 100, 60, 50

SOLICITATION, ADVERTISEMENT = Header(IPV6, ICMPV6, icmpv6_type=135), Header(IPV6, ICMPV6, icmpv6_type=136)
"""Of neighbours (RFC 4861 §4.3, §4.4)."""

_TRUE_MAC = Header(mac_spoofed=0)
_WIDTHS = {"mac_forbidden_bits": (48, 32), "ip_forbidden_bits": (32, 32), "ip6_forbidden_bits": (128, 48)}
"""Bits of each, and how many of them are asked for, from the lowest."""


_ROLES: tuple[tuple[Role, Header], ...] = (
    ("dhcp-server", Header(IPV4, UDP, udp_dst=DHCP_CLIENT)),
    ("dhcp-server", Header(IPV6, UDP, udp_dst=DHCP6_CLIENT)),
    ("router", Header(IPV6, ICMPV6, icmpv6_type=134)),
    ("router", Header(IPV6, ICMPV6, icmpv6_type=137)),
)
"""To the ports where DHCP clients listen; router advertisements and redirects (RFC 4861 §4.2, §4.5)."""

_UNREADABLE = (
    Header(IPV4, ip_proto=0),
    Header(IPV6, ip_proto=0),
    Header(IPV4, UDP, udp_dst=0, ip_frag="not_later"),
    Header(IPV6, UDP, udp_dst=0, ip_frag="not_later"),
    Header(IPV6, ICMPV6, icmpv6_type=0),
    *(Header(IPV6, ICMPV6, icmpv6_type=kind, ip_frag="yes") for kind in (133, 135, 136)),
)
"""IP packets in which Open vSwitch cannot read what guards compare: it has zeros there (lib/flow.c).

IP headers that are broken, or extension headers that do not end in the first fragment (RFC 7112, RFC 7113
section 3); UDP and ICMPv6 that begin in a later one (RFC 1858 section 3); fragments of neighbour discovery,
whose options may be in another one (RFC 6980). With OFPC_FRAG_NORMAL every first fragment of these is among
them.
"""
_TAGS = (Match(vlan=TAGGED), *(Match(header=Header(kind)) for kind in (VLAN, SERVICE_VLAN, OLD_SERVICE_VLAN)))
"""A tag behind that of the network: whether the bridge reads it depends on ``vlan-limit`` of Open vSwitch."""
_QUERIES = (
    Header(IPV4, IGMP, ipv4_dst="224.0.0.1"),
    *(
        Header(IPV4, IGMP, ipv4_dst=no_group)
        for no_group in (
            "0.0.0.0/128.0.0.0",
            "128.0.0.0/192.0.0.0",
            "192.0.0.0/224.0.0.0",
            "240.0.0.0/240.0.0.0",
        )
    ),
    Header(IPV4, IGMP, ip_frag="yes"),
    Header(IPV6, ICMPV6, icmpv6_type=130),
)
"""General queries of IGMP (RFC 3376 section 4.1.12), all queries of MLD (RFC 3810 section 5.1).

OpenFlow has no field for the type of IGMP. All of it is dropped to what is no group, and in fragments:
reports are sent to groups, and are small.
"""
_BAD_NEIGHBOURS = (
    SOLICITATION._replace(nd_target=UNSPECIFIED, nd_target_spoofed=0),
    SOLICITATION._replace(ip_frag="yes"),
    ADVERTISEMENT._replace(ip_frag="yes"),
)
"""A solicitation that Open vSwitch finds invalid, such as one with an option twice; fragments (RFC 6980). An
invalid advertisement is about no address of the port. ``nd_target_spoofed`` is 0 in all solicitations: with
it, the lookup leaves this flow at the registers, and a forged advertisement costs no datapath entry.
"""

_CLIENTS = (Header(IPV4, UDP, udp_dst=DHCP_SERVER), Header(IPV6, UDP, udp_dst=DHCP6_SERVER))
_HEARD: tuple[Action, ...] = (Punt(NO_TRUNCATION),)

_NAMELESS = (
    Header(IPV4, UDP, ipv4_src="0.0.0.0", udp_src=DHCP_CLIENT, udp_dst=DHCP_SERVER),
    Header(IPV4, IGMP, ipv4_src="0.0.0.0"),
    *(
        Header(IPV6, ICMPV6, ipv6_src=UNSPECIFIED, icmpv6_type=kind, ip6_spoofed=0)
        for kind in (131, 132, 133, 135, 143)
    ),
)
"""What has no source address yet: DHCP, group membership (RFC 3590), router and neighbour solicitations."""


def bridge_drop_flows() -> Iterator[tuple[Reason, Flow]]:
    """Yield drops of every bridge, with their reasons.

    A source address is that of one station (IEEE 802.3 section 3.2.3), and 01-80-c2-00-00-0x stays on its
    link (802.1Q section 8.6.3). Drops from spoof-prefilter to port-security-nd concern ports with port
    security alone. No whole source is matched: that costs a datapath entry for each.
    """
    group = Match(eth_src="01:00:00:00:00:00/01:00:00:00:00:00")
    yield "multicast-source", Flow(Table.PORT_SECURITY_L2, EXCEPTION, group)
    control = Match(eth_dst="01:80:c2:00:00:00/ff:ff:ff:ff:ff:f0", header=_TRUE_MAC)
    yield "link-local-control", Flow(Table.PORT_SECURITY_L2, EXCEPTION, control)
    for tag in _TAGS:
        yield "tag", Flow(Table.SPOOF_PREFILTER, TAGS, tag)
    for header in _QUERIES:
        yield "router", Flow(Table.PORT_SECURITY_IP, EXCEPTION, Match(header=header))
    for header in _BAD_NEIGHBOURS:
        yield "neighbour", Flow(Table.PORT_SECURITY_ND, EXCEPTION, Match(header=header))
    for header in _UNREADABLE:
        yield "unreadable", Flow(Table.DHCP_RA_GUARD, EXCEPTION, Match(ingress=Ingress.LOCAL, header=header))
    for role, header in _ROLES:
        yield role, Flow(Table.DHCP_RA_GUARD, EXACT, Match(ingress=Ingress.LOCAL, header=header))


def load_forbidden_bits(speaker: AllowedAddressPair | None) -> Iterator[SetField]:
    """Return actions that load the bits that no MAC and no address of this port has."""
    if speaker is not None:
        ip, ip6 = (
            [each for each in speaker.addresses if (":" in each) is is_ip6] for is_ip6 in (False, True)
        )
        for name, own in (
            ("mac_forbidden_bits", [speaker.mac]),
            ("ip_forbidden_bits", ip),
            ("ip6_forbidden_bits", ip6),
        ):
            yield SetField(name, _others(own, _WIDTHS[name][0]))


def _others(own: Iterable[str], width: int) -> str:
    """Return the bits that none of these addresses has."""
    had = reduce(or_, (int.from_bytes(to_wire(address), "big") for address in own), 0)
    return _written(~had & (1 << width) - 1, width)


def _written(number: int, width: int) -> str:
    if width == 48:
        return number.to_bytes(6, "big").hex(":")
    return str(IPv4Address(number) if width == 32 else IPv6Address(number))


@cache
def _lies() -> tuple[Flow, ...]:
    """Mark senders with a forbidden bit as spoofed, one flow for each bit.

    Comparing a whole sender makes the datapath create an entry for each forged value. Bits are tested one by
    one in fixed order, and the first that is set ends the tests: a storm leaves at most one entry for each
    bit. Senders with allowed bits only are compared whole in the tables that follow. The lowest bits are
    enough: of a million random senders, about a dozen pass. IPv4 needs no tests, as prefix tracking does the
    same for its lookup (ovs-vswitchd.conf.db(5), ``prefixes``).
    """
    arp, ipv6 = Header(ARP), Header(IPV6)
    return (
        *_questions(Table.SPOOF_PREFILTER, "eth_src", "mac_forbidden_bits", Header(), "mac_spoofed"),
        Flow(Table.SPOOF_PREFILTER, EXACT, Match(header=arp), (Goto(Table.SPOOF_PREFILTER_ARP),)),
        Flow(Table.SPOOF_PREFILTER, EXACT, Match(header=ipv6), (Goto(Table.SPOOF_PREFILTER_IPV6),)),
        *_questions(Table.SPOOF_PREFILTER_ARP, "arp_sha", "mac_forbidden_bits", arp, "arp_spoofed"),
        *_questions(Table.SPOOF_PREFILTER_ARP, "arp_spa", "ip_forbidden_bits", arp, "arp_spoofed", first=200),
        *_questions(Table.SPOOF_PREFILTER_IPV6, "ipv6_src", "ip6_forbidden_bits", ipv6, "ip6_spoofed"),
        Flow(
            Table.SPOOF_PREFILTER_IPV6, EXACT, Match(header=ADVERTISEMENT), (Goto(Table.SPOOF_PREFILTER_ND),)
        ),
        *_questions(
            Table.SPOOF_PREFILTER_ND, "nd_target", "ip6_forbidden_bits", ADVERTISEMENT, "nd_target_spoofed"
        ),
    )


def _questions(  # noqa: PLR0917  # what is asked of what, and what follows
    table: Table, field: str, load_forbidden_bits: str, of: Header, false: str, first: int = 300
) -> Iterator[Flow]:
    width, asked = _WIDTHS[load_forbidden_bits]
    for number in range(asked):
        bit = _written(1 << number, width)
        both: dict[str, Any] = {load_forbidden_bits: f"{bit}/{bit}", field: f"{bit}/{bit}"}
        source = both.pop("eth_src", None)
        match = Match(eth_src=source, header=of._replace(**both))
        yield Flow(table, first - number, match, (SetField(false, 1), Goto(Table.PORT_SECURITY_L2)))


def bridge_flows() -> Iterator[Flow]:
    """Yield what is equal for all ports, however many have port security."""
    yield from _lies()
    yield from (flow for _, flow in bridge_drop_flows())
    for header in _NAMELESS:
        yield Flow(Table.PORT_SECURITY_IP, EXACT, Match(header=header), _LEARN)
    yield Flow(Table.PORT_SECURITY_ND, EXACT, Match(header=SOLICITATION._replace(nd_sll=ZERO_MAC)), _LEARN)


def port_flows(network: NetworkView) -> Iterator[Flow]:
    """Yield what ports with port security may send, and what ports with a role may.

    Replies of DHCP servers are punted as well: they bind an address.
    """
    for member in network.members:
        if member.allowed is not None:
            yield from (flow for _, flow in drop_flows(network.vni, member))
            yield from _admitted(network.vni, member, member.allowed)
        for role, header in _ROLES:
            if role in member.roles:
                here = Match(in_port=member.port, network=network.vni, header=header)
                heard = _HEARD if role == "dhcp-server" else ()
                yield Flow(Table.DHCP_RA_GUARD, EXCEPTION, here, (*heard, Goto(Table.NEIGHBOR_SNOOPING)))


def dhcp_client_snooping(view: BridgeView, network: NetworkView) -> Iterator[Flow]:
    """Punt messages of DHCP clients to other servers: they may release an address.

    A message from a tunnel passed its own bridge; it is punted with a controller on every host alone.
    """
    if network.external_dhcp:
        spoken = [(Ingress.LOCAL, header) for header in _CLIENTS]
        if view.learn_from_tunnels:
            spoken += [(Ingress.TUNNEL, header) for role, header in _ROLES if role == "dhcp-server"]
        for source, header in spoken:
            said = Match(ingress=source, network=network.vni, header=header)
            yield Flow(Table.DHCP_RA_GUARD, GENERAL, said, (*_HEARD, Goto(Table.NEIGHBOR_SNOOPING)))


def drop_flows(vni: int, member: NetworkPort) -> Iterator[tuple[Reason, Flow]]:
    """Yield what a port with port security may not send, unless a flow with higher priority permits it."""
    here = Match(in_port=member.port, network=vni)
    yield "mac", Flow(Table.PORT_SECURITY_L2, REST, here)
    yield "arp", Flow(Table.PORT_SECURITY_IP, REST, _with(here, Header(ARP)))
    if "router" in member.roles:
        for header in (SOLICITATION, ADVERTISEMENT):
            yield "neighbour", Flow(Table.PORT_SECURITY_IP, GENERAL, _with(here, header))
    else:
        yield "ipv4", Flow(Table.PORT_SECURITY_IP, REST, _with(here, Header(IPV4)))
        yield "ipv6", Flow(Table.PORT_SECURITY_IP, REST, _with(here, Header(IPV6)))
    for header in (SOLICITATION, ADVERTISEMENT):
        yield "neighbour", Flow(Table.PORT_SECURITY_ND, REST, _with(here, header))


def _admitted(vni: int, member: NetworkPort, speaker: AllowedAddressPair) -> Iterator[Flow]:
    here, mac = Match(in_port=member.port, network=vni), speaker.mac
    yield Flow(
        Table.PORT_SECURITY_L2,
        EXACT,
        here._replace(eth_src=mac, header=_TRUE_MAC),
        (Goto(Table.PORT_SECURITY_IP),),
    )
    probe = Header(ARP, arp_op=1, arp_spa="0.0.0.0", arp_sha=mac, arp_spoofed=0)  # RFC 5227 §1.1
    yield Flow(Table.PORT_SECURITY_IP, EXACT, _with(here, probe), _LEARN)
    if "router" in member.roles:
        for header in _QUERIES:
            yield Flow(Table.PORT_SECURITY_IP, QUERIER, _with(here, header), _LEARN)
    for own in speaker.addresses:
        if ":" in own:
            yield Flow(
                Table.PORT_SECURITY_IP,
                EXACT,
                _with(here, Header(IPV6, ipv6_src=own, ip6_spoofed=0)),
                _NEIGHBOUR,
            )
            for option in (mac, ZERO_MAC):
                said = ADVERTISEMENT._replace(nd_target=own, nd_tll=option, nd_target_spoofed=0)
                yield Flow(Table.PORT_SECURITY_ND, EXACT, _with(here, said), _LEARN)
        else:
            said = Header(ARP, arp_spa=own, arp_sha=mac, arp_spoofed=0)
            yield Flow(Table.PORT_SECURITY_IP, EXACT, _with(here, said), _LEARN)
            yield Flow(Table.PORT_SECURITY_IP, EXACT, _with(here, Header(IPV4, ipv4_src=own)), _LEARN)
    yield Flow(Table.PORT_SECURITY_ND, EXACT, _with(here, SOLICITATION._replace(nd_sll=mac)), _LEARN)


def _with(here: Match, header: Header) -> Match:
    return here._replace(header=header)


_LEARN: tuple[Action, ...] = (Goto(Table.MAC_LEARNING),)
_NEIGHBOUR: tuple[Action, ...] = (Goto(Table.PORT_SECURITY_ND),)
