"""What one bridge needs to know of the world: its networks, who is in them, and where its tunnels end.

Port numbers are those that the bridge has now, or will have. A port without a number, or a peer without a
tunnel port, is left out by whoever projects the view.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from flows.flow import Meter
from flows.tables import Feature

Role = Literal["dhcp-server", "router"]
"""What a port may send beside its own frames; a router's own frames include those that it forwards."""


class Speaker(NamedTuple):
    """Whose frames a strict port may send: this MAC, and in IP, ARP and ND these addresses, of which one at
    least, the link-local one, is of IPv6.
    """

    mac: str
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Member:
    """One network on one local port.

    ``tagged``: frames carry ``vlan`` on the wire. Otherwise they are untagged, and ``vlan`` is the edge tag
    of the network on this host: None where it has none, and on a port that carries other networks with tags.
    ``key``: the port is a stranger's tunnel, and this the key of its frames; 0 where they have none.
    ``largest``: bytes, as a frame comes in, that the network carries; None where nobody sends more.
    ``speaker``: the only one who may speak there; None: anybody. ``may``: what else it may send.
    """

    port: int
    vlan: int | None
    tagged: bool
    key: int | None = None
    largest: int | None = None
    speaker: Speaker | None = None
    may: frozenset[Role] = frozenset()

    @property
    def nests(self) -> bool:
        """Whether it may send, and so receives, frames with a second tag."""
        return self.tagged and self.speaker is None


class Location(NamedTuple):
    """A place and the MACs that live there: a local port, or the tunnel port of a peer (``remote``).

    ``moves``: the number of their last move, which the bridge remembers for us. ``denied``: they live
    elsewhere, and frames that say otherwise end here. ``key``: what the peer understands; 0 where nothing is
    sent to one.
    """

    port: int
    remote: bool
    learned: bool
    macs: tuple[str, ...]
    moves: int = 0
    denied: bool = False
    key: int = 0


class Answer(NamedTuple):
    """Who asks for the address ``ip`` is to hear of ``mac``.

    ``port``: the port of this bridge behind which it lives; None: elsewhere. ``learned``: the network told,
    not the file. ``router``: it may forward what others send, and says so in neighbour discovery. ``lease``:
    a DHCP server gave it the address for so many seconds; 0: it was not seen to.
    """

    ip: str
    mac: str
    port: int | None
    learned: bool
    router: bool
    lease: int = 0


class Lie(NamedTuple):
    """An address of the file that somebody else at this local port of the bridge says is its own."""

    ip: str
    port: int


@dataclass(frozen=True, slots=True)
class Peer:
    """A host that has the network too: the tunnel port that leads there, and the key that it understands.

    ``up``: somebody is heard behind that port, as far as anybody listens.
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


class Listeners(NamedTuple):
    """Local ports, and the tunnel ports of peers, behind which somebody wants multicast."""

    ports: tuple[int, ...]
    peers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Snooping:
    """What is known of multicast in IPv4 or IPv6 where somebody asks for listeners.

    ``queriers``: the MACs of those who ask. ``groups``: the MAC of each group and where it is listened to;
    None: not all listeners are known.
    """

    family: int
    queriers: tuple[str, ...]
    routers: Listeners
    groups: tuple[tuple[str, Listeners], ...] | None


@dataclass(frozen=True, slots=True)
class NetworkView:
    """One network on one bridge.

    ``vni`` is its identity inside the bridge. ``keys`` are the tunnel keys that mean it, and ``entrances``
    the tunnel ports of the hosts that have it. Every remote location is behind the port of a peer; no two
    locations are the same place, and no MAC is in two of them. ``serves``: the controller answers DHCP and
    router solicitations; ``leases``: somebody else may serve DHCP there. ``floods_unknown``: a unicast frame
    whose destination nobody knows goes everywhere, rather than nowhere. ``snooping``: by family, who listens
    to multicast; where nobody asks for that, there is none. ``answers``: the known addresses of MACs that
    have a location, each once. ``lies``: claims that need not be reported any more. ``nests``: frames
    with a second tag may come, as a trunk without port security has the network, on this host or another.
    """

    vni: int
    keys: tuple[int, ...]
    entrances: tuple[int, ...]
    members: tuple[Member, ...]
    peers: tuple[Peer, ...]
    locations: tuple[Location, ...]
    serves: bool = False
    floods_unknown: bool = True
    snooping: tuple[Snooping, ...] = ()
    answers: tuple[Answer, ...] = ()
    leases: bool = False
    lies: tuple[Lie, ...] = ()
    nests: bool = False

    @property
    def anybody_speaks(self) -> bool:
        """Whether there is a local port that is not strict."""
        return any(member.speaker is None for member in self.members)


@dataclass(frozen=True, slots=True)
class BridgeView:
    """All that a bridge's program is made from.

    ``tunnels``: every tunnel port that is listened to. ``learn_from_tunnels``: report unknown sources behind
    tunnels too, because nobody else tells this controller about them (a controller on every host).
    ``crowded``: ports that show so many sources that none of theirs is looked at.
    ``mac_age``: seconds of silence until a learned location is forgotten. ``punt_rate``: frames per second
    that may reach the controller. ``limits``: of the local ports that have any.
    """

    networks: tuple[NetworkView, ...]
    tunnels: tuple[int, ...]
    learn_from_tunnels: bool
    mac_age: int
    punt_rate: int
    limits: Mapping[int, Limits] = field(default_factory=dict, hash=False)
    crowded: tuple[int, ...] = ()

    @property
    def features(self) -> frozenset[Feature]:
        """What it has of all that only some bridges have."""
        networks, limits = self.networks, self.limits.values()
        members = [member for network in networks for member in network.members]
        has = {
            Feature.PORT_SECURITY: any(member.speaker is not None for member in members),
            Feature.RESPONDER: any(network.answers for network in networks),
            Feature.RESPONDER_IPV6: any(":" in known.ip for network in networks for known in network.answers),
            Feature.MTU_CHECK: (sized := any(member.largest is not None for member in members)),
            Feature.LOCAL_SERVICES: sized or any(network.serves for network in networks),
            Feature.NESTED_TAGS: any(network.nests for network in networks),
            Feature.STORM_CONTROL: any(of_port.flood is not None for of_port in limits),
            Feature.EGRESS_RATE: any(of_port.receive is not None for of_port in limits),
        }
        return frozenset(feature for feature, there in has.items() if there)
