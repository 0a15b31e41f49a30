"""Input of the compiler for one bridge: networks with their ports, MACs and bindings, peers, limits.

Port numbers are OpenFlow ports that the bridge has now, or will have. ``sdnapp.net.project`` leaves out a
port without a number and a peer without a tunnel port.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from flows.flow import Meter
from flows.tables import Feature

Role = Literal["dhcp-server", "router"]
"""What a port may send beside its own frames; a router's own frames include those that it forwards."""


class AllowedAddressPair(NamedTuple):
    """What a port with port security may send: this source MAC, and in IP, ARP and ND these addresses.

    One at least is of IPv6: the link-local one.
    """

    mac: str
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NetworkPort:
    """One network on one local port.

    ``tagged``: frames carry ``vlan`` on the wire. Otherwise they are untagged, and ``vlan`` is the edge tag
    of the network on this host: None where it has none, and on a port that carries other networks with tags.
    ``key``: the port is the tunnel of an external VTEP, and this the key of its frames; 0 without a key.
    ``max_frame_size``: bytes of an incoming frame that the network carries; None: its device does.
    ``allowed``: port security; None: any source. ``roles``: what it may send besides.
    """

    port: int
    vlan: int | None
    tagged: bool
    key: int | None = None
    max_frame_size: int | None = None
    allowed: AllowedAddressPair | None = None
    roles: frozenset[Role] = frozenset()

    @property
    def nests(self) -> bool:
        """Whether it may send, and so receives, frames with a second tag."""
        return self.tagged and self.allowed is None


class Location(NamedTuple):
    """FDB entries of one place: a local port, or the tunnel port of a peer (``remote``), with its MACs.

    ``moves``: the number of their last move; a note in the flow keeps it on the bridge. ``blocked``: frames
    with these sources are dropped at this port, as the MACs are elsewhere. ``key``: the tunnel key that the
    peer accepts; 0 where nothing is sent to one.
    """

    port: int
    remote: bool
    learned: bool
    macs: tuple[str, ...]
    moves: int = 0
    blocked: bool = False
    key: int = 0


class NeighborEntry(NamedTuple):
    """IP-MAC binding: an entry of the ARP and ND responder.

    ``port``: the local port of the MAC; None: it is on another host. ``learned``: by snooping, not from the
    file. ``router``: neighbor advertisements have the router flag (RFC 4861 section 4.4). ``lease``: seconds
    for which a DHCP server gave the address; 0: no lease was seen.
    """

    ip: str
    mac: str
    port: int | None
    learned: bool
    router: bool
    lease: int = 0


class AddressConflict(NamedTuple):
    """An address of the file that ARP or ND at another local port, ``port``, claims (RFC 5227)."""

    ip: str
    port: int


@dataclass(frozen=True, slots=True)
class Peer:
    """Another host with the network: the tunnel port that leads there, and the tunnel key that it accepts.

    ``up``: BFD on that port is up, or not in use.
    """

    port: int
    key: int
    up: bool = True


@dataclass(frozen=True, slots=True)
class Limits:
    """The meters of a local port: of all that its workload sends, of all that it receives, and of the frames
    from it that would be flooded. None: no limit.
    """

    send: Meter | None = None
    receive: Meter | None = None
    flood: Meter | None = None


class MulticastPorts(NamedTuple):
    """Local ports, and tunnel ports of peers, with listeners or routers behind them."""

    ports: tuple[int, ...]
    peers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class MulticastGroups:
    """Result of IGMP or MLD snooping in a network with a querier.

    ``family``: 4 or 6. ``queriers``: their MACs. ``groups``: the MAC of each group with its ports; None: not
    all listeners are known yet.
    """

    family: int
    queriers: tuple[str, ...]
    routers: MulticastPorts
    groups: tuple[tuple[str, MulticastPorts], ...] | None


@dataclass(frozen=True, slots=True)
class NetworkView:
    """One network on one bridge.

    ``vni`` identifies it on the bridge. ``keys``: the tunnel keys that stand for it.
    ``allowed_tunnel_ports``: the tunnel ports of hosts with the network. ``locations``: MACs by
    place; a remote one is behind the port of a peer, no two are the same place, and no MAC is in two of them.
    ``dhcp_enabled``: the controller answers DHCP and router solicitations. ``external_dhcp``: a port may
    have a DHCP server. ``floods_unknown``: unknown unicast is flooded, not dropped. ``multicast``: snooping
    by address family, empty without a querier. ``neighbors``: IP-MAC bindings of MACs with a location, each
    once. ``conflicts``: address conflicts that were reported. ``nests``: a trunk without port security has
    the network, here or on another host, so frames may have a second tag.
    """

    vni: int
    keys: tuple[int, ...]
    allowed_tunnel_ports: tuple[int, ...]
    members: tuple[NetworkPort, ...]
    peers: tuple[Peer, ...]
    locations: tuple[Location, ...]
    dhcp_enabled: bool = False
    floods_unknown: bool = True
    multicast: tuple[MulticastGroups, ...] = ()
    neighbors: tuple[NeighborEntry, ...] = ()
    external_dhcp: bool = False
    conflicts: tuple[AddressConflict, ...] = ()
    nests: bool = False

    @property
    def has_open_port(self) -> bool:
        """Whether there is a local port without port security."""
        return any(member.allowed is None for member in self.members)


@dataclass(frozen=True, slots=True)
class BridgeView:
    """All that a bridge's program is compiled from.

    ``tunnels``: every tunnel port from which frames are accepted. ``learn_from_tunnels``: unknown sources
    behind tunnels are punted too (a controller on every host). ``mac_limit_exceeded``: ports on which no
    source is looked up. ``mac_age``: idle timeout of a learned MAC in seconds. ``punt_rate``: packet-ins per
    second. ``limits``: meters of local ports.
    """

    networks: tuple[NetworkView, ...]
    tunnels: tuple[int, ...]
    learn_from_tunnels: bool
    mac_age: int
    punt_rate: int
    limits: Mapping[int, Limits] = field(default_factory=dict, hash=False)
    mac_limit_exceeded: tuple[int, ...] = ()

    @property
    def features(self) -> frozenset[Feature]:
        """Return the features that enable tables on this bridge."""
        networks, limits = self.networks, self.limits.values()
        members = [member for network in networks for member in network.members]
        has = {
            Feature.PORT_SECURITY: any(member.allowed is not None for member in members),
            Feature.RESPONDER: any(network.neighbors for network in networks),
            Feature.RESPONDER_IPV6: any(
                ":" in known.ip for network in networks for known in network.neighbors
            ),
            Feature.MTU_CHECK: (sized := any(member.max_frame_size is not None for member in members)),
            Feature.LOCAL_SERVICES: sized or any(network.dhcp_enabled for network in networks),
            Feature.NESTED_TAGS: any(network.nests for network in networks),
            Feature.STORM_CONTROL: any(of_port.flood is not None for of_port in limits),
            Feature.EGRESS_RATE: any(of_port.receive is not None for of_port in limits),
        }
        return frozenset(feature for feature, there in has.items() if there)
