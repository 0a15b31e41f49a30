"""Which streams a fault may cost packets."""

from __future__ import annotations

from dataclasses import dataclass

from sdnapp.lab.packet_loss import Count
from sdnapp.net.model import Overlay

BLIP_MS = 100.0


@dataclass(frozen=True, slots=True)
class Scope:
    """What a fault hits; ``words`` say what was done. Streams with an end there may lose packets.

    ``blips``: hosts where a userspace datapath stands still for a moment, as it does while a device of it
    goes or comes (``sdnapp.provision.execute.PAUSE``); streams there may lose packets for ``BLIP_MS``.
    ``alarms``: kinds of alarms that it may leave for a while, as ``/v1/alarms`` names them.
    ``forgets``: a controller starts without the file that was in force. If another one changes just then what
    is said on the wire, no bridge waits for others.
    """

    words: str
    hosts: frozenset[str] = frozenset()
    ports: frozenset[str] = frozenset()
    everything: bool = False
    blips: frozenset[str] = frozenset()
    alarms: frozenset[str] = frozenset()
    forgets: bool = False

    def covers(self, stream: Count, overlay: Overlay) -> bool:
        """Return whether packets of this stream may be lost."""
        ends = {stream.source, stream.destination}
        places = {overlay.ports[end].host for end in ends if end in overlay.ports}
        return (
            self.everything
            or bool(ends & self.ports)
            or bool(places & self.hosts)
            or self._blip(stream, places)
        )

    def _blip(self, stream: Count, places: set[str]) -> bool:
        return bool(places & self.blips) and stream.gap_ms <= BLIP_MS


def of_host(words: str, host: str) -> Scope:
    """Return the scope of a fault that interrupts all traffic of a host."""
    return Scope(words, hosts=frozenset([host]))
