"""What the log hears of multicast."""

from __future__ import annotations

from collections.abc import Iterator

from sdnapp.engine.messages import Note
from sdnapp.net.multicast import Groups
from sdnapp.net.state import State


def multicast_notes(before: State, after: State) -> Iterator[Note]:
    """A network begins or ceases to send groups to their listeners alone."""
    old, new = before.multicast.known, after.multicast.known
    if old is new:
        return
    for network in sorted({*old, *new}):
        if old.get(network) is not new.get(network):
            for family in (4, 6):
                was, now = (how(known.get(network, {}).get(family)) for known in (old, new))
                if was != now:
                    yield Note("multicast", {"network": network, "ip": family, "was": was, "now": now})


def how(groups: Groups | None) -> str:
    """``flooding``: nobody asks for listeners; ``asking``: not all have answered yet; ``snooping``."""
    if groups is None:
        return "flooding"
    return "asking" if groups.members is None else "snooping"
