"""IGMP and MLD snooping (RFC 4541), as a value.

Without a querier hosts send no reports, so a network floods multicast until a querier was seen and all
listeners have had the time to answer it. From then on a group goes to its listeners and to router ports,
until the querier expires. Times are in seconds, and always arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple

from sdnapp.net.fdb import PortRef, reuse_equal
from sdnapp.net.igmp_mld import QUERY_INTERVAL, ROBUSTNESS, Family, Query, Report, mac_of

MARGIN = 2.0
"""Added to the time that hosts may take to answer the first query."""
LAST_MEMBER = 3.0
"""After a host left a group, others at its place have so long to say that they are still there: two queries
a second apart (RFC 3376 §8.8), and the way.
"""
MAX_MEMBERS = 4096
"""Of one network and family. With more of them its multicast is flooded: a full table must cost no packets.
"""
QUERIERS = 16
MEMBERSHIP_INTERVAL = ROBUSTNESS * QUERY_INTERVAL + 10.0
"""For what a bridge remembers: Group Membership Interval with its defaults (RFC 3376 §8.4)."""


@dataclass(frozen=True, slots=True)
class SnoopingState:
    """State of one address family in one network.

    ``pending``: when all listeners will have had the time to answer; None: that time is over. ``membership``:
    seconds that a report is valid. ``routers``: ports with queriers; ``queriers``: their MACs. ``listeners``:
    expiry by group, or by its MAC where it was read back from a bridge, and by port.
    """

    pending: float | None
    membership: float
    routers: Mapping[PortRef, float]
    queriers: Mapping[str, float]
    listeners: Mapping[tuple[str, PortRef], float]


@dataclass(frozen=True, slots=True)
class Groups:
    """Groups of an address family in a network. ``members``: ports by the group's MAC; None: multicast is
    flooded.
    """

    routers: frozenset[PortRef]
    queriers: frozenset[str]
    members: Mapping[str, frozenset[PortRef]] | None


GroupsByFamily = Mapping[Family, Groups]
"""Of one network; a family without a querier is not in it."""


@dataclass(frozen=True, slots=True)
class Multicast:
    """Snooping state by network and family, and by network what its bridges need of it."""

    listening: Mapping[tuple[str, Family], SnoopingState] = field(default_factory=dict)
    known: Mapping[str, GroupsByFamily] = field(default_factory=dict)


NO_MULTICAST = Multicast()


class RecoveredGroup(NamedTuple):
    """Multicast state read back from a bridge: router ports and queriers of a network and family, or the
    ports of a group (``mac``).
    """

    network: str
    family: Family
    mac: str | None
    queriers: tuple[str, ...]
    places: tuple[PortRef, ...]


def on_message(
    before: Multicast, network: str, place: PortRef, message: Query | Report, now: float
) -> Multicast:
    """After a message that came in at this place.

    Groups go to their listeners alone once all have had the time to answer a general query (RFC 4541 section
    2.1.1): one about a single group begins nothing.
    """
    key = (network, message.family)
    listening = before.listening.get(key)
    if isinstance(message, Query):
        if listening is None and not message.general:
            return before
        if listening is None:
            pending = now + message.response + MARGIN
            listening = SnoopingState(pending, message.membership, {}, {}, {})
        listening = _queried(listening, place, message, now)
    elif listening is not None:
        listening = _reported(listening, place, message, now)
    else:
        return before
    return _with(before, {key: listening})


def _queried(before: SnoopingState, place: PortRef, query: Query, now: float) -> SnoopingState:
    """One query never shortens what another allowed: its sender may not be the only querier."""
    until = now + query.presence
    queriers = {**before.queriers, query.source: max(until, before.queriers.get(query.source, until))}
    if len(queriers) > QUERIERS:
        queriers.pop(min(queriers, key=queriers.__getitem__))
    membership = max(query.membership, before.membership) if query.general else before.membership
    routers = {**before.routers, place: max(until, before.routers.get(place, until))}
    return replace(before, routers=routers, queriers=queriers, membership=membership)


def _reported(before: SnoopingState, place: PortRef, report: Report, now: float) -> SnoopingState:
    listeners = dict(before.listeners)
    for group in report.joins:
        if (group, place) in listeners or len(listeners) <= MAX_MEMBERS:
            listeners[group, place] = now + before.membership
    for group in report.leaves:
        for name in (group, mac_of(group)):
            if (until := listeners.get((name, place))) is not None:
                listeners[name, place] = min(until, now + LAST_MEMBER)
    return replace(before, listeners=listeners)


def expire(before: Multicast, now: float) -> Multicast:
    """What still holds now; the same object if all of it does."""
    return _with(before, {key: _without_old(old, now) for key, old in before.listening.items()})


def _without_old(old: SnoopingState, now: float) -> SnoopingState:
    parts = (old.routers, old.queriers, old.listeners)
    pending = old.pending if old.pending is not None and old.pending > now else None
    if pending == old.pending and all(until > now for part in parts for until in part.values()):
        return old
    routers = {place: until for place, until in old.routers.items() if until > now}
    queriers = {mac: until for mac, until in old.queriers.items() if until > now}
    listeners = {listener: until for listener, until in old.listeners.items() if until > now}
    return SnoopingState(pending, old.membership, routers, queriers, listeners)


def prune_groups(before: Multicast, exists: Callable[[str, PortRef], bool]) -> Multicast:
    """Without places that are no more."""
    kept = {key: _only(old, partial(exists, key[0])) for key, old in before.listening.items()}
    return _with(before, kept)


def _only(old: SnoopingState, there: Callable[[PortRef], bool]) -> SnoopingState:
    if all(map(there, {*old.routers, *(place for _, place in old.listeners)})):
        return old
    routers = {place: until for place, until in old.routers.items() if there(place)}
    listeners = {(group, at): until for (group, at), until in old.listeners.items() if there(at)}
    return replace(old, routers=routers, listeners=listeners)


def restore_groups(
    before: Multicast,
    host: str,
    read: frozenset[str],
    told: Iterable[RecoveredGroup],
    now: float,
    *,
    young: bool,
) -> Multicast:
    """Restore what was read back from a bridge; it counts the first time only.

    State of a peer's ports counts until the peer itself was read back. Only a ``young`` controller takes a
    querier from it: later, the state of a bridge may be old.
    """
    if host in read:
        return before
    until = now + MEMBERSHIP_INTERVAL
    changed = {key: _only(old, lambda at: at != PortRef(host, None)) for key, old in before.listening.items()}
    for network, family, mac, queriers, places in sorted(told, key=lambda memory: memory.mac is not None):
        key = (network, family)
        if key not in changed and not young:
            continue
        old = changed.get(key, SnoopingState(None, MEMBERSHIP_INTERVAL, {}, {}, {}))
        news = [place for place in places if place.host == host or place.host not in read]
        routers, listeners = dict(old.routers), dict(old.listeners)
        for place in news:
            if mac is None:
                routers.setdefault(place, until)
            elif place not in routers:
                listeners.setdefault((mac, place), until)
        known = dict.fromkeys(queriers, until) | dict(old.queriers)
        changed[key] = replace(old, routers=routers, queriers=known, listeners=listeners)
    return _with(before, changed)


def _with(before: Multicast, news: Mapping[tuple[str, Family], SnoopingState]) -> Multicast:
    """With these, as far as there still is a router, and with what follows from them."""
    listening, known = dict(before.listening), dict(before.known)
    for (network, family), one in news.items():
        if one is before.listening.get((network, family)):
            continue
        families = dict(known.get(network, {}))
        if one.routers:
            listening[network, family], families[family] = one, _groups(one)
        else:
            listening.pop((network, family), None)
            families.pop(family, None)
        known[network] = families
    if listening == before.listening:
        return before
    known = {network: families for network, families in known.items() if families}
    return Multicast(listening, reuse_equal(before.known, known))


def _groups(listening: SnoopingState) -> Groups:
    members: dict[str, set[PortRef]] | None = None
    if listening.pending is None and len(listening.listeners) <= MAX_MEMBERS:
        members = {}
        for group, place in listening.listeners:
            members.setdefault(mac_of(group), set()).add(place)
    return Groups(
        frozenset(listening.routers),
        frozenset(listening.queriers),
        None if members is None else {mac: frozenset(places) for mac, places in members.items()},
    )
