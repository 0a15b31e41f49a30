"""The world as the controller sees it, for REST and the command line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from sdnapp.config import Problem
from sdnapp.net.fdb import PortRef
from sdnapp.net.model import Overlay
from sdnapp.net.state import State


@dataclass(frozen=True, slots=True)
class BridgeStatus:
    """Status of one host's bridge. ``in_sync``: it holds exactly its program, of ``flows`` flows.

    ``address``: the far end of its connection; ``since``: epoch seconds; ``ports``: OpenFlow number of each
    interface; ``failures``: what it refused, a sentence each; ``drift``: number of changes by others that
    were undone since the controller started; ``down``: tunnels that are down. ``problems``: what the agent of
    the host reports.
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
    down: frozenset[str] = frozenset()
    problems: str = ""


@dataclass(frozen=True, slots=True)
class LocationStatus:
    """Location of a MAC. ``port``: None for a place known as behind a host's tunnel only.

    ``moves``: number of its last move. ``frozen``: it may not move.
    """

    network: str
    mac: str
    host: str
    port: str | None
    addresses: tuple[str, ...]
    kind: Literal["static", "learned"]
    moves: int = 0
    frozen: bool = False


AlarmKind = Literal[
    "duplicate-mac",
    "mac-blocked",
    "mac-limit-exceeded",
    "port-bound-twice",
    "tunnel-down",
    "address-conflict",
    "loop",
    "unauthorized-bridge",
    "duplicate-datapath-id",
    "file-limit",
    "agent-error",
    "restart-required",
]


@dataclass(frozen=True, slots=True)
class Alarm:
    """A condition that needs an operator; ``text`` describes it. ``since``: epoch seconds, where known.

    - ``duplicate-mac``: a MAC moved too often and is frozen: a duplicate, or a loop (RFC 7432, section 15.1).
    - ``mac-blocked``: frames are dropped whose source MAC is located elsewhere.
    - ``mac-limit-exceeded``: more MACs than ``max_macs`` behind a port; no more are learned there.
    - ``port-bound-twice``: interfaces of several hosts have the ``iface_id`` of one port.
    - ``tunnel-down``: BFD reports a tunnel as down.
    - ``address-conflict``: a port claims an IP address that the file gives to another port.
    - ``loop``: a port is held down, as its probes come back.
    - ``unauthorized-bridge``: a connection without the certificate or address of its datapath id was refused.
    - ``duplicate-datapath-id``: a second connection with the datapath id of a connected bridge was refused.
    - ``file-limit``: the limit of open files is too low for all bridges.
    - ``agent-error``: the agent of a host reports what it cannot do.
    - ``restart-required``: settings that are read at the start only have changed.
    """

    kind: AlarmKind
    text: str
    network: str | None = None
    mac: str | None = None
    host: str | None = None
    port: str | None = None
    since: float | None = None
    address: str | None = None


@dataclass(frozen=True, slots=True)
class MulticastStatus:
    """Snooping state of a network: ``flooding`` without a querier, ``querying`` until members are known,
    ``snooping``.

    ``routers``: ports with queriers. ``groups``: member ports by group address, or by its MAC where a bridge
    remembered no more. A member that is only known to be on a host is given as the host.
    """

    ipv4: str = "flooding"
    ipv6: str = "flooding"
    routers: tuple[str, ...] = ()
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Status:
    """A picture of one moment. ``config_problems``: why the file is not in force; the last good one is then.

    ``bridges``: one for each host. ``unknown_bridges``: addresses of connected bridges that the file does not
    name, by datapath id. ``service_counters``: by network, replies of the controller and leases that it
    learned, since it started. ``multicast``: by network, where there is a querier.
    """

    overlay: Overlay
    config_path: str
    config_problems: tuple[Problem, ...]
    bridges: Mapping[str, BridgeStatus]
    unknown_bridges: Mapping[int, str]
    locations: tuple[LocationStatus, ...]
    alarms: tuple[Alarm, ...] = ()
    service_counters: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    multicast: Mapping[str, MulticastStatus] = field(default_factory=dict)

    @property
    def config_error(self) -> str | None:
        """The problems of the file in one line; None: it is in force."""
        return "; ".join(map(str, self.config_problems)) or None


def locations(state: State) -> Iterable[LocationStatus]:
    """Yield every MAC with a location, static ones first."""
    heard: dict[tuple[str, str], list[str]] = {}
    for path, bindings in state.addresses.bound.items():
        for ip, binding in sorted(bindings.items()):
            heard.setdefault((path, binding.mac), []).append(ip)
    for path, ports in state.members.items():
        for port in ports:
            if port.mac is not None:
                given = (str(i.ip) for a in port.attachments if a.network == path for i in a.addresses)
                addresses = (*given, *heard.get((path, port.mac), ()))
                yield LocationStatus(path, port.mac, port.host, port.name, addresses, "static")
    names = port_names(state)
    for path, stations in state.learned.stations.items():
        for mac, station in stations.items():
            place, frozen = station.place, (path, mac) in state.learned.frozen
            moves = max(station.moves, 0)
            addresses = tuple(heard.get((path, mac), ()))
            yield LocationStatus(path, mac, place.host, names.get(place), addresses, "learned", moves, frozen)


def port_names(state: State) -> Mapping[PortRef, str]:
    """The ports of the file by their places."""
    return {PortRef(port.host, port.interface): port.name for port in state.overlay.ports.values()}
