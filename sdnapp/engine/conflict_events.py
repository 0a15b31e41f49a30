"""Address conflicts: log lines and alarms."""

from __future__ import annotations

from collections.abc import Iterator

from sdnapp.engine.messages import LogEvent
from sdnapp.engine.status import Alarm, port_names
from sdnapp.net.fdb import PortRef
from sdnapp.net.state import State


def claim_notes(before: State, after: State) -> Iterator[LogEvent]:
    """What has changed."""
    if before.addresses.lies is after.addresses.lies:
        return
    was, now = _lies(before), _lies(after)
    for lies, event, warning in (
        (now - was, "address.conflict", True),
        (was - now, "address.conflict_cleared", False),
    ):
        for network, address, place in sorted(lies, key=str):
            fields = {"network": network, "address": address, "host": place.host, "port": place.interface}
            yield LogEvent(event, fields, warning=warning)


def claim_alarms(state: State) -> Iterator[Alarm]:
    """What is wrong now."""
    names = port_names(state)
    for network, address, place in sorted(_lies(state), key=str):
        port, owner = names.get(place), names.get(state.given[network][address])
        text = f"port {port} claims {address} of {network}, which the file gives to {owner}: dropped"
        yield Alarm("address-conflict", text, network, host=place.host, port=port, address=address)


def _lies(state: State) -> frozenset[tuple[str, str, PortRef]]:
    return frozenset((network, *lie) for network, lies in state.addresses.lies.items() for lie in lies)
