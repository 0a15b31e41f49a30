"""What one bridge should know of the state: names become the port numbers that it has now."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import NamedTuple

from flows.compile import at_once
from flows.view import BridgeView, Limits, Location, Member, NetworkView, Peer
from sdnapp.net.dialect import Dialect, Way
from sdnapp.net.limits import limits
from sdnapp.net.model import Host, Port
from sdnapp.net.state import NOWHERE, Places, Ports, State

PUNT_RATE = 10_000
"""Frames per second that one bridge may send to the controller; what it drops comes again."""


class Resident(NamedTuple):
    """The MACs on a host: all of them, and those at each interface."""

    macs: tuple[str, ...]
    at: Mapping[str | None, tuple[str, ...]]


Residents = Mapping[str, Resident]
NOBODY = Resident((), {})


@dataclass(frozen=True, slots=True)
class Memo:
    """What was projected before, and what it was made from.

    ``views``: of one bridge, by network. ``residents``: by network and by whether they were learned, the same
    for every bridge; the memos of all bridges may share it. ``limits``: by host.
    """

    residents: dict[tuple[str, bool], tuple[Places, Residents]] = field(default_factory=dict)
    views: dict[str, tuple[tuple[object, ...], NetworkView]] = field(default_factory=dict)
    limits: dict[str, tuple[Host, Ports, Mapping[int, Limits]]] = field(default_factory=dict)

    def limits_of(self, host: Host, ports: Ports) -> Mapping[int, Limits]:
        """The meters of the host's ports."""
        before = self.limits.get(host.name)
        if before is None or before[0] is not host or before[1] is not ports:
            before = self.limits[host.name] = (host, ports, limits(host.ports, ports.number))
        return before[2]

    def residents_of(self, path: str, places: Places, *, learned: bool) -> Residents:
        """The places by host and interface."""
        before = self.residents.get((path, learned))
        if before is not None and before[0] is places:
            return before[1]
        hosts: dict[str, dict[str | None, list[str]]] = {}
        for mac, (host, interface) in places.items():
            hosts.setdefault(host, {}).setdefault(interface, []).append(mac)
        residents = {host: _resident(here) for host, here in hosts.items()}
        self.residents[path, learned] = (places, residents)
        return residents


def _resident(here: Mapping[str | None, Iterable[str]]) -> Resident:
    at = {interface: tuple(sorted(macs)) for interface, macs in here.items()}
    return Resident(tuple(chain.from_iterable(at.values())), at)


STEP = 10_000
"""MACs whose places are looked at in some 10 ms."""


def project(state: State, host: str, speech: Dialect) -> BridgeView:
    """The view of this host's bridge, which speaks this dialect."""
    return at_once(projection(state, host, speech, Memo()))


def projection(state: State, host: str, speech: Dialect, memo: Memo) -> Generator[None, None, BridgeView]:
    """The same, with what was projected for this bridge last at hand.

    Ports that the bridge does not have, and what is behind them, are left out until they appear. Only
    networks of which anything is new are looked at, and those that turn out equal are the same object. It
    pauses after every ``STEP`` MACs, for those who have other things to do meanwhile.
    """
    looked_at = 0
    ports = state.ports(host)
    ways: dict[str, dict[str, Way]] = {path: {} for path in sorted(state.here[host])}
    for (path, peer), way in speech.speaks.items():
        ways[path][peer] = way
    keys: dict[str, list[int]] = {path: [] for path in ways}
    for path, key in speech.understands:
        keys[path].append(key)
    for path in memo.views.keys() - ways.keys():
        del memo.views[path]
    for path, peers in ways.items():
        inputs = (ports, speech, state.members[path], state.static[path], state.learned.get(path))
        before = memo.views.get(path)
        if before is None or any(a is not b for a, b in zip(inputs, before[0], strict=True)):
            network = _network(state, host, speech, memo, path=path, ways=peers, keys=keys[path])
            memo.views[path] = (inputs, before[1] if before is not None and before[1] == network else network)
            looked_at += sum(len(location.macs) for location in network.locations)
            if looked_at >= STEP:
                looked_at = 0
                yield
    networks = (memo.views[path][1] for path in ways)
    return BridgeView(
        networks=tuple(network for network in networks if network.members),
        tunnels=tuple(sorted(ports.tunnels[peer][kind] for peer, kind in speech.hears)),
        learn_from_tunnels=state.overlay.controller.per_host,
        mac_age=state.overlay.mac_age,
        punt_rate=PUNT_RATE,
        limits=memo.limits_of(state.overlay.hosts[host], ports),
    )


def _network(
    state: State,
    host: str,
    speech: Dialect,
    memo: Memo,
    *,
    path: str,
    ways: Mapping[str, Way],
    keys: Collection[int],
) -> NetworkView:
    ports = state.ports(host)
    members = (m for port in state.members[path] if port.host == host for m in _members(port, ports, path))
    having = frozenset(state.having[path])
    peers = {peer: Peer(ports.tunnels[peer][way.encapsulation], way.key) for peer, way in ways.items()}
    return NetworkView(
        vni=state.overlay.networks[path].vni,
        floods_unknown=state.overlay.networks[path].unknown_unicast == "flood",
        keys=tuple(sorted(keys)),
        entrances=tuple(sorted(ports.tunnels[peer][kind] for peer, kind in speech.hears if peer in having)),
        members=tuple(sorted(members, key=lambda member: member.port)),
        peers=tuple(sorted(peers.values(), key=lambda peer: peer.port)),
        locations=tuple(sorted(_locations(state, host, memo, path, peers))),
    )


def _members(port: Port, ports: Ports, path: str) -> Iterator[Member]:
    if port.interface in ports.number:
        trunk = any(attachment.tagged for attachment in port.attachments)
        for attachment in port.attachments:
            if attachment.network == path:
                vlan = attachment.vlan if attachment.tagged or not trunk else None
                yield Member(ports.number[port.interface], vlan, attachment.tagged)


def _locations(
    state: State, host: str, memo: Memo, path: str, peers: Mapping[str, Peer]
) -> Iterator[Location]:
    number = state.ports(host).number
    for learned, places in ((False, state.static[path]), (True, state.learned.get(path, NOWHERE))):
        residents = memo.residents_of(path, places, learned=learned)
        for interface, macs in residents.get(host, NOBODY).at.items():
            if interface is not None and interface in number:
                yield Location(number[interface], False, learned, macs)
        for peer, way in peers.items():
            if peer in residents:
                yield Location(way.port, True, learned, residents[peer].macs)
