"""What a controller on every host cannot do as the file asks, for it hears of its own bridge alone."""

from __future__ import annotations

from collections.abc import Iterator

from sdnapp.net import mtu
from sdnapp.net.model import Overlay, Port


def remarks(overlay: Overlay) -> Iterator[str]:
    """Where parts of the file do not go together, what follows from that, a sentence each."""
    yield from mtu.remarks(overlay)
    if overlay.controller.per_host:
        yield from _out_of_reach(overlay)


def _out_of_reach(overlay: Overlay) -> Iterator[str]:
    """Networks that drop what is for unknown stations, with stations that only their own host knows."""
    for path, network in overlay.networks.items():
        ports = [port for port in overlay.ports.values() if any(a.network == path for a in port.attachments)]
        learning = sorted(port.name for port in ports if _learns(port))
        if network.unknown_unicast == "drop" and learning and len({port.host for port in ports}) > 1:
            yield (
                f"{path}: with a controller on every host, stations behind {', '.join(learning)} are unknown "
                "to other hosts until they speak to them, and unknown_unicast: drop drops what is for them"
            )


def _learns(port: Port) -> bool:
    return port.mac is None or (port.security.only is None and port.max_macs > 1)
