"""Views of bridges for tests: a few made by hand, and a strategy for any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import strategies as st

from flows.flow import Meter, Unit
from flows.match import ARP, ICMPV6, IGMP, IPV4, IPV6, NO_HEADER, NOBODY, UDP, UNSPECIFIED, Header
from flows.view import (
    Answer,
    BridgeView,
    Limits,
    Listeners,
    Location,
    Member,
    NetworkView,
    Peer,
    Role,
    Snooping,
    Speaker,
)

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


def alone(vni: int, *members: Member, peers: tuple[int, ...] = ()) -> NetworkView:
    """A network of which nobody's place is known. Peers send and take its own number as the key."""
    return NetworkView(vni, (vni,), peers, members, tuple(Peer(port, vni) for port in peers), ())


def two_tenants() -> BridgeView:
    """Red and blue, equal tags, a port and a far station each, and a trunk that carries both."""
    red = NetworkView(
        RED,
        (RED,),
        (TUNNEL,),
        (Member(RED_PORT, 10, tagged=False), Member(TRUNK, 30, tagged=True)),
        (Peer(TUNNEL, RED),),
        (Location(RED_PORT, False, False, (RED_MAC,)), Location(TUNNEL, True, False, (RED_FAR,))),
    )
    blue = NetworkView(
        BLUE,
        (BLUE,),
        (TUNNEL,),
        (Member(BLUE_PORT, 10, tagged=False), Member(TRUNK, 40, tagged=True)),
        (Peer(TUNNEL, BLUE),),
        (Location(BLUE_PORT, False, True, (BLUE_MAC,)), Location(TUNNEL, True, True, (BLUE_FAR,))),
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

speakers = st.builds(
    Speaker, st.sampled_from(MACS), st.lists(st.sampled_from(ADDRESSES), unique=True).map(tuple)
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
    arp_tha=[NOBODY],
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
    nd_sll=[NOBODY, *MACS],
)
advertisements = _headers(
    eth_type=[IPV6],
    ip_proto=[ICMPV6],
    ipv6_src=ADDRESSES[2:],
    icmpv6_type=[136],
    icmpv6_code=[0],
    nd_target=ADDRESSES[2:],
    nd_tll=[NOBODY, *MACS],
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
STREAM, LINK = (Header(IPV4, UDP, ADDRESSES[0], to) for to in ("239.1.2.3", "224.0.0.251"))
STREAM_6, LINK_6 = (Header(IPV6, UDP, ipv6_src=ADDRESSES[2], ipv6_dst=to) for to in ("ff05::1:3", "ff02::fb"))
QUERY, REPORT, ABOUT = (
    Header(IPV4, IGMP, ADDRESSES[0], to) for to in ("224.0.0.1", "224.0.0.22", "239.1.2.3")
)
QUERY_6, REPORT_6, LEAVE_6 = (
    Header(IPV6, ICMPV6, ipv6_src=ADDRESSES[2], ipv6_dst=to, icmpv6_type=kind)
    for to, kind in (("ff02::1", 130), ("ff02::16", 143), ("ff02::2", 132))
)
headers = st.one_of(
    st.sampled_from([NO_HEADER, PING, DHCP, DHCP6, SOLICITATION, QUERY, REPORT, STREAM, *SERVED, *ROUTED]),
    *(requests, solicitations, advertisements, packets, packets6),
)


@st.composite
def members_of(draw: st.DrawFn, port: int, vlan: int | None, tagged: bool) -> Member:
    """A port in a network, strict or not, with any role."""
    roles = frozenset(draw(st.sets(st.sampled_from(ROLES))))
    largest, speaker = draw(st.none() | st.sampled_from(SIZES)), draw(st.none() | speakers)
    return Member(port, vlan, tagged, None, largest, speaker, roles)


def open_to_all(view: BridgeView) -> BridgeView:
    """The same with no strict port."""
    networks = (
        replace(network, members=tuple(replace(member, speaker=None) for member in network.members))
        for network in view.networks
    )
    return replace(view, networks=tuple(networks))


@st.composite
def views(draw: st.DrawFn) -> BridgeView:
    """Any sound view: a port is untagged in one network at most, and carries a tag for one at most; only
    where it carries none is there an edge tag; a key means one network at most. Some ports are tunnels of
    strangers, where the same holds of each key.
    """
    vnis = draw(st.lists(st.sampled_from(VNIS), unique=True, max_size=4))
    tunnels = draw(st.lists(st.sampled_from(TUNNELS), unique=True, max_size=4).map(sorted))
    members: dict[int, list[Member]] = {vni: [] for vni in vnis}
    for port in draw(st.lists(st.sampled_from(PORTS), unique=True)) if vnis else []:
        if draw(st.integers(0, 3)) == 0:
            for vni, member in draw(_of_stranger(port, vnis)):
                members[vni].append(member)
            continue
        untagged = draw(st.sampled_from([None, *vnis]))
        tags: set[int] = set()
        for vni in draw(st.lists(st.sampled_from(vnis), unique=True)):
            tag = draw(st.integers(1, 9))
            if vni != untagged and tag not in tags:
                tags.add(tag)
                members[vni].append(draw(members_of(port, tag, tagged=True)))
        if untagged is not None:
            vlan = draw(st.none() if tags else st.one_of(st.none(), st.integers(1, 5)))
            members[untagged].append(draw(members_of(port, vlan, tagged=False)))
    owners = {key: draw(st.sampled_from([None, *vnis])) for key in VNIS}
    networks = tuple(
        draw(_network(vni, tuple(key for key in VNIS if owners[key] == vni), tuple(members[vni]), tunnels))
        for vni in vnis
        if members[vni]
    )
    limited = draw(st.lists(st.sampled_from(PORTS), unique=True, max_size=3))
    limits = {port: draw(_limits(port)) for port in limited}
    crowded = draw(st.lists(st.sampled_from([*PORTS, *tunnels]), unique=True, max_size=2).map(sorted))
    age, rate = draw(st.integers(60, 600)), draw(st.sampled_from([100, 5000]))
    return BridgeView(
        *(networks, tuple(tunnels), draw(st.booleans()), age, rate), limits=limits, crowded=tuple(crowded)
    )


def _snooping(ports: list[int], peers: list[int]) -> st.SearchStrategy[tuple[Snooping, ...]]:
    def some(of: list[int]) -> st.SearchStrategy[tuple[int, ...]]:
        return st.sets(st.sampled_from(of)).map(lambda found: tuple(sorted(found))) if of else st.just(())

    listeners = st.builds(Listeners, some(ports), some(peers))

    def family(number: int, *macs: str) -> st.SearchStrategy[tuple[Snooping, ...]]:
        heard = st.dictionaries(st.sampled_from(macs), listeners)
        groups = st.none() | heard.map(lambda found: tuple(sorted(found.items())))
        queriers = st.sets(st.sampled_from([ROUTER, MACS[0]])).map(lambda found: tuple(sorted(found)))
        known = st.builds(Snooping, st.just(number), queriers, listeners, groups)
        return st.just(()) | known.map(lambda one: (one,))

    families = st.tuples(family(4, GROUP, OTHER_GROUP), family(6, GROUP_6, OTHER_GROUP_6))
    return families.map(lambda both: both[0] + both[1])


def _limits(port: int) -> st.SearchStrategy[Limits]:
    def meter(kind: int, unit: Unit) -> st.SearchStrategy[Meter | None]:
        return st.none() | st.builds(
            *(Meter, st.just(10 * port + kind), st.sampled_from([1000, 2000])),
            *(st.sampled_from([500, 1000]), st.just(unit)),
        )

    kilobits, frames = Unit.KILOBITS, Unit.FRAMES
    return st.builds(Limits, meter(0, kilobits), meter(1, kilobits), meter(2, frames))


@st.composite
def _of_stranger(draw: st.DrawFn, port: int, vnis: list[int]) -> list[tuple[int, Member]]:
    """What a stranger's tunnel carries: tags or none, with any key or none, each for one network."""
    ways = st.tuples(st.sampled_from([0, 0, *VNIS]), st.one_of(st.none(), st.integers(1, 9)))
    networks = draw(st.lists(st.sampled_from(vnis), unique=True, min_size=1))
    found = draw(st.lists(ways, unique=True, min_size=len(networks), max_size=len(networks)))
    may = frozenset(draw(st.sets(st.sampled_from(ROLES))))
    return [
        (vni, Member(port, vlan, tagged=vlan is not None, key=key, may=may))
        for vni, (key, vlan) in zip(networks, found, strict=True)
    ]


@st.composite
def _network(
    draw: st.DrawFn, vni: int, keys: tuple[int, ...], members: tuple[Member, ...], tunnels: list[int]
) -> NetworkView:
    some_tunnels = st.lists(st.sampled_from(tunnels), unique=True).map(sorted) if tunnels else st.just([])
    peers = tuple(Peer(port, draw(st.sampled_from(VNIS)), draw(st.booleans())) for port in draw(some_tunnels))
    ports = [(member.port, False) for member in members] + [(peer.port, True) for peer in peers]
    homes: dict[tuple[int, bool, bool, int, bool], list[str]] = {}
    for mac in draw(st.lists(st.sampled_from(MACS), unique=True)):
        at, *elsewhere = draw(st.lists(st.sampled_from(ports), unique=True, min_size=1, max_size=3))
        learned = draw(st.booleans())
        moves = draw(st.sampled_from([0, 1, 2**32 - 1])) if learned else 0
        homes.setdefault((*at, learned, moves, False), []).append(mac)
        for place in elsewhere:
            homes.setdefault((*place, True, 0, True), []).append(mac)
    locations = tuple(sorted(Location(*at[:3], tuple(macs), *at[3:]) for at, macs in homes.items()))
    entrances = tuple(draw(some_tunnels))
    return NetworkView(
        *(vni, keys, entrances, members, peers, locations),
        serves=draw(st.booleans()),
        floods_unknown=draw(st.booleans()),
        snooping=draw(_snooping([m.port for m in members], [peer.port for peer in peers])),
        answers=draw(_answers(locations)),
        leases=draw(st.booleans()),
    )


@st.composite
def _answers(draw: st.DrawFn, locations: tuple[Location, ...]) -> tuple[Answer, ...]:
    """Whose address is whose, of those whose place is known."""
    places = {mac: location for location in locations if not location.denied for mac in location.macs}
    known = (
        draw(st.dictionaries(st.sampled_from(ADDRESSES), st.sampled_from(sorted(places)))) if places else {}
    )
    configured = st.tuples(st.just(value=False), st.booleans())
    learned = st.tuples(st.just(value=True), st.booleans(), st.sampled_from([0, 120, 65535]))
    flags = st.one_of(configured, learned)
    ports = {mac: None if at.remote else at.port for mac, at in places.items()}
    return tuple(Answer(ip, mac, ports[mac], *draw(flags)) for ip, mac in sorted(known.items()))
