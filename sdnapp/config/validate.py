"""Semantic validation: references exist, and values that must be unique are unique.

Each check is a generator of findings over the whole file; none of them knows lines or columns.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from itertools import chain, product
from typing import Any

from sdnapp.config import names
from sdnapp.config.addresses import address_findings
from sdnapp.config.cache import ResultCache
from sdnapp.config.devices import (
    bridge_findings,
    device_findings,
    dhcp_client_findings,
    mac_findings,
    reserved_names,
    unique_names,
)
from sdnapp.config.encapsulations import encapsulation_findings, in_use
from sdnapp.config.endpoints import endpoint_findings, rest_findings
from sdnapp.config.external_vteps import external_vtep_findings
from sdnapp.config.port_security import port_security_findings
from sdnapp.config.problem import Finding, Path, duplicates, join_or, nearest, shown
from sdnapp.config.scalars import ALL_HOSTS
from sdnapp.config.schema import Config, Peer, Port

ETHERNET = 18
"""Bytes that a frame has beyond what its MTU counts, with one tag."""


@dataclass(frozen=True, slots=True)
class Declared:
    """Names declared in the file, those of invalid entries included: references to them are valid."""

    tenants: frozenset[str]
    networks: frozenset[str]
    hosts: frozenset[str]

    @classmethod
    def of(cls, values: Any) -> Declared:
        """Read them from a file's plain values, whatever shape these have."""
        tenants = _mapping(_mapping(values).get("tenants"))
        networks = (
            f"{tenant}/{network}"
            for tenant, body in tenants.items()
            for network in _mapping(_mapping(body).get("networks"))
        )
        return cls(
            frozenset(tenants), frozenset(networks), frozenset(_mapping(_mapping(values).get("hosts")))
        )


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


class _Scope(Enum):
    """Input of a check: if it is unchanged, the check is not repeated."""

    FILE = auto()
    """The whole file."""
    REST = auto()
    """Everything but the ports."""
    HOST = auto()
    """Everything but the ports, the ports of one host, and uniqueness of their names and addresses."""


def _checks(
    declared: Declared, everywhere: Mapping[str, str]
) -> Iterable[tuple[_Scope, Callable[[Config], Iterator[Finding]]]]:
    return (
        (_Scope.FILE, _settings),
        (_Scope.FILE, encapsulation_findings),
        (_Scope.FILE, external_vtep_findings),
        (_Scope.REST, _networks),
        (_Scope.REST, endpoint_findings),
        (_Scope.REST, rest_findings),
        (_Scope.REST, partial(_references_of_hosts, declared)),
        (_Scope.HOST, partial(_references, declared)),
        (_Scope.REST, partial(_references_of_peers, declared)),
        (_Scope.REST, _hosts),
        (_Scope.HOST, _crowds),
        (_Scope.FILE, _families),
        (_Scope.HOST, _tags),
        (_Scope.HOST, _bursts),
        (_Scope.HOST, address_findings),
        (_Scope.HOST, mac_findings),
        (_Scope.REST, partial(bridge_findings, everywhere)),
        (_Scope.HOST, partial(device_findings, everywhere)),
        (_Scope.FILE, dhcp_client_findings),
        (_Scope.HOST, port_security_findings),
    )


def findings(config: Config, declared: Declared | None = None) -> Iterator[Finding]:
    """All findings for ``config``, which may lack invalid entries of ``declared``."""
    for _, found_by in _checks(declared or _declared(config), reserved_names(config)):
        yield from found_by(config)


def validate_incremental(rest: Config, ports: dict[str, Port], results: ResultCache) -> Config | None:
    """Configuration of these ports and the rest; None if there are findings."""
    declared = results.of("declared", _declared, rest)
    everywhere = results.of("everywhere", reserved_names, rest)
    config = rest.with_ports(ports)
    if results.of("rest", _wrong, _Scope.REST, rest, declared, everywhere):
        return None
    if _wrong(_Scope.FILE, config, declared, everywhere):
        return None
    claimed: list[frozenset[Hashable]] = []
    for host, attached in config.by_host.items():
        if (of_host := results.of(host, _claimed, attached, rest, declared, everywhere)) is None:
            return None
        claimed.append(of_host)
    apart = len(frozenset().union(*claimed)) == sum(map(len, claimed))
    return config if apart or not any(findings(config)) else None


def _declared(config: Config) -> Declared:
    return Declared(frozenset(config.tenants), frozenset(config.networks), frozenset(config.hosts))


def _wrong(scope: _Scope, config: Config, declared: Declared, everywhere: Mapping[str, str]) -> bool:
    return any(any(found_by(config)) for its, found_by in _checks(declared, everywhere) if its is scope)


def _claimed(
    attached: Mapping[str, Port | Peer], rest: Config, declared: Declared, everywhere: Mapping[str, str]
) -> frozenset[Hashable] | None:
    """Unique keys of the ports of a host; None if there are findings."""
    ports = {name: port for name, port in attached.items() if isinstance(port, Port)}
    if _wrong(_Scope.HOST, rest.with_ports(ports), declared, everywhere):
        return None
    return unique_names(ports)


def _settings(config: Config) -> Iterator[Finding]:
    overlay = config.overlay
    if overlay.mtu is not None and overlay.mtu < 1280 and _has_v6(config):
        message = f"{overlay.mtu} bytes are too few for the file's IPv6 addresses"
        yield Finding(("overlay", "mtu"), message, "Write 1280 or more (RFC 8200, section 5).")


def _has_v6(config: Config) -> bool:
    addresses = (address for port in config.ports.values() for address in port.address)
    subnets = (subnet for network in config.networks.values() for subnet in network.subnet)
    return any(each.version == 6 for each in chain(subnets, addresses))


def _networks(config: Config) -> Iterator[Finding]:
    places = {
        f"{tenant}/{name}": ("tenants", tenant, "networks", name)
        for tenant, body in config.tenants.items()
        for name in body.networks
    }
    vnis = ((network.vni, path, (*places[path], "vni")) for path, network in config.networks.items())
    for vni, first, where in duplicates(vnis):
        message = f"VNI {vni} is that of {first} already"
        yield Finding(where, message, "Give every network its own, whatever its tenant.")
    for path, network in config.networks.items():
        subnets = ((s, path, (*places[path], "subnet", i)) for i, s in enumerate(network.subnet))
        for subnet, _, where in duplicates(subnets):
            yield Finding(where, f"subnet {subnet} is here twice", "Remove one of them.")
        router = network.dhcp.router if network.dhcp else None
        own = [subnet for subnet in network.subnet if subnet.version == 4]
        if router is not None and own and not any(router in subnet for subnet in own):
            where = (*places[path], "dhcp", "router")
            message = f"{router} is outside {join_or(map(str, own))}"
            yield Finding(where, message, "Write an address that the workloads can reach.")


def _references_of_hosts(declared: Declared, config: Config) -> Iterator[Finding]:
    network, host_named = partial(_network_named, config, declared), partial(_host_named, declared)
    for name, host in config.hosts.items():
        for path in host.vlans:
            yield from network(("hosts", name, "vlans", path), path, key=True)
        for peer in host.encapsulation.keys() - {ALL_HOSTS}:
            yield from host_named(("hosts", name, "encapsulation", peer), peer, key=True)
    for name in config.controller.accept_from:
        yield from host_named(("controller", "accept_from", name), name, key=True)


def _references(declared: Declared, config: Config) -> Iterator[Finding]:
    network, host_named = partial(_network_named, config, declared), partial(_host_named, declared)
    for name, port in config.ports.items():
        if port.host is None and not port.bound:
            yield Finding(("ports", name), "'host' is missing", "Add host: host1.", key=True)
        if port.host is not None and port.host not in declared.hosts:
            yield from host_named(("ports", name, "host"), port.host)
        if not port.networks:
            message = "it has neither 'network' nor 'trunk'"
            yield Finding(("ports", name), message, "Add network: tenant/network.", key=True)
        if port.network is not None and port.network not in declared.networks:
            yield from network(("ports", name, "network"), port.network)
        for path in port.trunk:
            yield from network(("ports", name, "trunk", path), path, key=True)


def _references_of_peers(declared: Declared, config: Config) -> Iterator[Finding]:
    network = partial(_network_named, config, declared)
    for name, peer in config.peers.items():
        yield from _host_named(declared, ("peers", name, "host"), peer.host)
        if not peer.networks:
            message = "it has none of 'network', 'trunk' and 'keys'"
            yield Finding(("peers", name), message, "Add trunk: {tenant/network: tag}.", key=True)
        if peer.network is not None:
            yield from network(("peers", name, "network"), peer.network)
        for way, paths in (("trunk", peer.trunk), ("keys", peer.keys)):
            for path in paths:
                yield from network(("peers", name, way, path), path, key=True)


def _network_named(
    config: Config, declared: Declared, path: Path, name: str, *, key: bool = False
) -> Iterator[Finding]:
    tenant = name.partition("/")[0]
    if name in declared.networks or (tenant in declared.tenants and tenant not in config.tenants):
        return
    namesakes = sorted(n for n in declared.networks if n.endswith(f"/{name}"))
    close = namesakes[:3] or [n for n in [nearest(name, declared.networks)] if n]
    yield Finding(path, f"there is no network {shown(name)}", _meant(close, declared.networks), key)


def _host_named(declared: Declared, path: Path, name: str, *, key: bool = False) -> Iterator[Finding]:
    if name not in declared.hosts:
        close = [host for host in [nearest(name, declared.hosts)] if host]
        yield Finding(path, f"there is no host {shown(name)}", _meant(close, declared.hosts), key)


def _meant(close: list[str], known: Iterable[str]) -> str:
    if close:
        return f"Did you mean {join_or(map(repr, close))}?"
    some = sorted(known)[:5]
    return f"The file has {', '.join(some)}{', ...' if len(some) == 5 else ''}." if some else "Declare it."


def _hosts(config: Config) -> Iterator[Finding]:
    hosts = config.hosts.items()
    vteps = ((host.vtep, name, ("hosts", name, "vtep")) for name, host in hosts)
    for vtep, first, where in duplicates(vteps):
        yield Finding(where, f"{vtep} is the vtep of {first} already", "Give every host its own.")
    ids = (
        (host.datapath_id or names.datapath_id(name), name, ("hosts", name, "datapath_id"))
        for name, host in hosts
    )
    for number, first, where in duplicates(ids):
        message = f"datapath id {number:016x} is that of {first} already"
        yield Finding(where, message, "Give every host its own.")
    certificates = ((host.certificate or name, name, ("hosts", name, "certificate")) for name, host in hosts)
    for certificate, first, where in duplicates(certificates):
        message = f"certificate {shown(certificate)} is that of {first} already"
        yield Finding(where, message, "Give every host its own: either could take the other's bridge over.")
    kind = max(in_use(config), key=len)  # what is shortened for the longest is the same for the others
    tunnels = ((names.tunnel_interface(kind, name), name, ("hosts", name)) for name, _ in hosts)
    for tunnel, first, where in duplicates(tunnels):
        message = f"the tunnel to it would be named {tunnel}, like that to {first}"
        yield Finding(where, message, "Rename one of the hosts.", key=True)
    if len(hosts) > len(names.TUNNEL_NUMBERS):
        yield Finding(
            ("hosts",), f"there are {len(hosts)} hosts", f"Use {len(names.TUNNEL_NUMBERS)} at most."
        )


def _crowds(config: Config) -> Iterator[Finding]:
    numbered = [port.host for port in config.ports.values() if port.host and not port.bound]
    numbered += (peer.host for peer in config.peers.values())
    for name, count in Counter(numbered).items():
        if count > len(names.PORT_NUMBERS):
            message, remedy = f"it has {count} ports and peers", f"Use {len(names.PORT_NUMBERS)} at most."
            yield Finding(("hosts", name), message, remedy, key=True)


def _families(config: Config) -> Iterator[Finding]:
    if len({host.vtep.version for host in config.hosts.values()}) < 2:
        return
    first: dict[str, str] = {}
    told: set[str] = set()
    for port in config.attached:
        for path, host in product(port.networks, config.hosts_of(port)):
            peer = first.setdefault(path, host)
            mine, theirs = config.hosts[host].vtep, config.hosts[peer].vtep
            if mine.version != theirs.version and host not in told:
                told.add(host)
                message = f"it shares {path} with {peer}, whose vtep is IPv{theirs.version}"
                remedy = f"Write IPv{theirs.version} here, or IPv{mine.version} there."
                yield Finding(("hosts", host, "vtep"), message, remedy)


def _bursts(config: Config) -> Iterator[Finding]:
    mtu = config.overlay.mtu or 0
    for name, port in config.ports.items():
        for direction, burst in port.burst.items():
            where = ("ports", name, "burst", direction)
            if direction not in port.rate:
                message = f"there is no rate in this direction ({direction})"
                yield Finding(where, message, f"Add it below 'rate', such as {direction}: 100M.", key=True)
            elif burst < mtu + ETHERNET:
                message = f"no frame as large as the MTU allows fits in {burst} bytes"
                yield Finding(where, message, f"Write {mtu + ETHERNET} or more.")


def _tags(config: Config) -> Iterator[Finding]:
    networks = config.networks
    for name, port in ((name, port) for name, port in config.ports.items() if port.trunk):
        tags: dict[int, str] = {}
        if port.network in networks:
            for host in config.hosts_of(port):
                native = config.hosts[host].vlans.get(port.network, networks[port.network].vlan)
                tags |= {} if native is None else {native: port.network}
        for path, tag in port.trunk.items():
            where = ("ports", name, "trunk", path)
            if path == port.network:
                message = f"{path} is the untagged network of this port"
                yield Finding(where, message, "Remove it here or from 'network'.", key=True)
            elif tag in tags:
                message = f"tag {tag} is that of {tags[tag]} on this port"
                yield Finding(where, message, "Use another tag: frames could not be told apart.")
            tags[tag] = path
