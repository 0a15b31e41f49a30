"""Facts about a network that all of its bridges need: computed once from a state."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import NamedTuple

from flows.view import AllowedAddressPair, Location, NeighborEntry
from sdnapp.frames.packet import link_local_text
from sdnapp.net.fdb import NO_ENTRIES, NONE_BLOCKED, BlockedSources, FdbEntry, FdbTable, PortRef
from sdnapp.net.memo import Memo
from sdnapp.net.model import Attachment, Network, Port
from sdnapp.net.multicast_snooping import GroupsByFamily
from sdnapp.net.neighbors import BindingEntry
from sdnapp.net.state import State, addresses

_NOTHING_BOUND: Mapping[str, BindingEntry] = {}
_NO_GROUPS: GroupsByFamily = {}
_NO_LIES: frozenset[tuple[str, PortRef]] = frozenset()


@dataclass(frozen=True)
class HostFdb:
    """FDB entries of a network on one host, grouped for flows: by interface and moves, and all together.

    All together, entries are told apart by their moves only where no interface is known.
    """

    stations: FdbTable
    learned: bool

    @cached_property
    def at(self) -> Mapping[tuple[str | None, int], tuple[str, ...]]:
        """The MACs by interface and moves."""
        macs: dict[tuple[str | None, int], list[str]] = defaultdict(list)
        for mac, ((_, interface), moves, _) in self.stations.items():
            macs[interface, moves if moves > 0 else 0].append(mac)
        return {place: tuple(sorted(found)) for place, found in macs.items()}

    @cached_property
    def together(self) -> Mapping[int, tuple[str, ...]]:
        """The MACs by moves."""
        if not self.learned:  # the file says where they are
            return {0: tuple(sorted(self.stations))} if self.stations else {}
        macs: dict[int, list[str]] = defaultdict(list)
        for mac, ((_, interface), moves, _) in self.stations.items():
            macs[moves if moves > 0 and interface is None else 0].append(mac)
        return {moves: tuple(sorted(found)) for moves, found in macs.items()}

    @cached_property
    def behind(self) -> Mapping[tuple[int, int], tuple[Location, ...]]:
        """What they are to bridges that reach them by this port and key: the same objects for each."""
        return _RemoteLocations(self.learned, self.together)


class _RemoteLocations(dict[tuple[int, int], tuple[Location, ...]]):
    """Worked out when it is first asked for; after that no bridge pays for more than the look."""

    def __init__(self, learned: bool, macs_by_moves: Mapping[int, tuple[str, ...]]) -> None:
        """Hold no reference to the resident: in a cycle, all its stations would wait for the collector."""
        super().__init__()
        self._learned, self._macs_by_moves = learned, macs_by_moves

    def __missing__(self, way: tuple[int, int]) -> tuple[Location, ...]:
        port, key = way
        there = (
            Location(port, True, self._learned, macs, moves, key=key)
            for moves, macs in self._macs_by_moves.items()
        )
        self[way] = found = tuple(there)
        return found


FdbByHost = Mapping[str, HostFdb]
"""By host."""
EMPTY_HOST_FDB = HostFdb(NO_ENTRIES, learned=False)


class LocalPort(NamedTuple):
    """A port in a network, with its allowed address pair and the addresses of the file."""

    port: Port
    attachment: Attachment
    speaker: AllowedAddressPair | None
    answers: tuple[NeighborEntry, ...]


@dataclass(frozen=True)
class HostPorts:
    """The ports of a network on one host."""

    path: str
    ports: tuple[Port, ...]

    @cached_property
    def seats(self) -> tuple[LocalPort, ...]:
        """What they are in this network, for the bridge that they are on."""
        return tuple(
            LocalPort(
                port,
                attachment,
                _speaker(port.security.allowed_mac, attachment),
                tuple(_given(port, attachment)),
            )
            for port in self.ports
            for attachment in port.attachments
            if attachment.network == self.path
        )

    @cached_property
    def answers(self) -> tuple[NeighborEntry, ...]:
        """All addresses that the file gives them."""
        given = (
            _given(port, attachment)
            for port in self.ports
            for attachment in port.attachments
            if attachment.addresses and attachment.network == self.path
        )
        return tuple(sorted(chain.from_iterable(given)))

    @cached_property
    def leases(self) -> bool:
        """Whether a DHCP server may be among them."""
        return any("dhcp-server" in port.security.roles for port in self.ports)

    @cached_property
    def nests(self) -> bool:
        """Whether a port may send frames with a second tag: a trunk without port security."""
        return any(seat.speaker is None and seat.attachment.tagged for seat in self.seats)


NO_HOST_PORTS = HostPorts("", ())
PortsByHost = Mapping[str, HostPorts]
"""By host."""


class LearnedNeighbor(NamedTuple):
    """A learned or leased binding, and the place of its station."""

    ip: str
    mac: str
    home: PortRef
    router: bool
    lease: int


@dataclass(frozen=True, eq=False)
class NetworkFacts:
    """Everything that bridges need to know of one network.

    ``spans``: it has ports on more than one host. ``answering``: hosts with ports that have addresses in the
    file. ``static``, ``learned``: FDB by host. ``denied``: sources that are blocked at a place. ``groups``:
    multicast groups. ``lies``: address conflicts.
    """

    network: Network
    spans: bool
    homes: PortsByHost
    answering: PortsByHost
    static: FdbByHost
    learned: FdbByHost
    denied: BlockedSources
    groups: GroupsByFamily
    heard: tuple[LearnedNeighbor, ...]
    lies: frozenset[tuple[str, PortRef]]

    @cached_property
    def leases(self) -> bool:
        """Whether a DHCP server may be among the ports."""
        return any(home.leases for home in self.homes.values())

    @cached_property
    def nests(self) -> bool:
        """Whether a port may send frames with a second tag."""
        return any(home.nests for home in self.homes.values())

    @cached_property
    def macs(self) -> int:
        """How many of them have a place."""
        residents = (*self.static.values(), *self.learned.values())
        return sum(len(resident.stations) for resident in residents)


class NetworkFactsCache:
    """What is known of each network, from state to state: what is not new is the object of before."""

    def __init__(self) -> None:
        self._state: State | None = None
        self._known: dict[str, NetworkFacts] = {}
        self._desks: dict[str, _NetworkFactsBuilder] = {}

    def keep(self, paths: Collection[str]) -> None:
        """Forget all other networks."""
        for gone in self._desks.keys() - paths:
            del self._desks[gone]

    def of(self, state: State, path: str) -> NetworkFacts:
        """Return the facts of the network in this state."""
        if state is not self._state:
            self._state = state
            self._known.clear()
        known = self._known.get(path)
        if known is None:
            desk = self._desks.get(path)
            if desk is None:
                desk = self._desks[path] = _NetworkFactsBuilder(path)
            known = self._known[path] = desk.look_up(state)
        return known


class _NetworkFactsBuilder:
    """Where what is known of one network is put together."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._kept = Memo()
        self._homes: PortsByHost = {}
        self._static: FdbByHost = {}
        self._learned: FdbByHost = {}

    def look_up(self, state: State) -> NetworkFacts:
        """Return the facts in this state."""
        path, of = self._path, self._kept.of
        members, static = state.members[path], state.static[path]
        stations = state.learned.stations.get(path, NO_ENTRIES)
        bound = state.addresses.bound.get(path, _NOTHING_BOUND)
        homes = of(self._settle, members)
        return of(
            NetworkFacts,
            state.networks[path],
            len(state.having[path]) > 1,
            homes,
            of(_answering, homes),
            of(self._place, static),
            of(self._place_learned, stations),
            state.learned.denied.get(path, NONE_BLOCKED),
            state.multicast.known.get(path, _NO_GROUPS),
            of(_heard, members, static, stations, bound),
            state.addresses.lies.get(path, _NO_LIES),
        )

    def _settle(self, members: tuple[Port, ...]) -> PortsByHost:
        hosts: dict[str, list[Port]] = {}
        for port in members:
            hosts.setdefault(port.host, []).append(port)
        before, homes = self._homes, {}
        for host, ports in sorted(hosts.items()):
            home, here = before.get(host, NO_HOST_PORTS), tuple(ports)
            homes[host] = home if home.ports == here else HostPorts(self._path, here)
        self._homes = homes
        return homes

    def _place(self, static: FdbTable) -> FdbByHost:
        self._static = _residents(static, self._static, learned=False)
        return self._static

    def _place_learned(self, stations: FdbTable) -> FdbByHost:
        self._learned = _residents(stations, self._learned, learned=True)
        return self._learned


def _residents(stations: FdbTable, before: FdbByHost, *, learned: bool) -> FdbByHost:
    """The stations by host; where nothing is new, the very objects of before."""
    hosts: dict[str, dict[str, FdbEntry]] = defaultdict(dict)
    for mac, station in stations.items():
        hosts[station.place.host][mac] = station
    residents = {}
    for host, here in sorted(hosts.items()):
        resident = before.get(host, EMPTY_HOST_FDB)
        residents[host] = resident if resident.stations == here else HostFdb(here, learned)
    return residents


def _speaker(mac: str | None, attachment: Attachment) -> AllowedAddressPair | None:
    if mac is None:
        return None
    return AllowedAddressPair(
        mac, (*(str(address.ip) for address in attachment.addresses), link_local_text(mac))
    )


def _given(port: Port, attachment: Attachment) -> Iterator[NeighborEntry]:
    """The addresses that the file gives this port in this network."""
    if attachment.addresses and port.mac is not None:
        router = "router" in port.security.roles
        for address in addresses(port, attachment):
            yield NeighborEntry(address, port.mac, None, False, router)


def _answering(homes: PortsByHost) -> PortsByHost:
    return {host: home for host, home in homes.items() if home.answers}


def _heard(
    members: tuple[Port, ...], static: FdbTable, stations: FdbTable, bound: Mapping[str, BindingEntry]
) -> tuple[LearnedNeighbor, ...]:
    """Return bindings whose stations are where they were seen, or that are leased."""
    return tuple(_bound(members, static, stations, bound)) if bound else ()


def _bound(
    members: tuple[Port, ...], static: FdbTable, stations: FdbTable, bound: Mapping[str, BindingEntry]
) -> Iterator[LearnedNeighbor]:
    routers = {PortRef(port.host, port.interface) for port in members if "router" in port.security.roles}
    for ip, (mac, place, _, lease) in bound.items():
        station = static.get(mac) or stations.get(mac)
        if station is not None and (
            place == station.place or (lease and station.place.interface is not None)
        ):
            yield LearnedNeighbor(ip, mac, station.place, station.place in routers, lease)
