"""The overlay under attack, and what its file gives each port: read from the YAML alone.

Nothing of the program under test is imported here, so that a mistake in how it reads the file, or in what it
derives from it, is not repeated by the oracle. The file gives every MAC address explicitly for that reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

import yaml

FILE = """
overlay: {encapsulation: vxlan, bfd: 1000, dscp: inherit}
controller: {target: "tcp:192.168.4.10:6653"}
tenants:
  red:
    networks:
      web: {vlan: 10, vni: 5010, subnet: [10.1.1.0/24, "fd00:1::/64"]}
      db:  {vlan: 20, vni: 5011, subnet: [10.1.2.0/24, "fd00:2::/64"], dhcp: {router: 10.1.2.1},
            unknown_unicast: drop}
  blue: {networks: {web: {vlan: 10, vni: 5020, subnet: [10.1.1.0/24, "fd00:1::/64"], dhcp: true}}}
hosts:
  host1: {vtep: 192.168.4.201}
  host2: {vtep: 192.168.4.202, encapsulation: {host1: gre}}
  host3: {vtep: 192.168.4.203, encapsulation: {host2: geneve}}
ports:
  strict: {host: host1, network: red/web, address: [10.1.1.11, "fd00:1::11"], mac: "02:aa:00:00:00:11",
           storm_control: 100000}
  trunk:  {host: host1, trunk: {red/web: 30, red/db: 40}, mac: "02:aa:00:00:00:12",
           address: [10.1.1.12, "fd00:1::12", 10.1.2.12, "fd00:2::12"]}
  learn:  {host: host1, network: red/web, address: [10.1.1.13, "fd00:1::13"], mac: "02:aa:00:00:00:13",
           port_security: false, max_macs: 64}
  open:   {host: host1, trunk: {red/web: 31, red/db: 41}, mac: "02:aa:00:00:00:14", port_security: false,
           address: [10.1.1.14, "fd00:1::14", 10.1.2.14, "fd00:2::14"]}
  vm:     {attach: external, host: host1, network: red/web, trunk: {red/db: 200}, mac: "02:aa:00:00:00:15",
           address: [10.1.1.15, "fd00:1::15", 10.1.2.15, "fd00:2::15"]}
  near:   {host: host1, network: red/web, address: [10.1.1.1, "fd00:1::1"], mac: "02:00:00:00:00:01"}
  far:    {host: host2, network: red/web, address: [10.1.1.2, "fd00:1::2"], mac: "02:00:00:00:00:02",
           rate: {receive: 500M}}
  any:    {host: host3, network: red/web, address: [10.1.1.3, "fd00:1::3"], mac: "02:00:00:00:00:03",
           port_security: false}
  gw:     {host: host2, network: red/web, address: [10.1.1.254, "fd00:1::254"], mac: "02:00:00:00:00:fe",
           roles: router}
  dhcpd:  {host: host3, network: red/web, address: [10.1.1.67, "fd00:1::67"], mac: "02:00:00:00:00:67",
           roles: dhcp-server}
  db1:    {host: host1, network: red/db, address: [10.1.2.1, "fd00:2::1"], mac: "02:00:00:00:02:01",
           roles: router}
  db2:    {host: host2, network: red/db, address: [10.1.2.2, "fd00:2::2"], mac: "02:00:00:00:02:02"}
  blue1:  {host: host1, network: blue/web, address: [10.1.1.1, "fd00:1::1"], mac: "02:00:00:00:00:01"}
  blue2:  {host: host2, network: blue/web, address: [10.1.1.2, "fd00:1::2"], mac: "02:bb:00:00:00:02"}
  blue3:  {host: host3, network: blue/web, address: [10.1.1.3, "fd00:1::3"], mac: "02:bb:00:00:00:03",
           port_security: false}
peers:
  lab7:   {host: host1, vtep: 192.168.4.77, encapsulation: vxlan, keys: {red/web: 7010}}
"""

PEER_MAC, STRANGER_MAC = "02:77:00:00:00:77", "02:77:00:00:00:99"
PEER, STRANGER = "192.168.4.77", "192.168.4.99"
"""Underlay addresses: of the file's peer, and of a machine that the file does not name."""
SERVICE_MAC = "02:73:64:6e:61:70"
"""Source of DHCP answers of the network itself (docs/decisions/dhcp-server-address.md)."""


@dataclass(frozen=True)
class Station:
    """A port and what the file gives it. ``tags``: by network, the tag of its frames; None: untagged.

    ``addresses``: by network, with the link-local address that follows from the MAC of a strict port.
    """

    port: str
    host: str
    mac: str
    strict: bool
    tags: Mapping[str, int | None]
    addresses: Mapping[str, frozenset[str]]
    may: frozenset[str]


@dataclass(frozen=True)
class Ground:
    """All stations of the file, by port; the VNI and edge tag of each network; the underlay address of each
    host; the keys that the peer may use, by network.
    """

    stations: Mapping[str, Station]
    vnis: Mapping[str, int]
    vlans: Mapping[str, int]
    vteps: Mapping[str, str]
    peer_keys: Mapping[str, int]

    def of(self, network: str) -> tuple[Station, ...]:
        """The stations of a network."""
        return tuple(station for station in self.stations.values() if network in station.tags)


@dataclass(frozen=True)
class Sender:
    """Where hostile frames come from. ``station``: None for the machine that the file does not know."""

    kind: str
    port: str
    station: Station | None


KINDS: Mapping[str, str] = {
    "strict-access": "strict",
    "strict-trunk": "trunk",
    "learning-access": "learn",
    "learning-trunk": "open",
    "external": "vm",
    "vtep": "lab7",
    "underlay": "stranger",
}
"""Kinds of senders, and the port of each; the last two are machines of the underlay."""
ATTACKERS = frozenset(KINDS.values())


def link_local(mac: str) -> str:
    """RFC 4291, appendix A."""
    octets = bytes.fromhex(mac.replace(":", ""))
    identifier = bytes([octets[0] ^ 2]) + octets[1:3] + b"\xff\xfe" + octets[3:]
    return str(IPv6Address(b"\xfe\x80" + bytes(6) + identifier))


def ground(text: str = FILE) -> Ground:
    """Read the file. It must give each port a MAC address."""
    document = yaml.safe_load(text)
    networks = {
        f"{tenant}/{name}": network
        for tenant, of in document["tenants"].items()
        for name, network in of["networks"].items()
    }
    subnets = {
        path: [ip_network(subnet) for subnet in _listed(network["subnet"])]
        for path, network in networks.items()
    }
    stations = {name: _station(name, port, subnets) for name, port in document["ports"].items()}
    for name, peer in document["peers"].items():
        tags: dict[str, int | None] = dict.fromkeys(peer["keys"])
        nothing: dict[str, frozenset[str]] = {path: frozenset() for path in tags}
        stations[name] = Station(name, peer["host"], PEER_MAC, False, tags, nothing, frozenset())
    return Ground(
        stations,
        {path: network["vni"] for path, network in networks.items()},
        {path: network["vlan"] for path, network in networks.items()},
        {name: host["vtep"] for name, host in document["hosts"].items()},
        {path: key for peer in document["peers"].values() for path, key in peer["keys"].items()},
    )


def _station(name: str, port: Mapping[str, Any], subnets: Mapping[str, list[Any]]) -> Station:
    tags: dict[str, int | None] = dict(port.get("trunk", {}))
    if "network" in port:
        tags[port["network"]] = None
    own = [ip_address(address) for address in _listed(port["address"])]
    strict = port.get("port_security", True)
    addresses = {
        path: frozenset(
            {str(ip) for ip in own if any(ip in subnet for subnet in subnets[path])}
            | ({link_local(port["mac"])} if strict else set())
        )
        for path in tags
    }
    may = frozenset(_listed(port.get("roles", [])))
    return Station(name, port["host"], port["mac"], strict, tags, addresses, may)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def sender(of: Ground, kind: str) -> Sender:
    """Where frames of this kind come from."""
    port = KINDS[kind]
    return Sender(kind, port, of.stations.get(port))
