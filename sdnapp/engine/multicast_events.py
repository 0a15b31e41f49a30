"""Multicast snooping in the log, in REST and on the command line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from sdnapp.engine.messages import LogEvent
from sdnapp.engine.status import MulticastStatus, port_names
from sdnapp.net.fdb import PortRef
from sdnapp.net.multicast_snooping import Groups
from sdnapp.net.state import State


def multicast_notes(before: State, after: State) -> Iterator[LogEvent]:
    """A network begins or ceases to send groups to their listeners alone."""
    old, new = before.multicast.known, after.multicast.known
    if old is new:
        return
    for network in sorted({*old, *new}):
        if old.get(network) is not new.get(network):
            for family in (4, 6):
                was, now = (how(known.get(network, {}).get(family)) for known in (old, new))
                if was != now:
                    yield LogEvent(
                        "multicast.mode", {"network": network, "ip": family, "was": was, "now": now}
                    )


def how(groups: Groups | None) -> str:
    """``flooding`` without a querier, ``querying`` until members are known, then ``snooping``."""
    if groups is None:
        return "flooding"
    return "querying" if groups.members is None else "snooping"


def multicast_status(state: State) -> Mapping[str, MulticastStatus]:
    """Return the snooping status by network, where a querier was seen."""
    ports = port_names(state)

    def names(places: Iterable[PortRef]) -> tuple[str, ...]:
        there = set(places)
        vague = {PortRef(place.host, None) for place in there if place.interface is not None}
        return tuple(sorted({ports.get(place, place.host) for place in there - vague}))

    found: dict[str, MulticastStatus] = {}
    for network, known in state.multicast.known.items():
        groups: dict[str, list[PortRef]] = {}
        routers: list[PortRef] = []
        for family in known:
            listening = state.multicast.listening[network, family]
            routers += listening.routers
            for group, place in listening.listeners:
                groups.setdefault(group, []).append(place)
        heard = {group: names(places) for group, places in sorted(groups.items())}
        found[network] = MulticastStatus(how(known.get(4)), how(known.get(6)), names(routers), heard)
    return found
