"""What the controller says and does when it learned something, or refused to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import compress, filterfalse
from operator import is_not
from typing import Any

from sdnapp.engine.messages import Effect, LogEvent, StartTimer, TimerFired
from sdnapp.engine.status import Alarm, port_names
from sdnapp.net.events import MacLimitTimerExpired, MacUnfrozen
from sdnapp.net.fdb import NO_ENTRIES, NONE_BLOCKED, PortRef
from sdnapp.net.state import State

EASE = 30.0
"""Seconds until we look again whether a crowded port still is."""


def learning_effects(before: State, after: State) -> Iterator[Effect]:
    """A line for each change; and what was frozen or crowded comes up again after a while."""
    old, new = before.learned, after.learned
    if old is new:
        return
    for network in sorted(old.stations.keys() | new.stations.keys()):
        yield from _station_notes(before, after, network)
    for network in sorted(new.denied):
        yield from _denial_notes(before, after, network)
    for network, mac in sorted(new.frozen.keys() - old.frozen.keys()):
        place, since = after.place_of(network, mac), new.frozen[network, mac]
        yield LogEvent("location.frozen", {"network": network, "mac": mac, **_where(place)}, warning=True)
        yield StartTimer(after.flap.freeze, TimerFired(MacUnfrozen(network, mac, since)))
    for network, mac in sorted(old.frozen.keys() - new.frozen.keys()):
        yield LogEvent("location.unfrozen", {"network": network, "mac": mac})
    for place in sorted(new.crowded - old.crowded, key=str):
        yield LogEvent(
            "port.mac_limit_exceeded", {**_where(place), "macs": new.held.get(place, 0)}, warning=True
        )
        yield StartTimer(EASE, TimerFired(MacLimitTimerExpired(place)))
    for place in sorted(old.crowded - new.crowded, key=str):
        yield LogEvent("port.mac_limit_cleared", _where(place))


def learning_alarms(state: State) -> Iterator[Alarm]:
    """Return the alarms of the FDB."""
    names, learned = port_names(state), state.learned
    for place in sorted(learned.crowded, key=str):
        where = _at(place, names)
        text = f"{where} has reached max_macs: no more MAC addresses are learned there"
        yield Alarm("mac-limit-exceeded", text, host=place.host, port=names.get(place))
    for (network, mac), since in sorted(learned.frozen.items()):
        at = state.place_of(network, mac)
        text = f"{mac} of {network} moves too often: frozen on {_at(at, names)} ('sdnapp unfreeze' ends that)"
        yield Alarm("duplicate-mac", text, network, mac, at and at.host, at and names.get(at), since)
    denied: dict[tuple[str, PortRef], list[str]] = {}
    for network, by_mac in learned.denied.items():
        for mac, places in by_mac.items():
            for place in places:
                denied.setdefault((network, place), []).append(mac)
    for (network, place), macs in sorted(denied.items(), key=str):
        some = ", ".join(sorted(macs)[:3]) + (f" and {len(macs) - 3} more" if len(macs) > 3 else "")
        text = f"{_at(place, names)}: frames with a MAC of another port are dropped: {some} of {network}"
        yield Alarm("mac-blocked", text, network, min(macs), place.host, names.get(place))


def _at(place: PortRef | None, names: Mapping[PortRef, str]) -> str:
    if place is None:
        return "some port"
    return f"port {names[place]}" if place in names else f"the tunnel to {place.host}"


def _station_notes(before: State, after: State, network: str) -> Iterator[LogEvent]:
    old = before.learned.stations.get(network, NO_ENTRIES)
    new = after.learned.stations.get(network, NO_ENTRIES)
    if old is new:
        return
    for mac in compress(new, map(is_not, new.values(), map(old.get, new))):  # in C: of tens of thousands, few
        station, was = new[mac], old.get(mac)
        if was is None:
            yield LogEvent("location.learned", _station(network, mac, station.place), detail=True)
        elif was.place != station.place:
            fields = {**_station(network, mac, station.place), "moves": station.moves}
            yield LogEvent("location.moved", fields)
    for mac in filterfalse(new.__contains__, old):
        yield LogEvent("location.forgotten", _station(network, mac, old[mac].place), detail=True)


def _denial_notes(before: State, after: State, network: str) -> Iterator[LogEvent]:
    old, new = before.learned.denied.get(network, NONE_BLOCKED), after.learned.denied[network]
    if old is not new:
        for mac, places in new.items():
            for place in sorted(places - old.get(mac, frozenset()), key=str):
                fields = {"network": network, "mac": mac, **_where(place)}
                yield LogEvent("location.blocked", fields, warning=True)


def _station(network: str, mac: str, place: PortRef) -> dict[str, Any]:
    return {"network": network, "mac": mac, **_where(place)}


def _where(place: PortRef | None) -> dict[str, str]:
    return (
        {"host": "-", "port": "-"} if place is None else {"host": place.host, "port": place.interface or "-"}
    )
