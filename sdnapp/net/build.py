"""From what a person wrote to what it means: ``Config`` to ``Overlay``, with all that is derived filled in.

A ``Config`` that ``parse`` has returned makes sense as a whole, so nothing here can fail.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_interface,
    ip_network,
)
from typing import Literal, NamedTuple

from sdnapp.config import Config, ResultCache, names, schema
from sdnapp.config.addresses import network_candidates
from sdnapp.config.devices import device_of, iface_id_of, mac_of
from sdnapp.config.external_vteps import encapsulation_of
from sdnapp.config.inet import Endpoint, Written
from sdnapp.config.port_security import has_port_security
from sdnapp.config.scalars import LOOP_HOLD
from sdnapp.net.mesh import DST_PORT, Mesh, Tunnels
from sdnapp.net.model import (
    Address,
    Attachment,
    Controller,
    Dhcp,
    DuplicateMacDetection,
    Encapsulation,
    FloatingPort,
    Host,
    Interface,
    Limits,
    Listen,
    Network,
    Overlay,
    Port,
    Rate,
    Rest,
    Security,
    Subnet,
    TlsFiles,
    Tunnel,
)
from sdnapp.net.mtu import with_mtus

LEAST_BURST = 65536
"""Bytes: the kernel datapath counts what TCP hands over in one piece (ip-link(8), ``gso_max_size``)."""
_LOOPBACK: tuple[Subnet, ...] = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
_EVERYWHERE: Mapping[int, Address] = {4: IPv4Address("0.0.0.0"), 6: IPv6Address("::")}


def build(config: Config, results: ResultCache | None = None) -> Overlay:
    """The overlay that ``config`` describes; the same text gives the same overlay on every machine.

    ``results`` change nothing but the time that it takes.
    """
    results, written, attached = results or ResultCache(), config.networks, config.by_host
    reached = {host: results.of(host, _reached, ports) for host, ports in attached.items()}
    peers = results.of("peers", _peers, reached)
    mesh = results.of("mesh", Mesh, config.overlay, config.hosts)
    guarded = config.overlay.loop_protect > 0
    rest = _Rest(config.overlay, written, config.hosts, mesh, config.controller, guarded)
    hosts = {
        name: results.parts(name, _on_host, name, attached[name], peers[name], rest)
        for name in sorted(config.hosts)
    }
    ports = {port.name: port for host in hosts.values() for port in host.ports}
    bound = {name: port for name, port in config.ports.items() if port.bound}
    overlay = Overlay(
        encapsulation=config.overlay.encapsulation,
        datapath=config.overlay.datapath,
        mtu=config.overlay.mtu,
        mac_age=config.overlay.mac_age,
        bfd=config.overlay.bfd or 0,
        dscp=config.overlay.dscp,
        duplicate_mac_detection=_flap(config.overlay.duplicate_mac_detection),
        loop_hold=config.overlay.loop_protect or _hold_of(config.ports.values()),
        controller=_controller(config.controller),
        tenants=tuple(sorted(config.tenants)),
        networks={path: results.of(path, _network, path, written[path]) for path in sorted(written)},
        hosts=hosts,
        ports={name: ports[name] for name in sorted(ports)},
        bound={
            name: results.of(name, _bound, name, bound[name], _of(bound[name], written), guarded)
            for name in sorted(bound)
        },
    )
    return with_mtus(overlay, results)


_Networks = Mapping[str, schema.Network]


class _Rest(NamedTuple):
    """What a host depends on besides what is attached to it."""

    settings: schema.Settings
    networks: _Networks
    hosts: Mapping[str, schema.Host]
    mesh: Mesh
    controller: schema.Controller
    guarded: bool
    """Whether ports are protected from loops that say nothing of it."""


def _of(port: schema.Port, written: _Networks) -> _Networks:
    return {path: written[path] for path in port.networks}


def _on_host(
    results: ResultCache,
    name: str,
    attached: Mapping[str, schema.Port | schema.Peer],
    met: frozenset[str],
    rest: _Rest,
) -> Host:
    host, ports = rest.hosts[name], []
    held = {name for name, port in attached.items() if isinstance(port, schema.Peer) or not port.bound}
    for each, ofport in sorted(names.ofports(held, names.PORT_NUMBERS).items()):
        port = attached[each]
        if isinstance(port, schema.Port):
            own = _of(port, rest.networks)
            ports.append(results.of(each, _port, each, port, own, host.vlans, ofport, rest.guarded))
        else:
            kind = encapsulation_of(rest.settings, port)
            ports.append(results.of(each, _stranger, each, port, kind, host.vtep, ofport))
    tunnels = results.of(name, Tunnels, name, met, rest.mesh)
    return results.of(name, _host, name, host, tuple(ports), tunnels, rest.controller)


def _host(
    name: str,
    host: schema.Host,
    ports: tuple[Port, ...],
    tunnels: Sequence[Tunnel],
    controller: schema.Controller,
) -> Host:
    return Host(
        name=name,
        vtep=host.vtep,
        bridge=host.bridge,
        datapath_id=host.datapath_id or names.datapath_id(name),
        uplink=host.uplink,
        ports=ports,
        tunnels=tunnels,
        vlans=host.vlans,
        underlay_mtu=host.underlay_mtu,
        certificate=host.certificate or name,
        accept_from=controller.accept_from.get(name) or _usual_sources(host),
        tls=_files_of(name, controller.bridge_tls),
    )


def _files_of(host: str, written: schema.BridgeTls) -> TlsFiles:
    paths = (path.replace("{host}", host) for path in (written.key, written.certificate, written.ca))
    return TlsFiles(*paths)


def _usual_sources(host: schema.Host) -> tuple[Subnet, ...]:
    own = (ip_network(address) for address in (host.vtep, *host.management))
    return (*dict.fromkeys(own), *_LOOPBACK)


def _network(path: str, network: schema.Network) -> Network:
    tenant, _, name = path.partition("/")
    dhcp = None if network.dhcp is None else Dhcp(**dict(network.dhcp))
    known = (network.vni, network.vlan, network.subnet, network.unknown_unicast, network.multicast)
    return Network(tenant, name, *known, dhcp)


def _limits(port: schema.Port) -> Limits:
    def rate(direction: Literal["send", "receive"]) -> Rate | None:
        bits = port.rate.get(direction)
        return None if bits is None else Rate(bits, port.burst.get(direction) or max(bits // 32, LEAST_BURST))

    frames = port.storm_control
    return Limits(rate("send"), rate("receive"), None if frames is None else Rate(frames, frames))


def _port(  # noqa: PLR0917  # all that it depends on
    name: str,
    port: schema.Port,
    networks: _Networks,
    vlans: Mapping[str, int],
    ofport: int,
    guarded: bool,
) -> Port:
    assert port.host is not None
    inside = port.attach == "namespace"
    return Port(
        name=name,
        host=port.host,
        interface=port.interface or name,
        ofport=ofport,
        mac=mac_of(name, port),
        namespace=port.namespace or name if inside else None,
        device=device_of(name, port) if inside else None,
        attachments=_attachments(port, networks, vlans),
        max_macs=port.max_macs,
        limits=_limits(port),
        security=_security(name, port, networks, guarded=guarded),
        dhcp_client=port.addressing == "dhcp",
    )


def _bound(name: str, port: schema.Port, networks: _Networks, guarded: bool) -> FloatingPort:
    return FloatingPort(
        name=name,
        host=port.host,
        iface_id=iface_id_of(name, port),
        mac=mac_of(name, port),
        attachments=_attachments(port, networks, {}),
        max_macs=port.max_macs,
        limits=_limits(port),
        security=_security(name, port, networks, guarded=guarded),
    )


def _security(name: str, port: schema.Port, networks: _Networks, *, guarded: bool) -> Security:
    only = mac_of(name, port) if has_port_security(name, port, networks) else None
    looped = only is None and (guarded if port.loop_protect is None else port.loop_protect)
    return Security(only, frozenset(port.roles), looped)


def _attachments(port: schema.Port, networks: _Networks, vlans: Mapping[str, int]) -> tuple[Attachment, ...]:
    addresses: dict[str, list[Interface]] = {path: [] for path in port.networks}
    for address in port.address:
        home = next(
            path for path, doubt in network_candidates(address, port, networks).items() if doubt is None
        )
        addresses[home].append(_with_prefix(address, networks[home]))
    attachments = [
        Attachment(path, tag, tagged=True, addresses=tuple(addresses[path]))
        for path, tag in sorted(port.trunk.items())
    ]
    if (native := port.network) is not None:
        tag = vlans.get(native, networks[native].vlan)
        attachments.insert(0, Attachment(native, tag, tagged=False, addresses=tuple(addresses[native])))
    return tuple(attachments)


def _stranger(name: str, peer: schema.Peer, kind: Encapsulation, local: Address, ofport: int) -> Port:
    tunnel = Tunnel(
        interface=names.tunnel_interface(kind, name),
        peer=name,
        encapsulation=kind,
        local_ip=local,
        remote_ip=peer.vtep,
        dst_port=peer.dst_port or DST_PORT[kind],
        csum=kind != "gre" and local.version == 6,
        ofport=ofport,
        keyed=bool(peer.keys),
    )
    untagged = {peer.network: 0} if peer.network else {}
    attachments = [
        *(Attachment(path, None, tagged=False, addresses=(), key=key) for path, key in untagged.items()),
        *(
            Attachment(path, tag, tagged=True, addresses=(), key=0)
            for path, tag in sorted(peer.trunk.items())
        ),
        *(Attachment(path, None, tagged=False, addresses=(), key=k) for path, k in sorted(peer.keys.items())),
    ]
    return Port(
        name=name,
        host=peer.host,
        interface=tunnel.interface,
        ofport=ofport,
        mac=None,
        namespace=None,
        device=None,
        attachments=tuple(attachments),
        max_macs=peer.max_macs,
        security=Security(None, frozenset(peer.roles)),
        tunnel=tunnel,
    )


def _with_prefix(address: Written, network: schema.Network) -> Interface:
    if isinstance(address, IPv4Interface | IPv6Interface):
        return address
    subnet = next(subnet for subnet in network.subnet if address in subnet)
    return ip_interface(f"{address}/{subnet.prefixlen}")


def _reached(attached: Mapping[str, schema.Port | schema.Peer]) -> frozenset[str]:
    """Paths of the networks of what is attached."""
    return frozenset(path for port in attached.values() for path in port.networks)


def _peers(reached: Mapping[str | None, frozenset[str]]) -> dict[str, frozenset[str]]:
    """For each host those that may share a network with it, and itself, of the networks that each reaches."""
    everywhere = reached.get(None, frozenset())
    of_host = {host: paths | everywhere for host, paths in reached.items() if host is not None}
    members: dict[str, set[str]] = {}
    for host, paths in of_host.items():
        for path in paths:
            members.setdefault(path, set()).add(host)
    met = {paths: frozenset().union(*(members[path] for path in paths)) for paths in {*of_host.values()}}
    return {host: met[paths] for host, paths in of_host.items()}


def _hold_of(ports: Iterable[schema.Port]) -> int:
    """Seconds where only ports say that they are protected."""
    return LOOP_HOLD if any(port.loop_protect for port in ports) else 0


def _flap(written: schema.DuplicateMacDetection) -> DuplicateMacDetection:
    return DuplicateMacDetection(written.max_moves, written.period, written.freeze)


def _controller(written: schema.Controller) -> Controller:
    target, rest = written.target, written.rest
    per_host = target.address.is_loopback
    address = target.address if per_host else _EVERYWHERE[target.address.version]
    listen = written.listen or (Endpoint(address, target.port, target.tls),)
    files = written.tls
    return Controller(
        listens=tuple(Listen(each.tls, str(each.address), each.port) for each in listen),
        target=f"{'ssl' if target.tls else 'tcp'}:{target.host}:{target.port}",
        tls=TlsFiles(files.key, files.certificate, files.ca),
        rest=Rest(rest.tls, str(rest.address), rest.port, written.rest_access, written.rest_client_ca),
        per_host=per_host,
    )
