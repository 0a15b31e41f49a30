"""What happens to the world, as values: what a bridge or the file says, and what time does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import NamedTuple

from sdnapp.net.encap import EncapState, TxPath
from sdnapp.net.fdb import PortRef
from sdnapp.net.igmp_mld import Family, Query, Report
from sdnapp.net.model import Overlay


class FdbKey(NamedTuple):
    """A bridge saw ``mac`` in the network with this VNI come in on this port."""

    vni: int
    mac: str
    ofport: int


class RecoveredFdb(NamedTuple):
    """FDB entry read back from a flow: the number of its last move (``REMOTE_ONLY`` where the tunnel alone is
    known), or that the source is blocked there.
    """

    sighting: FdbKey
    moves: int = 0
    denied: bool = False


class RecoveredGroupFlow(NamedTuple):
    """Multicast state that a bridge's flows hold, in its own port numbers."""

    vni: int
    family: Family
    mac: str | None
    queriers: tuple[str, ...]
    ofports: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Configured:
    """There is a new configuration."""

    overlay: Overlay


@dataclass(frozen=True, slots=True)
class BridgeFound:
    """A bridge connected; its ports, and the tunnels that are down by BFD.

    ``contested``: when, in seconds, if it replaced a connection that had not ended.
    """

    host: str
    ports: Mapping[str, int]
    dead: frozenset[str] = frozenset()
    contested: float | None = None


@dataclass(frozen=True, slots=True)
class ContestOver:
    """Time after a contested connection: what the bridge lacks counts as removed again."""

    host: str
    since: float


@dataclass(frozen=True, slots=True)
class PortsFound:
    """Ports appeared or changed their numbers, or tunnels went down or up by BFD (``dead``)."""

    host: str
    ports: Sequence[tuple[str, int]]
    dead: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class PortsLost:
    """Ports went away."""

    host: str
    interfaces: Set[str]


@dataclass(frozen=True, slots=True)
class SourcesSeen:
    """Source MACs without an FDB entry at that port. ``now``: in seconds."""

    host: str
    sightings: tuple[FdbKey, ...]
    now: float


@dataclass(frozen=True, slots=True)
class SourceExpired:
    """FDB flows expired: no frame from these sources within ``mac_age``."""

    host: str
    sightings: tuple[FdbKey, ...]


@dataclass(frozen=True, slots=True)
class BridgeReadBack:
    """A bridge was read back: its own sources, and some behind its tunnels.

    ``crowded``: ports that exceeded their MAC limit. ``groups``: multicast state. ``now``: in seconds.
    """

    host: str
    memories: tuple[RecoveredFdb, ...]
    crowded: tuple[int, ...] = ()
    groups: tuple[RecoveredGroupFlow, ...] = ()
    now: float = 0.0


@dataclass(frozen=True, slots=True)
class MacUnfrozen:
    """A station that was frozen then, or before this controller began, may move again."""

    network: str
    mac: str
    since: float | None


@dataclass(frozen=True, slots=True)
class LoopFound:
    """A probe that left by the first of these ports came in at the second. ``now``: in seconds."""

    network: str
    ends: tuple[PortRef, PortRef]
    now: float


@dataclass(frozen=True, slots=True)
class LoopsAged:
    """It is so late now, in seconds: ports may have been held down for long enough."""

    now: float


@dataclass(frozen=True, slots=True)
class PortReleased:
    """A port that is held down is not to be any more."""

    place: PortRef


@dataclass(frozen=True, slots=True)
class MacLimitTimerExpired:
    """A crowded place was left alone for long enough."""

    place: PortRef


@dataclass(frozen=True, slots=True)
class GroupsHeard:
    """A message about multicast groups came in on this port of the host's bridge. ``now``: in seconds."""

    host: str
    vni: int
    ofport: int
    message: Query | Report
    now: float


@dataclass(frozen=True, slots=True)
class MulticastTick:
    """Time in seconds, for multicast state to expire."""

    now: float


@dataclass(frozen=True, slots=True)
class EncapProgrammed:
    """The host's bridge confirmed this encapsulation state."""

    host: str
    dialect: EncapState


@dataclass(frozen=True, slots=True)
class TxDrained:
    """So long after their speakers stopped, nothing of these is on its way any more."""

    speeches: frozenset[TxPath]


@dataclass(frozen=True, slots=True)
class GracePeriodExpired:
    """Time after a configuration: hosts without a connection since then are not waited for."""

    overlay: Overlay


@dataclass(frozen=True, slots=True)
class KeysReleased:
    """Time after ``GracePeriodExpired`` after which hosts that are away use no former key either."""

    overlay: Overlay


Event = (
    Configured
    | BridgeFound
    | ContestOver
    | PortsFound
    | PortsLost
    | SourcesSeen
    | SourceExpired
    | BridgeReadBack
    | MacUnfrozen
    | MacLimitTimerExpired
    | LoopFound
    | LoopsAged
    | PortReleased
    | GroupsHeard
    | MulticastTick
    | EncapProgrammed
    | TxDrained
    | GracePeriodExpired
    | KeysReleased
)
