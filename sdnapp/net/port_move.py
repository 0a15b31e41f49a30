"""A port that moves to another host stays where it was until it is there: make before break, for workloads.

The file says at once where a port is to be; its interface appears there some time later. Until then the port
belongs where its interface still is, with all that reaches it there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from sdnapp.net.model import Host, Overlay, Port


def effective_overlay(wanted: Overlay, before: Overlay, interfaces: Mapping[str, Iterable[str]]) -> Overlay:
    """Return the overlay until every moving port has arrived: ``wanted`` itself if none is moving.

    ``before``: the overlay until now. ``interfaces``: those that each host's bridge has. A controller that
    sees one host only does not know the interfaces of others: there, ``wanted`` counts at once.
    """
    if wanted.controller.per_host:
        return wanted
    staying = dict(_staying(wanted, before, interfaces))
    if not staying:
        return wanted
    return replace(
        wanted,
        ports={**wanted.ports, **staying},
        hosts={name: _host(host, before.hosts.get(name), staying) for name, host in wanted.hosts.items()},
    )


def _staying(
    wanted: Overlay, before: Overlay, interfaces: Mapping[str, Iterable[str]]
) -> Iterable[tuple[str, Port]]:
    """The ports that are still at their old place and not yet at the new one, in networks they remain in."""
    for name, port in wanted.ports.items():
        old = before.ports.get(name)
        if old is None or old.host == port.host or old.host not in wanted.hosts:
            continue
        networks = {attachment.network for attachment in port.attachments}
        attachments = tuple(a for a in old.attachments if a.network in networks)
        there = old.interface in interfaces.get(old.host, ())
        arrived = port.interface in interfaces.get(port.host, ())
        replaced = old.interface in {other.interface for other in wanted.hosts[old.host].ports}
        if attachments and there and not arrived and not replaced:
            yield name, replace(old, attachments=attachments)


def _host(host: Host, before: Host | None, staying: Mapping[str, Port]) -> Host:
    """The host with those that stay, without those that are still elsewhere, and the tunnels for both."""
    ports = [port for port in host.ports if port.name not in staying]
    ports += (port for port in staying.values() if port.host == host.name)
    tunnels = {tunnel.peer: tunnel for tunnel in (*(before.tunnels if before else ()), *host.tunnels)}
    return replace(
        host,
        ports=tuple(sorted(ports, key=lambda port: port.name)),
        tunnels=tuple(tunnels[peer] for peer in sorted(tunnels)),
    )
