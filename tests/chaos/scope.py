"""Which streams a fault may cost packets."""

from __future__ import annotations

from dataclasses import dataclass

from sdnapp.lab.count import Count
from sdnapp.net.model import Overlay


@dataclass(frozen=True, slots=True)
class Scope:
    """What a fault hits; ``words`` say what was done. Streams with an end there may lose packets.

    ``alarms``: kinds of alarms that it may leave for a while, as ``/v1/alarms`` names them.
    """

    words: str
    hosts: frozenset[str] = frozenset()
    ports: frozenset[str] = frozenset()
    everything: bool = False
    alarms: frozenset[str] = frozenset()

    def covers(self, stream: Count, overlay: Overlay) -> bool:
        """Return whether packets of this stream may be lost."""
        ends = {stream.source, stream.destination}
        places = {overlay.ports[end].host for end in ends if end in overlay.ports}
        return self.everything or bool(ends & self.ports) or bool(places & self.hosts)


def of_host(words: str, host: str) -> Scope:
    """Return the scope of a fault that interrupts all traffic of a host."""
    return Scope(words, hosts=frozenset([host]))
