"""Who has this address? Questions of local ports that a bridge can answer, turned into their answers.

Tables address, answer, advertise and reply. A question from a tunnel is for us to deliver: the bridge where
it entered could not answer it. Questions to one station (Linux asks so whether a neighbour is still there)
go to it.
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
"""The option with the MAC of whoever is asked for (RFC 4861 §4.6.1)."""

FLOODED_REQUESTS: tuple[Match, ...] = (
    Match(ingress=Ingress.LOCAL, eth_dst=EVERYONE, header=REQUEST),
    Match(ingress=Ingress.LOCAL, eth_dst=SOLICITED_NODES, header=SOLICITATION),
)
"""Questions that nothing more exact answers."""
DAD_SOLICITATION = FLOODED_REQUESTS[1]._replace(header=SOLICITATION._replace(nd_sll=ZERO_MAC))
"""By somebody who does not say at which MAC he is."""

PUNT_BYTES = 128
"""Enough for the options of neighbour discovery that come before the one that counts."""
_TOLD: tuple[Action, ...] = (Punt(PUNT_BYTES),)
_KNOWN: tuple[Action, ...] = (Goto(Table.ARP_ND_RESPONDER),)
_ONWARD: tuple[Action, ...] = (Goto(Table.FORWARD),)


def responder_bridge_flows() -> Iterator[Flow]:
    """What makes an answer whole, where there are any."""
    option = (
        SetField("nd_options_type", TARGET_ADDRESS),
        Move("eth_src", "nd_tll"),
        Goto(Table.RESPONDER_OUTPUT),
    )
    yield Flow(Table.ND_RESPONDER, EXACT, Match(header=ADVERTISEMENT), option)
    yield Flow(Table.RESPONDER_OUTPUT, MISS, Match(), (OutputInPort(),))


def unknown_target_flows(network: NetworkView) -> Iterator[Flow]:
    """Questions that nothing more exact answers, counted, where anything is known.

    A solicitation without an option has no room for the answer's; only one without a source needs none.
    """
    for match in FLOODED_REQUESTS if network.neighbors else ():
        yield Flow(Table.ARP_ND_RESPONDER, REST, match._replace(network=network.vni), _ONWARD)
    if any(":" in known.ip for known in network.neighbors):
        yield Flow(Table.ARP_ND_RESPONDER, EXCEPTION, DAD_SOLICITATION._replace(network=network.vni), _ONWARD)


def snoop_flows() -> Iterator[Flow]:
    """What a local port says of an address, as long as it is news: the controller hears of it as well.

    An advertisement without a MAC says nothing, and there are many: Linux so answers whoever asks it alone.
    Nor does a question without an address (RFC 5227 §2.1, RFC 4862 §5.4.2), but those are few: the controller
    hears of them and does not listen. What cannot be read ends here.
    """
    for header in (Header(ARP), SOLICITATION, ADVERTISEMENT):
        said = Match(ingress=Ingress.LOCAL, header=header)
        yield Flow(Table.NEIGHBOR_SNOOPING, REST, said, (*_TOLD, *_KNOWN))
    mute = Match(ingress=Ingress.LOCAL, header=ADVERTISEMENT._replace(nd_tll=ZERO_MAC))
    yield Flow(Table.NEIGHBOR_SNOOPING, EXACT, mute, _KNOWN)
    for header in INVALID:
        yield Flow(Table.NEIGHBOR_SNOOPING, UNREADABLE, Match(ingress=Ingress.LOCAL, header=header))


def skip_secured_ports(network: NetworkView) -> Iterator[Flow]:
    """A strict port says nothing that is news."""
    for member in network.members:
        if member.allowed is not None:
            here = Match(in_port=member.port, network=network.vni)
            yield Flow(Table.NEIGHBOR_SNOOPING, EXCEPTION, here, _KNOWN)


def known_binding_flows(view: BridgeView, vni: int, answers: Iterable[NeighborEntry]) -> Iterator[Flow]:
    """What is known of local addresses is no news. Of learned ones, these flows are also the age: silence
    ends it, or the end of its lease. What the file gives a port is its own, with whatever MAC.
    """
    for ip, mac, port, learned, _, lease in answers:
        if port is not None:
            kind, idle = (Origin.LEARNED, 0 if lease else view.mac_age) if learned else (Origin.FIXED, 0)
            for said in _said(ip, mac) if learned else _claims(ip):
                here = Match(in_port=port, network=vni, header=said)
                yield Flow(Table.NEIGHBOR_SNOOPING, EXCEPTION, here, _KNOWN, idle, kind, lease)


def static_address_guard(network: NetworkView, answers: Iterable[NeighborEntry]) -> Iterator[Flow]:
    """What the file gives one port, no other may claim: it ends here, and the controller hears of it.

    Who announces it first asks everybody for it (RFC 5227 §2.3): he is told who has it, and nobody else is.
    No address is looked at here that the table does not look at anyway. A router solicitation is a claim as
    well: its option changes the neighbour caches of routers (RFC 4861 §6.2.6). An announcement to one station
    is dropped: the table that answers those to everyone does not see it.
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
    """Claims of what the file gives somebody else, once that is known: these flows are also their age."""
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
    """All messages that give an address a MAC, whichever."""
    solicits = (ROUTER_SOLICITATION._replace(ipv6_src=ip),) if ":" in ip else ()
    return (*_said(ip, None), *solicits)


def tagged_reply_flows(network: NetworkView, members: Iterable[NetworkPort]) -> Iterator[Flow]:
    """An answer to a trunk port carries the tag of the question."""
    for member in members if network.neighbors else ():
        if member.tagged and member.vlan is not None:
            here = Match(in_port=member.port, network=network.vni)
            yield Flow(Table.RESPONDER_OUTPUT, EXACT, here, (PushVlan(member.vlan), OutputInPort()))


def responder_flows(vni: int, answers: Iterable[NeighborEntry]) -> Iterator[Flow]:
    """The answer to each question, and the questions that are none: whoever announces an address asks for it.

    Nobody is told of his own address (RFC 5227 §2.1.1), nor is who shares his port: to look at sources here
    would cost the datapath an entry for each that a port makes up. Another who announces a learned address
    has taken it over, and everybody should hear; one that the file gives is defended (RFC 5227 §2.4).
    """
    for ip, mac, port, learned, router, _ in answers:
        yield from _anywhere(vni, ip, mac, learned=learned, router=router)
        if port is not None:
            own = Match(in_port=port, ingress=Ingress.LOCAL, network=vni, header=_question(ip))
            yield Flow(Table.ARP_ND_RESPONDER, OWN, own, _ONWARD, kind=_kind(learned=learned))


@lru_cache(maxsize=16384)
def _anywhere(vni: int, ip: str, mac: str, *, learned: bool, router: bool) -> tuple[Flow, ...]:
    """What every bridge of the network answers, wherever it is that the address lives."""
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
    return Origin.LEARNED if learned else Origin.FIXED


def _question(ip: str) -> Header:
    return SOLICITATION._replace(nd_target=ip) if ":" in ip else REQUEST._replace(arp_tpa=ip)


def _arp_reply(ip: str, mac: str) -> tuple[Action, ...]:
    """RFC 826: the request with its two ends exchanged."""
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
    """RFC 4861 §7.2.4: to whoever asked, solicited."""
    to = (Move("eth_src", "eth_dst"), Move("ipv6_src", "ipv6_dst"))
    return (*to, *_advertisement(ip, mac, SOLICITED | OVERRIDE, router=router))


def _taken(ip: str, mac: str, *, router: bool) -> tuple[Action, ...]:
    """Who has no address yet is told with everybody (RFC 4862 §5.4.4)."""
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
