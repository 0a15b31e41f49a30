"""The world as the controller sees it, for REST and the command line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from sdnapp.net.model import Overlay
from sdnapp.net.state import State


@dataclass(frozen=True, slots=True)
class BridgeStatus:
    """What is known of one host's bridge. ``flows``: how many it should hold; ``since``: epoch seconds;
    ``drift``: how many changes by others were healed since the controller started.
    """

    host: str
    datapath_id: int
    connected: bool
    in_sync: bool
    flows: int
    address: str | None
    since: float | None
    ports: Mapping[str, int]
    failures: tuple[str, ...]
    drift: int = 0


@dataclass(frozen=True, slots=True)
class LocationStatus:
    """Where a station lives. ``port`` is None for a place known only as behind a host's tunnel."""

    network: str
    mac: str
    host: str
    port: str | None
    addresses: tuple[str, ...]
    kind: Literal["static", "learned"]


@dataclass(frozen=True, slots=True)
class Status:
    """A picture of one moment. ``unknown``: bridges that no configuration names, by datapath id. ``alarms``:
    what somebody should look at, a sentence each.
    """

    overlay: Overlay
    config_path: str
    config_error: str | None
    bridges: Mapping[str, BridgeStatus]
    unknown: Mapping[int, str]
    locations: tuple[LocationStatus, ...]
    alarms: tuple[str, ...] = ()


def locations(state: State) -> Iterable[LocationStatus]:
    """Every station whose place is known, fixed ones first."""
    for path, ports in state.members.items():
        for port in ports:
            if port.mac is not None:
                addresses = (str(i.ip) for a in port.attachments if a.network == path for i in a.addresses)
                yield LocationStatus(path, port.mac, port.host, port.name, tuple(addresses), "static")
    names = {(port.host, port.interface): port.name for port in state.overlay.ports.values()}
    for path, places in state.learned.items():
        for mac, place in places.items():
            port_name = names.get((place.host, place.interface or ""))
            yield LocationStatus(path, mac, place.host, port_name, (), "learned")
