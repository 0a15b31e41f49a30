"""What one bridge should know of the state: names become the port numbers that it has now."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

from flows.view import BridgeView, Location, Member, NetworkView, Peer
from sdnapp.net.dialect import Dialect
from sdnapp.net.model import Host, Port
from sdnapp.net.state import Place, Ports, State

PUNT_RATE = 10_000
"""Frames per second that one bridge may send to the controller; what it drops comes again."""


def project(state: State, host_name: str, speech: Dialect) -> BridgeView:
    """The view of this host's bridge, which speaks this dialect.

    Ports that the bridge does not have, and what is behind them, are left out until they appear.
    """
    host = state.overlay.hosts[host_name]
    ports = state.ports(host_name)
    learned: dict[str, list[tuple[str, Place, bool]]] = {}
    for (path, mac), place in state.learned.items():
        learned.setdefault(path, []).append((mac, place, True))
    networks = (
        _network(state, host, speech, path=path, learned=learned.get(path, ()))
        for path in sorted(host.networks)
    )
    return BridgeView(
        networks=tuple(network for network in networks if network.members),
        tunnels=tuple(sorted(ports.tunnels[peer][kind] for peer, kind in speech.hears)),
        learn_from_tunnels=state.overlay.controller.per_host,
        mac_age=state.overlay.mac_age,
        punt_rate=PUNT_RATE,
    )


def _network(
    state: State, host: Host, speech: Dialect, *, path: str, learned: Iterable[tuple[str, Place, bool]]
) -> NetworkView:
    ports = state.ports(host.name)
    members = (
        m for port in state.members[path] if port.host == host.name for m in _members(port, ports, path)
    )
    having = {port.host for port in state.members[path]}
    ways = {peer: way for (of, peer), way in speech.speaks.items() if of == path}
    peers = {peer: Peer(ports.tunnels[peer][way.encapsulation], way.key) for peer, way in ways.items()}
    locations = (
        location
        for mac, place, is_learned in chain(_fixed(state, path), learned)
        if (location := _location(host, ports, peers, mac, place, learned=is_learned)) is not None
    )
    return NetworkView(
        vni=state.overlay.networks[path].vni,
        keys=tuple(sorted(key for of, key in speech.understands if of == path)),
        entrances=tuple(sorted(ports.tunnels[peer][kind] for peer, kind in speech.hears if peer in having)),
        members=tuple(sorted(members, key=lambda member: member.port)),
        peers=tuple(sorted(peers.values(), key=lambda peer: peer.port)),
        locations=tuple(sorted(locations, key=lambda location: location.mac)),
    )


def _members(port: Port, ports: Ports, path: str) -> Iterator[Member]:
    if port.interface in ports.number:
        for attachment in port.attachments:
            if attachment.network == path:
                yield Member(ports.number[port.interface], attachment.vlan, attachment.tagged)


def _fixed(state: State, path: str) -> Iterator[tuple[str, Place, bool]]:
    for port in state.members[path]:
        if port.mac is not None:
            yield port.mac, Place(port.host, port.interface), False


def _location(
    host: Host, ports: Ports, peers: dict[str, Peer], mac: str, place: Place, *, learned: bool
) -> Location | None:
    if place.host != host.name:
        return Location(mac, peers[place.host].port, True, learned) if place.host in peers else None
    if place.interface is None or place.interface not in ports.number:
        return None
    return Location(mac, ports.number[place.interface], False, learned)
