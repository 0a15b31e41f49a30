"""Desired state of a host, from an overlay and its current state. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_interface

from sdnapp.config.devices import PHYSICAL_BRIDGE
from sdnapp.net.model import Attachment, Host, Overlay, Tunnel
from sdnapp.net.model import Port as Attached
from sdnapp.net.mtu import USUAL_MTU, unfit, workload_mtus
from sdnapp.provision import iface_id_ports
from sdnapp.provision.world import (
    Bridge,
    Controller,
    Device,
    Namespace,
    Port,
    Thing,
    Tls,
    Uplink,
    Workload,
    World,
    pairs,
)

PROTOCOLS = frozenset({"OpenFlow13", "OpenFlow14", "OpenFlow15"})


@dataclass(frozen=True, slots=True)
class Wanted:
    """Desired state of a host. ``problems``: what is not possible, and why."""

    things: tuple[Thing, ...] = ()
    problems: tuple[str, ...] = ()
    external: frozenset[str] = frozenset()
    """Ports whose devices are made by other programs."""


def desire(
    overlay: Overlay,
    host: Host,
    target: str,
    world: World,
    *,
    noting: bool = True,
    tls_fault: str | None = None,
) -> Wanted:
    """Say what ``host`` should have; its bridge connects to ``target``. Without ``noting`` notes stay.

    Of ``world`` only the devices, what was recorded of the uplink, the addresses of those who ask, and TLS
    matter. ``tls_fault``: why the host's TLS files cannot be used. Its bridge then keeps the target it has:
    it would lose its controller otherwise.
    """
    system = overlay.datapath == "system" or (overlay.datapath == "auto" and world.kernel_datapath)
    kind = "system" if system else "netdev"
    underlay = (_kernel_underlay if system else _userspace_underlay)(host, world)

    mtus = workload_mtus(overlay, host, underlay.mtu)

    things: list[Thing] = list(underlay.things)
    secure = _secured(host, target, world, tls_fault)
    things += secure.things
    things.append(_integration_bridge(host, kind, secure.target))
    things += (_tunnel_port(overlay, host, tunnel) for tunnel in host.tunnels)
    for port in host.ports:
        things.append(_port(host, port) if port.tunnel is None else _tunnel_port(overlay, host, port.tunnel))
        if port.namespace is not None:
            things.append(Namespace(port.namespace, host.name))
            workload = _workload(host, port, mtus[port.name], kind)
            there = world.workloads.get(workload.name) if port.dhcp_client else None
            things.append(workload if there is None else _left_alone(workload, there))
    things += (
        iface_id_ports.wanted(overlay, host, world.ports)
        if noting
        else iface_id_ports.present(host, world.ports)
    )
    external = frozenset(p.interface for p in host.ports if p.namespace is None and p.tunnel is None)
    problems = (*underlay.problems, *_narrower(overlay, host, underlay.mtu), *secure.problems)
    return Wanted(tuple(dict.fromkeys(things)), problems, external)


def _narrower(overlay: Overlay, host: Host, underlay: int) -> Iterator[str]:
    yield from unfit(overlay, host, underlay)
    if host.underlay_mtu is not None and underlay < host.underlay_mtu:
        yield f"the underlay of {host.name} has an MTU of {underlay}, the file says {host.underlay_mtu}"


@dataclass(frozen=True, slots=True)
class _Secured:
    target: str
    things: tuple[Thing, ...] = ()
    problems: tuple[str, ...] = ()


def _secured(host: Host, target: str, world: World, fault: str | None) -> _Secured:
    """Where the bridge connects, with the TLS files for that; where these cannot be, all as it is."""
    if not target.startswith("ssl:"):
        return _Secured(target)
    found, files = world.tls, host.tls
    wanted = Tls(host.name, files.key, files.certificate, files.ca)
    if found is not None and found.owner != host.name:
        if replace(found, owner=host.name) == wanted:
            return _Secured(target)  # set by hand, and right
        fault = f"Open vSwitch has other TLS files ({found}): 'ovs-vsctl del-ssl', or name them in bridge_tls"
    if fault is None:
        return _Secured(target, (wanted,))
    bridge = world.bridges.get(host.bridge)
    current = bridge.controllers[0].target if bridge and bridge.controllers else target
    kept = (found,) if found is not None and found.owner == host.name else ()
    return _Secured(current, kept, (f"{host.name} keeps its controller {current}: {fault}",))


@dataclass(frozen=True, slots=True)
class _Underlay:
    mtu: int
    things: tuple[Thing, ...] = ()
    problems: tuple[str, ...] = ()


def _holder(host: Host, world: World) -> Device | None:
    """Find the device that has the vtep address; br-phy only where no other has."""
    having = [
        device
        for device in world.devices.values()
        if any(ip_interface(address).ip == host.vtep for address in device.addresses)
    ]
    return min(having, key=lambda device: device.name == PHYSICAL_BRIDGE, default=None)


def _kernel_underlay(host: Host, world: World) -> _Underlay:
    if holder := _holder(host, world):
        return _Underlay(holder.mtu)
    return _Underlay(USUAL_MTU, problems=(f"no device of {host.name} has its vtep address {host.vtep}",))


def _userspace_underlay(host: Host, world: World) -> _Underlay:
    """Put the uplink on br-phy, or, where that cannot be, leave br-phy as it is and say why.

    ovs-vswitchd itself sends and receives the packets of tunnels, by the addresses and routes that the
    devices of netdev bridges have: Open vSwitch documentation, "Connecting VMs Using Tunnels (Userspace)".
    """
    found = world.bridges.get(PHYSICAL_BRIDGE)
    existing = found if found and found.owner == host.name else None
    holder = _holder(host, world)
    record = world.taken_over(existing) if existing else None
    if found is None and holder is None:  # the bridge was deleted by hand, and the addresses with it
        record = world.records.get(host.name)
    if holder and holder.name != PHYSICAL_BRIDGE and holder.name in world.bridges:
        return _Underlay(holder.mtu)  # another bridge holds the address already

    name = host.uplink or (record.device if record else holder.name if holder else None)
    uplink = world.devices.get(name) if name else None
    problem = None
    if name is None:
        problem = f"no device of {host.name} has its vtep address {host.vtep}"
    elif uplink is None:
        problem = f"no such uplink {name} on {host.name}"
    else:
        addresses = tuple(dict.fromkeys((record.addresses if record else ()) + uplink.addresses))
        if all(ip_interface(address).ip != host.vtep for address in addresses):
            where = f"is on {holder.name}, not on" if holder else "is not on"
            problem = f"the vtep address {host.vtep} {where} the uplink {name} of {host.name}"
    if problem or uplink is None:
        port = world.ports.get(record.device) if record else None
        mtu = (existing.mtu if existing else None) or USUAL_MTU
        return _Underlay(mtu, tuple(thing for thing in (existing, port) if thing), (str(problem),))

    bridge = Bridge(
        name=PHYSICAL_BRIDGE,
        owner=host.name,
        datapath_type="netdev",
        fail_mode="standalone",
        other_config=pairs({"hwaddr": uplink.mac, "disable-in-band": "true"}),
        mtu=uplink.mtu,
        uplink=Uplink(
            device=uplink.name,
            addresses=addresses,
            routes=uplink.routes | (record.routes if record else frozenset()),
            broadcast=uplink.broadcast | (record.broadcast if record else frozenset()),
        ),
    )
    return _Underlay(uplink.mtu, (bridge, Port(uplink.name, host.name, PHYSICAL_BRIDGE)))


def _integration_bridge(host: Host, kind: str, target: str) -> Bridge:
    return Bridge(
        name=host.bridge,
        owner=host.name,
        datapath_type=kind,
        fail_mode="secure",
        protocols=PROTOCOLS,
        other_config=pairs({"datapath-id": f"{host.datapath_id:016x}", "disable-in-band": "true"}),
        controllers=(Controller(target),),
    )


def _tunnel_port(overlay: Overlay, host: Host, tunnel: Tunnel) -> Port:
    options = {
        "remote_ip": str(tunnel.remote_ip),
        "local_ip": str(tunnel.local_ip),
        "key" if tunnel.keyed else "in_key": "flow",
        "csum": "true" if tunnel.csum else "false",
    }
    if tunnel.dst_port is not None:
        options["dst_port"] = str(tunnel.dst_port)
    if overlay.dscp:
        options["tos"] = "inherit" if overlay.dscp == "inherit" else str(overlay.dscp << 2)
    return Port(
        name=tunnel.interface,
        owner=host.name,
        bridge=host.bridge,
        type=_interface_type(tunnel),
        options=pairs(options),
        ofport=tunnel.ofport,
        external_ids=pairs({"sdnapp-peer": tunnel.peer}),
        bfd=pairs(_bfd(overlay.bfd if tunnel.peer in overlay.hosts else 0)),
    )


def _interface_type(tunnel: Tunnel) -> str:
    """Return the type in OVSDB: GRE over IPv6 has one of its own (ovs-vswitchd.conf.db(5), Interface, type).

    The userspace datapath takes ``gre`` for it, too; the kernel's sends nothing then.
    """
    over_ipv6 = tunnel.remote_ip.version == 6
    return "ip6gre" if tunnel.encapsulation == "gre" and over_ipv6 else tunnel.encapsulation


def _bfd(interval: int) -> dict[str, str]:
    """Have Open vSwitch send a packet so often, and expect one: ovs-vswitchd.conf.db(5), Interface, BFD.

    Strangers are not expected to.
    """
    return {"enable": "true", "min_tx": str(interval), "min_rx": str(interval)} if interval else {}


def _untagged(port: Attached) -> Attachment | None:
    return next((attachment for attachment in port.attachments if not attachment.tagged), None)


def _port(host: Host, port: Attached) -> Port:
    """Show the tags in OVSDB as a person expects them; the flows of the bridge do what they say."""
    untagged = _untagged(port)
    trunks = tuple(sorted(a.vlan for a in port.attachments if a.tagged and a.vlan is not None))
    mode = ("native-untagged" if untagged else "trunk") if trunks else None
    ids = {"iface-id": port.name} | ({"attached-mac": port.mac} if port.mac else {})
    return Port(
        name=port.interface,
        owner=host.name,
        bridge=host.bridge,
        tag=untagged.vlan if untagged else None,
        trunks=trunks,
        vlan_mode=mode,
        ofport=port.ofport,
        external_ids=pairs(ids),
    )


def _workload(host: Host, port: Attached, mtu: int, kind: str) -> Workload:
    assert port.namespace is not None
    assert port.device is not None
    assert port.mac is not None
    untagged = _untagged(port)
    tagged = [(a.vlan, frozenset(map(str, a.addresses))) for a in port.attachments if a.tagged and a.vlan]
    if port.dhcp_client:
        tagged = [(vlan, frozenset()) for vlan, _ in tagged]
    return Workload(
        name=port.interface,
        owner=host.name,
        namespace=port.namespace,
        device=port.device,
        mac=port.mac,
        mtu=mtu,
        addresses=frozenset(map(str, untagged.addresses if untagged and not port.dhcp_client else ())),
        vlans=tuple(sorted(tagged)),
        datapath=kind,
    )


def _left_alone(wanted: Workload, there: Workload) -> Workload:
    """The workload with the addresses that it has."""
    found = dict(there.vlans)
    vlans = tuple((vlan, found.get(vlan, frozenset())) for vlan, _ in wanted.vlans)
    return replace(wanted, addresses=there.addresses, vlans=vlans)
