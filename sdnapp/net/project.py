"""Project a state to the view of one bridge: names become its present port numbers."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain, compress, count, repeat
from operator import attrgetter, is_not
from typing import NamedTuple

from flows.compile import run_to_completion
from flows.view import (
    AddressConflict,
    BridgeView,
    Limits,
    Location,
    MulticastGroups,
    MulticastPorts,
    NeighborEntry,
    NetworkPort,
    NetworkView,
    Peer,
)
from sdnapp.net.encap import Encap, EncapState
from sdnapp.net.fdb import BlockedSources, PortRef
from sdnapp.net.loop_protection import Held
from sdnapp.net.memo import Memo
from sdnapp.net.meters import limits
from sdnapp.net.model import Host, Network
from sdnapp.net.mtu import ETHERNET
from sdnapp.net.multicast_snooping import GroupsByFamily
from sdnapp.net.network_facts import (
    EMPTY_HOST_FDB,
    NO_HOST_PORTS,
    FdbByHost,
    HostFdb,
    HostPorts,
    LearnedNeighbor,
    LocalPort,
    NetworkFacts,
    NetworkFactsCache,
    PortsByHost,
)
from sdnapp.net.state import Ports, State

_TAG = 4
"""Bytes of an 802.1Q header."""
PUNT_RATE = 10_000
"""Frames per second that one bridge may send to the controller; what it drops comes again."""
STEP = 5_000
"""MACs whose places are looked at in some 5 ms."""

TunnelByPeer = Mapping[str, tuple[int, int]]
"""By peer, the port of the tunnel that leads there, and the key that it understands."""


class EncapByNetwork(NamedTuple):
    """Encapsulation state of a bridge by network: the tunnel to each peer, and the keys accepted."""

    ways: Mapping[str, Mapping[str, Encap]]
    keys: Mapping[str, tuple[int, ...]]


class NetworkTunnels(NamedTuple):
    """Tunnels of a bridge in one network, in its port numbers: sent to, and accepted from."""

    keys: tuple[int, ...]
    entrances: tuple[int, ...]
    peers: tuple[Peer, ...]
    behind: TunnelByPeer


class RemoteFdb(NamedTuple):
    """FDB entries behind each tunnel of a bridge, and the locations that they are to it."""

    behind: TunnelByPeer
    residents: list[HostFdb]
    found: list[tuple[Location, ...]]


@dataclass(frozen=True, slots=True)
class BridgeMemo:
    """What was projected before for one bridge; ``archive``: what is known of networks, the same for all."""

    archive: NetworkFactsCache = field(default_factory=NetworkFactsCache)
    bridge: Memo = field(default_factory=Memo)
    networks: dict[str, Memo] = field(default_factory=dict)


def project(state: State, host: str, speech: EncapState) -> BridgeView:
    """Return the view of this host's bridge with this encapsulation state."""
    return run_to_completion(project_incremental(state, host, speech, BridgeMemo()))


def project_incremental(
    state: State, host: str, speech: EncapState, memo: BridgeMemo
) -> Generator[None, None, BridgeView]:
    """Return the view, with the last projection of this bridge at hand.

    Ports without a number, and what is behind them, are left out. Only networks with changes are computed,
    and those that turn out equal are the same object. The generator pauses after every ``STEP`` MACs, so that
    other tasks can run.
    """
    looked_at = 0
    here, of_bridge = state.here[host], memo.bridge.of
    ports = of_bridge(_without_held, host, state.ports(host), state.loops.held)
    for path in memo.networks.keys() - here:
        del memo.networks[path]
    spoken = of_bridge(_spoken, speech)
    networks = []
    for path in of_bridge(_in_order, here):
        kept = memo.networks.get(path)
        if kept is None:
            kept = memo.networks[path] = Memo()
        known = memo.archive.of(state, path)
        said, keys = spoken.ways.get(path, _NO_WAYS), spoken.keys.get(path, ())
        ways = kept.of(_ways, ports, speech, said, keys, state.having[path], state.overlay.bfd > 0)
        if not kept.knows(_network, kept, host, ports, ways, known):
            looked_at += known.macs
        networks.append(kept.of(_network, kept, host, ports, ways, known))
        if looked_at >= STEP:
            looked_at = 0
            yield
    return BridgeView(
        networks=tuple(network for network in networks if network.members),
        tunnels=of_bridge(_listened_to, ports, speech),
        learn_from_tunnels=state.overlay.controller.per_host,
        mac_limit_exceeded=tuple(
            sorted(chain.from_iterable(_numbers(ports, host, p) for p in state.learned.crowded))
        ),
        mac_age=state.mac_age,
        punt_rate=PUNT_RATE,
        limits=of_bridge(_limits, state.overlay.hosts[host], ports),
    )


_NO_WAYS: Mapping[str, Encap] = {}


def _without_held(host: str, ports: Ports, held: Mapping[PortRef, Held]) -> Ports:
    """Leave out the ports that are held down: nothing is admitted from there, and nothing leads there."""
    down = {place.interface for place in held if place.host == host}
    if not down:
        return ports
    number = {name: number for name, number in ports.number.items() if name not in down}
    at = {name: number for name, number in ports.at.items() if name not in down}
    return replace(ports, number=number, at=at)


def _in_order(paths: Collection[str]) -> tuple[str, ...]:
    return tuple(sorted(paths))


def _listened_to(ports: Ports, speech: EncapState) -> tuple[int, ...]:
    return tuple(sorted(ports.tunnels[peer][kind] for peer, kind in speech.hears))


def _limits(host: Host, ports: Ports) -> Mapping[int, Limits]:
    return limits(host.ports, ports.at)


def _spoken(speech: EncapState) -> EncapByNetwork:
    ways: dict[str, dict[str, Encap]] = {}
    keys: dict[str, tuple[int, ...]] = {}
    for (path, peer), way in speech.speaks.items():
        ways.setdefault(path, {})[peer] = way
    for path, key in sorted(speech.understands):
        keys[path] = (*keys.get(path, ()), key)
    return EncapByNetwork(ways, keys)


def _ways(  # noqa: PLR0917  # all that it depends on
    ports: Ports,
    speech: EncapState,
    said: Mapping[str, Encap],
    keys: tuple[int, ...],
    having: tuple[str, ...],
    watched: bool,
) -> NetworkTunnels:
    hosts = frozenset(having)
    peers = {peer: _peer(ports, peer, way, watched=watched) for peer, way in said.items()}
    return NetworkTunnels(
        keys=keys,
        entrances=tuple(sorted(ports.tunnels[peer][kind] for peer, kind in speech.hears if peer in hosts)),
        peers=tuple(sorted(peers.values(), key=attrgetter("port"))),
        behind={name: (peer.port, peer.key) for name, peer in peers.items()},
    )


def _peer(ports: Ports, peer: str, way: Encap, *, watched: bool) -> Peer:
    port = ports.tunnels[peer][way.encapsulation]
    return Peer(port, way.key, up=not watched or ports.name[port] not in ports.dead)


def _network(kept: Memo, host: str, ports: Ports, ways: NetworkTunnels, known: NetworkFacts) -> NetworkView:
    home = known.homes.get(host, NO_HOST_PORTS)
    members, given = kept.of(_seated, home, ports, known.network, known.spans)
    return NetworkView(
        vni=known.network.vni,
        floods_unknown=known.network.unknown_unicast == "flood",
        keys=ways.keys,
        allowed_tunnel_ports=ways.entrances,
        members=members,
        peers=ways.peers,
        multicast=kept.of(_snooping, host, ports, ways.behind, known.groups),
        dhcp_enabled=known.network.dhcp is not None,
        locations=kept.of(
            _locations, kept, host, ports, ways.behind, known.static, known.learned, known.denied
        ),
        neighbors=kept.of(_given, host, given, ways.behind, known.answering)
        + kept.of(_heard, host, ports, ways.behind, known.heard),
        external_dhcp=known.network.dhcp is None and known.leases,
        nests=known.nests,
        conflicts=kept.of(_lies, host, ports, known.lies),
    )


def _seated(
    home: HostPorts, ports: Ports, network: Network, spans: bool
) -> tuple[tuple[NetworkPort, ...], tuple[NeighborEntry, ...]]:
    """The ports here, in order, and the addresses that the file gives them."""
    size = network.mtu + ETHERNET if spans else None
    numbered = [
        (number, seat) for seat in home.seats if (number := ports.at.get(seat.port.interface)) is not None
    ]
    members = sorted((_member(seat, number, size) for number, seat in numbered), key=attrgetter("port"))
    answers = (answer._replace(port=number) for number, seat in numbered for answer in seat.answers)
    return tuple(members), tuple(answers)


def _member(seat: LocalPort, number: int, size: int | None) -> NetworkPort:
    """Return a port in a network. A device that sdnapp makes has the right MTU, and so needs no MTU check."""
    port, attachment = seat.port, seat.attachment
    trunk = any(one.tagged for one in port.attachments)
    bounded = port.namespace is not None or attachment.key is not None
    return NetworkPort(
        port=number,
        vlan=attachment.vlan if attachment.tagged or not trunk else None,
        tagged=attachment.tagged,
        key=attachment.key,
        max_frame_size=None if size is None or bounded else size + attachment.tagged * _TAG,
        allowed=seat.speaker,
        roles=port.security.roles,
    )


def _given(
    host: str, here: tuple[NeighborEntry, ...], behind: TunnelByPeer, answering: PortsByHost
) -> tuple[NeighborEntry, ...]:
    """Return the bindings of the file for the responder of this bridge."""
    homes = (
        here if place == host else home.answers
        for place, home in answering.items()
        if place == host or place in behind
    )
    return tuple(chain.from_iterable(homes))


def _heard(
    host: str, ports: Ports, behind: TunnelByPeer, heard: tuple[LearnedNeighbor, ...]
) -> tuple[NeighborEntry, ...]:
    """What else is known of them."""
    known = []
    for ip, mac, home, router, lease in heard:
        number = ports.number.get(home.interface or "") if home.host == host else None
        if number is not None or home.host in behind:
            known.append(NeighborEntry(ip, mac, number, True, router, lease))
    return tuple(sorted(known))


def _snooping(
    host: str, ports: Ports, behind: TunnelByPeer, groups: GroupsByFamily
) -> tuple[MulticastGroups, ...]:
    number = ports.number

    def listeners(places: frozenset[PortRef]) -> MulticastPorts:
        local = {number[at] for of, at in places if of == host and at is not None and at in number}
        remote = {behind[of][0] for of, _ in places if of != host and of in behind}
        return MulticastPorts(tuple(sorted(local)), tuple(sorted(remote)))

    def snooping() -> Iterator[MulticastGroups]:
        for family, heard in sorted(groups.items()):
            known = None
            if heard.members is not None:
                known = tuple((mac, listeners(at)) for mac, at in sorted(heard.members.items()))
            yield MulticastGroups(family, tuple(sorted(heard.queriers)), listeners(heard.routers), known)

    return tuple(snooping())


def _lies(host: str, ports: Ports, lies: frozenset[tuple[str, PortRef]]) -> tuple[AddressConflict, ...]:
    """Claims at ports of this host."""
    here = ((ip, place) for ip, place in lies if place.host == host)
    return tuple(
        sorted(AddressConflict(ip, port) for ip, place in here for port in _numbers(ports, host, place))
    )


def _locations(  # noqa: PLR0917  # all that it depends on
    kept: Memo,
    host: str,
    ports: Ports,
    behind: TunnelByPeer,
    static: FdbByHost,
    learned: FdbByHost,
    denied: BlockedSources,
) -> tuple[Location, ...]:
    """Return local locations, then those behind tunnels, then blocked ones: an order without history."""
    here = kept.of(_here, ports, static.get(host, EMPTY_HOST_FDB), learned.get(host, EMPTY_HOST_FDB))
    there = kept.onward(_there, behind, static, learned)
    return (*here, *chain.from_iterable(there.found), *_denied(host, ports, denied))


def _there(last: RemoteFdb | None, behind: TunnelByPeer, static: FdbByHost, learned: FdbByHost) -> RemoteFdb:
    """Return the FDB entries behind each tunnel; looked up only where they changed."""
    residents = [*map(static.get, behind, repeat(EMPTY_HOST_FDB))]
    if learned:
        residents += map(learned.get, behind, repeat(EMPTY_HOST_FDB))
    ways = (*behind.values(), *behind.values())
    if last is None or last.behind is not behind or len(last.residents) != len(residents):
        found = [*map(_at, residents, ways)]
    else:
        found = last.found.copy()
        for place in compress(count(), map(is_not, residents, last.residents)):
            found[place] = _at(residents[place], ways[place])
    return RemoteFdb(behind, residents, found)


def _at(resident: HostFdb, way: tuple[int, int]) -> tuple[Location, ...]:
    return resident.behind[way] if resident.stations else ()


def _here(ports: Ports, static: HostFdb, learned: HostFdb) -> tuple[Location, ...]:
    found = (
        Location(number, False, resident.learned, macs, moves)
        for resident in (static, learned)
        for (interface, moves), macs in resident.at.items()
        if interface is not None and (number := ports.at.get(interface)) is not None
    )
    return tuple(sorted(found))


def _denied(host: str, ports: Ports, denied: BlockedSources) -> Iterator[Location]:
    found: dict[tuple[int, bool], list[str]] = {}
    for mac, places in denied.items():
        for place in places:
            for number in _numbers(ports, host, place):
                found.setdefault((number, place.host != host), []).append(mac)
    for (at, remote), macs in sorted(found.items()):
        yield Location(at, remote, True, tuple(sorted(macs)), blocked=True)


def _numbers(ports: Ports, host: str, place: PortRef) -> Iterable[int]:
    """The ports of this host's bridge on which a frame from that place comes in, if it does."""
    if place.interface is None:
        return ports.tunnels.get(place.host, {}).values()
    there = place.host == host and place.interface in ports.number
    return (ports.number[place.interface],) if there else ()
