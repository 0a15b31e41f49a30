"""FDB: where MACs were learned, which sources are blocked, and which ports exceeded their MAC limit.

A MAC that is seen at another port has moved, at once. Moves are numbered as in RFC 7432 section 7.7: of two
entries, that of the later move wins, in whatever order they are read. A MAC that moves too often is frozen
where it is (section 15.1): frames from it at other ports, or from a MAC of the file elsewhere, are dropped
there (*denied*), so that they cause no packet-in. A port with more MACs than its limit learns nothing for a
while (*crowded*).

Everything here is a value; what the configuration says comes from a ``Topology``. Time is an argument, in
seconds, and only differences count.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, TypeVar

from sdnapp.net.model import DuplicateMacDetection

MOVE_HOLDDOWN = 0.05
"""Seconds after a move in which no other counts: such sightings were made before it, or at the same time."""
REMOTE_ONLY = -1
"""Number of a move read from another host's bridge; that of the MAC's own host is preferred."""
MAX_MACS_PER_PEER = 16_384
"""How many MACs may be learned behind one peer, however many its ports may have."""

K = TypeVar("K")
V = TypeVar("V")


class PortRef(NamedTuple):
    """Where a station lives: on an interface of a host; None: somewhere behind that host's tunnel."""

    host: str
    interface: str | None


class FdbEntry(NamedTuple):
    """Where a MAC lives. ``moves``: the number of its last move; ``moved``: when, lately."""

    place: PortRef
    moves: int = 0
    moved: tuple[float, ...] = ()


class RecoveredEntry(NamedTuple):
    """Source read back from a bridge: learned there, or blocked there."""

    network: str
    mac: str
    place: PortRef
    moves: int
    denied: bool


FdbTable = Mapping[str, FdbEntry]
"""Of one network, by MAC."""
NO_ENTRIES: FdbTable = {}
BlockedSources = Mapping[str, frozenset[PortRef]]
"""Of one network, by MAC: the places where it is not believed."""
NONE_BLOCKED: BlockedSources = {}


@dataclass(frozen=True, slots=True)
class Learned:
    """``stations`` and ``denied``: by network. ``frozen``: stations that may not move, by network and MAC,
    each with when that began; None: before this controller did. ``crowded``: places where no more is learned.
    ``held``: how many MACs are learned or denied at each place, never more than its limit when they came.
    """

    stations: Mapping[str, FdbTable] = field(default_factory=dict)
    denied: Mapping[str, BlockedSources] = field(default_factory=dict)
    frozen: Mapping[tuple[str, str], float | None] = field(default_factory=dict)
    crowded: frozenset[PortRef] = frozenset()
    held: Mapping[PortRef, int] = field(default_factory=dict)


NOTHING_LEARNED = Learned()


class Topology(Protocol):
    """What the configuration says about learning."""

    @property
    def flap(self) -> DuplicateMacDetection:
        """How often a station may move."""

    def fixed(self, network: str, mac: str) -> PortRef | None:
        """Where the file puts this MAC."""

    def exists(self, network: str, place: PortRef) -> bool:
        """Whether the network is at this place."""

    def limit(self, place: PortRef) -> int | None:
        """How many MACs may be learned there; None if there is no such place."""


Sighted = tuple[str, str, PortRef]
"""A MAC was seen: network, MAC, place."""


def learn(learned: Learned, ground: Topology, sighted: Iterable[Sighted], now: float) -> Learned:
    """Learn sources that their bridge had no entry for."""
    draft = _Draft(learned)
    for network, mac, place in sighted:
        home, station = ground.fixed(network, mac), draft.station(network, mac)
        believed = home or (None if station is None else station.place)
        if place in draft.crowded or place in draft.places_denied(network, mac) or _is_at(believed, place):
            continue
        kept = home is not None or (station is not None and (network, mac) in draft.frozen)
        if not kept and station is not None and _too_soon(station, now):
            continue
        if draft.held.get(place, 0) >= (ground.limit(place) or 0):
            draft.crowded.add(place)
        elif kept:
            draft.deny(network, mac, place)
        elif station is None:
            draft.thaw(network, mac)
            draft.settle(network, mac, FdbEntry(place))
        else:
            moved = (*_lately(station, ground.flap, now), now)
            draft.settle(network, mac, FdbEntry(place, max(station.moves, 0) + 1, moved))
            if len(moved) >= ground.flap.max_moves:
                draft.frozen[network, mac] = now
    return draft.done()


def _is_at(believed: PortRef | None, place: PortRef) -> bool:
    """Whether the entry is at that place already; behind a tunnel, interfaces are not known."""
    return believed is not None and place in (believed, PortRef(believed.host, None))


def _too_soon(station: FdbEntry, now: float) -> bool:
    return bool(station.moved) and abs(now - station.moved[-1]) < MOVE_HOLDDOWN


def _lately(station: FdbEntry, flap: DuplicateMacDetection, now: float) -> tuple[float, ...]:
    return tuple(at for at in station.moved if abs(now - at) < flap.period)


def age_out(learned: Learned, unheard: Iterable[Sighted]) -> Learned:
    """Remove sources whose flows expired.

    On a port that exceeded its MAC limit no source is looked up, so expiry means nothing there.
    """
    draft = _Draft(learned)
    for network, mac, place in unheard:
        if place in learned.crowded:
            continue
        station = draft.station(network, mac)
        if station is not None and station.place == place:
            draft.forget(network, mac)
        draft.admit(network, mac, place)
    return draft.done()


def unfreeze(learned: Learned, network: str, mac: str) -> Learned:
    """A station may move again, as if it never had."""
    draft = _Draft(learned)
    draft.thaw(network, mac)
    station = draft.station(network, mac)
    if station is not None:
        draft.settle(network, mac, station._replace(moved=()))
    return draft.done()


def resume_learning(learned: Learned, place: PortRef) -> Learned:
    """Learn at the port again, after the time of its MAC limit."""
    draft = _Draft(learned)
    draft.crowded.discard(place)
    return draft.done()


def restore(
    learned: Learned,
    ground: Topology,
    host: str,
    *,
    read: frozenset[str],
    told: Iterable[RecoveredEntry],
    crowded: Iterable[PortRef],
    final: bool = True,
) -> Learned:
    """Restore what was read back from a bridge. ``read``: hosts whose bridges were read before.

    For its own ports the bridge decides: what it lacks is removed. For a peer's ports its entries count until
    the peer was read. Where two disagree, the later move wins (RFC 7432 section 15), then the lower name.
    Blocked sources and MAC limits are taken the first time only.

    Not ``final``: nothing is removed. Flows that the bridge lacks are added, and age if no traffic confirms
    them.
    """
    draft = _Draft(learned)
    told = [each for each in told if each.place.host == host or each.place.host not in read]
    _recall_stations(draft, ground, host if final else None, told)
    denied = {(each.network, each.mac, each.place) for each in told if each.denied}
    for gone in frozenset(_denials(learned)) - denied:
        if final and gone[2].host == host:
            draft.admit(*gone)
    if host not in read:
        draft.frozen |= {(n, mac): None for n, mac, _ in denied if (n, mac) not in draft.frozen}
        draft.crowded |= frozenset(crowded)
    for each in denied:
        if _may_be_denied(draft, ground, *each):
            draft.deny(*each)
    return draft.done()


def _recall_stations(
    draft: _Draft, ground: Topology, final: str | None, told: Iterable[RecoveredEntry]
) -> None:
    """Restore entries. ``final``: the host whose entries that were not read are removed."""
    claims: dict[tuple[str, str], FdbEntry] = {}
    for network, mac, place, moves, denied in told:
        if not denied and ground.fixed(network, mac) is None:
            claim, other = FdbEntry(place, moves), claims.get((network, mac))
            claims[network, mac] = claim if other is None else min(claim, other, key=_rank)
    for network, stations in draft.was.stations.items():
        for mac, station in stations.items():
            if station.place.host == final and (network, mac) not in claims:
                draft.forget(network, mac)
    for (network, mac), claim in claims.items():
        known = draft.station(network, mac)
        if known is None or _rank(claim) < _rank(known):
            draft.settle(network, mac, claim)


def _rank(station: FdbEntry) -> tuple[int, str, bool, str]:
    """Order of two entries; the lower one wins: on one host, that with a known port."""
    host, interface = station.place
    return (-station.moves, host, interface is None, interface or "")


def _denials(learned: Learned) -> Iterator[Sighted]:
    for network, by_mac in learned.denied.items():
        for mac, places in by_mac.items():
            for place in sorted(places, key=str):
                yield network, mac, place


def _may_be_denied(known: Learned | _Draft, ground: Topology, network: str, mac: str, place: PortRef) -> bool:
    """Whether the MAC belongs elsewhere: by the file, or frozen."""
    home = ground.fixed(network, mac)
    station = known.stations.get(network, NO_ENTRIES).get(mac)
    believed = home or (None if station is None else station.place)
    return (home is not None or (network, mac) in known.frozen) and not _is_at(believed, place)


def seed_from_static(learned: Learned, ground: Topology, sighted: Iterable[Sighted]) -> Learned:
    """Keep MACs that were static until now where they were, as learned, if the port permits it."""
    draft = _Draft(learned)
    for network, mac, place in sighted:
        if ground.exists(network, place) and draft.station(network, mac) is None:
            draft.settle(network, mac, FdbEntry(place))
    return draft.done()


def prune(learned: Learned, ground: Topology) -> Learned:
    """What can still be: the network is at that place, and nothing fixed says otherwise."""
    draft = _Draft(learned)
    for network, stations in learned.stations.items():
        for mac, station in stations.items():
            if ground.fixed(network, mac) is not None or not ground.exists(network, station.place):
                draft.forget(network, mac)
    draft.frozen = {key: since for key, since in draft.frozen.items() if ground.fixed(*key) is None}
    for network, mac, place in _denials(learned):
        if not ground.exists(network, place) or not _may_be_denied(draft, ground, network, mac, place):
            draft.admit(network, mac, place)
    for place in learned.crowded:
        limit = ground.limit(place)
        if limit is None or draft.held.get(place, 0) < limit:
            draft.crowded.discard(place)
    return draft.done()


class _Draft:
    """What is learned, while it changes: whatever changes is copied once, all else stays the very same."""

    def __init__(self, learned: Learned) -> None:
        self.was = learned
        self.stations = dict(learned.stations)
        self.denied = dict(learned.denied)
        self.frozen = dict(learned.frozen)
        self.crowded = set(learned.crowded)
        self.held = dict(learned.held)

    def station(self, network: str, mac: str) -> FdbEntry | None:
        return self.stations.get(network, NO_ENTRIES).get(mac)

    def places_denied(self, network: str, mac: str) -> frozenset[PortRef]:
        return self.denied.get(network, NONE_BLOCKED).get(mac, frozenset())

    def settle(self, network: str, mac: str, station: FdbEntry) -> None:
        """The station lives there now."""
        self._vacate(network, mac)
        _own(self.stations, self.was.stations, network)[mac] = station
        self.held[station.place] = self.held.get(station.place, 0) + 1
        self.admit(network, mac, station.place)

    def forget(self, network: str, mac: str) -> None:
        """Remove an entry. The MAC is no longer frozen: it may appear anywhere."""
        self._vacate(network, mac)
        self.thaw(network, mac)

    def thaw(self, network: str, mac: str) -> None:
        """Let a frozen MAC move, and unblock it everywhere."""
        if (network, mac) in self.frozen:
            del self.frozen[network, mac]
            for place in self.places_denied(network, mac):
                self.admit(network, mac, place)

    def deny(self, network: str, mac: str, place: PortRef) -> None:
        """Block the source there."""
        places = self.places_denied(network, mac)
        if place not in places:
            _own(self.denied, self.was.denied, network)[mac] = places | {place}
            self.held[place] = self.held.get(place, 0) + 1

    def admit(self, network: str, mac: str, place: PortRef) -> None:
        """Unblock the source there."""
        places = self.places_denied(network, mac)
        if place in places:
            denied = _own(self.denied, self.was.denied, network)
            denied[mac] = places - {place}
            if not denied[mac]:
                del denied[mac]
            self._leave(place)

    def done(self) -> Learned:
        """What came of it; the very same if nothing did."""
        was = self.was
        now = Learned(
            reuse_equal(was.stations, {path: inner for path, inner in self.stations.items() if inner}),
            reuse_equal(was.denied, {path: inner for path, inner in self.denied.items() if inner}),
            was.frozen if self.frozen == was.frozen else self.frozen,
            was.crowded if self.crowded == was.crowded else frozenset(self.crowded),
            was.held if self.held == was.held else self.held,
        )
        same = all(getattr(now, name) is getattr(was, name) for name in Learned.__slots__)
        return was if same else now

    def _vacate(self, network: str, mac: str) -> None:
        station = self.station(network, mac)
        if station is not None:
            del _own(self.stations, self.was.stations, network)[mac]
            self._leave(station.place)

    def _leave(self, place: PortRef) -> None:
        left = self.held[place] - 1
        self.held.pop(place)
        if left:
            self.held[place] = left


def _own(draft: dict[str, Mapping[str, V]], was: Mapping[str, Mapping[str, V]], network: str) -> dict[str, V]:
    """The mapping of this network, free to be changed."""
    mine = draft.get(network)
    if mine is None or mine is was.get(network):
        mine = draft[network] = dict(mine or {})
    assert isinstance(mine, dict)
    return mine


def reuse_equal(old: Mapping[K, V], new: Mapping[K, V]) -> Mapping[K, V]:
    """The new mapping; of what is equal, the very objects of the old one."""
    same = {}
    for key, value in new.items():
        was = old.get(key)
        same[key] = was if was is value or was == value else value  # == of one mapping looks at every item
    return old if len(same) == len(old) and all(old.get(k) is value for k, value in same.items()) else same
