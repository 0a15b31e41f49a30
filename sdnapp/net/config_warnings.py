"""Warnings: what a file asks for that a controller on every host, which sees its own bridge, cannot do."""

from __future__ import annotations

from collections.abc import Iterator

from sdnapp.net import mtu
from sdnapp.net.model import Overlay, Port


def remarks(overlay: Overlay) -> Iterator[str]:
    """Where parts of the file do not go together, what follows from that, a sentence each."""
    yield from mtu.remarks(overlay)
    if overlay.controller.per_host:
        yield from _out_of_reach(overlay)
    else:
        yield from _without_source(overlay)


def _without_source(overlay: Overlay) -> Iterator[str]:
    """Hosts that cannot be known by their address: they connect by an IP version of which they have none."""
    scheme, _, target = overlay.controller.target.partition(":")
    version = 6 if target.startswith("[") else 4
    if scheme != "tcp":
        return
    for name, host in overlay.hosts.items():
        own = (source for source in host.accept_from if not source.is_loopback)
        if not any(source.version == version for source in own):
            yield (
                f"{name}: its bridge connects by IPv{version}, and the file gives it no such address: "
                "it will be refused; add it to hosts.*.management"
            )


def _out_of_reach(overlay: Overlay) -> Iterator[str]:
    """Return networks that drop unknown unicast, with stations that their own host alone knows."""
    for path, network in overlay.networks.items():
        ports = [port for port in overlay.ports.values() if any(a.network == path for a in port.attachments)]
        learning = sorted(port.name for port in ports if _learns(port))
        if network.unknown_unicast == "drop" and learning and len({port.host for port in ports}) > 1:
            yield (
                f"{path}: with a controller on every host, stations behind {', '.join(learning)} are unknown "
                "to other hosts until they speak to them, and unknown_unicast: drop drops what is for them"
            )


def _learns(port: Port) -> bool:
    return port.mac is None or (port.security.allowed_mac is None and port.max_macs > 1)
