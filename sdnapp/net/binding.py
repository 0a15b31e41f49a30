"""Ports that are wherever an interface has their ``iface-id``: where they are now, out of what bridges show.

The agent of each host notes on its bridge which interface has which ``iface-id`` (``sdnapp.config.names``),
and bridges tell their ports to whoever connects. So a binding is part of what a bridge is, and neither a
controller nor an agent that starts anew has missed anything.

A port may be in two places for a while: a live migration prepares the new one while the workload still runs
at the old one. Both belong to the network then, and the workload is where it spoke last.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

from sdnapp.config import names
from sdnapp.net.model import Attachment, Bound, Host, Overlay, Port


class Spot(NamedTuple):
    """An interface on a host's bridge; None: somewhere on a host that this controller does not see."""

    host: str
    interface: str | None


Spots = Mapping[str, Spot]
"""By port: where it spoke last."""


def by_identity(overlay: Overlay) -> Mapping[int, Bound]:
    """The ports that are found by their ``iface_id``, by its identity."""
    return {names.identity(bound.iface_id): bound for bound in overlay.bound.values()}


def roaming(overlay: Overlay) -> Mapping[str, frozenset[str]]:
    """By network, the hosts where a port may be that this overlay does not place."""
    hosts: dict[str, frozenset[str]] = {}
    for bound in overlay.bound.values():
        there = frozenset([bound.host]) if bound.host else frozenset(overlay.hosts)
        for attachment in bound.attachments:
            hosts[attachment.network] = hosts.get(attachment.network, frozenset()) | there
    return hosts


def bind(
    overlay: Overlay, interfaces: Mapping[str, Mapping[str, int]], spots: Spots
) -> tuple[Overlay, Spots]:
    """The overlay with each bound port wherever it is, and where each of them is to be reached.

    ``interfaces``: by host, the identity that each noted interface has. Only where a port is to be reached
    does it have the MAC that the file gives it. ``ports`` of the result holds that one, ``hosts`` all.
    """
    if not overlay.bound:
        return overlay, {}
    wanted = by_identity(overlay)
    found: dict[str, list[Port]] = {}
    for host, noted in sorted(interfaces.items()):
        for interface, identity in sorted(noted.items()):
            bound = wanted.get(identity)
            if bound is not None and bound.host in {None, host} and host in overlay.hosts:
                found.setdefault(bound.name, []).append(_port(bound, overlay.hosts[host], interface))
    if not found:
        return overlay, {}
    chosen: dict[str, Spot] = {}
    here: dict[str, list[Port]] = {}
    ports = dict(overlay.ports)
    for name, places in found.items():
        there = [Spot(port.host, port.interface) for port in places]
        last = spots.get(name, there[0])
        seen = last in there or (last.interface is None and overlay.controller.per_host)
        chosen[name] = spot = last if seen else there[0]
        for port, at in zip(places, there, strict=True):
            real = port if at == spot else replace(port, mac=None)
            here.setdefault(port.host, []).append(real)
            if at == spot or name not in ports:
                ports[name] = real
    hosts = {name: _with(host, here.get(name, ())) for name, host in overlay.hosts.items()}
    return replace(overlay, ports=dict(sorted(ports.items())), hosts=hosts), chosen


def _port(bound: Bound, host: Host, interface: str) -> Port:
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
    )


def _attachment(attachment: Attachment, vlans: Mapping[str, int]) -> Attachment:
    if attachment.tagged or attachment.network not in vlans:
        return attachment
    return replace(attachment, vlan=vlans[attachment.network])


def _with(host: Host, more: Iterable[Port]) -> Host:
    ports = (*host.ports, *more)
    return host if ports == host.ports else replace(host, ports=ports)
