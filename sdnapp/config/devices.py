"""Devices of ports: names, MAC addresses and checks for duplicates."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping

from sdnapp.config import external_vteps, names
from sdnapp.config.encapsulations import in_use
from sdnapp.config.inet import ip_of
from sdnapp.config.problem import Finding, Path, duplicates, join_or, shown
from sdnapp.config.schema import Config, Port

PHYSICAL_BRIDGE = "br-phy"
"""The userspace datapath's bridge around the uplink."""

_SYSTEM_NAMES = frozenset({"lo", "all", "default", "ovs-system", "ovs-netdev", PHYSICAL_BRIDGE})


def mac_of(name: str, port: Port) -> str | None:
    """The MAC address of a port; None where it has to be learned."""
    return port.mac or (None if port.attach == "external" else names.mac(name))


def device_of(name: str, port: Port) -> str:
    """The device inside a port's namespace: eth0 where the namespace is the port's own."""
    return "eth0" if port.namespace is None else port.interface or name


def mac_findings(config: Config) -> Iterator[Finding]:
    """Duplicate MAC addresses."""
    macs = (
        ((path, mac), name, ("ports", name, "mac"))
        for name, port in config.ports.items()
        if (mac := mac_of(name, port))
        for path in dict.fromkeys(port.networks)
    )
    for (path, mac), first, where in duplicates(macs):
        message = f"{mac} is the MAC address of {first} already, in {path}"
        yield Finding(where, message, "Give every port of a network its own.")


def reserved_names(config: Config) -> dict[str, str]:
    """Reserved interface names, each with what reserves it."""
    tunnels = {names.tunnel_interface(kind, host): host for kind in in_use(config) for host in config.hosts}
    tunnels |= external_vteps.tunnels(config)
    everywhere = {tunnel: f"the tunnel to {far}" for tunnel, far in tunnels.items()}
    return everywhere | dict.fromkeys(_SYSTEM_NAMES, "one of the system's own")


def bridge_findings(everywhere: Mapping[str, str], config: Config) -> Iterator[Finding]:
    """Duplicate or reserved names of bridges and uplinks."""
    for name, host in config.hosts.items():
        same = f"the bridge of {name}" if host.uplink == host.bridge else None
        for role, interface, other in (("bridge", host.bridge, None), ("uplink", host.uplink or "", same)):
            if user := everywhere.get(interface) or other:
                message = f"interface {shown(interface)} is already {user}"
                yield Finding(("hosts", name, role), message, "Use another name.")


def device_findings(everywhere: Mapping[str, str], config: Config) -> Iterator[Finding]:
    """Duplicate, reserved or invalid names of interfaces and devices."""
    yield from _interfaces(everywhere, config)
    yield from _namespaces(config)
    yield from _iface_ids(config)


def _interfaces(everywhere: Mapping[str, str], config: Config) -> Iterator[Finding]:
    taken: dict[tuple[str, str], str] = {}
    for name in config.hosts.keys() & {port.host for port in config.ports.values()}:
        host = config.hosts[name]
        taken[name, host.bridge] = f"the bridge of {name}"
        if host.uplink:
            taken[name, host.uplink] = f"the uplink of {name}"
    for name, port in config.ports.items():
        if port.bound or port.host is None:
            continue
        interface, where = port.interface or name, ("ports", name, "interface")
        if names.is_iface_id_port(interface):
            message = f"interface {shown(interface)} has a name that sdnapp gives to its notes"
            yield Finding(where, message, "Use another name.", key=port.interface is None)
        if len(interface) > names.MAX_INTERFACE:
            message = f"the name has {len(interface)} characters, an interface at most {names.MAX_INTERFACE}"
            yield Finding(where, message, "Shorten it, or set 'interface'.", key=True)
        elif user := everywhere.get(interface) or taken.get((port.host, interface)):
            message = f"interface {shown(interface)} is already {user}"
            yield Finding(where, message, "Set 'interface' to another name.", key=port.interface is None)
        taken[port.host, interface] = f"that of {name}"


def _namespaces(config: Config) -> Iterator[Finding]:
    for name, port in config.ports.items():
        if port.attach == "external" and port.namespace is not None:
            message = "an external port has no namespace of ours"
            yield Finding(("ports", name, "namespace"), message, "Remove it, or remove attach: external.")
        for path, tag in port.trunk.items():
            tagged = f"{device_of(name, port)}.{tag}"
            if port.attach == "namespace" and len(tagged) > names.MAX_INTERFACE:
                message = (
                    f"the device {tagged} would have {len(tagged)} characters, {names.MAX_INTERFACE} at most"
                )
                yield Finding(("ports", name, "trunk", path), message, "Set a shorter 'interface'.")
    devices: Iterator[tuple[tuple[str | None, str, str], str, Path]] = (
        ((port.host, port.namespace or name, device_of(name, port)), name, ("ports", name, "namespace"))
        for name, port in config.ports.items()
        if port.attach == "namespace"
    )
    for (host, namespace, device), first, where in duplicates(devices):
        message = f"device {device} in namespace {namespace} on {host} is that of port {first} already"
        yield Finding(where, message, "Use another namespace or interface.", key=True)


def iface_id_of(name: str, port: Port) -> str:
    """The ``iface-id`` of a port that is bound by it."""
    return port.iface_id or name


def unique_names(ports: Mapping[str, Port]) -> frozenset[Hashable]:
    """What none of these ports may share with any other of the file, wherever that is: in each network a MAC
    address and others that might be of it, and the identity of an ``iface-id``.
    """
    claimed: set[Hashable] = set()
    for name, port in ports.items():
        own = [mac_of(name, port), *map(ip_of, port.address)]
        claimed.update([(path, each) for path in port.networks for each in own if each])
        if port.bound:
            claimed.add(names.iface_id_hash(iface_id_of(name, port)))
    return frozenset(claimed)


def _iface_ids(config: Config) -> Iterator[Finding]:
    for name, port in config.ports.items():
        where = ("ports", name, "iface_id")
        if port.iface_id is not None and port.attach != "external":
            message = "only an external port has an iface_id"
            yield Finding(where, message, "Remove it, or add attach: external.")
        elif port.iface_id is not None and not port.bound:
            message = f"the port is found by its interface {shown(port.interface)}"
            yield Finding(where, message, "Remove 'interface' or 'iface_id'.")
    taken: dict[int, str] = {}
    for name, port in config.ports.items():
        if port.bound:
            first = taken.setdefault(names.iface_id_hash(iface_id_of(name, port)), name)
            if first != name:
                message = f"its iface_id {shown(iface_id_of(name, port))} is that of port {first} already"
                yield Finding(("ports", name, "iface_id"), message, "Give every port its own.")


def dhcp_client_findings(config: Config) -> Iterator[Finding]:
    """Ports with ``addressing: dhcp``: sdnapp must own the device, and a network needs a DHCP server."""
    asking = [(name, port) for name, port in config.ports.items() if port.addressing == "dhcp"]
    if not asking:
        return
    serving = {path for each in config.attached if "dhcp-server" in each.roles for path in each.networks}
    serving |= {path for path, network in config.networks.items() if network.dhcp is not None}
    for name, port in asking:
        where = ("ports", name, "addressing")
        if port.attach == "external":
            message = "sdnapp sets no addresses of an external port"
            yield Finding(where, message, "Remove it, or remove attach: external.")
        elif port.networks and serving.isdisjoint(port.networks):
            message = f"there is no DHCP server in {join_or(port.networks)}"
            remedy = "Add dhcp: true to the network, or roles: dhcp-server to the port of a server."
            yield Finding(where, message, remedy)
