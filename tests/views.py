"""Views of bridges for tests: a few made by hand, and a strategy for any."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import TypeVar

from hypothesis import strategies as st

from flows.flow import Meter, Unit
from flows.match import ARP, ICMPV6, IGMP, IPV4, IPV6, NO_HEADER, UDP, UNSPECIFIED, ZERO_MAC, Header
from flows.view import (
    AddressConflict,
    AllowedAddressPair,
    BridgeView,
    Limits,
    Location,
    MulticastGroups,
    MulticastPorts,
    NeighborEntry,
    NetworkPort,
    NetworkView,
    Peer,
    Role,
)

T = TypeVar("T")

RED, BLUE = 5010, 5020
RED_PORT, BLUE_PORT, TRUNK = 1, 2, 3
TUNNEL, OTHER_TUNNEL = 40001, 40002
RED_MAC, BLUE_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02"
RED_FAR, BLUE_FAR = "02:00:00:00:01:01", "02:00:00:00:01:02"
BROADCAST = "ff:ff:ff:ff:ff:ff"
STRANGER = "02:99:99:99:99:99"


def bridge(
    *networks: NetworkView, tunnels: tuple[int, ...] = (TUNNEL,), per_host: bool = False
) -> BridgeView:
    """A bridge with these networks and the usual rest."""
    return BridgeView(networks, tunnels, learn_from_tunnels=per_host, mac_age=300, punt_rate=5000)


def alone(vni: int, *members: NetworkPort, peers: tuple[int, ...] = ()) -> NetworkView:
    """A network of which nobody's place is known. Peers send and take its own number as the key."""
    return NetworkView(vni, (vni,), peers, members, tuple(Peer(port, vni) for port in peers), ())


def two_tenants() -> BridgeView:
    """Red and blue, equal tags, a port and a far station each, and a trunk that carries both."""
    red = NetworkView(
        RED,
        (RED,),
        (TUNNEL,),
        (NetworkPort(RED_PORT, 10, tagged=False), NetworkPort(TRUNK, 30, tagged=True)),
        (Peer(TUNNEL, RED),),
        (Location(RED_PORT, False, False, (RED_MAC,)), Location(TUNNEL, True, False, (RED_FAR,), key=RED)),
    )
    blue = NetworkView(
        BLUE,
        (BLUE,),
        (TUNNEL,),
        (NetworkPort(BLUE_PORT, 10, tagged=False), NetworkPort(TRUNK, 40, tagged=True)),
        (Peer(TUNNEL, BLUE),),
        (Location(BLUE_PORT, False, True, (BLUE_MAC,)), Location(TUNNEL, True, True, (BLUE_FAR,), key=BLUE)),
    )
    return bridge(red, blue, tunnels=(TUNNEL, OTHER_TUNNEL))


MACS = [f"02:00:00:00:00:{n:02x}" for n in range(12)]
VNIS = [1, 2, 10, 5010, 5020, 2**24 - 1]
PORTS = list(range(1, 9))
TUNNELS = list(range(40001, 40005))
SIZES = [590, 1464]
DHCP = Header(IPV4, UDP, "0.0.0.0", udp_src=68, udp_dst=67)
DHCP6 = Header(IPV6, UDP, ipv6_src="fd00::1", udp_src=546, udp_dst=547)
SOLICITATION = Header(IPV6, ICMPV6, ipv6_src=UNSPECIFIED, icmpv6_type=133)
PING = Header(IPV4, ip_proto=1, ipv4_src="10.1.1.1")
SOLICITED = "33:33:ff:00:00:01"
ADDRESSES = ["10.1.1.1", "10.1.1.2", "fd00::1", "fd00::2"]
ROLES: list[Role] = ["dhcp-server", "router"]

LINK_LOCAL = "fe80::1"

speakers = st.builds(
    AllowedAddressPair,
    st.sampled_from(MACS),
    st.lists(st.sampled_from(ADDRESSES), unique=True).map(lambda some: (*some, LINK_LOCAL)),
)


def _headers(**said: Sequence[int | str]) -> st.SearchStrategy[Header]:
    """Headers in which each of these fields has one of its values."""
    fields = {name: st.sampled_from(values) for name, values in said.items()}
    return st.fixed_dictionaries(fields).map(lambda chosen: Header(**chosen))  # type: ignore[arg-type]


requests = _headers(
    eth_type=[ARP],
    arp_op=[1, 1, 2],
    arp_spa=["0.0.0.0", *ADDRESSES[:2]],
    arp_tpa=["10.1.1.9", *ADDRESSES[:2]],
    arp_sha=MACS,
    arp_tha=[ZERO_MAC],
)
"""ARP, with as many senders and targets as there may be."""
solicitations = _headers(
    eth_type=[IPV6],
    ip_proto=[ICMPV6],
    ipv6_src=[UNSPECIFIED, *ADDRESSES[2:]],
    ipv6_dst=["ff02::1:ff00:1"],
    icmpv6_type=[135],
    icmpv6_code=[0],
    nd_target=["fd00::9", *ADDRESSES[2:]],
    nd_sll=[ZERO_MAC, *MACS],
)
advertisements = _headers(
    eth_type=[IPV6],
    ip_proto=[ICMPV6],
    ipv6_src=ADDRESSES[2:],
    icmpv6_type=[136],
    icmpv6_code=[0],
    nd_target=ADDRESSES[2:],
    nd_tll=[ZERO_MAC, *MACS],
)
packets = _headers(eth_type=[IPV4], ip_proto=[6], ipv4_src=ADDRESSES[:2])
packets6 = _headers(eth_type=[IPV6], ip_proto=[6], ipv6_src=ADDRESSES[2:])
SERVED = [
    Header(IPV4, UDP, ADDRESSES[0], udp_src=67, udp_dst=68),
    Header(IPV6, UDP, ipv6_src=ADDRESSES[2], udp_src=547, udp_dst=546),
]
"""What DHCP servers say to clients."""
ROUTED = [
    Header(IPV6, ICMPV6, ipv6_src=ADDRESSES[2], icmpv6_type=134),
    Header(IPV6, ICMPV6, ipv6_src=ADDRESSES[2], icmpv6_type=137),
]
"""What routers say."""
GROUP, GROUP_6, ROUTER = "01:00:5e:01:02:03", "33:33:00:01:00:03", "02:00:00:00:00:fe"
OTHER_GROUP, OTHER_GROUP_6 = "01:00:5e:01:02:04", "33:33:00:01:00:04"
STREAM, LINK = (
    Header(IPV4, UDP, ADDRESSES[0], to, udp_src=9, udp_dst=5353) for to in ("239.1.2.3", "224.0.0.251")
)
STREAM_6, LINK_6 = (
    Header(IPV6, UDP, ipv6_src=ADDRESSES[2], ipv6_dst=to, udp_src=9, udp_dst=5353)
    for to in ("ff05::1:3", "ff02::fb")
)
QUERY, REPORT, ABOUT = (
    Header(IPV4, IGMP, ADDRESSES[0], to) for to in ("224.0.0.1", "224.0.0.22", "239.1.2.3")
)
QUERY_6, REPORT_6, LEAVE_6 = (
    Header(IPV6, ICMPV6, ipv6_src=ADDRESSES[2], ipv6_dst=to, icmpv6_type=kind)
    for to, kind in (("ff02::1", 130), ("ff02::16", 143), ("ff02::2", 132))
)
_UDP, _UDP6 = Header(IPV4, UDP, ADDRESSES[0]), Header(IPV6, UDP, ipv6_src=ADDRESSES[2])
_ND = Header(IPV6, ICMPV6, ipv6_src=ADDRESSES[2])
FRAGMENTED = [
    *(said._replace(ip_frag="first") for said in (*SERVED, *ROUTED, STREAM, PING)),
    _UDP._replace(ip_frag="later"),
    Header(IPV6, 44, ipv6_src=ADDRESSES[2], ip_frag="later"),
    *(_ND._replace(icmpv6_type=kind, nd_target=ADDRESSES[2], ip_frag="first") for kind in (135, 136)),
]
"""Fragments; of IPv6, a later one shows no protocol but that of its fragment header."""
HIDDEN = [
    *(Header(kind) for kind in (IPV4, IPV6)),
    *(said._replace(ip_frag=frag) for said in (_UDP, _UDP6, _ND) for frag in ("no", "first")),
]
"""Where Open vSwitch cannot read what guards look at."""
INVALID = [Header(ARP), *(_ND._replace(icmpv6_type=kind) for kind in (135, 136))]
"""ARP and neighbour discovery that Open vSwitch takes for malformed."""
headers = st.one_of(
    st.sampled_from([NO_HEADER, PING, DHCP, DHCP6, SOLICITATION, QUERY, REPORT, STREAM, *SERVED, *ROUTED]),
    st.sampled_from([*FRAGMENTED, *HIDDEN, *INVALID]),
    *(requests, solicitations, advertisements, packets, packets6),
)


def open_to_all(view: BridgeView) -> BridgeView:
    """The same with no strict port."""
    networks = (
        replace(network, members=tuple(replace(member, allowed=None) for member in network.members))
        for network in view.networks
    )
    return replace(view, networks=tuple(networks))


# Making a strategy takes far longer than drawing from one: there is one of each.
_yes_or_no = st.booleans()
_tag = st.integers(1, 9)
_edge_tag = st.none() | st.integers(1, 5)
_age = st.integers(60, 600)
_largest = st.none() | st.sampled_from(SIZES)
_speaker = st.none() | speakers
_way = st.tuples(st.sampled_from([0, 0, *VNIS]), st.none() | _tag)
_configured = st.tuples(st.just(value=False), _yes_or_no)
_learned = st.tuples(st.just(value=True), _yes_or_no, st.sampled_from([0, 120, 65535]))
_flags = st.one_of(_configured, _learned)


@cache
def _place(of: int) -> st.SearchStrategy[int]:
    return st.sampled_from(range(of))


@cache
def _places(of: int, least: int, most: int | None) -> st.SearchStrategy[list[int]]:
    return st.lists(_place(of), unique=True, min_size=least, max_size=most)


@cache
def _ways(number: int) -> st.SearchStrategy[list[tuple[int, int | None]]]:
    return st.lists(_way, unique=True, min_size=number, max_size=number)


def _some(draw: st.DrawFn, of: Sequence[T], least: int = 0, most: int | None = None) -> list[T]:
    """Different ones, in any order."""
    return [of[place] for place in draw(_places(len(of), least, most))] if of else []


def _one(draw: st.DrawFn, of: Sequence[T]) -> T:
    return of[draw(_place(len(of)))]


@st.composite
def views(draw: st.DrawFn) -> BridgeView:
    """Any sound view: a port is untagged in one network at most, and carries a tag for one at most; only
    where it carries none is there an edge tag; a key means one network at most. Some ports are tunnels of
    strangers, where the same holds of each key.
    """
    vnis = _some(draw, VNIS, least=1, most=4)
    tunnels = sorted(_some(draw, TUNNELS, most=4))
    members: dict[int, list[NetworkPort]] = {vni: [] for vni in vnis}
    for port in _some(draw, PORTS):
        if _one(draw, range(4)) == 0:
            for vni, member in _of_stranger(draw, port, vnis):
                members[vni].append(member)
            continue
        untagged = _one(draw, [None, *vnis])
        tags: set[int] = set()
        for vni in _some(draw, vnis):
            tag = draw(_tag)
            if vni != untagged and tag not in tags:
                tags.add(tag)
                members[vni].append(_member(draw, port, tag, tagged=True))
        if untagged is not None:
            vlan = None if tags else draw(_edge_tag)
            members[untagged].append(_member(draw, port, vlan, tagged=False))
    owners = {key: _one(draw, [None, *vnis]) for key in VNIS}
    networks = tuple(
        _network(draw, vni, tuple(key for key in VNIS if owners[key] == vni), tuple(members[vni]), tunnels)
        for vni in vnis
        if members[vni]
    )
    ports = sorted({member.port for network in networks for member in network.members})
    limits = {port: _limits(draw, port) for port in _some(draw, ports, most=3)}
    crowded = tuple(sorted(_some(draw, [*PORTS, *tunnels], most=2)))
    age, rate = draw(_age), _one(draw, [100, 5000])
    per_host = draw(_yes_or_no)
    return BridgeView(
        networks, tuple(tunnels), per_host, age, rate, limits=limits, mac_limit_exceeded=crowded
    )


def _member(draw: st.DrawFn, port: int, vlan: int | None, *, tagged: bool) -> NetworkPort:
    """A port in a network, strict or not, with any role."""
    roles = frozenset(_some(draw, ROLES))
    return NetworkPort(port, vlan, tagged, None, draw(_largest), draw(_speaker), roles)


def _snooping(draw: st.DrawFn, ports: list[int], peers: list[int]) -> Iterator[MulticastGroups]:
    def listeners() -> MulticastPorts:
        return MulticastPorts(tuple(sorted(_some(draw, ports))), tuple(sorted(_some(draw, peers))))

    for family, macs in ((4, [GROUP, OTHER_GROUP]), (6, [GROUP_6, OTHER_GROUP_6])):
        if draw(_yes_or_no):
            queriers = tuple(sorted(_some(draw, [ROUTER, MACS[0]])))
            heard = sorted(_some(draw, macs)) if draw(_yes_or_no) else None
            groups = None if heard is None else tuple((mac, listeners()) for mac in heard)
            yield MulticastGroups(family, queriers, listeners(), groups)


def _limits(draw: st.DrawFn, port: int) -> Limits:
    def meter(kind: int, unit: Unit) -> Meter | None:
        if draw(_yes_or_no):
            return None
        return Meter(10 * port + kind, _one(draw, [1000, 2000]), _one(draw, [500, 1000]), unit)

    return Limits(meter(0, Unit.KILOBITS), meter(1, Unit.KILOBITS), meter(2, Unit.FRAMES))


def _of_stranger(draw: st.DrawFn, port: int, vnis: list[int]) -> list[tuple[int, NetworkPort]]:
    """What a stranger's tunnel carries: tags or none, with any key or none, each for one network."""
    networks = _some(draw, vnis, least=1)
    found = draw(_ways(len(networks)))
    may = frozenset(_some(draw, ROLES))
    return [
        (vni, NetworkPort(port, vlan, tagged=vlan is not None, key=key, roles=may))
        for vni, (key, vlan) in zip(networks, found, strict=True)
    ]


def _network(
    draw: st.DrawFn, vni: int, keys: tuple[int, ...], members: tuple[NetworkPort, ...], tunnels: list[int]
) -> NetworkView:
    peers = tuple(Peer(port, _one(draw, VNIS), draw(_yes_or_no)) for port in sorted(_some(draw, tunnels)))
    ports = list(dict.fromkeys([(m.port, False) for m in members] + [(peer.port, True) for peer in peers]))
    homes: dict[tuple[int, bool, bool, int, bool], list[str]] = {}
    for mac in _some(draw, MACS):
        at, *elsewhere = _some(draw, ports, least=1, most=3)
        learned = draw(_yes_or_no)
        moves = _one(draw, [0, 1, 2**32 - 1]) if learned else 0
        homes.setdefault((*at, learned, moves, False), []).append(mac)
        for place in elsewhere:
            homes.setdefault((*place, True, 0, True), []).append(mac)
    keys_of = {(peer.port, True): peer.key for peer in peers}
    locations = tuple(
        sorted(
            Location(*at[:3], tuple(macs), *at[3:], key=keys_of.get(at[:2], 0)) for at, macs in homes.items()
        )
    )
    return NetworkView(
        *(vni, keys, tuple(sorted(_some(draw, tunnels))), members, peers, locations),
        dhcp_enabled=draw(_yes_or_no),
        floods_unknown=draw(_yes_or_no),
        multicast=tuple(_snooping(draw, sorted({m.port for m in members}), [peer.port for peer in peers])),
        neighbors=_answers(draw, locations),
        external_dhcp=draw(_yes_or_no),
        nests=any(member.nests for member in members) or draw(_yes_or_no),
        conflicts=draw(_lies(sorted({m.port for m in members}))),
    )


def _lies(ports: list[int]) -> st.SearchStrategy[tuple[AddressConflict, ...]]:
    """Addresses that some of these ports claim."""
    lie = st.builds(AddressConflict, st.sampled_from(ADDRESSES), st.sampled_from(ports))
    return st.lists(lie, unique=True, max_size=3).map(tuple)


def _answers(draw: st.DrawFn, locations: tuple[Location, ...]) -> tuple[NeighborEntry, ...]:
    """Whose address is whose, of those whose place is known."""
    places = {mac: location for location in locations if not location.blocked for mac in location.macs}
    ports = {mac: None if at.remote else at.port for mac, at in places.items()}
    known = {ip: _one(draw, sorted(places)) for ip in sorted(_some(draw, ADDRESSES))} if places else {}
    return tuple(NeighborEntry(ip, mac, ports[mac], *draw(_flags)) for ip, mac in known.items())
