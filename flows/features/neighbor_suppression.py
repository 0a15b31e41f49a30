"""ARP and ND responder (RFC 9161), with ARP and ND snooping: requests of local ports become replies.

Tables neighbor-snooping, arp-nd-responder, nd-responder and responder-output. A request from a tunnel is
delivered: the bridge of its sender had no reply to it. Unicast requests (Linux probes a neighbor so) are
forwarded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

from flows.actions import Action, Goto, Move, OutputInPort, Punt, PushVlan, SetField
from flows.flow import Flow, Origin
from flows.match import ARP, ICMPV6, IPV6, UNSPECIFIED, ZERO_MAC, Header, Ingress, Match
from flows.tables import Table
from flows.view import AddressConflict, BridgeView, NeighborEntry, NetworkPort, NetworkView

OWN, BARE, EXCEPTION, UNREADABLE, LYING = 400, 300, 200, 195, 190
ANNOUNCED, GIVEN, EXACT, REST, MISS = 180, 170, 100, 50, 0

EVERYONE = "ff:ff:ff:ff:ff:ff"
ALL_NODES, ALL_NODES_MAC = "ff02::1", "33:33:00:00:00:01"
SOLICITED_NODES = "33:33:ff:00:00:00/ff:ff:ff:00:00:00"
"""RFC 4291 §2.7.1 by way of RFC 2464 §7."""

REQUEST = Header(ARP, arp_op=1)
SOLICITATION = Header(IPV6, ICMPV6, icmpv6_type=135, icmpv6_code=0)
ADVERTISEMENT = Header(IPV6, ICMPV6, icmpv6_type=136, icmpv6_code=0)
ROUTER_SOLICITATION = Header(IPV6, ICMPV6, icmpv6_type=133)

INVALID = (Header(ARP, arp_op=0), ADVERTISEMENT._replace(nd_target=UNSPECIFIED))
"""Claims of an address that Linux takes and Open vSwitch has zeros for (lib/flow.c): ARP of another hardware
type, such as IEEE 802, and an advertisement with an option twice. Of such a solicitation it has the source.
"""

ROUTER, SOLICITED, OVERRIDE = 1 << 31, 1 << 30, 1 << 29
"""Flags of a neighbour advertisement (RFC 4861 §4.4)."""
TARGET_ADDRESS = 2
"""Type of the option with the target's MAC (RFC 4861 section 4.6.1)."""

FLOODED_REQUESTS: tuple[Match, ...] = (
    Match(ingress=Ingress.LOCAL, eth_dst=EVERYONE, header=REQUEST),
    Match(ingress=Ingress.LOCAL, eth_dst=SOLICITED_NODES, header=SOLICITATION),
)
"""Questions that nothing more exact answers."""
DAD_SOLICITATION = FLOODED_REQUESTS[1]._replace(header=SOLICITATION._replace(nd_sll=ZERO_MAC))
"""Requests without a sender MAC in an option."""

PUNT_BYTES = 128
"""Enough for the options of neighbour discovery that come before the one that counts."""
_TOLD: tuple[Action, ...] = (Punt(PUNT_BYTES),)
_KNOWN: tuple[Action, ...] = (Goto(Table.ARP_ND_RESPONDER),)
_ONWARD: tuple[Action, ...] = (Goto(Table.FORWARD),)


def responder_bridge_flows() -> Iterator[Flow]:
    """Complete replies: the option of neighbor advertisements, and output to the port of ingress."""
    option = (
        SetField("nd_options_type", TARGET_ADDRESS),
        Move("eth_src", "nd_tll"),
        Goto(Table.RESPONDER_OUTPUT),
    )
    yield Flow(Table.ND_RESPONDER, EXACT, Match(header=ADVERTISEMENT), option)
    yield Flow(Table.RESPONDER_OUTPUT, MISS, Match(), (OutputInPort(),))


def unknown_target_flows(network: NetworkView) -> Iterator[Flow]:
    """Count requests for unknown targets, in networks with known bindings.

    A solicitation without an option has no room for that of a reply; only one without a source needs none.
    """
    for match in FLOODED_REQUESTS if network.neighbors else ():
        yield Flow(Table.ARP_ND_RESPONDER, REST, match._replace(network=network.vni), _ONWARD)
    if any(":" in known.ip for known in network.neighbors):
        yield Flow(Table.ARP_ND_RESPONDER, EXCEPTION, DAD_SOLICITATION._replace(network=network.vni), _ONWARD)


def snoop_flows() -> Iterator[Flow]:
    """Punt ARP and ND messages with a binding, unless it is known.

    An advertisement without a MAC has no binding, and is frequent: Linux answers unicast solicitations so.
    Requests without a sender (RFC 5227 section 2.1, RFC 4862 section 5.4.2) are rare: they are punted and
    ignored. Messages that cannot be parsed are dropped.
    """
    for header in (Header(ARP), SOLICITATION, ADVERTISEMENT):
        said = Match(ingress=Ingress.LOCAL, header=header)
        yield Flow(Table.NEIGHBOR_SNOOPING, REST, said, (*_TOLD, *_KNOWN))
    mute = Match(ingress=Ingress.LOCAL, header=ADVERTISEMENT._replace(nd_tll=ZERO_MAC))
    yield Flow(Table.NEIGHBOR_SNOOPING, EXACT, mute, _KNOWN)
    for header in INVALID:
        yield Flow(Table.NEIGHBOR_SNOOPING, UNREADABLE, Match(ingress=Ingress.LOCAL, header=header))


def skip_secured_ports(network: NetworkView) -> Iterator[Flow]:
    """Skip ARP and ND snooping on ports with port security: their bindings are static."""
    for member in network.members:
        if member.allowed is not None:
            here = Match(in_port=member.port, network=network.vni)
            yield Flow(Table.NEIGHBOR_SNOOPING, EXCEPTION, here, _KNOWN)


def known_binding_flows(view: BridgeView, vni: int, answers: Iterable[NeighborEntry]) -> Iterator[Flow]:
    """Do not punt ARP and ND for bindings that are known.

    For learned bindings, the idle timeout of the flow, or the lease as its hard timeout, is the age of the
    entry. For static ones the port owns the address with any MAC.
    """
    for ip, mac, port, learned, _, lease in answers:
        if port is not None:
            kind, idle = (Origin.LEARNED, 0 if lease else view.mac_age) if learned else (Origin.STATIC, 0)
            for said in _said(ip, mac) if learned else _claims(ip):
                here = Match(in_port=port, network=vni, header=said)
                yield Flow(Table.NEIGHBOR_SNOOPING, EXCEPTION, here, _KNOWN, idle, kind, lease)


def static_address_guard(network: NetworkView, answers: Iterable[NeighborEntry]) -> Iterator[Flow]:
    """Drop and punt ARP and ND that claim an address of the file at another port.

    A host that configures an address first probes for it (RFC 5227 section 2.3) and gets a reply; other hosts
    do not see the probe. Fields are matched that the table matches anyway. A router solicitation is a claim
    as well: its option changes neighbor caches of routers (RFC 4861 section 6.2.6). A unicast announcement is
    dropped: the responder does not see it.
    """
    if network.has_open_port:
        said_here = Match(ingress=Ingress.LOCAL, network=network.vni)
        for ip in (known.ip for known in answers if not known.learned):
            for said in _claims(ip):
                yield Flow(Table.NEIGHBOR_SNOOPING, GIVEN, said_here._replace(header=said), _TOLD)
            if ":" not in ip:
                question = REQUEST._replace(arp_spa=ip, arp_tpa=ip)
                announced = said_here._replace(eth_dst=EVERYONE, header=question)
                yield Flow(Table.NEIGHBOR_SNOOPING, ANNOUNCED, announced, (*_TOLD, *_KNOWN))


def address_conflict_flows(view: BridgeView, vni: int, lies: Iterable[AddressConflict]) -> Iterator[Flow]:
    """Drop claims of a conflict that was reported; the idle timeout of these flows is the conflict's age."""
    for ip, port in lies:
        for said in _said(ip, None):
            here = Match(in_port=port, network=vni, header=said)
            yield Flow(Table.NEIGHBOR_SNOOPING, LYING, here, (), view.mac_age, Origin.LEARNED)


def _said(ip: str, mac: str | None) -> tuple[Header, ...]:
    if ":" not in ip:
        return (Header(ARP, arp_spa=ip, arp_sha=mac),)
    return (
        SOLICITATION._replace(ipv6_src=ip, nd_sll=mac),
        ADVERTISEMENT._replace(nd_target=ip, nd_tll=mac),
    )


def _claims(ip: str) -> tuple[Header, ...]:
    """Yield headers of all messages that bind an address to any MAC."""
    solicits = (ROUTER_SOLICITATION._replace(ipv6_src=ip),) if ":" in ip else ()
    return (*_said(ip, None), *solicits)


def tagged_reply_flows(network: NetworkView, members: Iterable[NetworkPort]) -> Iterator[Flow]:
    """Send replies to a trunk port with the tag of the request."""
    for member in members if network.neighbors else ():
        if member.tagged and member.vlan is not None:
            here = Match(in_port=member.port, network=network.vni)
            yield Flow(Table.RESPONDER_OUTPUT, EXACT, here, (PushVlan(member.vlan), OutputInPort()))


def responder_flows(vni: int, answers: Iterable[NeighborEntry]) -> Iterator[Flow]:
    """Turn requests into replies. Forward those that need none, such as announcements.

    No reply goes to the owner of the address (RFC 5227 section 2.1.1), nor to other stations behind its port:
    matching sources would cost a datapath entry for each forged one. An announcement of a learned address by
    another station is a takeover, and is flooded; an address of the file is defended (RFC 5227 section 2.4).
    """
    for ip, mac, port, learned, router, _ in answers:
        yield from _anywhere(vni, ip, mac, learned=learned, router=router)
        if port is not None:
            own = Match(in_port=port, ingress=Ingress.LOCAL, network=vni, header=_question(ip))
            yield Flow(Table.ARP_ND_RESPONDER, OWN, own, _ONWARD, kind=_kind(learned=learned))


@lru_cache(maxsize=16384)
def _anywhere(vni: int, ip: str, mac: str, *, learned: bool, router: bool) -> tuple[Flow, ...]:
    """Yield what every bridge of the network replies, wherever the address is."""
    kind, asked, question = _kind(learned=learned), Match(ingress=Ingress.LOCAL, network=vni), _question(ip)
    if ":" in ip:
        everyone = asked._replace(eth_dst=SOLICITED_NODES, header=question)
        bare = everyone._replace(header=question._replace(ipv6_src=UNSPECIFIED, nd_sll=ZERO_MAC))
        return (
            Flow(Table.ARP_ND_RESPONDER, EXACT, everyone, _na(ip, mac, router=router), kind=kind),
            Flow(Table.ARP_ND_RESPONDER, BARE, bare, _taken(ip, mac, router=router), kind=kind),
        )
    everyone = asked._replace(eth_dst=EVERYONE, header=question)
    told = Flow(Table.ARP_ND_RESPONDER, EXACT, everyone, _arp_reply(ip, mac), kind=kind)
    claim = asked._replace(header=question._replace(arp_spa=ip))
    return (told, Flow(Table.ARP_ND_RESPONDER, EXCEPTION, claim, _ONWARD, kind=kind)) if learned else (told,)


def _kind(*, learned: bool) -> Origin:
    return Origin.LEARNED if learned else Origin.STATIC


def _question(ip: str) -> Header:
    return SOLICITATION._replace(nd_target=ip) if ":" in ip else REQUEST._replace(arp_tpa=ip)


def _arp_reply(ip: str, mac: str) -> tuple[Action, ...]:
    """Return actions that exchange the two ends of an ARP request (RFC 826)."""
    return (
        Move("eth_src", "eth_dst"),
        SetField("eth_src", mac),
        SetField("arp_op", 2),
        Move("arp_sha", "arp_tha"),
        Move("arp_spa", "arp_tpa"),
        SetField("arp_sha", mac),
        SetField("arp_spa", ip),
        Goto(Table.RESPONDER_OUTPUT),
    )


def _na(ip: str, mac: str, *, router: bool) -> tuple[Action, ...]:
    """Return actions that make a solicited neighbor advertisement (RFC 4861 section 7.2.4)."""
    to = (Move("eth_src", "eth_dst"), Move("ipv6_src", "ipv6_dst"))
    return (*to, *_advertisement(ip, mac, SOLICITED | OVERRIDE, router=router))


def _taken(ip: str, mac: str, *, router: bool) -> tuple[Action, ...]:
    """Return actions that reply to a probe without a source: to all nodes (RFC 4862 section 5.4.4)."""
    to = (SetField("eth_dst", ALL_NODES_MAC), SetField("ipv6_dst", ALL_NODES))
    return (*to, *_advertisement(ip, mac, OVERRIDE, router=router))


def _advertisement(ip: str, mac: str, flags: int, *, router: bool) -> tuple[Action, ...]:
    return (
        SetField("eth_src", mac),
        SetField("ipv6_src", ip),
        SetField("nd_reserved", flags | (ROUTER if router else 0)),
        SetField("icmpv6_type", 136),
        Goto(Table.ND_RESPONDER),
    )
