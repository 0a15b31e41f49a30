"""What one bridge should know of the state: names become the port numbers that it has now."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from operator import attrgetter, is_
from typing import NamedTuple

from flows.compile import at_once
from flows.view import (
    Answer,
    BridgeView,
    Lie,
    Limits,
    Listeners,
    Location,
    Member,
    NetworkView,
    Peer,
    Snooping,
    Speaker,
)
from sdnapp.frames.packet import link_local
from sdnapp.net.dialect import Dialect, Way
from sdnapp.net.learning import NOBODY, NONE_DENIED, Place, Station, Stations
from sdnapp.net.limits import limits
from sdnapp.net.model import Attachment, Host, Port
from sdnapp.net.mtu import ETHERNET
from sdnapp.net.state import Ports, State, addresses

_TAG = 4
"""Bytes of an 802.1Q header."""
PUNT_RATE = 10_000
"""Frames per second that one bridge may send to the controller; what it drops comes again."""


@dataclass(frozen=True)
class Resident:
    """The stations of a network on one host: those at each interface that have moved as often, and all of
    them together, of which only those that nobody places at an interface are told apart by their moves.
    """

    stations: Stations
    learned: bool

    @cached_property
    def at(self) -> Mapping[tuple[str | None, int], tuple[str, ...]]:
        """The MACs by interface and moves."""
        macs: dict[tuple[str | None, int], list[str]] = {}
        for mac, ((_, interface), moves, _) in self.stations.items():
            macs.setdefault((interface, max(moves, 0)), []).append(mac)
        return {place: tuple(sorted(found)) for place, found in macs.items()}

    @cached_property
    def together(self) -> Mapping[int, tuple[str, ...]]:
        """The MACs by moves."""
        macs: dict[int, list[str]] = defaultdict(list)
        for mac, ((_, interface), moves, _) in self.stations.items():
            macs[max(moves, 0) if interface is None else 0].append(mac)
        return {moves: tuple(sorted(found)) for moves, found in macs.items()}

    @cached_property
    def behind(self) -> Mapping[int, tuple[Location, ...]]:
        """What they are to bridges that reach them by this port: the same objects for each such bridge."""
        return _Behind(self)


class _Behind(dict[int, tuple[Location, ...]]):
    """Worked out when it is first asked for; after that no bridge pays for more than the look."""

    def __init__(self, resident: Resident) -> None:
        super().__init__()
        self._resident = resident

    def __missing__(self, port: int) -> tuple[Location, ...]:
        learned, macs_by_moves = self._resident.learned, self._resident.together
        there = (Location(port, True, learned, macs, moves) for moves, macs in macs_by_moves.items())
        self[port] = found = tuple(there)
        return found


Residents = Mapping[str, Resident]
NOBODY_THERE = Resident(NOBODY, learned=False)


@dataclass(frozen=True)
class Seat:
    """A port in a network: who may speak there, and the addresses that the file gives it."""

    port: Port
    attachment: Attachment
    speaker: Speaker | None
    answers: tuple[Answer, ...]

    def at(self, number: int, size: int | None) -> tuple[Member, tuple[Answer, ...]]:
        """What it is under its number on a bridge, in a network that carries frames of this size, and its
        addresses: the same objects while that stays so.

        A device of ours has the right MTU, and a stranger's tunnel is none of our business; with any other,
        frames may be larger.
        """
        if (known := self._at.get((number, size))) is None:
            answers = tuple(answer._replace(port=number) for answer in self.answers)
            self._at.clear()
            known = self._at[number, size] = (self._member(number, size), answers)
        return known

    def _member(self, number: int, size: int | None) -> Member:
        port, attachment = self.port, self.attachment
        trunk = any(one.tagged for one in port.attachments)
        bounded = port.namespace is not None or attachment.key is not None
        return Member(
            port=number,
            vlan=attachment.vlan if attachment.tagged or not trunk else None,
            tagged=attachment.tagged,
            key=attachment.key,
            largest=None if size is None or bounded else size + attachment.tagged * _TAG,
            speaker=self.speaker,
            may=port.security.may,
        )

    @cached_property
    def _at(self) -> dict[tuple[int, int | None], tuple[Member, tuple[Answer, ...]]]:
        return {}


class Home(NamedTuple):
    """The ports of a network on one host, and all addresses that the file gives them.

    ``leases``: a DHCP server may be among them.
    """

    ports: tuple[Port, ...]
    seats: tuple[Seat, ...]
    answers: tuple[Answer, ...]
    leases: bool = False


NO_HOME = Home((), (), ())


@dataclass(frozen=True, slots=True)
class Homes:
    """The ports of a network by host. ``answering``: where the file gives addresses."""

    on: Mapping[str, Home]
    answering: Mapping[str, Home]
    leases: bool

    @classmethod
    def of(cls, on: Mapping[str, Home]) -> Homes:
        """From what is on each host."""
        answering = {host: home for host, home in on.items() if home.answers}
        return cls(on, answering, any(home.leases for home in on.values()))


NO_HOMES = Homes.of({})


class Spoken(NamedTuple):
    """What a dialect says of each network: the way to each peer, and the keys that mean it."""

    ways: Mapping[str, Mapping[str, Way]]
    keys: Mapping[str, list[int]]


class Ways(NamedTuple):
    """How a bridge speaks and listens in one network, in the numbers of its ports.

    ``behind``: by peer, the port of the tunnel that leads there.
    """

    keys: tuple[int, ...]
    entrances: tuple[int, ...]
    peers: tuple[Peer, ...]
    behind: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Shared:
    """What is the same for every bridge, by network: it is worked out once."""

    residents: dict[tuple[str, bool], tuple[Stations, Residents]] = field(default_factory=dict)
    homes: dict[str, tuple[tuple[Port, ...], Homes]] = field(default_factory=dict)

    def keep(self, paths: Collection[str]) -> None:
        """Forget all other networks."""
        for gone in [key for key in self.residents if key[0] not in paths]:
            del self.residents[gone]
        for path in self.homes.keys() - paths:
            del self.homes[path]

    def homes_of(self, path: str, members: tuple[Port, ...]) -> Homes:
        """The ports of a network by host; where nothing is new, the very objects of before."""
        seen, before = self.homes.get(path, ((), NO_HOMES))
        if seen is members:
            return before
        hosts: dict[str, list[Port]] = {}
        for port in members:
            hosts.setdefault(port.host, []).append(port)
        on = {}
        for host, ports in sorted(hosts.items()):
            home = before.on.get(host, NO_HOME)
            same = home.ports == tuple(ports)
            on[host] = home if same else _at_home(path, tuple(ports))
        homes = Homes.of(on)
        self.homes[path] = (members, homes)
        return homes

    def residents_of(self, path: str, stations: Stations, *, learned: bool) -> Residents:
        """The stations by host; where nothing is new, the very objects of before."""
        seen, before = self.residents.get((path, learned), (NOBODY, {}))
        if seen is stations:
            return before
        hosts: dict[str, dict[str, Station]] = defaultdict(dict)
        for mac, station in stations.items():
            hosts[station.place.host][mac] = station
        residents = {}
        for host, here in sorted(hosts.items()):
            resident = before.get(host, NOBODY_THERE)
            residents[host] = resident if resident.stations == here else Resident(here, learned)
        self.residents[path, learned] = (stations, residents)
        return residents


@dataclass(frozen=True, slots=True)
class Memo:
    """What was projected before for one bridge, and what it was made from.

    ``views`` and ``ways``: by network. ``limits``: by host. ``spoken``: a dialect, and what it says of each
    network. ``tunnels``: the ports that are listened to.
    """

    shared: Shared = field(default_factory=Shared)
    views: dict[str, tuple[tuple[object, ...], NetworkView]] = field(default_factory=dict)
    ways: dict[str, tuple[tuple[object, ...], Ways]] = field(default_factory=dict)
    limits: dict[str, tuple[Host, Ports, Mapping[int, Limits]]] = field(default_factory=dict)
    spoken: list[tuple[Dialect, Spoken]] = field(default_factory=list)
    tunnels: list[tuple[Ports, Dialect, tuple[int, ...]]] = field(default_factory=list)

    def tunnels_of(self, ports: Ports, speech: Dialect) -> tuple[int, ...]:
        """The ports of all tunnels that this dialect listens to."""
        if not self.tunnels or self.tunnels[0][0] is not ports or self.tunnels[0][1] is not speech:
            heard = sorted(ports.tunnels[peer][kind] for peer, kind in speech.hears)
            self.tunnels[:] = [(ports, speech, tuple(heard))]
        return self.tunnels[0][2]

    def ways_of(self, state: State, host: str, speech: Dialect, path: str) -> Ways:
        """How this host's bridge speaks and listens in this network."""
        inputs = (state.ports(host), speech, state.having[path], state.overlay.bfd)
        before = self.ways.get(path)
        if before is None or not all(map(is_, inputs, before[0])):
            if not self.spoken or self.spoken[0][0] is not speech:
                self.spoken[:] = [(speech, _spoken(speech))]
            before = self.ways[path] = (inputs, _ways(state, host, speech, self.spoken[0][1], path))
        return before[1]

    def limits_of(self, host: Host, ports: Ports) -> Mapping[int, Limits]:
        """The meters of the host's ports."""
        before = self.limits.get(host.name)
        if before is None or before[0] is not host or before[1] is not ports:
            before = self.limits[host.name] = (host, ports, limits(host.ports, ports.at))
        return before[2]


def _at_home(path: str, ports: tuple[Port, ...]) -> Home:
    seats = tuple(
        Seat(port, attachment, _speaker(port.security.only, attachment), tuple(_known(port, attachment)))
        for port in ports
        for attachment in port.attachments
        if attachment.network == path
    )
    leases = any("dhcp-server" in port.security.may for port in ports)
    return Home(ports, seats, tuple(sorted(answer for seat in seats for answer in seat.answers)), leases)


def _known(port: Port, attachment: Attachment) -> Iterator[Answer]:
    """The addresses that the file gives this port in this network."""
    if attachment.addresses and port.mac is not None:
        router = "router" in port.security.may
        for address in addresses(port, attachment):
            yield Answer(address, port.mac, None, False, router)


STEP = 5_000
"""MACs whose places are looked at in some 5 ms."""


def project(state: State, host: str, speech: Dialect) -> BridgeView:
    """The view of this host's bridge, which speaks this dialect."""
    return at_once(projection(state, host, speech, Memo()))


def projection(state: State, host: str, speech: Dialect, memo: Memo) -> Generator[None, None, BridgeView]:
    """The same, with what was projected for this bridge last at hand.

    Ports without a number, and what is behind them, are left out until they have one. Only networks of which
    anything is new are looked at, and those that turn out equal are the same object. It pauses after every
    ``STEP`` MACs, for those who have other things to do meanwhile.
    """
    looked_at = 0
    ports, here = state.ports(host), state.here[host]
    for known in (memo.views, memo.ways):
        for path in known.keys() - here:
            del known[path]
    for path in sorted(here):
        ways, homes = memo.ways_of(state, host, speech, path), memo.shared.homes_of(path, state.members[path])
        about = (state.networks[path], homes, state.static[path])
        heard = (state.multicast.known.get(path), *(of.get(path) for of in _told(state)))
        inputs = (ports, ways, *about, *_learned(state, path), *heard)
        before = memo.views.get(path)
        if before is None or not all(map(is_, inputs, before[0])):
            network = _network(state, host, memo, ways, homes, path=path)
            memo.views[path] = (inputs, before[1] if before is not None and before[1] == network else network)
            looked_at += sum(map(len, (state.static[path], state.learned.stations.get(path, NOBODY))))
            if looked_at >= STEP:
                looked_at = 0
                yield
    networks = (memo.views[path][1] for path in sorted(here))
    return BridgeView(
        networks=tuple(network for network in networks if network.members),
        tunnels=memo.tunnels_of(ports, speech),
        learn_from_tunnels=state.overlay.controller.per_host,
        crowded=tuple(sorted(chain.from_iterable(_numbers(ports, host, p) for p in state.learned.crowded))),
        mac_age=state.mac_age,
        punt_rate=PUNT_RATE,
        limits=memo.limits_of(state.overlay.hosts[host], ports),
    )


def _spoken(speech: Dialect) -> Spoken:
    ways: dict[str, dict[str, Way]] = {}
    keys: dict[str, list[int]] = {}
    for (path, peer), way in speech.speaks.items():
        ways.setdefault(path, {})[peer] = way
    for path, key in sorted(speech.understands):
        keys.setdefault(path, []).append(key)
    return Spoken(ways, keys)


def _ways(state: State, host: str, speech: Dialect, spoken: Spoken, path: str) -> Ways:
    ports, having = state.ports(host), frozenset(state.having[path])
    watched = state.overlay.bfd > 0
    peers = {
        peer: _peer(ports, peer, way, watched=watched) for peer, way in spoken.ways.get(path, {}).items()
    }
    return Ways(
        keys=tuple(spoken.keys.get(path, ())),
        entrances=tuple(sorted(ports.tunnels[peer][kind] for peer, kind in speech.hears if peer in having)),
        peers=tuple(sorted(peers.values(), key=lambda peer: peer.port)),
        behind={name: peer.port for name, peer in peers.items()},
    )


def _network(state: State, host: str, memo: Memo, ways: Ways, homes: Homes, *, path: str) -> NetworkView:
    ports, network = state.ports(host), state.networks[path]
    size = network.mtu + ETHERNET if len(state.having[path]) > 1 else None
    numbered = ((seat, ports.at.get(seat.port.interface)) for seat in homes.on.get(host, NO_HOME).seats)
    seated = [seat.at(number, size) for seat, number in numbered if number is not None]
    return NetworkView(
        vni=network.vni,
        floods_unknown=network.unknown_unicast == "flood",
        keys=ways.keys,
        entrances=ways.entrances,
        members=tuple(sorted((member for member, _ in seated), key=attrgetter("port"))),
        peers=ways.peers,
        snooping=tuple(_snooping(state, host, path, ways.behind)),
        serves=network.dhcp is not None,
        locations=_locations(state, host, memo.shared, path, ways.behind),
        answers=(
            *_answers(host, seated, ways, homes),
            *sorted(_heard(state, host, path, ways.behind)),
        ),
        leases=network.dhcp is None and homes.leases,
        lies=tuple(sorted(_lies(state, host, path))),
    )


def _snooping(state: State, host: str, path: str, behind: Mapping[str, int]) -> Iterator[Snooping]:
    number = state.ports(host).number

    def listeners(places: frozenset[Place]) -> Listeners:
        local = {number[at] for of, at in places if of == host and at is not None and at in number}
        remote = {behind[of] for of, _ in places if of != host and of in behind}
        return Listeners(tuple(sorted(local)), tuple(sorted(remote)))

    for family, groups in sorted(state.multicast.known.get(path, {}).items()):
        known = None
        if groups.members is not None:
            known = tuple((mac, listeners(at)) for mac, at in sorted(groups.members.items()))
        yield Snooping(family, tuple(sorted(groups.queriers)), listeners(groups.routers), known)


def _peer(ports: Ports, peer: str, way: Way, *, watched: bool) -> Peer:
    port = ports.tunnels[peer][way.encapsulation]
    return Peer(port, way.key, up=not watched or ports.name[port] not in ports.dead)


def _speaker(mac: str | None, attachment: Attachment) -> Speaker | None:
    if mac is None:
        return None
    return Speaker(mac, (*(str(address.ip) for address in attachment.addresses), str(link_local(mac))))


def _answers(
    host: str, seated: Iterable[tuple[Member, tuple[Answer, ...]]], ways: Ways, homes: Homes
) -> Iterator[Answer]:
    """Whoever a frame reaches from here."""
    for place, home in homes.answering.items():
        if place == host:
            for _, answers in seated:
                yield from answers
        elif place in ways.behind:
            yield from home.answers


def _heard(state: State, host: str, path: str, behind: Collection[str]) -> Iterator[Answer]:
    """Addresses of stations that live where they were heard, or that leased theirs."""
    number, bound = state.ports(host).number, state.addresses.bound.get(path)
    if not bound:
        return
    forwarding = (port for port in state.members[path] if "router" in port.security.may)
    routers = {Place(port.host, port.interface) for port in forwarding}
    for ip, (mac, place, _, lease) in bound.items():
        home = state.fixed(path, mac) or state.place_of(path, mac)
        if home is not None and (place == home or (lease and home.interface is not None)):
            number_here = number.get(home.interface or "") if home.host == host else None
            if number_here is not None or home.host in behind:
                yield Answer(ip, mac, number_here, True, home in routers, lease)


def _told(state: State) -> tuple[Mapping[str, object], Mapping[str, object]]:
    return state.addresses.bound, state.addresses.lies


def _lies(state: State, host: str, path: str) -> Iterator[Lie]:
    """Claims at ports of this host."""
    for ip, place in state.addresses.lies.get(path, ()):
        if place.host == host:
            yield from (Lie(ip, port) for port in _numbers(state.ports(host), host, place))


def _learned(state: State, path: str) -> tuple[object, object]:
    return state.learned.stations.get(path), state.learned.denied.get(path)


def _locations(
    state: State, host: str, shared: Shared, path: str, behind: Mapping[str, int]
) -> tuple[Location, ...]:
    """Here, then behind each tunnel, then where somebody is denied: in an order that no history changes."""
    ports = state.ports(host)
    both = ((False, state.static[path]), (True, state.learned.stations.get(path, NOBODY)))
    found = {learned: shared.residents_of(path, stations, learned=learned) for learned, stations in both}
    here = sorted(
        Location(number, False, learned, macs, moves)
        for learned, residents in found.items()
        for (interface, moves), macs in residents.get(host, NOBODY_THERE).at.items()
        if interface is not None and (number := ports.at.get(interface)) is not None
    )
    there = (
        [residents[peer].behind[port] for peer, port in behind.items() if peer in residents]
        for residents in found.values()
        if residents
    )
    denied: dict[tuple[int, bool], list[str]] = {}
    for mac, places in state.learned.denied.get(path, NONE_DENIED).items():
        for place in places:
            for number in _numbers(ports, host, place):
                denied.setdefault((number, place.host != host), []).append(mac)
    nowhere = (
        Location(at, remote, True, tuple(sorted(macs)), denied=True)
        for (at, remote), macs in sorted(denied.items())
    )
    return (*here, *chain.from_iterable(chain.from_iterable(there)), *nowhere)


def _numbers(ports: Ports, host: str, place: Place) -> Iterable[int]:
    """The ports of this host's bridge on which a frame from that place comes in, if it does."""
    if place.interface is None:
        return ports.tunnels.get(place.host, {}).values()
    there = place.host == host and place.interface in ports.number
    return (ports.number[place.interface],) if there else ()
