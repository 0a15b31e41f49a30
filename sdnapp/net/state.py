"""State: configuration and observations. ``sdnapp.net.step`` makes new states.

It is the configuration, the ports that each bridge has, what was learned from traffic, and the encapsulations
that bridges confirmed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from sdnapp.config.names import decode_iface_ids, tunnel_interface
from sdnapp.frames.packet import link_local_text
from sdnapp.net.binding import roaming
from sdnapp.net.encap import EncapState, TxPath
from sdnapp.net.fdb import (
    MAX_MACS_PER_PEER,
    NO_ENTRIES,
    NOTHING_LEARNED,
    FdbEntry,
    FdbTable,
    Learned,
    PortRef,
)
from sdnapp.net.loop_protection import NO_LOOPS, Loops
from sdnapp.net.model import Attachment, DuplicateMacDetection, Encapsulation, Host, Network, Overlay, Port
from sdnapp.net.multicast_snooping import NO_MULTICAST, Multicast
from sdnapp.net.neighbors import NO_ADDRESSES, NeighborTable

ENCAPSULATIONS: tuple[Encapsulation, ...] = ("geneve", "gre", "vxlan")


@dataclass(frozen=True, slots=True)
class Ports:
    """Ports of a bridge now, by name and by number, and its tunnels to peers.

    ``at``: the number of each port, and those that ports of the file request and will get, as no other port
    gets them unasked (``sdnapp.config.names``): flows can be there before the port. ``peer``: the host at the
    other end of each tunnel. ``wanted``: the encapsulation of the file to each peer; that tunnel comes first
    where there are several. ``choice``: there are several. ``noted``: iface-id of each external interface
    (``sdnapp.net.binding``). ``dead``: tunnels that are down by BFD.
    """

    number: Mapping[str, int]
    name: Mapping[int, str]
    tunnels: Mapping[str, Mapping[Encapsulation, int]]
    peer: Mapping[int, str]
    wanted: Mapping[str, Encapsulation]
    choice: bool
    noted: Mapping[str, int]
    dead: frozenset[str]
    at: Mapping[str, int]

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
            noted=decode_iface_ids(number),
            dead=frozenset(
                name for kinds in tunnels.values() for n in kinds.values() if (name := names[n]) in dead
            ),
            at={**dict(_awaited(host, names)), **number},
        )


def _awaited(host: Host, taken: Collection[int]) -> Iterator[tuple[str, int]]:
    """The numbers that are to be had, of ports of the file; one that is found by its iface_id has any."""
    for port in host.ports:
        if port.ofport and port.ofport not in taken:
            yield port.interface, port.ofport


NO_PORTS = Ports({}, {}, {}, {}, {}, choice=False, noted={}, dead=frozenset(), at={})


class HostNetwork(NamedTuple):
    """The ports of a network on one host, their MACs, and the addresses that the file gives them."""

    members: list[Port]
    static: dict[str, FdbEntry]
    given: dict[str, PortRef]


class HostNetworks(NamedTuple):
    """What one host has of each network."""

    host: Host
    parts: Mapping[str, HostNetwork]


NO_SHARES: Mapping[str, HostNetworks] = {}


@dataclass(frozen=True, slots=True)
class State:
    """State of an overlay.

    ``wanted``: the configuration. ``overlay``: what is in force of it: a moving port is where it was until
    its interface has arrived (``port_move``), and ports with an iface-id are where they are bound.

    From ``overlay`` follow: ``shares``, what each host has of it; ``members`` and ``having``, ports and hosts
    of each network; ``static``, its static FDB; ``networks`` by path; ``paths`` by VNI; ``here``, the
    networks of each host; ``given``, static addresses of each network and their ports.

    ``bridges``: ports of each host's bridge. ``learned``: FDB. ``multicast``: snooping state. ``addresses``:
    neighbor table. ``loops``: ports that are held down. ``read``: hosts whose bridge was read, so that it
    decides on its own ports. ``contested``: hosts whose bridge replaced a connection that had not ended, and
    when, in seconds: what it lacks may be on the bridge of the other connection. ``claims``: the owner of
    each tunnel key; an older claim delays a newer one, so that no key means two networks. ``confirmed``: the
    encapsulation state that each bridge has in force. ``fading``: what is sent no more, but may be in flight.
    ``settled``: the grace period after the last configuration is over.
    """

    wanted: Overlay
    overlay: Overlay
    shares: Mapping[str, HostNetworks]
    members: Mapping[str, tuple[Port, ...]]
    having: Mapping[str, tuple[str, ...]]
    static: Mapping[str, FdbTable]
    networks: Mapping[str, Network]
    mac_age: int
    paths: Mapping[int, str]
    here: Mapping[str, frozenset[str]]
    given: Mapping[str, Mapping[str, PortRef]]
    bridges: Mapping[str, Ports] = field(default_factory=dict)
    learned: Learned = NOTHING_LEARNED
    multicast: Multicast = NO_MULTICAST
    addresses: NeighborTable = NO_ADDRESSES
    loops: Loops = NO_LOOPS
    read: frozenset[str] = frozenset()
    contested: Mapping[str, float] = field(default_factory=dict)
    moving: bool = False
    claims: Mapping[int, str] = field(default_factory=dict)
    confirmed: Mapping[str, EncapState] = field(default_factory=dict)
    fading: frozenset[TxPath] = frozenset()
    settled: bool = False

    @classmethod
    def of(
        cls, overlay: Overlay, heard: Collection[str] = (), before: Mapping[str, HostNetworks] = NO_SHARES
    ) -> State:
        """A configuration, and nothing seen yet; ``heard`` are the hosts that told which ports they have.

        A port that is found by its iface_id may be on any other host that it may be on. ``before`` are the
        shares of an earlier state: those of hosts that are the very same are not worked out again.
        """
        shares = {name: _share(host, before.get(name)) for name, host in overlay.hosts.items()}
        static: dict[str, dict[str, FdbEntry]] = {path: {} for path in overlay.networks}
        members: dict[str, list[Port]] = {path: [] for path in overlay.networks}
        given: dict[str, dict[str, PortRef]] = {path: {} for path in overlay.networks}
        having: dict[str, set[str]] = {path: set() for path in overlay.networks}
        silent = overlay.hosts.keys() - (() if overlay.controller.per_host else heard)
        unseen = {path: hosts & silent for path, hosts in roaming(overlay).items()}
        for name, share in shares.items():
            for path, part in share.parts.items():
                having[path].add(name)
                members[path] += part.members
                static[path].update(part.static)
                given[path].update(part.given)
        paths = {network.vni: path for path, network in overlay.networks.items()}
        return cls(
            overlay,
            overlay,
            shares=shares,
            members={path: tuple(ports) for path, ports in members.items()},
            having={path: tuple(sorted(hosts.union(unseen.get(path, ())))) for path, hosts in having.items()},
            static=static,
            networks=overlay.networks,
            mac_age=overlay.mac_age,
            paths=paths,
            here={
                name: host.networks.union(path for path, hosts in unseen.items() if name in hosts)
                for name, host in overlay.hosts.items()
            },
            given=given,
            claims=paths,
        )

    def place_of(self, network: str, mac: str) -> PortRef | None:
        """Where the MAC was learned to be."""
        station = self.learned.stations.get(network, NO_ENTRIES).get(mac)
        return None if station is None else station.place

    def ports(self, host: str) -> Ports:
        """Return the ports of this host's bridge; none before it was connected."""
        return self.bridges.get(host, NO_PORTS)

    @property
    def flap(self) -> DuplicateMacDetection:
        """How often a station may move."""
        return self.overlay.duplicate_mac_detection

    def fixed(self, network: str, mac: str) -> PortRef | None:
        """Where the file puts this MAC."""
        station = self.static.get(network, NO_ENTRIES).get(mac)
        return None if station is None else station.place

    def exists(self, network: str, place: PortRef) -> bool:
        """Whether the network is at this place. A port that is held down is as good as gone.

        Of a contested bridge, the ports that the file has are taken for present.
        """
        if place.interface is None:
            return network in self.here.get(place.host, ())
        if place in self.loops.held:
            return False
        host = self.overlay.hosts.get(place.host)
        there = () if host is None else host.attached.get(place.interface, ())
        present = place.interface in self.ports(place.host).number or place.host in self.contested
        return network in there and present

    def may_hold(self, place: PortRef) -> bool:
        """Whether there is a port that may be held down where a loop is found."""
        host = self.overlay.hosts.get(place.host)
        there = host is not None and place.interface in self.ports(place.host).number
        return there and place.interface in (host.protected if host else ())

    def limit(self, place: PortRef) -> int | None:
        """How many MACs may be learned there; None if there is no such place.

        Behind a peer there may be as many as behind its ports, and those that may be there unseen.
        """
        host = self.overlay.hosts.get(place.host)
        if host is None:
            return None
        if place.interface is not None:
            return host.room.get(place.interface)
        return min(self.overlay.unplaced_macs + host.max_macs, MAX_MACS_PER_PEER)


def _share(host: Host, before: HostNetworks | None) -> HostNetworks:
    if before is not None and before.host is host:
        return before
    parts: dict[str, HostNetwork] = {}
    for port in host.ports:
        place = PortRef(port.host, port.interface)
        station = FdbEntry(place)
        for attachment in port.attachments:
            part = parts.get(attachment.network)
            if part is None:
                part = parts[attachment.network] = HostNetwork([], {}, {})
            part.members.append(port)
            part.given.update(dict.fromkeys(addresses(port, attachment), place))
            if port.mac is not None:
                part.static[port.mac] = station
    return HostNetworks(host, parts)


def addresses(port: Port, attachment: Attachment) -> Iterator[str]:
    """What the file gives the port in a network, and what follows from that for sure."""
    yield from (str(address.ip) for address in attachment.addresses)
    if port.security.allowed_mac is not None and any(
        address.version == 6 for address in attachment.addresses
    ):
        yield link_local_text(port.security.allowed_mac)


def port_ref(state: State, host: str, ofport: int) -> PortRef | None:
    """What is at this port of the host's bridge."""
    ports = state.ports(host)
    peer, interface = ports.peer.get(ofport), ports.name.get(ofport)
    if peer is not None:
        return PortRef(peer, None)
    return None if interface is None else PortRef(host, interface)
