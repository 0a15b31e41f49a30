"""What is known of the world, and how an event changes it. ``step`` is the only way to a new state.

A state is the configuration, the ports that each bridge has, the locations that the network taught us, and
what bridges confirmed that they understand and speak. What a bridge must hold depends on the current state
alone, never on the order in which things happened.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from sdnapp.config.names import tunnel_interface
from sdnapp.net.dialect import Dialect, Speech, Way
from sdnapp.net.model import Encapsulation, Host, Overlay, Port
from sdnapp.net.moving import meanwhile

ENCAPSULATIONS: tuple[Encapsulation, ...] = ("vxlan", "gre", "geneve")

MAX_KEY = 2**24 - 1
"""Of VXLAN and Geneve; GRE has more (RFC 7348 §5, RFC 8926 §3.4, RFC 2890 §2.1)."""

Station = tuple[str, str]
"""(network path, MAC): whose location it is. Equal MACs in two networks are two stations."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a station lives: on an interface of a host; None: somewhere behind that host's tunnel."""

    host: str
    interface: str | None


@dataclass(frozen=True, slots=True)
class Sighting:
    """A bridge saw ``mac`` in the network with this VNI come in on this port."""

    vni: int
    mac: str
    ofport: int


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports that a bridge has now, both ways round, and those of them that lead to its peers."""

    number: Mapping[str, int]
    name: Mapping[int, str]
    tunnels: Mapping[str, Mapping[Encapsulation, int]]

    @classmethod
    def of(cls, number: Mapping[str, int], host: Host) -> Ports:
        """From interface name to port number. Tunnels go by their names, whatever the file wants now."""
        tunnels: dict[str, dict[Encapsulation, int]] = {}
        for tunnel in host.tunnels:
            for kind in ENCAPSULATIONS:
                ofport = number.get(tunnel_interface(kind, tunnel.peer))
                if ofport is not None:
                    tunnels.setdefault(tunnel.peer, {})[kind] = ofport
        return cls(number, {ofport: name for name, ofport in number.items()}, tunnels)

    def peer_behind(self, ofport: int) -> str | None:
        """The host at the other end of this tunnel; None if the port is no tunnel."""
        return next((peer for peer, kinds in self.tunnels.items() if ofport in kinds.values()), None)


NO_PORTS = Ports({}, {}, {})


@dataclass(frozen=True, slots=True)
class State:
    """``wanted`` is the configuration; ``overlay`` is what is true of it already: a port that moves to
    another host is where it was until its interface has arrived. ``static``, ``members`` (by network) and
    ``paths`` (by VNI) follow from ``overlay``.

    ``bridges``: the ports of each host heard of. ``read``: hosts whose bridge has told what it holds, so
    that its word on learned locations is the last one. ``claims``: what each tunnel key means; an older claim
    keeps a newer one waiting, so that no key ever means two networks. ``confirmed``: the dialect that each
    bridge has in force. ``spoken``: by listener, what is sent to it or may still be on its way. ``settled``:
    enough time has passed since the last configuration that what was never heard of may be forgotten.
    """

    wanted: Overlay
    overlay: Overlay
    static: Mapping[Station, Place]
    members: Mapping[str, tuple[Port, ...]]
    paths: Mapping[int, str]
    bridges: Mapping[str, Ports] = field(default_factory=dict)
    learned: Mapping[Station, Place] = field(default_factory=dict)
    read: frozenset[str] = frozenset()
    claims: Mapping[int, str] = field(default_factory=dict)
    confirmed: Mapping[str, Dialect] = field(default_factory=dict)
    spoken: Mapping[str, frozenset[Speech]] = field(default_factory=dict)
    settled: bool = False

    @classmethod
    def of(cls, overlay: Overlay) -> State:
        """A configuration, and nothing seen yet."""
        static: dict[Station, Place] = {}
        members: dict[str, list[Port]] = {path: [] for path in overlay.networks}
        for port in overlay.ports.values():
            for attachment in port.attachments:
                members[attachment.network].append(port)
                if port.mac is not None:
                    static[attachment.network, port.mac] = Place(port.host, port.interface)
        paths = {network.vni: path for path, network in overlay.networks.items()}
        by_path = {path: tuple(ports) for path, ports in members.items()}
        return cls(overlay, overlay, static, by_path, paths, claims=paths)

    def spoken_now(self, speaker: str, listener: str, network: str) -> Way | None:
        """The way in which the speaker has confirmed to send."""
        dialect = self.confirmed.get(speaker)
        return None if dialect is None else dialect.speaks.get((network, listener))

    def ports(self, host: str) -> Ports:
        """The ports of this host's bridge; none if it was never heard of."""
        return self.bridges.get(host, NO_PORTS)


@dataclass(frozen=True, slots=True)
class Configured:
    """There is a new configuration."""

    overlay: Overlay


@dataclass(frozen=True, slots=True)
class BridgeFound:
    """A bridge connected and named its ports."""

    host: str
    ports: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class PortFound:
    """A port appeared, or has a new number."""

    host: str
    interface: str
    ofport: int


@dataclass(frozen=True, slots=True)
class PortLost:
    """A port went away."""

    host: str
    interface: str


@dataclass(frozen=True, slots=True)
class Seen:
    """Sources that the bridge did not know."""

    host: str
    sightings: tuple[Sighting, ...]


@dataclass(frozen=True, slots=True)
class Silent:
    """A learned source has not been heard for the age that the configuration allows."""

    host: str
    sighting: Sighting


@dataclass(frozen=True, slots=True)
class Recalled:
    """A bridge told which learned locations it still holds: all of its own, and some behind its tunnels."""

    host: str
    sightings: tuple[Sighting, ...]


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
    Configured | BridgeFound | PortFound | PortLost | Seen | Silent | Recalled | Confirmed | Faded | Settled
)


def step(state: State, event: Event) -> State:
    """The state after the event; the same object if it changes nothing."""
    match event:
        case Configured(overlay):
            return _configure(state, overlay)
        case BridgeFound(host, ports):
            return _set_ports(state, host, ports)
        case PortFound(host, interface, ofport):
            return _set_ports(state, host, {**state.ports(host).number, interface: ofport})
        case PortLost(host, interface):
            number = state.ports(host).number
            return _set_ports(state, host, {name: n for name, n in number.items() if name != interface})
        case Seen(host, sightings):
            return _learn(state, host, sightings)
        case Silent(host, sighting):
            return _forget(state, host, sighting)
        case Recalled(host, sightings):
            return _recall(state, host, sightings)
        case Confirmed(host, dialect):
            return _confirm(state, host, dialect)
        case Faded(speeches):
            return _fade(state, speeches)
        case Settled(overlay):
            return _renew_claims(replace(state, settled=True)) if overlay is state.wanted else state


def _configure(state: State, wanted: Overlay) -> State:
    """Ports, learned locations and what bridges confirmed outlive the change where they still make sense."""
    interfaces = {host: ports.number for host, ports in state.bridges.items()}
    overlay = meanwhile(wanted, state.overlay, interfaces)
    hosts = overlay.hosts
    known = replace(
        State.of(overlay),
        wanted=wanted,
        bridges={h: Ports.of(p.number, hosts[h]) for h, p in state.bridges.items() if h in hosts},
        read=state.read & hosts.keys(),
        claims=state.claims,
        confirmed={h: dialect for h, dialect in state.confirmed.items() if h in hosts},
        spoken={h: speeches for h, speeches in state.spoken.items() if h in hosts},
        settled=state.settled and wanted is state.wanted,
    )
    return _renew_claims(replace(known, learned=_sound(known, state.learned)))


def _renew_claims(state: State) -> State:
    """A claim ends when the file no longer makes it and nobody speaks by it; then its key is free."""
    in_use = {(s.way.key, s.network) for speeches in state.spoken.values() for s in speeches}
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
    spoken = dict(state.spoken)
    for speech in dialect.speeches(host) - (before.speeches(host) if before else frozenset()):
        spoken[speech.listener] = spoken.get(speech.listener, frozenset()) | {speech}
    return _renew_claims(replace(state, confirmed={**state.confirmed, host: dialect}, spoken=spoken))


def _fade(state: State, speeches: frozenset[Speech]) -> State:
    """Forget them, but for those that were taken up again."""
    gone = {s for s in speeches if state.spoken_now(s.speaker, s.listener, s.network) != s.way}
    spoken = {listener: heard - gone for listener, heard in state.spoken.items()}
    return _renew_claims(replace(state, spoken=spoken))


def _set_ports(state: State, host: str, number: Mapping[str, int]) -> State:
    if host in state.bridges and state.ports(host).number == number:
        return state
    ports = Ports.of(number, state.overlay.hosts[host])
    known = replace(state, bridges={**state.bridges, host: ports})
    if state.overlay is not state.wanted:  # a port that moves may have arrived
        return _configure(known, state.wanted)
    return replace(known, learned=_sound(known, state.learned))


def _sound(state: State, learned: Mapping[Station, Place]) -> Mapping[Station, Place]:
    """Those learned locations that can be: the network is at that place, and nothing fixed says otherwise."""
    kept = {s: p for s, p in learned.items() if s not in state.static and _exists(state, s[0], p)}
    return learned if len(kept) == len(learned) else kept


def _exists(state: State, network: str, place: Place) -> bool:
    host = state.overlay.hosts.get(place.host)
    if host is None or network not in host.networks:
        return False
    if place.interface is None:
        return True
    return place.interface in state.ports(place.host).number and any(
        port.interface == place.interface and port.host == place.host for port in state.members[network]
    )


def _learn(state: State, host: str, sightings: Iterable[Sighting]) -> State:
    found = {}
    for sighting in sightings:
        located = _locate(state, host, sighting)
        if located is not None:
            station, place = located
            if station not in state.static and state.learned.get(station) != place:
                found[station] = place
    return replace(state, learned={**state.learned, **found}) if found else state


def _locate(state: State, host: str, sighting: Sighting) -> tuple[Station, Place] | None:
    """The station and the place that a bridge's numbers mean; None if they mean nothing (any more)."""
    network = state.paths.get(sighting.vni)
    interface = state.ports(host).name.get(sighting.ofport)
    if network is None or interface is None:
        return None
    peer = state.ports(host).peer_behind(sighting.ofport)
    place = Place(host, interface) if peer is None else Place(peer, None)
    return ((network, sighting.mac), place) if _exists(state, network, place) else None


def _forget(state: State, host: str, sighting: Sighting) -> State:
    located = _locate(state, host, sighting)
    if located is None or state.learned.get(located[0]) != located[1]:
        return state
    return replace(state, learned={s: p for s, p in state.learned.items() if s != located[0]})


def _recall(state: State, host: str, sightings: tuple[Sighting, ...]) -> State:
    """The bridge's word on its own ports is final. On a peer it counts until the peer has spoken itself."""
    located = [found for sighting in sightings if (found := _locate(state, host, sighting)) is not None]
    own = {station: place for station, place in located if place.host == host}
    others = {
        station: place
        for station, place in located
        if place.host not in state.read | {host} and station not in state.learned
    }
    kept = {station: place for station, place in state.learned.items() if place.host != host}
    known = replace(state, read=state.read | {host})
    return replace(known, learned=_sound(known, {**kept, **others, **own}))
