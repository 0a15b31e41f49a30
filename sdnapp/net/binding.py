"""Port binding: where ports with an ``iface-id`` are, from the ports that bridges have.

The agent of each host encodes on its bridge which interface has which ``iface-id`` (``sdnapp.config.names``),
and a bridge lists its ports to any controller that connects. So a binding is part of the bridge, and neither
a controller nor an agent that starts again misses one.

A port may be in two places for a while: a live migration prepares the new one while the workload runs at the
old one. Both belong to the network then, and the workload's MAC is where it was seen last.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from sdnapp.config import names
from sdnapp.net.model import Attachment, FloatingPort, Host, Overlay, Port


def roaming(overlay: Overlay) -> Mapping[str, frozenset[str]]:
    """By network, the hosts where a port may be that this overlay does not place."""
    hosts: dict[str, frozenset[str]] = {}
    for bound in overlay.bound.values():
        there = frozenset([bound.host]) if bound.host else frozenset(overlay.hosts)
        for attachment in bound.attachments:
            hosts[attachment.network] = hosts.get(attachment.network, frozenset()) | there
    return hosts


def bind(overlay: Overlay, interfaces: Mapping[str, Mapping[str, int]]) -> Overlay:
    """The overlay with each bound port wherever it is: ``hosts`` have all of its places, ``ports`` has one.

    ``interfaces``: by host, the identity that each noted interface has. A port has the MAC that the file
    gives it where it is certain that it is nowhere else; otherwise its MAC is learned like any other.
    """
    bound = {names.iface_id_hash(port.iface_id): port for port in overlay.bound.values()}
    places: dict[str, list[Port]] = {}
    for host, noted in sorted(interfaces.items()) if bound else ():
        for interface, identity in sorted(noted.items()):
            meant = bound.get(identity)
            if meant is not None and meant.host in {None, host} and host in overlay.hosts:
                places.setdefault(meant.name, []).append(_port(meant, overlay.hosts[host], interface))
    if not places:
        return overlay
    here: dict[str, list[Port]] = {}
    for name, found in places.items():
        unseen = overlay.controller.per_host and overlay.bound[name].host is None
        if len(found) > 1 or unseen:
            found[:] = (replace(port, mac=None) for port in found)
        for port in found:
            here.setdefault(port.host, []).append(port)
    ports = {**overlay.ports, **{name: found[0] for name, found in places.items()}}
    hosts = {name: _with(host, here.get(name, ())) for name, host in overlay.hosts.items()}
    return replace(overlay, ports=dict(sorted(ports.items())), hosts=hosts)


def _port(bound: FloatingPort, host: Host, interface: str) -> Port:
    return Port(
        name=bound.name,
        host=host.name,
        interface=interface,
        ofport=0,
        mac=bound.mac,
        namespace=None,
        device=None,
        attachments=tuple(_attachment(a, host.vlans) for a in bound.attachments),
        max_macs=bound.max_macs,
        limits=bound.limits,
        security=bound.security,
    )


def _attachment(attachment: Attachment, vlans: Mapping[str, int]) -> Attachment:
    if attachment.tagged or attachment.network not in vlans:
        return attachment
    return replace(attachment, vlan=vlans[attachment.network])


def _with(host: Host, more: Iterable[Port]) -> Host:
    ports = (*host.ports, *more)
    return host if ports == host.ports else replace(host, ports=ports)
