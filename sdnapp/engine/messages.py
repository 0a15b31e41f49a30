"""Events that the engine takes, and effects that it returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any

from flows.diff import Plan
from flows.flow import Flow, FlowKey, Meter
from flows.tables import Table
from sdnapp.config import Problem
from sdnapp.net.events import (
    ContestOver,
    EncapProgrammed,
    FdbKey,
    GracePeriodExpired,
    KeysReleased,
    LoopsAged,
    MacLimitTimerExpired,
    MacUnfrozen,
    MulticastTick,
    RecoveredFdb,
    RecoveredGroupFlow,
    TxDrained,
)
from sdnapp.net.model import Overlay
from sdnapp.net.neighbors import RecoveredNeighbor


@dataclass(frozen=True, slots=True)
class OfConnection:
    """Something that one connection of a bridge said, or that is for it alone.

    ``connection``: its serial, which no later connection has, of this bridge or another. What does not belong
    to the connection that the bridge has now counts for nothing.
    """

    dpid: int
    _: KW_ONLY
    connection: int = 0


@dataclass(frozen=True, slots=True)
class Connected(OfConnection):
    """A bridge connected and listed its ports. ``now``: seconds since the epoch. ``dead``: tunnels that are
    down by BFD. ``contested``: it replaces a connection that the far end had not closed.
    """

    address: str
    ports: Mapping[str, int]
    now: float
    dead: frozenset[str] = frozenset()
    contested: bool = False


@dataclass(frozen=True, slots=True)
class Disconnected(OfConnection):
    """The connection of a bridge ended."""


@dataclass(frozen=True, slots=True)
class PortChanged(OfConnection):
    """A port was added or modified; ``ofport`` is None when it was removed. ``dead``: the tunnel is down by
    BFD.
    """

    interface: str
    ofport: int | None
    dead: bool = False


@dataclass(frozen=True, slots=True)
class SourceSeen(OfConnection):
    """A frame with an unknown source reached the controller. ``now``: seconds since the epoch."""

    sighting: FdbKey
    now: float


@dataclass(frozen=True, slots=True)
class PacketIn(OfConnection):
    """A frame that a table handed to the controller, for what it says rather than for its source.

    ``vni``: the network that it belongs to. ``now``: seconds since the epoch.
    """

    table: Table
    vni: int
    ofport: int
    data: bytes
    now: float


@dataclass(frozen=True, slots=True)
class FdbFlowExpired(OfConnection):
    """The flow of a source expired, and so is gone."""

    sighting: FdbKey
    gone: FlowKey


@dataclass(frozen=True, slots=True)
class NeighborFlowExpired(OfConnection):
    """The flow of a claim to an address expired; it was ``gone``."""

    memory: RecoveredNeighbor
    gone: FlowKey


@dataclass(frozen=True, slots=True)
class BridgeRead(OfConnection):
    """All that a bridge holds: identities of its flows, its meters, what it remembers of sources, the ports
    of which it does not look at them any more, what it remembers of multicast and of addresses.

    ``now``: seconds since the epoch. ``monitored``: from now on it says what others do to its flows.
    ``foreign``: groups of OpenFlow.
    """

    flows: frozenset[FlowKey]
    meters: frozenset[Meter]
    memories: tuple[RecoveredFdb, ...]
    crowded: tuple[int, ...] = ()
    groups: tuple[RecoveredGroupFlow, ...] = ()
    now: float = 0.0
    monitored: bool = True
    addresses: tuple[RecoveredNeighbor, ...] = ()
    foreign: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Rejection:
    """The bridge refused this flow or meter; None: it refused the plan for no reason of a single one."""

    what: Flow | Meter | None
    reason: str


@dataclass(frozen=True, slots=True)
class PlanApplied(OfConnection):
    """The barrier behind a plan came back. With rejections, none of its flows took effect."""

    rejections: tuple[Rejection, ...]


@dataclass(frozen=True, slots=True)
class DriftDetected(OfConnection):
    """Another program changed flows, meters or groups; ``altered``: flows that keep their identity."""

    count: int
    altered: frozenset[FlowKey]


@dataclass(frozen=True, slots=True)
class Described(OfConnection):
    """The description that a bridge has of itself."""

    text: str


@dataclass(frozen=True, slots=True)
class ConfigChanged:
    """There is a new good configuration; ``text`` is the file that says so."""

    overlay: Overlay
    text: bytes = b""


@dataclass(frozen=True, slots=True)
class ConfigRejected:
    """The configuration file is no good; the last good one stays in force."""

    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class StartupGraceExpired:
    """Every bridge that is there had the time to connect."""


@dataclass(frozen=True, slots=True)
class DescriptionsDue:
    """It is time to ask bridges for their descriptions."""


@dataclass(frozen=True, slots=True)
class AnnouncementsDue:
    """It is time to look at which addresses are to be announced."""


Timed = (
    TxDrained
    | GracePeriodExpired
    | KeysReleased
    | EncapProgrammed
    | ContestOver
    | MacUnfrozen
    | MacLimitTimerExpired
    | MulticastTick
    | LoopsAged
)
"""Events of the state that come of time alone."""


@dataclass(frozen=True, slots=True)
class TimerFired:
    """The time that ``StartTimer`` asked for is over."""

    event: AnnouncementsDue | DescriptionsDue | StartupGraceExpired | Timed


@dataclass(frozen=True, slots=True)
class ThawAsked:
    """An operator unfreezes a MAC."""

    network: str
    mac: str


@dataclass(frozen=True, slots=True)
class ReleaseAsked:
    """An operator wants a port that is held down to be released."""

    port: str


FromBridge = (
    PortChanged
    | SourceSeen
    | PacketIn
    | FdbFlowExpired
    | NeighborFlowExpired
    | BridgeRead
    | PlanApplied
    | DriftDetected
    | Described
)
Event = (
    FromBridge
    | Connected
    | Disconnected
    | ConfigChanged
    | ConfigRejected
    | TimerFired
    | ThawAsked
    | ReleaseAsked
)


@dataclass(frozen=True, slots=True)
class Read(OfConnection):
    """Read back what the bridge holds, and have it say from then on what others do to it."""


@dataclass(frozen=True, slots=True)
class Describe(OfConnection):
    """Ask the bridge for its description."""


@dataclass(frozen=True, slots=True)
class Send(OfConnection):
    """Send the plan, in one piece. ``known_meters``: ids of meters that the bridge has already."""

    plan: Plan
    known_meters: frozenset[int]


@dataclass(frozen=True, slots=True)
class PacketOut(OfConnection):
    """A frame leaves the bridge on this port."""

    ofport: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Inject(OfConnection):
    """A frame enters the bridge as if this port had received it: it goes through all tables."""

    ofport: int
    data: bytes


@dataclass(frozen=True, slots=True)
class LogEvent:
    """One line for the log. ``detail``: at level DEBUG."""

    event: str
    fields: Mapping[str, Any]
    warning: bool = False
    detail: bool = False


@dataclass(frozen=True, slots=True)
class StartTimer:
    """Deliver ``event`` to the engine after so many seconds."""

    seconds: float
    event: TimerFired


@dataclass(frozen=True, slots=True)
class PersistConfig:
    """This file is in force: keep it for the next start of the controller."""

    text: bytes


Task = Read | Send | Describe
"""What a bridge is asked for, one after the other; each has an event for its answer."""

Effect = Task | PacketOut | Inject | LogEvent | StartTimer | PersistConfig
