"""Schema of configuration files: keys with type, default and description.

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
    """Mapping with known keys. An optional key without a value counts as absent."""

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
    """Tunnels between hosts, and learning."""

    encapsulation: s.Encapsulation = Field(
        default="vxlan", description="Encapsulation of frames between hosts."
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
        "where UDP requires one (RFC 8200, section 8.1); otherwise false. GRE spends 4 bytes on it.",
    )
    datapath: s.Datapath = Field(
        default="auto",
        description="`system` (kernel), `netdev` (userspace), or `auto`: the kernel where it has the module.",
    )
    mac_age: s.Seconds = Field(
        default=300, description="Seconds without frames after which a learned MAC address expires."
    )
    bfd: s.Bfd | None = Field(
        default=None,
        description="Whether tunnels are monitored by BFD (RFC 5880): `true` for an interval of 1000 ms, or "
        "the interval in ms. A tunnel is down after three lost packets, and while only one end runs BFD; "
        "nothing is flooded to it. Default: `false`.",
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
    """Addresses where the controller listens and where bridges connect."""

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
    """Options of DHCP and DHCPv6 replies, beside the addresses and name of the port."""

    router: inet.Ipv4 | None = Field(
        default=None, description="The IPv4 default router. IPv6 routers announce themselves."
    )
    dns: inet.Servers = Field(default=(), description="Name servers.", examples=["10.1.1.53"])
    domain: s.Domain | None = Field(default=None, description="The domain of the workloads' names.")
    lease: s.Lease = Field(default=3600, description="Lease time in seconds.")


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
        description="`snoop`: IGMP and MLD snooping (RFC 4541): with a querier, a group is sent "
        "to its members and to routers only. `flood`: to all ports.",
    )
    unknown_unicast: s.UnknownUnicast = Field(
        default="flood",
        description="Frames to unknown unicast addresses: `flood` to all ports, or `drop`.",
    )
    dhcp: Annotated[Dhcp | None, BeforeValidator(_switched)] = Field(
        default=None,
        description="Whether the controller answers DHCP and DHCPv6 at the port, with the addresses of "
        "the file. Requests are not forwarded. For further options see below.",
        json_schema_extra=_or_switch,
    )


class Tenant(Section):
    """Owner of networks; frames never pass between tenants."""

    networks: dict[s.Name, Network] = Field(
        description="The tenant's networks, by name.", examples=[{"web": {"vni": 5010}}]
    )


class Host(Section):
    """A machine with Open vSwitch."""

    vtep: inet.Vtep = Field(
        description="Underlay address of its tunnels, IPv4 or IPv6.",
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
        description="MTU of the device that holds the vtep, as other hosts assume it: a network takes the "
        "smallest. Default: detected on the host itself; other hosts assume their own, or 1500.",
    )
    vlans: dict[s.NetworkPath, s.Vlan] = Field(
        default_factory=dict,
        description="Tags that differ on this host, by network.",
        examples=[{"red/web": 30}],
    )
    encapsulation: s.Encapsulations = Field(
        default_factory=dict,
        description="Encapsulation of its tunnels: of all, or by peer host (`*`: all others). One end is "
        "enough; a setting for the peer takes precedence. Default: that of `overlay`.",
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
    """Attachment of a workload; it needs `network`, `trunk`, or both."""

    host: s.HostName | None = Field(
        default=None,
        description="The host that it is on. Optional for a port that is bound by its `iface_id`: it is then "
        "on the host that has the interface, and may move at any time.",
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
        "`external`: the interface is made by another program. With `interface`, sdnapp adds it to the "
        "bridge; without, the port is bound to the interface with its `iface_id`.",
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
        description="Bits per second that its workload may `send` and `receive`; the rest is dropped. "
        "Default: no limit.",
        examples=[{"send": "100M", "receive": "100M"}],
    )
    burst: dict[s.Direction, s.Burst] = Field(
        default_factory=dict,
        description="Burst size in bytes. Default: a quarter of a second at the rate, and at least 64k.",
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
        """Whether it is bound by its ``iface_id``."""
        return self.attach == "external" and self.interface is None

    max_macs: s.Macs = Field(
        default=1024,
        description="Maximum number of MAC addresses behind it, its own included. Further ones are not "
        "learned: frames to them are flooded.",
    )

    @cached_property
    def networks(self) -> tuple[str, ...]:
        """Paths of its networks, the untagged one first."""
        return (*(() if self.network is None else (self.network,)), *self.trunk)


class Peer(Section):
    """External VTEP: a tunnel endpoint that sdnapp does not control, with a tunnel to one host (RFC 7348)."""

    host: s.HostName = Field(
        description="Host of the tunnel. The external VTEP sends to the vtep of this host.",
        examples=["host1"],
    )
    vtep: inet.Vtep = Field(description="Underlay address of the external VTEP.", examples=["192.168.4.77"])
    encapsulation: s.Encapsulation | None = Field(
        default=None, description="Encapsulation of the tunnel. Default: that of `overlay`."
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
        description="Networks of frames without a key, by the inner VLAN tag, as a plain bridge sends them.",
        examples=[{"red/web": 10}],
    )
    keys: dict[s.NetworkPath, s.Vni] = Field(
        default_factory=dict,
        description="Networks of frames without an inner tag, by tunnel key (VNI).",
        examples=[{"red/web": 5010}],
    )
    roles: s.Roles = Field(
        default=(),
        description="Messages accepted from it beside other traffic: `dhcp-server`, replies to DHCP clients; "
        "`router`, router advertisements and redirects. Default: neither.",
        examples=["dhcp-server"],
    )
    max_macs: s.Macs = Field(
        default=1024,
        description="Maximum number of MAC addresses behind it. Further ones are not learned.",
    )

    @property
    def networks(self) -> tuple[str, ...]:
        """Paths of its networks, duplicates included."""
        return (*(() if self.network is None else (self.network,)), *self.trunk, *self.keys)


class Config(Section):
    """A whole file."""

    overlay: Settings = Field(default_factory=Settings)
    controller: Controller = Field(default_factory=Controller)
    tenants: dict[s.Name, Tenant] = Field(
        description="Tenants by name.", examples=[{"red": {"networks": {"web": {"vni": 5010}}}}]
    )
    hosts: dict[s.Name, Host] = Field(
        description="Hosts by name.", examples=[{"host1": {"vtep": "192.168.4.201"}}]
    )
    ports: dict[s.Name, Port] = Field(
        description="Ports by name.",
        examples=[{"red1": {"host": "host1", "network": "red/web"}}],
    )
    peers: dict[s.Name, Peer] = Field(
        default_factory=dict,
        description="External VTEPs by name.",
        examples=[{"nas": {"host": "host1", "vtep": "192.168.4.77", "keys": {"red/web": 5010}}}],
    )

    @property
    def attached(self) -> tuple[Port | Peer, ...]:
        """Ports and external VTEPs."""
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
        """Ports and external VTEPs by host and name; None: bound to whichever host has the interface."""
        attached: dict[str | None, dict[str, Port | Peer]] = {host: {} for host in self.hosts}
        for some in (self.ports, self.peers):
            for name, port in some.items():
                attached.setdefault(port.host, {})[name] = port
        return attached

    def with_ports(self, ports: dict[str, Port]) -> Config:
        """Copy with other ports; cached properties of the rest are kept."""
        other = self.model_copy(update={"ports": ports})
        other.__dict__.pop("by_host", None)
        return other

    def hosts_of(self, port: Port | Peer) -> tuple[str, ...]:
        """Hosts where a port may be."""
        if port.host is None:
            return tuple(self.hosts)
        return (port.host,) if port.host in self.hosts else ()


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a file, for editors."""
    schema = _tidy(Config.model_json_schema())
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "sdnapp overlay", **schema}


def _tidy(node: Any) -> Any:
    """Remove what pydantic adds: titles, null values, additional properties."""
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
