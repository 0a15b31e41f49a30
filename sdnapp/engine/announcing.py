"""Announcements of addresses: sent for a workload whose MAC, addresses or port are new in the file.

Otherwise neighbours keep an address's old MAC for some 45 s (RFC 4861 section 10), and switches behind
external VTEPs the old place. The bridge of the port forwards the frame as if the port had sent it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from sdnapp.engine.messages import Inject
from sdnapp.frames.announcement import announcement
from sdnapp.frames.packet import with_tag
from sdnapp.net.model import Attachment, Port
from sdnapp.net.state import State

TICK = 0.2
"""Seconds between two looks at what is due."""
PAUSES = (0, 5, 10)
"""Ticks before each of the frames of one address, once its port is there (RFC 5227 section 2.3)."""
PATIENCE = 300
"""Ticks for which a port that is not there is waited for."""
MOST = 50
"""Frames in a tick."""


@dataclass(slots=True)
class _Pending:
    """A port with announcements to come. ``sent``: how often all of its addresses were announced."""

    port: Port
    sent: int = 0
    pause: int = 0
    patience: int = PATIENCE


@dataclass(slots=True)
class Announcements:
    """What is still to be announced, by the name of the port."""

    pending: dict[str, _Pending] = field(default_factory=dict)

    def follow(self, before: Mapping[str, Port], after: Mapping[str, Port]) -> None:
        """Note ports that are new, or whose MAC, host or addresses are."""
        for name in self.pending.keys() - after.keys():
            del self.pending[name]
        for name, port in after.items():
            old = before.get(name)
            if old is not port and (old is None or _seen_by_others(old) != _seen_by_others(port)):
                self.pending.pop(name, None)
                if any(attachment.addresses for attachment in port.attachments):
                    self.pending[name] = _Pending(port)

    def due(self, state: State, ready: Mapping[str, int]) -> Iterator[Inject]:
        """Yield the frames of this tick. ``ready``: by host, the datapath ids of bridges that are in sync."""
        left = MOST
        for name, each in list(self.pending.items()):
            port = each.port
            number = state.ports(port.host).number.get(port.interface)
            if port.host not in ready or number is None:
                each.patience -= 1
            elif each.pause > 0:
                each.pause -= 1
            elif left > 0:
                frames = list(_frames(port))
                left -= len(frames)
                yield from (Inject(ready[port.host], number, frame) for frame in frames)
                each.sent += 1
                each.pause = PAUSES[each.sent] if each.sent < len(PAUSES) else 0
            if each.sent == len(PAUSES) or each.patience <= 0:
                del self.pending[name]


def _seen_by_others(port: Port) -> tuple[str, str, str | None, tuple[Attachment, ...]]:
    return port.host, port.interface, port.mac, port.attachments


def _frames(port: Port) -> Iterator[bytes]:
    if port.mac is None:
        return
    for attachment in port.attachments:
        for interface in attachment.addresses:
            frame = announcement(port.mac, interface.ip)
            tag = attachment.vlan if attachment.tagged else None
            yield frame if tag is None else with_tag(frame, tag)
