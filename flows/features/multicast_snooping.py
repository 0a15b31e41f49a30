"""IGMP and MLD snooping (RFC 4541): multicast is forwarded to ports with listeners.

Queries, reports and leaves are punted. Queries are flooded. Reports go to router ports only, because a host
that receives another host's report suppresses its own. Once all listeners are known, a group goes to its
listeners and to router ports; link-local groups and what is neither IPv4 nor IPv6 are flooded. Split horizon
applies as it does to floods.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from flows.actions import Action, Goto, Punt
from flows.features.flooding import output_to_port, replicate_to_peers
from flows.features.l2_forwarding import EXACT, EXCEPTION, GENERAL
from flows.features.local_services import NO_TRUNCATION
from flows.flow import Flow, Origin
from flows.match import Header, Ingress, Match
from flows.tables import Table
from flows.view import BridgeView, MulticastGroups, MulticastPorts, NetworkView

MESSAGE, QUERY, HEARD = 300, 400, 500
"""Priorities: of messages about groups, of those that reach all ports, of those that the controller gets."""

BOTH = (Ingress.LOCAL, Ingress.TUNNEL)
_FLOOD = Goto(Table.FLOOD_REMOTE)


class _Family(NamedTuple):
    """Headers of an address family: general queries, all other messages, and link-local groups."""

    ethertype: int
    macs: str
    query: Header
    messages: tuple[Header, ...]
    link_local: Header


_IPV4, _IPV6, _IGMP, _ICMPV6 = 0x0800, 0x86DD, 2, 58
_MLD = (131, 132, 143)  # RFC 3810 §5

FAMILIES = {
    4: _Family(
        _IPV4,
        "01:00:5e:00:00:00/ff:ff:ff:80:00:00",  # RFC 1112 §6.4
        Header(_IPV4, _IGMP, ipv4_dst="224.0.0.1"),
        (Header(_IPV4, _IGMP),),
        Header(_IPV4, ipv4_dst="224.0.0.0/255.255.255.0"),
    ),
    6: _Family(
        _IPV6,
        "33:33:00:00:00:00/ff:ff:00:00:00:00",  # RFC 2464 §7
        Header(_IPV6, _ICMPV6, icmpv6_type=130),
        tuple(Header(_IPV6, _ICMPV6, icmpv6_type=kind) for kind in _MLD),
        Header(_IPV6, ipv6_dst="ff02::/ffff::"),
    ),
}


def query_snoop_flows(view: BridgeView) -> Iterator[Flow]:
    """Punt queries where no peer reports them, and only those that the network gets as well.

    So the table comes after all that may drop one, such as ``storm_control``: listeners do not answer a query
    that they did not receive, and would be removed.
    """
    source = None if view.learn_from_tunnels else Ingress.LOCAL
    for family in FAMILIES.values():
        asked = Match(ingress=source, eth_dst=family.macs, header=family.query)
        yield Flow(Table.MULTICAST, HEARD, asked, (Punt(NO_TRUNCATION), _FLOOD))


def multicast(view: BridgeView, network: NetworkView) -> Iterator[Flow]:
    """Yield the flows of networks with a querier; without one, all groups are flooded."""
    for snooping in network.multicast:
        family = FAMILIES[snooping.family]
        asked = Match(network=network.vni, eth_dst=family.macs, header=family.query)
        yield Flow(Table.MULTICAST, QUERY, asked, (_FLOOD,))
        yield from _messages(view, network, family, snooping)
        if snooping.groups is not None:
            yield from _groups(view, network, family, snooping)


def _told(view: BridgeView, source: Ingress) -> tuple[Action, ...]:
    """Punt IGMP and MLD from local ports; from tunnels only with a controller on every host."""
    return (Punt(NO_TRUNCATION),) if source is Ingress.LOCAL or view.learn_from_tunnels else ()


def _messages(
    view: BridgeView, network: NetworkView, family: _Family, snooping: MulticastGroups
) -> Iterator[Flow]:
    """Yield flows for messages. In IGMP a group-specific query looks like a report: the querier's MAC tells
    them apart.

    A controller on every host needs all reports, so they go to all peers there.
    """
    routers = snooping.routers
    if view.learn_from_tunnels:
        routers = MulticastPorts(routers.ports, tuple(peer.port for peer in network.peers))
    for header in family.messages:
        for source in BOTH:
            said = Match(ingress=source, network=network.vni, eth_dst=family.macs, header=header)
            told = _told(view, source)
            for querier in snooping.queriers if header.ip_proto == _IGMP else ():
                asked = said._replace(eth_src=querier)
                yield Flow(Table.MULTICAST, QUERY, asked, (*told, _FLOOD), kind=Origin.LEARNED)
            yield Flow(Table.MULTICAST, MESSAGE, said, (*told, *_to(view, network, routers, source)))


def _groups(
    view: BridgeView, network: NetworkView, family: _Family, snooping: MulticastGroups
) -> Iterator[Flow]:
    yield Flow(Table.MULTICAST, EXCEPTION, Match(network=network.vni, header=family.link_local), (_FLOOD,))
    header = Header(family.ethertype)
    for source in BOTH:
        unheard = Match(ingress=source, network=network.vni, eth_dst=family.macs, header=header)
        to_routers = tuple(_to(view, network, snooping.routers, source))
        yield Flow(Table.MULTICAST, GENERAL, unheard, to_routers, kind=Origin.LEARNED)
        for mac, listeners in snooping.groups or ():
            group = unheard._replace(eth_dst=mac)
            both = MulticastPorts(
                tuple(sorted({*listeners.ports, *snooping.routers.ports})),
                tuple(sorted({*listeners.peers, *snooping.routers.peers})),
            )
            to_all = tuple(_to(view, network, both, source))
            yield Flow(Table.MULTICAST, EXACT, group, to_all, kind=Origin.LEARNED)


def _to(
    view: BridgeView, network: NetworkView, listeners: MulticastPorts, source: Ingress
) -> Iterator[Action]:
    """Return actions that send a copy to each of these ports; only to local ones from a tunnel."""
    if source is Ingress.LOCAL:
        yield from replicate_to_peers(
            peer for peer in network.peers if peer.up and peer.port in listeners.peers
        )
    for member in network.members:
        if member.port in listeners.ports:
            yield from output_to_port(view, member)
