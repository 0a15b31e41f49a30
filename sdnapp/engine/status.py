"""The world as the controller sees it, for REST and the command line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from sdnapp.config import Problem
from sdnapp.net.learning import Place
from sdnapp.net.model import Overlay
from sdnapp.net.state import State


@dataclass(frozen=True, slots=True)
class BridgeStatus:
    """What is known of one host's bridge. ``in_sync``: it holds exactly what it must, ``flows`` of them.

    ``address``: where it connects from; ``since``: epoch seconds; ``ports``: the number of each interface
    that it has; ``failures``: what it refused, a sentence each; ``drift``: how many changes by others were
    healed since the controller started; ``down``: the tunnels that lead to nobody. ``problems``: what the
    agent of the host cannot do.
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
    """Where a station lives. ``port`` is None for a place known only as behind a host's tunnel.

    ``moves``: how often it moved, as far as anybody remembers. ``frozen``: it may not.
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
    "frozen",
    "denied",
    "crowded",
    "twice",
    "down",
    "address",
    "loop",
    "impostor",
    "contested",
    "files",
    "agent",
    "restart",
]


@dataclass(frozen=True, slots=True)
class Alarm:
    """Somebody should look at this; ``text`` says so in a sentence. ``since``: epoch seconds, where known.

    ``frozen``: a MAC moves too often; two stations have it, or there is a loop. ``denied``: frames from where
    their source does not live, which are dropped. ``crowded``: a port shows more MACs than it may. ``twice``:
    a port that is in several places. ``down``: a tunnel to a peer that is not heard. ``address``: a port
    claims one that the file gives to another. ``loop``: a port is held down, as its frames come in again.
    ``impostor``: a connection that may not be the bridge which it claims to be; ``contested``: two have one
    datapath id. ``files``: too few may be open for all bridges. ``agent``: what a host's agent cannot do.
    ``restart``: settings of the file that are read at the start alone have changed.
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
    """Of one network: ``flooding``, because nobody asks who listens; ``asking``; or ``snooping``.

    ``routers``: the ports where those are who ask. ``groups``: the ports that listen to each, by its address,
    or by its MAC where a bridge remembered no more. What is only known to be on a host is the host.
    """

    ipv4: str = "flooding"
    ipv6: str = "flooding"
    routers: tuple[str, ...] = ()
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Status:
    """A picture of one moment. ``config_problems``: why the file is not in force; the last good one is then.

    ``bridges``: one for each host. ``unknown``: where bridges connect from that no configuration names, by
    datapath id. ``alarms``: what somebody should look at. ``spoken``: by network, how often the controller
    said what in its name since it started, or heard what of leases. ``multicast``: by network, where anybody
    asks who listens.
    """

    overlay: Overlay
    config_path: str
    config_problems: tuple[Problem, ...]
    bridges: Mapping[str, BridgeStatus]
    unknown: Mapping[int, str]
    locations: tuple[LocationStatus, ...]
    alarms: tuple[Alarm, ...] = ()
    spoken: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    multicast: Mapping[str, MulticastStatus] = field(default_factory=dict)

    @property
    def config_error(self) -> str | None:
        """The problems of the file in one line; None: it is in force."""
        return "; ".join(map(str, self.config_problems)) or None


def locations(state: State) -> Iterable[LocationStatus]:
    """Every station whose place is known, fixed ones first."""
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


def port_names(state: State) -> Mapping[Place, str]:
    """The ports of the file by their places."""
    return {Place(port.host, port.interface): port.name for port in state.overlay.ports.values()}
