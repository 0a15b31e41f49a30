"""Multicast reaches those that listen: IGMP and MLD snooping, RFC 4541.

What hosts and routers say about groups reaches the controller. Queries go everywhere; reports go to routers
only, because a host that hears another one's report keeps silent itself. Once all listeners are known, a
group goes to them and to routers, and a group without listeners to routers alone; link-local groups go
everywhere still, and so does what is neither IPv4 nor IPv6. Split horizon holds here as it does for floods.
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
    """The headers are those of general queries, of all else that is said about groups, and of frames to
    groups that stay on the link.
    """

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
    """Queries reach the controller where no peer reports them, and only if the network gets them as well.

    So the table lies behind all that may drop one, such as ``storm_control``: listeners answer no query that
    they did not receive, and would be taken for absent.
    """
    source = None if view.learn_from_tunnels else Ingress.LOCAL
    for family in FAMILIES.values():
        asked = Match(ingress=source, eth_dst=family.macs, header=family.query)
        yield Flow(Table.MULTICAST, HEARD, asked, (Punt(NO_TRUNCATION), _FLOOD))


def multicast(view: BridgeView, network: NetworkView) -> Iterator[Flow]:
    """Nothing where nobody asks who listens: all groups are flooded there."""
    for snooping in network.multicast:
        family = FAMILIES[snooping.family]
        asked = Match(network=network.vni, eth_dst=family.macs, header=family.query)
        yield Flow(Table.MULTICAST, QUERY, asked, (_FLOOD,))
        yield from _messages(view, network, family, snooping)
        if snooping.groups is not None:
            yield from _groups(view, network, family, snooping)


def _told(view: BridgeView, source: Ingress) -> tuple[Action, ...]:
    """What comes from a tunnel, its peer has told, unless nobody else tells us."""
    return (Punt(NO_TRUNCATION),) if source is Ingress.LOCAL or view.learn_from_tunnels else ()


def _messages(
    view: BridgeView, network: NetworkView, family: _Family, snooping: MulticastGroups
) -> Iterator[Flow]:
    """In IGMP, a query about one group looks like a report: by who sends it, it is told from one.

    A controller on every host must hear all reports, so there they go to all peers.
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
    """A copy to each of these, of which only local ones are reached from a tunnel."""
    if source is Ingress.LOCAL:
        yield from replicate_to_peers(
            peer for peer in network.peers if peer.up and peer.port in listeners.peers
        )
    for member in network.members:
        if member.port in listeners.ports:
            yield from output_to_port(view, member)
