"""What a configuration file may hold: each key with its type, its default and its meaning.

These descriptions are the JSON Schema for editors and the reference in the README as well.
"""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from sdnapp.config import inet
from sdnapp.config import scalars as s
from sdnapp.config.problem import shown
from sdnapp.config.validators import invalid


class Section(BaseModel):
    """A mapping with known keys. A key with nothing behind it counts as left out where it may be."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _drop_empty(cls, values: Any) -> Any:
        if not isinstance(values, dict) or None not in values.values():
            return values
        fields = cls.model_fields
        return {
            key: value
            for key, value in values.items()
            if value is not None or key not in fields or fields[key].is_required()
        }


class DuplicateMacDetection(Section):
    """When a MAC address that moves between ports counts as a duplicate (RFC 7432, section 15.1)."""

    max_moves: s.Moves = Field(
        default=5, description="Moves within `period` after which the address is frozen at its place."
    )
    period: s.Seconds = Field(default=180, description="Seconds within which moves are counted.")
    freeze: s.Seconds = Field(
        default=180,
        description="Seconds for which it stays frozen; its frames from other ports are dropped. "
        "`sdnapp unfreeze` ends that by hand.",
    )


class Settings(Section):
    """How frames travel between hosts."""

    encapsulation: s.Encapsulation = Field(
        default="vxlan", description="What frames are wrapped in between hosts."
    )
    dst_port: s.UdpPort | None = Field(
        default=None,
        description="UDP port of the tunnels. Default: 4789 for vxlan, 6081 for geneve; GRE has none.",
    )
    mtu: s.Mtu | None = Field(
        default=None,
        description="MTU of the workloads, in bytes. Default: the MTU of the device that holds the vtep, "
        "less what the encapsulation adds (50 bytes for vxlan and geneve, 42 for gre, 20 more over IPv6).",
    )
    csum: s.Boolean | None = Field(
        default=None,
        description="Checksum in the outer UDP or GRE header. Default: true for vxlan and geneve over IPv6, "
        "where UDP wants one (RFC 8200, section 8.1); otherwise false. GRE spends 4 bytes on it.",
    )
    datapath: s.Datapath = Field(
        default="auto",
        description="`system` (kernel), `netdev` (userspace), or `auto`: the kernel where it has the module.",
    )
    mac_age: s.Seconds = Field(
        default=300, description="Seconds of silence after which a learned MAC address is forgotten."
    )
    bfd: s.Bfd | None = Field(
        default=None,
        description="Whether the ends of each tunnel watch each other (BFD, RFC 5880): `true` for a packet "
        "every 1000 ms, or every how many ms. A peer of which three are missing is down, and nothing is "
        "flooded to it; so it is while only one end watches. Default: `false`.",
        examples=[300],
    )
    dscp: s.Dscp = Field(
        default=0,
        description="The DSCP of the outer IP header: a number, or `inherit` for that of the frame inside.",
    )
    duplicate_mac_detection: DuplicateMacDetection = Field(
        default_factory=DuplicateMacDetection,
        description="How often a MAC address may move between ports.",
    )
    loop_protect: s.LoopHold = Field(
        default=s.LOOP_HOLD,
        description="Whether ports without port security send probes, and one of two ports is held down "
        "where the probe of one comes in at the other: `true` for 60 seconds, or for how many. Each time the "
        "loop is back, twice as long, 960 seconds at most. `sdnapp unfreeze --port` ends that by hand.",
        examples=[30],
    )


class ControllerTls(Section):
    """Files of the controller, PEM: they serve `ssl:` and `https:`."""

    key: s.FilePath = Field(
        default="/etc/sdnapp/tls/controller.key", description="Private key of the controller."
    )
    certificate: s.FilePath = Field(
        default="/etc/sdnapp/tls/controller.crt", description="Certificate chain of the controller."
    )
    ca: s.FilePath = Field(
        default="/etc/sdnapp/tls/switch-ca.crt",
        description="Certificate authority of the bridges: any other certificate is refused.",
    )


class BridgeTls(Section):
    """Files on each host, PEM, that Open vSwitch reads; `{host}` in a path stands for the host's name."""

    key: s.FilePath = Field(default="/etc/sdnapp/tls/host.key", description="Private key of the host.")
    certificate: s.FilePath = Field(
        default="/etc/sdnapp/tls/host.crt", description="Certificate of the host."
    )
    ca: s.FilePath = Field(
        default="/etc/sdnapp/tls/controller-ca.crt",
        description="Certificate authority of the controllers: any other certificate is refused.",
    )


class Controller(Section):
    """Where the controller listens and where bridges find it."""

    listen: inet.Listen = Field(
        default=(),
        description="Where the controller waits for bridges: `tcp:`, `ssl:` (TLS), or a list of both while "
        "bridges change over. Default: the target where that is a loopback address, otherwise its port on "
        "every address.",
        examples=["tcp:0.0.0.0:6653"],
    )
    target: inet.Target = Field(
        default="tcp:127.0.0.1:6653",
        validate_default=True,
        description="Where bridges connect, by `tcp:` or `ssl:`. A loopback address means a controller on "
        "every host.",
        examples=["tcp:192.168.4.10:6653"],
    )
    accept_from: dict[s.HostName, inet.Sources] = Field(
        default_factory=dict,
        description="Source addresses from which the bridge of a host may connect by `tcp:`, by host. "
        "Default: its vtep, its `management` addresses, and loopback.",
        examples=[{"host1": "10.0.0.11"}],
    )
    tls: ControllerTls = Field(
        default_factory=ControllerTls, description="Key and certificates of the controller."
    )
    bridge_tls: BridgeTls = Field(
        default_factory=BridgeTls, description="Key and certificates of the bridges, on each host."
    )
    rest: inet.Url = Field(
        default="http://127.0.0.1:8080",
        validate_default=True,
        description="Where the controller answers REST. Anything but a loopback address needs `https:` and "
        "`rest_access`.",
        examples=["http://127.0.0.1:8080"],
    )
    rest_access: s.FilePath | None = Field(
        default=None,
        description="File with the hashes of bearer tokens, the names of client certificates, and the scopes "
        "of each (`sdnapp token`). Without: REST answers all requests.",
        examples=["/etc/sdnapp/access"],
    )
    rest_client_ca: s.FilePath | None = Field(
        default=None,
        description="Certificate authority of REST clients. Default: client certificates are not asked for.",
        examples=["/etc/sdnapp/tls/operator-ca.crt"],
    )
    insecure: s.Boolean | None = Field(
        default=None,
        description="`true` allows REST without authentication or encryption beyond loopback, and a `tcp:` "
        "listener open to the network where bridges connect by loopback. Default: false.",
    )


class Dhcp(Section):
    """What is told to workloads that ask by DHCP or DHCPv6, besides their port's addresses and name."""

    router: inet.Ipv4 | None = Field(
        default=None, description="The IPv4 default router. IPv6 routers announce themselves."
    )
    dns: inet.Servers = Field(default=(), description="Name servers.", examples=["10.1.1.53"])
    domain: s.Domain | None = Field(default=None, description="The domain of the workloads' names.")
    lease: s.Lease = Field(default=3600, description="Seconds for which an answer is good.")


_SWITCH: dict[str, dict[str, Any] | None] = {"true": {}, "false": None}


def _switched(value: Any) -> Any:
    """``true`` for a mapping with nothing in it, ``false`` for none."""
    if not isinstance(value, str):
        return value
    if value not in _SWITCH:
        message = f"{shown(value)} is neither true nor false nor a mapping"
        raise invalid(message, "Write true, or a mapping such as {router: 10.1.1.254}.")
    return _SWITCH[value]


def _or_switch(schema: dict[str, Any]) -> None:
    schema["anyOf"] = [{"type": "boolean"}, schema["anyOf"][0]]


class Network(Section):
    """One layer-2 segment of a tenant."""

    vni: s.Vni = Field(
        description="The network's key in tunnels; no two networks share one.", examples=[5010]
    )
    vlan: s.Vlan | None = Field(
        default=None,
        description="The tag at the edge of a host. Networks may share one. Without: untagged ports only.",
    )
    subnet: inet.Subnets = Field(
        default=(),
        description="IPv4 and IPv6 subnets that addresses must come from. Without: any address.",
        examples=["10.1.1.0/24"],
    )
    multicast: s.Multicast = Field(
        default="snoop",
        description="`snoop`: where a router asks who listens, by IGMP or MLD, a group goes to listeners and "
        "routers alone. `flood`: everywhere.",
    )
    unknown_unicast: s.UnknownUnicast = Field(
        default="flood",
        description="Where a frame for a station that nobody knows goes: everywhere, or nowhere.",
    )
    dhcp: Annotated[Dhcp | None, BeforeValidator(_switched)] = Field(
        default=None,
        description="Whether the controller answers DHCP and DHCPv6 at the port, with the addresses that the "
        "file gives it. Questions to it go nowhere else. See below for what else it can tell.",
        json_schema_extra=_or_switch,
    )


class Tenant(Section):
    """Who owns networks; nothing passes between tenants."""

    networks: dict[s.Name, Network] = Field(
        description="The tenant's networks, by name.", examples=[{"web": {"vni": 5010}}]
    )


class Host(Section):
    """A machine with Open vSwitch."""

    vtep: inet.Vtep = Field(
        description="The underlay address at which the other hosts reach it, IPv4 or IPv6.",
        examples=["192.168.4.201"],
    )
    bridge: s.InterfaceName = Field(
        default="br-int", description="The integration bridge that sdnapp owns there."
    )
    datapath_id: s.DatapathId | None = Field(
        default=None,
        description="The bridge's OpenFlow datapath id. Default: derived from the host's name.",
        examples=["00000000000000a1"],
    )
    uplink: s.InterfaceName | None = Field(
        default=None,
        description="The device that carries the underlay. Only the userspace datapath needs it, and "
        "finds it by the vtep where this is left out.",
    )
    underlay_mtu: s.Mtu | None = Field(
        default=None,
        description="The MTU of the device that holds the vtep, for the other hosts to know: a network takes "
        "the smallest. Default: what the host itself sees; others take it to be like theirs, or 1500.",
    )
    vlans: dict[s.NetworkPath, s.Vlan] = Field(
        default_factory=dict,
        description="Tags that differ on this host, by network.",
        examples=[{"red/web": 30}],
    )
    encapsulation: s.Encapsulations = Field(
        default_factory=dict,
        description="What its tunnels wrap frames in: all of them, or each to the host named (`*`: others). "
        "It is enough that one end says it; who names the other counts first. Default: that of `overlay`.",
        examples=["gre"],
    )
    certificate: s.CertificateName | None = Field(
        default=None,
        description="Name in the certificate of its bridge (subject alternative DNS name, or common name), "
        "which alone may present its datapath id by `ssl:`. Default: the host's name.",
        examples=["host1.example.net"],
    )
    management: inet.Management = Field(
        default=(),
        description="Further addresses from which its bridge connects to the controller.",
        examples=["10.0.0.11"],
    )


class Port(Section):
    """Where a workload attaches; it needs `network`, `trunk`, or both."""

    host: s.HostName | None = Field(
        default=None,
        description="The host that it is on. Only a port that is found by its `iface_id` may leave it out: "
        "it is then on whichever host has it, and may move at any time.",
        examples=["host1"],
    )
    network: s.NetworkPath | None = Field(
        default=None, description="The network of its untagged frames.", examples=["red/web"]
    )
    trunk: dict[s.NetworkPath, s.Vlan] = Field(
        default_factory=dict,
        description="The networks of its tagged frames, each with its tag.",
        examples=[{"red/web": 10}],
    )
    address: inet.Addresses = Field(
        default=(),
        description="Its addresses. The prefix length may be left out where the network has a subnet. "
        "On a trunk, each belongs to the network whose subnet holds it.",
        examples=["10.1.1.1/24"],
    )
    mac: s.Mac | None = Field(
        default=None,
        description="Its MAC address. Default: derived from the port's name; learned for an external port.",
    )
    port_security: s.PortSecurity | None = Field(
        default=None,
        description="`true`: frames from the port must have the source MAC, IPv4 and IPv6 addresses of the "
        "file, in ARP and neighbour discovery too; others are dropped. Beside its `address` it has the "
        "link-local one that is made from its MAC, and no temporary ones. `false`: any source is allowed, "
        "within `max_macs`. Default: true where the file gives its MAC and an address in each of its "
        "networks.",
    )
    roles: s.Roles = Field(
        default=(),
        description="What no other port may send: `dhcp-server`, replies to DHCP clients, whose leases are "
        "learned; `router`, router advertisements and redirects, and with port security packets from the "
        "addresses of others.",
        examples=["router"],
    )
    attach: s.Attach = Field(
        default="namespace",
        description="`namespace`: sdnapp makes a network namespace and a veth pair. "
        "`external`: somebody else makes the interface, and with `interface` sdnapp puts it on the bridge; "
        "without, somebody else does that too, and it is found by its `iface_id`.",
    )
    addressing: s.Addressing = Field(
        default="static",
        description="How the device in the namespace gets its addresses. `static`: sdnapp sets those of "
        "`address`. `dhcp`: a DHCP client sets them, and sdnapp leaves all of them alone.",
    )
    namespace: s.NamespaceName | None = Field(
        default=None,
        description="The namespace, which several ports may share; the device in it then has the name of "
        "the interface. Default: the port's name, with the device eth0.",
    )
    interface: s.InterfaceName | None = Field(
        default=None, description="The interface on the bridge. Default: the port's name."
    )
    iface_id: s.IfaceId | None = Field(
        default=None,
        description="The `external_ids:iface-id` that the interface of an external port has in Open vSwitch, "
        "as libvirt and OpenStack set it. Default: the port's name.",
        examples=["5f1f2d3a-6b0e-4f0c-9a52-0d5f1c8e7a10"],
    )
    rate: dict[s.Direction, s.BitRate] = Field(
        default_factory=dict,
        description="Bits per second that its workload may `send` and `receive`; what is beyond is dropped. "
        "Default: no limit.",
        examples=[{"send": "100M", "receive": "100M"}],
    )
    burst: dict[s.Direction, s.Burst] = Field(
        default_factory=dict,
        description="Bytes that may come at once. Default: those of a quarter of a second at its rate, and "
        "64k at least.",
        examples=[{"send": "1M"}],
    )
    storm_control: s.FrameRate | None = Field(
        default=None,
        description="Frames per second from its workload that are flooded: broadcast, multicast and unknown "
        "unicast. Default: no limit.",
    )

    loop_protect: s.Boolean | None = Field(
        default=None,
        description="Whether it sends probes and may be held down, without port security. Default: what "
        "`overlay` says.",
    )

    @property
    def bound(self) -> bool:
        """Whether it is found by its ``iface_id``, whatever its interface is called."""
        return self.attach == "external" and self.interface is None

    max_macs: s.Macs = Field(
        default=1024,
        description="How many MAC addresses may be behind it, its own included. Of more than these none is "
        "learned: they are flooded to.",
    )

    @cached_property
    def networks(self) -> tuple[str, ...]:
        """Paths of the networks that it is in, the untagged one first."""
        return (*(() if self.network is None else (self.network,)), *self.trunk)


class Peer(Section):
    """A stranger: a machine that no controller of ours programs, behind a tunnel from one of our hosts."""

    host: s.HostName = Field(
        description="The host that holds the tunnel. The stranger's own end leads to the vtep of that one.",
        examples=["host1"],
    )
    vtep: inet.Vtep = Field(description="The stranger's underlay address.", examples=["192.168.4.77"])
    encapsulation: s.Encapsulation | None = Field(
        default=None, description="What frames are wrapped in. Default: that of `overlay`."
    )
    dst_port: s.UdpPort | None = Field(
        default=None,
        description="UDP port of the tunnel, at both ends. Default: 4789 for vxlan, 6081 for geneve.",
    )
    network: s.NetworkPath | None = Field(
        default=None,
        description="The network of frames without a key and without a tag inside.",
        examples=["red/web"],
    )
    trunk: dict[s.NetworkPath, s.Vlan] = Field(
        default_factory=dict,
        description="The networks of frames without a key, each with its tag inside, as a plain bridge sends "
        "them.",
        examples=[{"red/web": 10}],
    )
    keys: dict[s.NetworkPath, s.Vni] = Field(
        default_factory=dict,
        description="The networks of frames without a tag inside, each with its key, such as a VNI.",
        examples=[{"red/web": 5010}],
    )
    roles: s.Roles = Field(
        default=(),
        description="What may come from it beside ordinary frames: `dhcp-server`, replies to DHCP clients; "
        "`router`, router advertisements and redirects. Default: neither.",
        examples=["dhcp-server"],
    )
    max_macs: s.Macs = Field(
        default=1024,
        description="How many MAC addresses may be behind it. Of more than these none is learned.",
    )

    @property
    def networks(self) -> tuple[str, ...]:
        """Paths of the networks that it reaches, as often as they are written."""
        return (*(() if self.network is None else (self.network,)), *self.trunk, *self.keys)


class Config(Section):
    """A whole file."""

    overlay: Settings = Field(default_factory=Settings)
    controller: Controller = Field(default_factory=Controller)
    tenants: dict[s.Name, Tenant] = Field(
        description="Who owns networks, by name.", examples=[{"red": {"networks": {"web": {"vni": 5010}}}}]
    )
    hosts: dict[s.Name, Host] = Field(
        description="The machines, by name.", examples=[{"host1": {"vtep": "192.168.4.201"}}]
    )
    ports: dict[s.Name, Port] = Field(
        description="Where workloads attach, by name.",
        examples=[{"red1": {"host": "host1", "network": "red/web"}}],
    )
    peers: dict[s.Name, Peer] = Field(
        default_factory=dict,
        description="Strangers that have some of the networks too, by name.",
        examples=[{"nas": {"host": "host1", "vtep": "192.168.4.77", "keys": {"red/web": 5010}}}],
    )

    @property
    def attached(self) -> tuple[Port | Peer, ...]:
        """All that a host has a port for."""
        return (*self.ports.values(), *self.peers.values())

    @cached_property
    def networks(self) -> dict[str, Network]:
        """All networks by path, ``tenant/network``."""
        return {
            f"{owner}/{name}": network
            for owner, tenant in self.tenants.items()
            for name, network in tenant.networks.items()
        }

    @cached_property
    def by_host(self) -> dict[str | None, dict[str, Port | Peer]]:
        """What is attached to each host, by name; with None for what may be on any."""
        attached: dict[str | None, dict[str, Port | Peer]] = {host: {} for host in self.hosts}
        for some in (self.ports, self.peers):
            for name, port in some.items():
                attached.setdefault(port.host, {})[name] = port
        return attached

    def with_ports(self, ports: dict[str, Port]) -> Config:
        """The same but for its ports, with what has been worked out of the rest."""
        other = self.model_copy(update={"ports": ports})
        other.__dict__.pop("by_host", None)
        return other

    def hosts_of(self, port: Port | Peer) -> tuple[str, ...]:
        """Where a port may be, of the hosts that there are."""
        if port.host is None:
            return tuple(self.hosts)
        return (port.host,) if port.host in self.hosts else ()


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a file, as editors want it."""
    schema = _tidy(Config.model_json_schema())
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "sdnapp overlay", **schema}


def _tidy(node: Any) -> Any:
    """Without what pydantic adds for programs: made-up titles, null as a value, keys of any shape."""
    if isinstance(node, list):
        return [_tidy(item) for item in node]
    if not isinstance(node, dict):
        return node
    tidy = {key: _tidy(value) for key, value in node.items() if key != "title"}
    if "default" in tidy and tidy["default"] is None:
        del tidy["default"]
    match tidy.get("anyOf"):
        case [kind, {"type": "null"}]:
            del tidy["anyOf"]
            tidy = {**kind, **tidy}
    return {**tidy, "additionalProperties": False} if "patternProperties" in tidy else tidy
