"""The devices that ports become on a host, their names and MAC addresses, and what must not collide."""

from __future__ import annotations

from collections.abc import Iterator

from sdnapp.config import names, strangers
from sdnapp.config.encapsulations import in_use
from sdnapp.config.problem import Finding, Path, either, repeated, shown
from sdnapp.config.schema import Config, Port

PHYSICAL_BRIDGE = "br-phy"
"""The userspace datapath's bridge around the uplink."""

_SYSTEM_NAMES = frozenset({"lo", "all", "default", "ovs-system", "ovs-netdev", PHYSICAL_BRIDGE})


def device_findings(config: Config) -> Iterator[Finding]:
    """Names and MAC addresses that are taken."""
    yield from _macs(config)
    yield from _interfaces(config)
    yield from _namespaces(config)
    yield from _iface_ids(config)
    yield from _asking(config)


def mac_of(name: str, port: Port) -> str | None:
    """The MAC address of a port; None where it has to be learned."""
    return port.mac or (None if port.attach == "external" else names.mac(name))


def device_of(name: str, port: Port) -> str:
    """The device inside a port's namespace: eth0 where the namespace is the port's own."""
    return "eth0" if port.namespace is None else port.interface or name


def _macs(config: Config) -> Iterator[Finding]:
    macs = (
        ((path, mac), name, ("ports", name, "mac"))
        for name, port in config.ports.items()
        if (mac := mac_of(name, port))
        for path in dict.fromkeys(port.networks)
    )
    for (path, mac), first, where in repeated(macs):
        message = f"{mac} is the MAC address of {first} already, in {path}"
        yield Finding(where, message, "Give every port of a network its own.")


def _interfaces(config: Config) -> Iterator[Finding]:
    tunnels = {names.tunnel_interface(kind, host): host for kind in in_use(config) for host in config.hosts}
    tunnels |= strangers.tunnels(config)
    everywhere = {tunnel: f"the tunnel to {far}" for tunnel, far in tunnels.items()}
    everywhere |= dict.fromkeys(_SYSTEM_NAMES, "one of the system's own")
    taken: dict[tuple[str, str], str] = {}
    for name, host in config.hosts.items():
        roles = [(host.bridge, "bridge"), *([(host.uplink, "uplink")] if host.uplink else [])]
        for interface, role in roles:
            where = ("hosts", name, role)
            if user := everywhere.get(interface) or taken.get((name, interface)):
                yield Finding(where, f"interface {shown(interface)} is already {user}", "Use another name.")
            taken[name, interface] = f"the {role} of {name}"
    for name, port in config.ports.items():
        if port.bound or port.host is None:
            continue
        interface, where = port.interface or name, ("ports", name, "interface")
        if names.is_note(interface):
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
    for (host, namespace, device), first, where in repeated(devices):
        message = f"device {device} in namespace {namespace} on {host} is that of port {first} already"
        yield Finding(where, message, "Use another namespace or interface.", key=True)


def _asking(config: Config) -> Iterator[Finding]:
    """Ports whose workloads ask by DHCP: sdnapp has their device, and somebody answers them."""
    serving = {path for each in config.attached if "dhcp-server" in each.may for path in each.networks}
    serving |= {path for path, network in config.networks.items() if network.dhcp is not None}
    for name, port in config.ports.items():
        where = ("ports", name, "assign")
        if port.assign == "dhcp" and port.attach == "external":
            message = "sdnapp sets no addresses of an external port"
            yield Finding(where, message, "Remove it, or remove attach: external.")
        elif port.assign == "dhcp" and serving.isdisjoint(port.networks):
            message = f"nobody in {either(port.networks)} answers DHCP"
            remedy = "Add dhcp: true to the network, or may: dhcp-server to the port of a server."
            yield Finding(where, message, remedy)


def iface_id_of(name: str, port: Port) -> str:
    """The ``iface-id`` by which a bound port is found."""
    return port.iface_id or name


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
            first = taken.setdefault(names.identity(iface_id_of(name, port)), name)
            if first != name:
                message = f"its iface_id {shown(iface_id_of(name, port))} is that of port {first} already"
                yield Finding(("ports", name, "iface_id"), message, "Give every port its own.")
