"""The resolved overlay: every name, address, MAC and number that the rest of sdnapp uses.

``Config`` is the parsed file; ``Overlay`` has everything derived from it, so that controller, agent and lab
agree without messages. No YAML, OpenFlow or OVSDB here. Everything is frozen: a changed file gives a new
``Overlay``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)
from typing import Literal

Address = IPv4Address | IPv6Address
Interface = IPv4Interface | IPv6Interface
Subnet = IPv4Network | IPv6Network

Encapsulation = Literal["vxlan", "gre", "geneve"]
UnknownUnicast = Literal["flood", "drop"]
MulticastMode = Literal["snoop", "flood"]
DatapathKind = Literal["auto", "system", "netdev"]


@dataclass(frozen=True, slots=True)
class Dhcp:
    """DHCP options of a network, besides addresses; ``lease`` in seconds."""

    router: IPv4Address | None
    dns: tuple[Address, ...]
    domain: str | None
    lease: int


@dataclass(frozen=True, slots=True)
class Network:
    """One layer-2 segment of a tenant. ``path`` is ``tenant/network``; ``vlan`` is the default edge tag."""

    tenant: str
    name: str
    vni: int
    vlan: int | None
    subnets: tuple[Subnet, ...]
    unknown_unicast: UnknownUnicast = "flood"
    multicast: MulticastMode = "snoop"
    dhcp: Dhcp | None = None
    mtu: int = 1500
    """Bytes that the file leaves for its workloads; the usual 1500 for underlays of which it says nothing."""
    mtu_told: bool = False
    """Whether the file says anything of that; otherwise it follows from the real underlay alone."""

    @property
    def path(self) -> str:
        """How the configuration, the CLI and REST name this network, such as ``red/web``."""
        return f"{self.tenant}/{self.name}"


@dataclass(frozen=True, slots=True)
class Attachment:
    """One network on one port.

    ``tagged``: frames of this network carry ``vlan`` on the wire (a trunk); otherwise they are untagged and
    ``vlan`` is the host's tag of the network (OVSDB ``tag``), None where the network has none. ``addresses``:
    those of the workload in this network. ``key``: that of frames in the tunnel of an external VTEP, 0
    without a key; None for any other port.
    """

    network: str
    vlan: int | None
    tagged: bool
    addresses: tuple[Interface, ...]
    key: int | None = None


@dataclass(frozen=True, slots=True)
class Tunnel:
    """The OVS port from one host to a peer host, or to an external VTEP, of one encapsulation.

    ``dst_port``: UDP port, None for GRE. ``ofport``: the OpenFlow number to request. ``keyed``: frames are
    sent with the key that their flow sets; otherwise without one.
    """

    interface: str
    peer: str
    encapsulation: Encapsulation
    local_ip: Address
    remote_ip: Address
    dst_port: int | None
    csum: bool
    ofport: int
    keyed: bool = True


@dataclass(frozen=True, slots=True)
class Rate:
    """So much per second, and so much at once: bits and bytes, or frames and frames."""

    rate: int
    burst: int


@dataclass(frozen=True, slots=True)
class Limits:
    """What a workload may send and receive, in bits, and its frames that are flooded. None: no limit."""

    send: Rate | None = None
    receive: Rate | None = None
    broadcast: Rate | None = None


NO_LIMITS = Limits()


Role = Literal["dhcp-server", "router"]


@dataclass(frozen=True, slots=True)
class Security:
    """Port security of a port. ``allowed_mac``: only this source MAC, with the port's addresses; None: any.
    ``roles``: messages that only ports with that role may send.
    """

    allowed_mac: str | None = None
    roles: frozenset[Role] = frozenset()
    loop_protect: bool = False
    """Whether it sends loop probes, and may be held down."""


OPEN = Security()


@dataclass(frozen=True, slots=True)
class Port:
    """A port of the file: where a workload attaches.

    ``interface``: the device on the integration bridge (15 characters at most). ``namespace``: that of the
    other end of the veth, named ``device``; None for a port whose device sdnapp does not make (``attach:
    external``). ``mac``: None for external ports without one in the file; then it is learned. ``tunnel``: the
    port is the tunnel to an external VTEP of the port's name, behind which MACs are learned. ``ofport``: the
    number to request. At most one attachment is untagged for each key. ``max_macs``: MAC limit, with the
    port's own. ``dhcp_client``: the workload gets its addresses by DHCP and sets them itself.
    """

    name: str
    host: str
    interface: str
    ofport: int
    mac: str | None
    namespace: str | None
    device: str | None
    attachments: tuple[Attachment, ...]
    max_macs: int
    limits: Limits = NO_LIMITS
    security: Security = OPEN
    tunnel: Tunnel | None = None
    dhcp_client: bool = False


@dataclass(frozen=True, slots=True)
class FloatingPort:
    """A port that is wherever an interface of Open vSwitch has this ``iface_id``: on ``host``, or on any
    host.

    The interface is made by libvirt or by hand. ``attachments`` have the tags of the networks; a host may
    have others.
    """

    name: str
    host: str | None
    iface_id: str
    mac: str | None
    attachments: tuple[Attachment, ...]
    max_macs: int
    limits: Limits = NO_LIMITS
    security: Security = OPEN


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Paths of PEM files: a private key, its certificate chain, and the CA that the other side must have."""

    key: str
    certificate: str
    ca: str


NO_FILES = TlsFiles("", "", "")


@dataclass(frozen=True)
class Host:
    """A machine with OVS. ``tunnels`` lead to the hosts that share a network with it, sorted by peer.

    ``vlans``: edge tags that differ here from those of the networks.
    """

    name: str
    vtep: Address
    bridge: str
    datapath_id: int
    uplink: str | None
    ports: tuple[Port, ...]
    tunnels: Sequence[Tunnel]
    vlans: Mapping[str, int]
    underlay_mtu: int | None = None
    """Bytes, where the file tells."""
    certificate: str = ""
    """Name (subject alternative DNS name, or common name) in the certificate of its bridge."""
    accept_from: tuple[Subnet, ...] = ()
    """Source addresses from which its bridge may connect without TLS."""
    tls: TlsFiles = NO_FILES
    """What Open vSwitch reads on this host; ``ca`` is that of the controllers."""

    @property
    def strangers(self) -> tuple[Tunnel, ...]:
        """Return the tunnels to external VTEPs."""
        return tuple(port.tunnel for port in self.ports if port.tunnel is not None)

    @cached_property
    def networks(self) -> frozenset[str]:
        """Paths of the networks that have a port here."""
        return frozenset(a.network for port in self.ports for a in port.attachments)

    @cached_property
    def attached(self) -> Mapping[str, frozenset[str]]:
        """By interface, the paths of its networks."""
        return {port.interface: frozenset(a.network for a in port.attachments) for port in self.ports}

    @cached_property
    def protected(self) -> frozenset[str]:
        """Interfaces of the ports that may be held down where a loop is found."""
        return frozenset(port.interface for port in self.ports if port.security.loop_protect)

    @cached_property
    def room(self) -> Mapping[str, int]:
        """By interface, how many MACs may be learned there."""
        return {port.interface: port.max_macs - (port.mac is not None) for port in self.ports}

    @cached_property
    def max_macs(self) -> int:
        """How many MACs may be behind its ports, their own included."""
        return sum(port.max_macs for port in self.ports)


@dataclass(frozen=True, slots=True)
class Listen:
    """An address and TCP port on which the controller accepts bridges; ``tls``: with TLS."""

    tls: bool
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Rest:
    """Where REST answers, and to which clients.

    ``access``: path of the file with tokens, certificate names and scopes; None: all requests are answered.
    ``client_ca``: path of the CA of client certificates; None: none is asked for.
    """

    tls: bool
    host: str
    port: int
    access: str | None
    client_ca: str | None


@dataclass(frozen=True, slots=True)
class Controller:
    """Where the controller listens for bridges, where bridges connect, and where REST answers."""

    listens: tuple[Listen, ...]
    target: str
    """As OVSDB has it: ``tcp:IP:PORT`` or ``ssl:IP:PORT`` (ovs-vswitchd.conf.db(5), Controller)."""
    tls: TlsFiles
    """The controller's own; ``ca`` is that of the bridges."""
    rest: Rest

    per_host: bool
    """A controller on every host (``target`` is a loopback address) rather than one for all bridges."""


@dataclass(frozen=True, slots=True)
class DuplicateMacDetection:
    """A station that moves so often in so many seconds is frozen for ``freeze`` seconds (RFC 7432 §15.1)."""

    max_moves: int
    period: int
    freeze: int


@dataclass(frozen=True)
class Overlay:
    """Everything the file means. Mappings are sorted by key; treat them as read-only."""

    encapsulation: Encapsulation
    """Of tunnels whose hosts say nothing else."""
    datapath: DatapathKind
    mtu: int | None
    """What workloads get, in bytes; None: the underlay device's MTU less the encapsulation's overhead."""
    mac_age: int
    """Seconds of silence after which a learned location is forgotten."""
    bfd: int
    """Milliseconds between the packets by which the ends of a tunnel watch each other; 0: they do not."""
    dscp: int | Literal["inherit"]
    """Of the outer header: a number, or that of the frame inside."""
    duplicate_mac_detection: DuplicateMacDetection
    loop_hold: int
    """Seconds for which a port is held down where a loop is found; 0: no port is protected."""
    controller: Controller
    tenants: tuple[str, ...]
    networks: Mapping[str, Network]
    hosts: Mapping[str, Host]
    ports: Mapping[str, Port]
    bound: Mapping[str, FloatingPort]
    """Ports that are found by their ``iface_id``; those that are somewhere are among ``ports`` too."""

    @cached_property
    def unplaced_macs(self) -> int:
        """How many MACs may be behind ports that may be on any host, seen or not."""
        return sum(bound.max_macs for bound in self.bound.values())
