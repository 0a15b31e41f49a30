"""What is known of the world, and how an event changes it. ``step`` is the only way to a new state.

A state is the configuration, the ports that each bridge has, what traffic taught us, and what bridges
confirmed that they understand and speak. What a bridge must hold depends on the current state alone, never on
the order in which things happened.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple

from sdnapp.config.names import noted, tunnel_interface
from sdnapp.net import learning, multicast
from sdnapp.net.addresses import NO_ADDRESSES, Addresses
from sdnapp.net.binding import bind, roaming
from sdnapp.net.dialect import Dialect, Speech
from sdnapp.net.learning import NOTHING_LEARNED, PEER_MACS, Learned, Place, Station, Stations, Told, with_same
from sdnapp.net.membership import Family, Query, Report
from sdnapp.net.model import Encapsulation, Flap, Host, Network, Overlay, Port
from sdnapp.net.moving import meanwhile
from sdnapp.net.multicast import NO_MULTICAST, Multicast, Recollection

ENCAPSULATIONS: tuple[Encapsulation, ...] = ("geneve", "gre", "vxlan")

MAX_KEY = 2**24 - 1
"""Of VXLAN and Geneve; GRE has more (RFC 7348 §5, RFC 8926 §3.4, RFC 2890 §2.1)."""


class Sighting(NamedTuple):
    """A bridge saw ``mac`` in the network with this VNI come in on this port."""

    vni: int
    mac: str
    ofport: int


class Memory(NamedTuple):
    """What a flow of a bridge says of a source that it saw: the number of its last move (``HEARSAY`` where
    only the way to it is known), or that it is not believed there.
    """

    sighting: Sighting
    moves: int = 0
    denied: bool = False


class GroupMemory(NamedTuple):
    """What flows of a bridge say of multicast: ``sdnapp.net.multicast.Recollection``, in its own numbers."""

    vni: int
    family: Family
    mac: str | None
    queriers: tuple[str, ...]
    ofports: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports that a bridge has now, both ways round, and those of them that lead to its peers.

    ``peer``: the host at the other end of each tunnel. ``wanted``: the encapsulation that the file wants to
    each peer; where it has that tunnel and others, that one is the first. ``choice``: there are others.
    ``noted``: the identity of each interface that somebody else put there (``sdnapp.net.binding``).
    ``dead``: the tunnels behind which the bridge hears nobody.
    """

    number: Mapping[str, int]
    name: Mapping[int, str]
    tunnels: Mapping[str, Mapping[Encapsulation, int]]
    peer: Mapping[int, str]
    wanted: Mapping[str, Encapsulation]
    choice: bool
    noted: Mapping[str, int]
    dead: frozenset[str]

    @classmethod
    def of(cls, number: Mapping[str, int], host: Host, dead: frozenset[str] = frozenset()) -> Ports:
        """From interface name to port number. Tunnels go by their names, whatever the file wants now."""
        names = {ofport: name for name, ofport in number.items()}
        tunnels: dict[str, dict[Encapsulation, int]] = {}
        wanted = {tunnel.peer: tunnel.encapsulation for tunnel in host.tunnels}
        for peer, first in wanted.items():
            for kind in (first, *(kind for kind in ENCAPSULATIONS if kind != first)):
                ofport = number.get(tunnel_interface(kind, peer))
                if ofport is not None:
                    tunnels.setdefault(peer, {})[kind] = ofport
        return cls(
            number=number,
            name=names,
            tunnels=tunnels,
            peer={ofport: peer for peer, kinds in tunnels.items() for ofport in kinds.values()},
            wanted=wanted,
            choice=any(kinds.keys() != {wanted[peer]} for peer, kinds in tunnels.items()),
            noted=noted(number),
            dead=frozenset(
                name for kinds in tunnels.values() for n in kinds.values() if (name := names[n]) in dead
            ),
        )


NO_PORTS = Ports({}, {}, {}, {}, {}, choice=False, noted={}, dead=frozenset())


@dataclass(frozen=True, slots=True)
class State:
    """``wanted`` is the configuration; ``overlay`` is what is true of it already: a port that moves to
    another host is where it was until its interface has arrived (``moving``), and ports that are found by
    their iface_id are where they are.

    What follows from ``overlay``: ``members`` and ``having``, the ports and the hosts of each network;
    ``static``, its fixed locations; ``networks``, what the file says of it; ``paths``, by VNI; ``here``, the
    networks of each host; ``attached``, those of each interface of a host, ``limits``, how many MACs may be
    learned at each place; ``given``, the addresses of the ports of each network.

    ``bridges``: the ports of each host heard of. ``learned``: what traffic taught us; ``multicast``: who
    listens to what; ``addresses``: whose is whose (``sdnapp.net.hearing``). ``read``: hosts whose bridge has
    told what it holds, so that its word on what was learned is the last one. ``claims``: what each tunnel
    key means; an older claim keeps a newer one waiting, so that no key ever means two networks.
    ``confirmed``: the dialect that each bridge has in force. ``fading``: what nobody says any more, but may
    still be on its way. ``settled``: enough time has passed since the last configuration that what was never
    heard of may be forgotten.
    """

    wanted: Overlay
    overlay: Overlay
    members: Mapping[str, tuple[Port, ...]]
    having: Mapping[str, tuple[str, ...]]
    static: Mapping[str, Stations]
    networks: Mapping[str, Network]
    mac_age: int
    paths: Mapping[int, str]
    here: Mapping[str, frozenset[str]]
    attached: Mapping[tuple[str, str], frozenset[str]]
    limits: Mapping[Place, int]
    given: Mapping[str, frozenset[str]]
    bridges: Mapping[str, Ports] = field(default_factory=dict)
    learned: Learned = NOTHING_LEARNED
    multicast: Multicast = NO_MULTICAST
    addresses: Addresses = NO_ADDRESSES
    read: frozenset[str] = frozenset()
    moving: bool = False
    claims: Mapping[int, str] = field(default_factory=dict)
    confirmed: Mapping[str, Dialect] = field(default_factory=dict)
    fading: frozenset[Speech] = frozenset()
    settled: bool = False

    @classmethod
    def of(cls, overlay: Overlay, heard: Collection[str] = ()) -> State:
        """A configuration, and nothing seen yet; ``heard`` are the hosts that told which ports they have.

        A port that is found by its iface_id may be on any other host that it may be on.
        """
        static: dict[str, dict[str, Station]] = {path: {} for path in overlay.networks}
        members: dict[str, list[Port]] = {path: [] for path in overlay.networks}
        silent = overlay.hosts.keys() - (() if overlay.controller.per_host else heard)
        unseen = {path: hosts & silent for path, hosts in roaming(overlay).items()}
        attached = {}
        for port in (port for host in overlay.hosts.values() for port in host.ports):
            attached[port.host, port.interface] = frozenset(a.network for a in port.attachments)
            station = Station(Place(port.host, port.interface))
            for attachment in port.attachments:
                members[attachment.network].append(port)
                if port.mac is not None:
                    static[attachment.network][port.mac] = station
        paths = {network.vni: path for path, network in overlay.networks.items()}
        return cls(
            overlay,
            overlay,
            members={path: tuple(ports) for path, ports in members.items()},
            having={
                path: tuple(sorted({port.host for port in ports}.union(unseen.get(path, ()))))
                for path, ports in members.items()
            },
            static=static,
            networks=overlay.networks,
            mac_age=overlay.mac_age,
            paths=paths,
            here={
                name: host.networks.union(path for path, hosts in unseen.items() if name in hosts)
                for name, host in overlay.hosts.items()
            },
            attached=attached,
            limits=_limits(overlay),
            given={path: _given(path, ports) for path, ports in members.items()},
            claims=paths,
        )

    def place_of(self, network: str, mac: str) -> Place | None:
        """Where the MAC was learned to be."""
        station = self.learned.stations.get(network, learning.NOBODY).get(mac)
        return None if station is None else station.place

    def ports(self, host: str) -> Ports:
        """The ports of this host's bridge; none if it was never heard of."""
        return self.bridges.get(host, NO_PORTS)

    @property
    def flap(self) -> Flap:
        """How often a station may move."""
        return self.overlay.flap

    def fixed(self, network: str, mac: str) -> Place | None:
        """Where the file puts this MAC."""
        station = self.static.get(network, learning.NOBODY).get(mac)
        return None if station is None else station.place

    def exists(self, network: str, place: Place) -> bool:
        """Whether the network is at this place."""
        if place.interface is None:
            return network in self.here.get(place.host, ())
        there = self.attached.get((place.host, place.interface), ())
        return network in there and place.interface in self.ports(place.host).number

    def limit(self, place: Place) -> int | None:
        """How many MACs may be learned there; None if there is no such place."""
        return self.limits.get(place)


@dataclass(frozen=True, slots=True)
class Configured:
    """There is a new configuration."""

    overlay: Overlay


@dataclass(frozen=True, slots=True)
class BridgeFound:
    """A bridge connected and named its ports, and those of them behind which it hears nobody."""

    host: str
    ports: Mapping[str, int]
    dead: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class PortFound:
    """A port appeared, or has a new number, or the bridge hears somebody behind it or no more."""

    host: str
    interface: str
    ofport: int
    dead: bool = False


@dataclass(frozen=True, slots=True)
class PortLost:
    """A port went away."""

    host: str
    interface: str


@dataclass(frozen=True, slots=True)
class Seen:
    """Sources that the bridge did not know. ``now``: in seconds."""

    host: str
    sightings: tuple[Sighting, ...]
    now: float


@dataclass(frozen=True, slots=True)
class Silent:
    """A source has not been heard for the age that the configuration allows."""

    host: str
    sighting: Sighting


@dataclass(frozen=True, slots=True)
class Recalled:
    """A bridge told what it remembers: all of its own sources, and some behind its tunnels.

    ``crowded``: ports at which it learns nothing more. ``groups``: what it remembers of multicast, ``now``,
    in seconds.
    """

    host: str
    memories: tuple[Memory, ...]
    crowded: tuple[int, ...] = ()
    groups: tuple[GroupMemory, ...] = ()
    now: float = 0.0


@dataclass(frozen=True, slots=True)
class Thawed:
    """A station that was frozen then, or before this controller began, may move again."""

    network: str
    mac: str
    since: float | None


@dataclass(frozen=True, slots=True)
class Eased:
    """A crowded place was left alone for long enough."""

    place: Place


@dataclass(frozen=True, slots=True)
class GroupsHeard:
    """A message about multicast groups came in on this port of the host's bridge. ``now``: in seconds."""

    host: str
    vni: int
    ofport: int
    message: Query | Report
    now: float


@dataclass(frozen=True, slots=True)
class GroupsAged:
    """It is so late now, in seconds: what was heard of multicast until then may be old."""

    now: float


@dataclass(frozen=True, slots=True)
class Confirmed:
    """This dialect is in force on the host's bridge."""

    host: str
    dialect: Dialect


@dataclass(frozen=True, slots=True)
class Faded:
    """So long after their speakers stopped, nothing of these is on its way any more."""

    speeches: frozenset[Speech]


@dataclass(frozen=True, slots=True)
class Settled:
    """Long enough after a configuration: whoever has not been heard of since does not count."""

    overlay: Overlay


Event = (
    Configured
    | BridgeFound
    | PortFound
    | PortLost
    | Seen
    | Silent
    | Recalled
    | Thawed
    | Eased
    | GroupsHeard
    | GroupsAged
    | Confirmed
    | Faded
    | Settled
)


def step(state: State, event: Event) -> State:
    """The state after the event; the same object if it changes nothing."""
    match event:
        case Configured(overlay):
            return _configure(state, overlay)
        case BridgeFound(host, ports, dead):
            return _set_ports(state, host, ports, dead)
        case PortFound(host, interface, ofport, is_dead):
            dead = (state.ports(host).dead - {interface}) | ({interface} if is_dead else set())
            return _set_ports(state, host, {**state.ports(host).number, interface: ofport}, dead)
        case PortLost(host, interface):
            number = {name: n for name, n in state.ports(host).number.items() if name != interface}
            return _set_ports(state, host, number, state.ports(host).dead)
        case Seen() | Silent() | Recalled() | Thawed() | Eased():
            learned = _learn(state, event)
            read = state.read | {event.host} if isinstance(event, Recalled) else state.read
            groups = _recall_groups(state, event) if isinstance(event, Recalled) else state.multicast
            same = learned is state.learned and groups is state.multicast and read == state.read
            return state if same else replace(state, learned=learned, multicast=groups, read=read)
        case GroupsHeard() | GroupsAged():
            groups = _hear_groups(state, event)
            return state if groups is state.multicast else replace(state, multicast=groups)
        case Confirmed(host, dialect):
            return _confirm(state, host, dialect)
        case Faded(speeches):
            return _fade(state, speeches)
        case Settled(overlay):
            return _renew_claims(replace(state, settled=True)) if overlay is state.wanted else state


def _configure(state: State, wanted: Overlay) -> State:
    """Ports, learned locations and what bridges confirmed outlive the change where they still make sense."""
    interfaces = {host: ports.number for host, ports in state.bridges.items()}
    unbound = meanwhile(wanted, state.overlay, interfaces)
    overlay = bind(unbound, {host: ports.noted for host, ports in state.bridges.items()})
    known = replace(
        _with_same_parts(state, State.of(overlay, state.bridges.keys())),
        wanted=wanted,
        moving=unbound is not wanted,
        bridges={h: _same_ports(state, overlay, h) for h in state.bridges if h in overlay.hosts},
        read=state.read & overlay.hosts.keys(),
        claims=state.claims,
        confirmed={h: dialect for h, dialect in state.confirmed.items() if h in overlay.hosts},
        fading=frozenset(speech for speech in state.fading if speech.listener in overlay.hosts),
        settled=state.settled and wanted is state.wanted,
    )
    learned = learning.seeded(learning.sound(state.learned, known), known, _unfixed(state, known))
    groups = multicast.sound(state.multicast, partial(_snoops, known))
    return _renew_claims(replace(known, learned=learned, multicast=groups, addresses=state.addresses))


def _unfixed(before: State, now: State) -> Iterator[learning.Sighted]:
    """Stations of which it was certain where they are, and is not any more."""
    for network, stations in before.static.items():
        fixed = now.static.get(network, learning.NOBODY)
        if fixed is not stations:
            yield from (
                (network, mac, station.place) for mac, station in stations.items() if mac not in fixed
            )


def _limits(overlay: Overlay) -> Mapping[Place, int]:
    """Behind a peer there may be as many as behind its ports, and those that may be there unseen."""
    unseen = sum(bound.max_macs for bound in overlay.bound.values())
    limits = {}
    for host in overlay.hosts.values():
        all_ports = unseen + sum(port.max_macs for port in host.ports)
        limits[Place(host.name, None)] = min(all_ports, PEER_MACS)
        for port in host.ports:
            limits[Place(host.name, port.interface)] = port.max_macs - (port.mac is not None)
    return limits


def _given(network: str, ports: Iterable[Port]) -> frozenset[str]:
    attached = (a for port in ports for a in port.attachments if a.network == network)
    return frozenset(str(address.ip) for attachment in attached for address in attachment.addresses)


def _with_same_parts(before: State, now: State) -> State:
    """Of what is equal, the very objects of before: what follows from them need not be worked out again."""
    return replace(
        now,
        members=with_same(before.members, now.members),
        having=with_same(before.having, now.having),
        static=with_same(before.static, now.static),
        networks=with_same(before.networks, now.networks),
        mac_age=before.mac_age if before.mac_age == now.mac_age else now.mac_age,
        paths=with_same(before.paths, now.paths),
        here=with_same(before.here, now.here),
    )


def _same_ports(state: State, overlay: Overlay, host: str) -> Ports:
    before, tunnels = state.overlay.hosts.get(host), overlay.hosts[host].tunnels
    if before is not None and before.tunnels == tunnels:
        return state.bridges[host]
    ports = state.bridges[host]
    return Ports.of(ports.number, overlay.hosts[host], ports.dead)


def _renew_claims(state: State) -> State:
    """A claim ends when the file no longer makes it and nobody speaks by it; then its key is free."""
    if state.claims is state.paths:
        return state
    in_use = {(way.key, path) for said in state.confirmed.values() for (path, _), way in said.speaks.items()}
    in_use |= {(speech.way.key, speech.network) for speech in state.fading}
    unheard = not state.settled and not state.overlay.hosts.keys() <= state.confirmed.keys()
    kept = {
        key: path
        for key, path in state.claims.items()
        if state.paths.get(key) == path or (key, path) in in_use or unheard
    }
    claims: Mapping[int, str] = {**state.paths, **kept}
    # The very same as paths says that no key is changing.
    claims = state.paths if claims == state.paths else _with_spares(state, claims)
    return state if claims is state.claims or claims == state.claims else replace(state, claims=claims)


def _with_spares(state: State, claims: Mapping[int, str]) -> Mapping[int, str]:
    """Networks that exchange their keys would wait for each other forever: a spare key lets them go round."""
    holding: dict[str, list[int]] = {}
    for key, path in claims.items():
        holding.setdefault(path, []).append(key)
    spares = (key for key in range(MAX_KEY, 0, -1) if key not in claims)
    needed = {
        next(spares): path
        for key, path in state.paths.items()
        if claims[key] != path and all(held in state.paths for held in holding.get(path, [0]))
    }
    return {**claims, **needed} if needed else claims


def _confirm(state: State, host: str, dialect: Dialect) -> State:
    before = state.confirmed.get(host)
    if before == dialect or host not in state.overlay.hosts:
        return state
    ended = frozenset() if before is None else before.ended(host, dialect)
    confirmed = {**state.confirmed, host: dialect}
    return _renew_claims(replace(state, confirmed=confirmed, fading=state.fading | ended))


def _fade(state: State, speeches: frozenset[Speech]) -> State:
    return _renew_claims(replace(state, fading=state.fading - speeches))


def _set_ports(state: State, host: str, number: Mapping[str, int], dead: frozenset[str]) -> State:
    before, ports = state.ports(host), Ports.of(number, state.overlay.hosts[host], dead)
    if host in state.bridges and ports == before:
        return state
    gone = before.number.keys() - number.keys()
    known = replace(state, bridges={**state.bridges, host: ports})
    first = bool(state.overlay.bound) and host not in state.bridges
    if state.moving or first or ports.noted != before.noted:  # a port that moves may have arrived
        return _configure(known, state.wanted)
    if not gone:
        return known
    groups = multicast.sound(state.multicast, partial(_snoops, known))
    return replace(known, learned=learning.sound(state.learned, known), multicast=groups)


def _learn(state: State, event: Seen | Silent | Recalled | Thawed | Eased) -> Learned:
    learned = state.learned
    match event:
        case Seen(host, sightings, now):
            return learning.seen(learned, state, _locate(state, host, sightings), now)
        case Silent(host, sighting):
            for located in _locate(state, host, (sighting,)):
                return learning.silent(learned, *located)
            return learned
        case Recalled(host, memories, crowded):
            told = (
                Told(*located, memory.moves, memory.denied)
                for memory in memories
                for located in _locate(state, host, (memory.sighting,))
            )
            places = filter(None, (place_at(state, host, ofport) for ofport in crowded))
            return learning.recalled(learned, state, host, read=state.read, told=told, crowded=places)
        case Thawed(network, mac, since):
            frozen = (network, mac) in learned.frozen and learned.frozen[network, mac] == since
            return learning.thawed(learned, network, mac) if frozen else learned
        case Eased(place):
            return learning.eased(learned, place)


def _hear_groups(state: State, event: GroupsHeard | GroupsAged) -> Multicast:
    if isinstance(event, GroupsAged):
        return multicast.aged(state.multicast, event.now)
    network, place = state.paths.get(event.vni), place_at(state, event.host, event.ofport)
    if network is None or place is None or not _snoops(state, network, place):
        return state.multicast
    return multicast.heard(state.multicast, network, place, event.message, event.now)


def _snoops(state: State, network: str, place: Place) -> bool:
    return state.networks[network].multicast == "snoop" and state.exists(network, place)


def _recall_groups(state: State, event: Recalled) -> Multicast:
    told = []
    for vni, family, mac, queriers, ofports in event.groups:
        network = state.paths.get(vni)
        if network is not None:
            at = filter(None, (place_at(state, event.host, ofport) for ofport in ofports))
            places = tuple(place for place in at if _snoops(state, network, place))
            told.append(Recollection(network, family, mac, queriers, places))
    young = not state.settled
    return multicast.recalled(state.multicast, event.host, state.read, told, event.now, young=young)


def _locate(state: State, host: str, sightings: Iterable[Sighting]) -> Iterator[learning.Sighted]:
    """Network, MAC and place that a bridge's numbers mean, where they mean anything (any more)."""
    for vni, mac, ofport in sightings:
        network, place = state.paths.get(vni), place_at(state, host, ofport)
        if network is not None and place is not None and state.exists(network, place):
            yield network, mac, place


def place_at(state: State, host: str, ofport: int) -> Place | None:
    """What is at this port of the host's bridge."""
    ports = state.ports(host)
    peer, interface = ports.peer.get(ofport), ports.name.get(ofport)
    if peer is not None:
        return Place(peer, None)
    return None if interface is None else Place(host, interface)
