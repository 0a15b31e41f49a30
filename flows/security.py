"""Who may speak: the tables security, sender, neighbour and role, in the order in which a frame meets them.

A strict port speaks as its ``Speaker`` only; what lies behind the Ethernet header is looked at there and
nowhere else, so that frames of other ports keep to flows that match layer 2. What only servers and routers
say is refused on every local port that may not say it. Each refusal is a flow of its own, with a reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from flows.actions import Action, Goto, Punt
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
    NOBODY,
    UDP,
    UNSPECIFIED,
    Header,
    Match,
    Source,
)
from flows.service import WHOLE
from flows.tables import Table
from flows.view import BridgeView, Member, NetworkView, Role, Speaker

Reason = Literal[
    "group-source",
    "link-local-control",
    "mac",
    "arp",
    "ipv4",
    "ipv6",
    "neighbour",
    "dhcp-server",
    "router",
]
"""Why a frame was refused: its source MAC; its sender in ARP, IP, ND; what only servers or routers say."""

EXCEPTION, EXACT, GENERAL, REST = 200, 100, 60, 50

SOLICITATION, ADVERTISEMENT = Header(IPV6, ICMPV6, icmpv6_type=135), Header(IPV6, ICMPV6, icmpv6_type=136)
"""Of neighbours (RFC 4861 §4.3, §4.4)."""

_ROLES: tuple[tuple[Role, Header], ...] = (
    ("dhcp-server", Header(IPV4, UDP, udp_dst=DHCP_CLIENT)),
    ("dhcp-server", Header(IPV6, UDP, udp_dst=DHCP6_CLIENT)),
    ("router", Header(IPV6, ICMPV6, icmpv6_type=134)),
    ("router", Header(IPV6, ICMPV6, icmpv6_type=137)),
)
"""To the ports where DHCP clients listen; router advertisements and redirects (RFC 4861 §4.2, §4.5)."""

_CLIENTS = (Header(IPV4, UDP, udp_dst=DHCP_SERVER), Header(IPV6, UDP, udp_dst=DHCP6_SERVER))
_HEARD: tuple[Action, ...] = (Punt(WHOLE),)

_NAMELESS = (
    Header(IPV4, UDP, ipv4_src="0.0.0.0", udp_src=DHCP_CLIENT, udp_dst=DHCP_SERVER),
    Header(IPV4, IGMP, ipv4_src="0.0.0.0"),
    *(Header(IPV6, ICMPV6, ipv6_src=UNSPECIFIED, icmpv6_type=kind) for kind in (131, 132, 133, 135, 143)),
)
"""What has no source address yet: DHCP, group membership (RFC 3590), router and neighbour solicitations."""


def refused_everywhere() -> Iterator[tuple[Reason, Flow]]:
    """A source is one station (IEEE 802.3 §3.2.3); 01-80-c2-00-00-0x stays on its link (802.1Q §8.6.3).

    Here nothing matches a whole source: the datapath would need an entry for each.
    """
    group = Match(eth_src="01:00:00:00:00:00/01:00:00:00:00:00")
    yield "group-source", Flow(Table.SECURITY, EXCEPTION, group)
    control = Match(eth_dst="01:80:c2:00:00:00/ff:ff:ff:ff:ff:f0")
    yield "link-local-control", Flow(Table.SECURITY, EXCEPTION, control)
    for role, header in _ROLES:
        yield role, Flow(Table.ROLE, EXACT, Match(source=Source.LOCAL, header=header))


def everywhere() -> Iterator[Flow]:
    """What every bridge has, however many strict ports."""
    yield from (flow for _, flow in refused_everywhere())
    for header in _NAMELESS:
        yield Flow(Table.SENDER, EXACT, Match(header=header), _ROLE)


def security(network: NetworkView) -> Iterator[Flow]:
    """What the strict ports of a network may send, and what those that have a role may.

    What a DHCP server says, the controller hears as well: it tells whose an address is.
    """
    for member in network.members:
        if member.speaker is not None:
            yield from (flow for _, flow in refused(network.vni, member))
            yield from _admitted(network.vni, member, member.speaker)
        for role, header in _ROLES:
            if role in member.may:
                here = Match(in_port=member.port, network=network.vni, header=header)
                heard = _HEARD if role == "dhcp-server" else ()
                yield Flow(Table.ROLE, EXCEPTION, here, (*heard, Goto(Table.LEARN)))


def leases(view: BridgeView, network: NetworkView) -> Iterator[Flow]:
    """What clients say to a DHCP server that is not ours: they may give an address back.

    What one behind a tunnel says was let through by its own bridge; it is heard where nobody else tells us.
    """
    if network.leases:
        spoken = [(Source.LOCAL, header) for header in _CLIENTS]
        if view.learn_from_tunnels:
            spoken += [(Source.TUNNEL, header) for role, header in _ROLES if role == "dhcp-server"]
        for source, header in spoken:
            said = Match(source=source, network=network.vni, header=header)
            yield Flow(Table.ROLE, GENERAL, said, (*_HEARD, Goto(Table.LEARN)))


def refused(vni: int, member: Member) -> Iterator[tuple[Reason, Flow]]:
    """What a strict port may not send, unless something more exact says otherwise."""
    here = Match(in_port=member.port, network=vni)
    yield "mac", Flow(Table.SECURITY, REST, here)
    yield "arp", Flow(Table.SENDER, REST, _with(here, Header(ARP)))
    if "router" in member.may:
        for header in (SOLICITATION, ADVERTISEMENT):
            yield "neighbour", Flow(Table.SENDER, GENERAL, _with(here, header))
    else:
        yield "ipv4", Flow(Table.SENDER, REST, _with(here, Header(IPV4)))
        yield "ipv6", Flow(Table.SENDER, REST, _with(here, Header(IPV6)))
    for header in (SOLICITATION, ADVERTISEMENT):
        yield "neighbour", Flow(Table.NEIGHBOUR, REST, _with(here, header))


def _admitted(vni: int, member: Member, speaker: Speaker) -> Iterator[Flow]:
    here, mac = Match(in_port=member.port, network=vni), speaker.mac
    yield Flow(Table.SECURITY, EXACT, here._replace(eth_src=mac), (Goto(Table.SENDER),))
    probe = Header(ARP, arp_op=1, arp_spa="0.0.0.0", arp_sha=mac)  # RFC 5227 §1.1
    yield Flow(Table.SENDER, EXACT, _with(here, probe), _ROLE)
    for own in speaker.addresses:
        if ":" in own:
            yield Flow(Table.SENDER, EXACT, _with(here, Header(IPV6, ipv6_src=own)), _NEIGHBOUR)
            for option in (mac, NOBODY):
                said = ADVERTISEMENT._replace(nd_target=own, nd_tll=option)
                yield Flow(Table.NEIGHBOUR, EXACT, _with(here, said), _ROLE)
        else:
            yield Flow(Table.SENDER, EXACT, _with(here, Header(ARP, arp_spa=own, arp_sha=mac)), _ROLE)
            yield Flow(Table.SENDER, EXACT, _with(here, Header(IPV4, ipv4_src=own)), _ROLE)
    for option in (mac, NOBODY):
        yield Flow(Table.NEIGHBOUR, EXACT, _with(here, SOLICITATION._replace(nd_sll=option)), _ROLE)


def _with(here: Match, header: Header) -> Match:
    return here._replace(header=header)


_ROLE: tuple[Action, ...] = (Goto(Table.ROLE),)
_NEIGHBOUR: tuple[Action, ...] = (Goto(Table.NEIGHBOUR),)
