"""What is known of the world, and how an event changes it. ``step`` is the only way to a new state.

A state is the configuration, the ports that each bridge has, and the locations that the network taught us.
What a bridge must hold depends on the current state alone, never on the order in which things happened.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from sdnapp.net.model import Host, Overlay, Port

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
    """The ports that a bridge has now, both ways round."""

    number: Mapping[str, int]
    name: Mapping[int, str]

    @classmethod
    def of(cls, number: Mapping[str, int]) -> Ports:
        """From interface name to port number."""
        return cls(number, {ofport: name for name, ofport in number.items()})


NO_PORTS = Ports({}, {})


@dataclass(frozen=True, slots=True)
class State:
    """``bridges``: the ports of each host heard of. ``read``: hosts whose bridge has told what it holds, so
    that its word on learned locations is the last one. The next three follow from ``overlay``.
    """

    overlay: Overlay
    static: Mapping[Station, Place]
    members: Mapping[str, tuple[Port, ...]]
    paths: Mapping[int, str]
    bridges: Mapping[str, Ports] = field(default_factory=dict)
    learned: Mapping[Station, Place] = field(default_factory=dict)
    read: frozenset[str] = frozenset()

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
        return cls(overlay, static, {path: tuple(ports) for path, ports in members.items()}, paths)

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


Event = Configured | BridgeFound | PortFound | PortLost | Seen | Silent | Recalled


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


def _configure(state: State, overlay: Overlay) -> State:
    """Ports and learned locations outlive the change where they still make sense."""
    fresh = State.of(overlay)
    bridges = {host: ports for host, ports in state.bridges.items() if host in overlay.hosts}
    known = replace(fresh, bridges=bridges, read=state.read & overlay.hosts.keys())
    return replace(known, learned=_sound(known, state.learned))


def _set_ports(state: State, host: str, number: Mapping[str, int]) -> State:
    if host in state.bridges and state.ports(host).number == number:
        return state
    known = replace(state, bridges={**state.bridges, host: Ports.of(number)})
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
    peer = peer_behind(state.overlay.hosts[host], interface)
    place = Place(host, interface) if peer is None else Place(peer, None)
    return ((network, sighting.mac), place) if _exists(state, network, place) else None


def peer_behind(host: Host, interface: str) -> str | None:
    """The host at the other end of this tunnel; None if the interface is no tunnel."""
    return next((t.peer for t in host.tunnels if t.interface == interface), None)


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
