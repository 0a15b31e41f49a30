"""From what a person wrote to what it means: ``Config`` to ``Overlay``, with all that is derived filled in.

A ``Config`` that ``parse`` has returned makes sense as a whole, so nothing here can fail.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface, ip_address, ip_interface
from typing import Literal

from sdnapp.config import Config, names, schema
from sdnapp.config.addresses import homes
from sdnapp.config.devices import device_of, iface_id_of, mac_of
from sdnapp.config.encapsulations import between
from sdnapp.config.inet import Endpoint, Written
from sdnapp.config.security import is_strict
from sdnapp.config.strangers import kind_of
from sdnapp.net.model import (
    Address,
    Attachment,
    Bound,
    Controller,
    Dhcp,
    Encapsulation,
    Flap,
    Host,
    Interface,
    Limits,
    Network,
    Overlay,
    Port,
    Rate,
    Security,
    Tunnel,
)
from sdnapp.net.mtu import with_mtus

_DST_PORT: Mapping[Encapsulation, int | None] = {
    "vxlan": 4789,  # RFC 7348, section 8
    "geneve": 6081,  # RFC 8926, section 3.3
    "gre": None,
}
LEAST_BURST = 65536
"""Bytes: the kernel datapath counts what TCP hands over in one piece (ip-link(8), ``gso_max_size``)."""
_EVERYWHERE: Mapping[int, Address] = {4: IPv4Address("0.0.0.0"), 6: IPv6Address("::")}


def build(config: Config) -> Overlay:
    """The overlay that ``config`` describes; the same text gives the same overlay on every machine."""
    written = config.networks
    on_host: dict[str, list[str]] = {host: [] for host in sorted(config.hosts)}
    bound: dict[str, Bound] = {}
    for name in sorted(config.ports):
        port = config.ports[name]
        if port.bound:
            bound[name] = _bound(config, written, name)
        elif port.host is not None:
            on_host[port.host].append(name)
    for name in sorted(config.peers):
        on_host[config.peers[name].host].append(name)
    ports: dict[str, Port] = {}
    for of_host in on_host.values():
        numbers = names.ofports(of_host, names.PORT_NUMBERS)
        for name in of_host:
            if name in config.peers:
                ports[name] = _stranger(config, name, numbers[name])
            else:
                ports[name] = _port(config, written, name, numbers[name])
    peers = _peers(config)
    vteps = {name: str(host.vtep) for name, host in config.hosts.items()}
    hosts = {
        name: Host(
            name=name,
            vtep=config.hosts[name].vtep,
            bridge=config.hosts[name].bridge,
            datapath_id=config.hosts[name].datapath_id or names.datapath_id(name),
            uplink=config.hosts[name].uplink,
            ports=tuple(ports[port] for port in sorted(of_host)),
            tunnels=_tunnels(config, name, peers.get(name, []), vteps),
            vlans=config.hosts[name].vlans,
            underlay_mtu=config.hosts[name].underlay_mtu,
        )
        for name, of_host in on_host.items()
    }
    overlay = Overlay(
        encapsulation=config.overlay.encapsulation,
        datapath=config.overlay.datapath,
        mtu=config.overlay.mtu,
        mac_age=config.overlay.mac_age,
        bfd=config.overlay.bfd or 0,
        dscp=config.overlay.dscp,
        flap=_flap(config.overlay.flap),
        controller=_controller(config.controller),
        tenants=tuple(sorted(config.tenants)),
        networks={path: _network(path, written[path]) for path in sorted(written)},
        hosts=hosts,
        ports=dict(sorted(ports.items())),
        bound=bound,
    )
    return with_mtus(overlay)


def _network(path: str, network: schema.Network) -> Network:
    tenant, _, name = path.partition("/")
    dhcp = None if network.dhcp is None else Dhcp(**dict(network.dhcp))
    known = (network.vni, network.vlan, network.subnet, network.unknown_unicast, network.multicast)
    return Network(tenant, name, *known, dhcp)


def _limits(port: schema.Port) -> Limits:
    def rate(direction: Literal["send", "receive"]) -> Rate | None:
        bits = port.rate.get(direction)
        return None if bits is None else Rate(bits, port.burst.get(direction) or max(bits // 32, LEAST_BURST))

    frames = port.broadcast_rate
    return Limits(rate("send"), rate("receive"), None if frames is None else Rate(frames, frames))


def _port(config: Config, networks: Mapping[str, schema.Network], name: str, ofport: int) -> Port:
    port = config.ports[name]
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
        attachments=_attachments(port, networks, config.hosts[port.host].vlans),
        max_macs=port.max_macs,
        limits=_limits(port),
        security=_security(name, port, networks),
        asks=port.assign == "dhcp",
    )


def _bound(config: Config, networks: Mapping[str, schema.Network], name: str) -> Bound:
    port = config.ports[name]
    return Bound(
        name=name,
        host=port.host,
        iface_id=iface_id_of(name, port),
        mac=mac_of(name, port),
        attachments=_attachments(port, networks, {}),
        max_macs=port.max_macs,
        limits=_limits(port),
        security=_security(name, port, networks),
    )


def _security(name: str, port: schema.Port, networks: Mapping[str, schema.Network]) -> Security:
    only = mac_of(name, port) if is_strict(name, port, networks) else None
    return Security(only, frozenset(port.may))


def _attachments(
    port: schema.Port, networks: Mapping[str, schema.Network], vlans: Mapping[str, int]
) -> tuple[Attachment, ...]:
    addresses: dict[str, list[Interface]] = {path: [] for path in port.networks}
    for address in port.address:
        home = next(path for path, doubt in homes(address, port, networks).items() if doubt is None)
        addresses[home].append(_with_prefix(address, networks[home]))
    attachments = [
        Attachment(path, tag, tagged=True, addresses=tuple(addresses[path]))
        for path, tag in sorted(port.trunk.items())
    ]
    if (native := port.network) is not None:
        tag = vlans.get(native, networks[native].vlan)
        attachments.insert(0, Attachment(native, tag, tagged=False, addresses=tuple(addresses[native])))
    return tuple(attachments)


def _stranger(config: Config, name: str, ofport: int) -> Port:
    peer = config.peers[name]
    kind, local = kind_of(config, peer), config.hosts[peer.host].vtep
    tunnel = Tunnel(
        interface=names.tunnel_interface(kind, name),
        peer=name,
        encapsulation=kind,
        local_ip=local,
        remote_ip=peer.vtep,
        dst_port=peer.dst_port or _DST_PORT[kind],
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
        security=Security(None, frozenset(peer.may)),
        tunnel=tunnel,
    )


def _with_prefix(address: Written, network: schema.Network) -> Interface:
    if isinstance(address, IPv4Interface | IPv6Interface):
        return address
    subnet = next(subnet for subnet in network.subnet if address in subnet)
    return ip_interface(f"{address}/{subnet.prefixlen}")


def _peers(config: Config) -> dict[str, list[str]]:
    """For each host, the others that may share a network with it, in the order of their names."""
    members: dict[str, set[str]] = {}
    for port in config.attached:
        for path in port.networks:
            members.setdefault(path, set()).update([port.host] if port.host else config.hosts)
    peers: dict[str, set[str]] = {}
    for hosts in members.values():
        for host in hosts:
            peers.setdefault(host, set()).update(hosts)
    return {host: sorted(met - {host}) for host, met in peers.items()}


def _tunnels(config: Config, host: str, peers: Sequence[str], vteps: Mapping[str, str]) -> tuple[Tunnel, ...]:
    met = tuple((peer, vteps[peer], between(config, host, peer)) for peer in peers)
    return _tunnels_to(met, vteps[host], config.overlay.dst_port, config.overlay.csum)


@lru_cache(maxsize=1024)  # most hosts have the same tunnels again when a file has changed
def _tunnels_to(
    peers: tuple[tuple[str, str, Encapsulation], ...], vtep: str, dst_port: int | None, csum: bool | None
) -> tuple[Tunnel, ...]:
    """To each of (peer, its vtep, encapsulation)."""
    interfaces = {peer: names.tunnel_interface(kind, peer) for peer, _, kind in peers}
    numbers = names.ofports(interfaces.values(), names.TUNNEL_NUMBERS)
    local = ip_address(vtep)
    return tuple(
        Tunnel(
            interface=interfaces[peer],
            peer=peer,
            encapsulation=kind,
            local_ip=local,
            remote_ip=ip_address(remote),
            dst_port=None if kind == "gre" else dst_port or _DST_PORT[kind],
            csum=csum if csum is not None else kind != "gre" and local.version == 6,
            ofport=numbers[interfaces[peer]],
        )
        for peer, remote, kind in peers
    )


def _flap(written: schema.Flap) -> Flap:
    return Flap(written.moves, written.seconds, written.freeze)


def _controller(written: schema.Controller) -> Controller:
    target, rest = written.target, written.rest
    per_host = target.address.is_loopback
    address = target.address if per_host else _EVERYWHERE[target.address.version]
    listen = written.listen or Endpoint(address, target.port)
    return Controller(
        listen_host=str(listen.address),
        listen_port=listen.port,
        target=f"tcp:{target.host}:{target.port}",
        rest_host=str(rest.address),
        rest_port=rest.port,
        per_host=per_host,
    )
