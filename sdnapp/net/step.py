"""How an event changes what is known: ``step``, from one state to the next.

What a bridge must hold depends on the current state alone, never on the order in which things happened.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial

from sdnapp.net import fdb, loop_protection, multicast_snooping
from sdnapp.net.binding import bind
from sdnapp.net.encap import EncapState, TxPath
from sdnapp.net.events import (
    BridgeFound,
    BridgeReadBack,
    Configured,
    ContestOver,
    EncapProgrammed,
    Event,
    FdbKey,
    GracePeriodExpired,
    GroupsHeard,
    KeysReleased,
    LoopFound,
    LoopsAged,
    MacLimitTimerExpired,
    MacUnfrozen,
    MulticastTick,
    PortReleased,
    PortsFound,
    PortsLost,
    SourceExpired,
    SourcesSeen,
    TxDrained,
)
from sdnapp.net.fdb import Learned, PortRef, RecoveredEntry, reuse_equal
from sdnapp.net.igmp_mld import Query
from sdnapp.net.model import Overlay
from sdnapp.net.multicast_snooping import Multicast, RecoveredGroup
from sdnapp.net.network_rename import apply_renames, detect_renames
from sdnapp.net.port_move import effective_overlay
from sdnapp.net.querying import may_ask
from sdnapp.net.state import Ports, State, port_ref

NO_NETWORK = ""
"""Claims a key that means nothing now."""

MAX_KEY = 2**24 - 1
"""Of VXLAN and Geneve; GRE has more (RFC 7348 §5, RFC 8926 §3.4, RFC 2890 §2.1)."""


def step(state: State, event: Event) -> State:
    """The state after the event; the same object if it changes nothing."""
    match event:
        case Configured(overlay):
            return _configure(state, overlay)
        case BridgeFound() | PortsFound() | PortsLost():
            return _see_ports(state, event)
        case ContestOver(host, since):
            return _uncontested(state, host) if state.contested.get(host) == since else state
        case SourcesSeen() | SourceExpired() | BridgeReadBack() | MacUnfrozen() | MacLimitTimerExpired():
            learned = _learn(state, event)
            read = state.read | {event.host} if isinstance(event, BridgeReadBack) else state.read
            groups = _recall_groups(state, event) if isinstance(event, BridgeReadBack) else state.multicast
            same = learned is state.learned and groups is state.multicast and read == state.read
            return state if same else replace(state, learned=learned, multicast=groups, read=read)
        case LoopFound() | LoopsAged() | PortReleased():
            return _hold(state, event)
        case GroupsHeard() | MulticastTick():
            groups = _hear_groups(state, event)
            return state if groups is state.multicast else replace(state, multicast=groups)
        case EncapProgrammed(host, dialect):
            return _confirm(state, host, dialect)
        case TxDrained(speeches):
            return _fade(state, speeches)
        case GracePeriodExpired(overlay):
            return _renew_claims(replace(state, settled=True)) if overlay is state.wanted else state
        case KeysReleased(overlay):
            return _released(state) if overlay is state.wanted else state


def _configure(state: State, wanted: Overlay) -> State:
    """Ports, learned locations and what bridges confirmed outlive the change where they still make sense."""
    interfaces = {host: ports.number for host, ports in state.bridges.items()}
    unbound = effective_overlay(wanted, state.overlay, interfaces)
    overlay = bind(unbound, {host: ports.noted for host, ports in state.bridges.items()})
    fresh = _with_same_parts(state, State.of(overlay, state.bridges.keys(), state.shares))
    names = detect_renames(state, fresh)
    known = replace(
        fresh,
        loops=state.loops,
        wanted=wanted,
        moving=unbound is not wanted,
        bridges={h: _same_ports(state, overlay, h) for h in state.bridges if h in overlay.hosts},
        read=state.read & overlay.hosts.keys(),
        contested={host: since for host, since in state.contested.items() if host in overlay.hosts},
        claims={key: names.get(path, path) for key, path in state.claims.items()} if names else state.claims,
        confirmed={
            h: apply_renames(dialect, names) for h, dialect in state.confirmed.items() if h in overlay.hosts
        },
        fading=frozenset(speech for speech in state.fading if speech.listener in overlay.hosts),
        settled=state.settled and wanted is state.wanted,
    )
    known = _without_gone(known)
    learned = fdb.seed_from_static(fdb.prune(state.learned, known), known, _unfixed(state, known))
    groups = multicast_snooping.prune_groups(state.multicast, partial(_snoops, known))
    return _renew_claims(replace(known, learned=learned, multicast=groups, addresses=state.addresses))


def _unfixed(before: State, now: State) -> Iterator[fdb.Sighted]:
    """Stations of which it was certain where they are, and is not any more."""
    for network, stations in before.static.items():
        fixed = now.static.get(network, fdb.NO_ENTRIES)
        if fixed is not stations:
            yield from (
                (network, mac, station.place) for mac, station in stations.items() if mac not in fixed
            )


def _with_same_parts(before: State, now: State) -> State:
    """Of what is equal, the very objects of before: what follows from them need not be worked out again."""
    return replace(
        now,
        members=reuse_equal(before.members, now.members),
        having=reuse_equal(before.having, now.having),
        static=reuse_equal(before.static, now.static),
        networks=reuse_equal(before.networks, now.networks),
        mac_age=before.mac_age if before.mac_age == now.mac_age else now.mac_age,
        paths=reuse_equal(before.paths, now.paths),
        here=reuse_equal(before.here, now.here),
    )


def _same_ports(state: State, overlay: Overlay, host: str) -> Ports:
    before = state.bridges[host]
    if state.overlay.hosts.get(host) == overlay.hosts[host]:
        return before
    ports = Ports.of(before.number, overlay.hosts[host], before.dead)
    return before if ports == before else ports


def _renew_claims(state: State) -> State:
    """Renew the owners of tunnel keys. A claim ends when the file no longer makes it and no bridge sends by
    it.
    """
    if state.claims is state.paths:
        return state
    if state.overlay.controller.per_host:
        return _renew_alone(state)
    in_use = {(way.key, path) for said in state.confirmed.values() for (path, _), way in said.speaks.items()}
    in_use |= {(speech.way.key, speech.network) for speech in state.fading}
    unheard = not state.settled and not state.overlay.hosts.keys() <= state.confirmed.keys()
    kept = {
        key: path
        for key, path in state.claims.items()
        if state.paths.get(key) == path or (key, path) in in_use or unheard
    }
    claims: Mapping[int, str] = {**state.paths, **kept}
    # The very same as paths says that no key is changing.
    claims = state.paths if claims == state.paths else _with_spares(state, claims)
    same = claims is state.claims or (claims is not state.paths and claims == state.claims)
    return state if same else replace(state, claims=claims)


def _renew_alone(state: State) -> State:
    """Renew owners where no other host is seen: after a time, others are assumed to have read the file.

    Until then a key means what it did. One that another network has then means nothing for a while, so that
    no host sends it for one network while another accepts it for the other.
    """
    claims = dict(state.paths)
    for key, path in state.claims.items():
        if not state.settled:
            claims[key] = path
        elif state.paths.get(key, path) != path:
            claims[key] = NO_NETWORK
    same = claims == state.paths
    return replace(state, claims=state.paths if same else state.claims if claims == state.claims else claims)


def _released(state: State) -> State:
    """Every key means what the file says, or still what it did where others may yet have to read the file."""
    return replace(state, claims=state.paths) if state.settled else state


def _with_spares(state: State, claims: Mapping[int, str]) -> Mapping[int, str]:
    """Networks that exchange their keys would wait for each other forever: a spare key lets them go round."""
    holding: dict[str, list[int]] = {}
    for key, path in claims.items():
        holding.setdefault(path, []).append(key)
    spares = (key for key in range(MAX_KEY, 0, -1) if key not in claims)
    needed = {
        next(spares): path
        for key, path in state.paths.items()
        if claims[key] != path and all(held in state.paths for held in holding.get(path, [0]))
    }
    return {**claims, **needed} if needed else claims


def _confirm(state: State, host: str, dialect: EncapState) -> State:
    before = state.confirmed.get(host)
    if before == dialect or host not in state.overlay.hosts:
        return state
    ended = frozenset() if before is None else before.stopped_tx(host, dialect)
    confirmed = {**state.confirmed, host: dialect}
    return _renew_claims(replace(state, confirmed=confirmed, fading=state.fading | ended))


def _fade(state: State, speeches: frozenset[TxPath]) -> State:
    return _renew_claims(replace(state, fading=state.fading - speeches))


def _see_ports(state: State, event: BridgeFound | PortsFound | PortsLost) -> State:
    before = state.ports(event.host)
    match event:
        case BridgeFound(host, ports, dead, contested):
            if contested is not None:
                state = replace(state, contested={**state.contested, host: contested})
            return _set_ports(state, host, ports, dead)
        case PortsFound(host, found, dead):
            dead |= before.dead - {interface for interface, _ in found}
            return _set_ports(state, host, _found(before, found), dead)
        case PortsLost(host, gone):
            number = {name: number for name, number in before.number.items() if name not in gone}
            return _set_ports(state, host, number, before.dead)


def _found(before: Ports, found: Iterable[tuple[str, int]]) -> Mapping[str, int]:
    """No two ports have one number: that another has it now is news of the one that had it."""
    number, name = dict(before.number), dict(before.name)
    for interface, ofport in found:
        for gone in number.keys() & {interface, name.get(ofport, interface)}:
            del name[number.pop(gone)]
        number[interface], name[ofport] = ofport, interface
    return number


def _set_ports(state: State, host: str, number: Mapping[str, int], dead: frozenset[str]) -> State:
    before, ports = state.ports(host), Ports.of(number, state.overlay.hosts[host], dead)
    if host in state.bridges and ports == before:
        return state
    gone = before.number.keys() - number.keys()
    known = replace(state, bridges={**state.bridges, host: ports})
    first = bool(state.overlay.bound) and host not in state.bridges
    if state.moving or first or ports.noted != before.noted:  # a port that moves may have arrived
        return _configure(known, state.wanted)
    return _sound(_without_gone(known)) if gone else known


def _uncontested(state: State, host: str) -> State:
    return _sound(replace(state, contested={h: at for h, at in state.contested.items() if h != host}))


def _sound(state: State) -> State:
    """Remove learned entries and group members at ports that are gone."""
    groups = multicast_snooping.prune_groups(state.multicast, partial(_snoops, state))
    return replace(state, learned=fdb.prune(state.learned, state), multicast=groups)


def _without_gone(state: State) -> State:
    """A port that is gone or not protected any more is not held down."""
    loops = loop_protection.sound(state.loops, state.may_hold)
    return state if loops is state.loops else replace(state, loops=loops)


def _hold(state: State, event: LoopFound | LoopsAged | PortReleased) -> State:
    """Remove learned entries and group members of a port that is held down."""
    match event:
        case LoopFound(network, ends, now):
            hold = float(state.overlay.loop_hold)
            loops = loop_protection.found(state.loops, network, ends, state.may_hold, hold, now)
        case LoopsAged(now):
            loops = loop_protection.aged(state.loops, now)
        case PortReleased(place):
            loops = loop_protection.released(state.loops, place)
    if loops is state.loops:
        return state
    known = replace(state, loops=loops)
    return known if loops.held.keys() <= state.loops.held.keys() else _sound(known)


def _learn(
    state: State, event: SourcesSeen | SourceExpired | BridgeReadBack | MacUnfrozen | MacLimitTimerExpired
) -> Learned:
    learned = state.learned
    match event:
        case SourcesSeen(host, sightings, now):
            return fdb.learn(learned, state, _locate(state, host, sightings), now)
        case SourceExpired(host, sightings):
            return fdb.age_out(learned, _locate(state, host, sightings))
        case BridgeReadBack(host, memories, crowded):
            told = (
                RecoveredEntry(*located, memory.moves, memory.denied)
                for memory in memories
                for located in _locate(state, host, (memory.sighting,))
            )
            places = filter(None, (port_ref(state, host, ofport) for ofport in crowded))
            final = host not in state.contested
            return fdb.restore(learned, state, host, read=state.read, told=told, crowded=places, final=final)
        case MacUnfrozen(network, mac, since):
            frozen = (network, mac) in learned.frozen and learned.frozen[network, mac] == since
            return fdb.unfreeze(learned, network, mac) if frozen else learned
        case MacLimitTimerExpired(place):
            return fdb.resume_learning(learned, place)


def _hear_groups(state: State, event: GroupsHeard | MulticastTick) -> Multicast:
    if isinstance(event, MulticastTick):
        return multicast_snooping.expire(state.multicast, event.now)
    network, place = state.paths.get(event.vni), port_ref(state, event.host, event.ofport)
    if network is None or place is None or not _snoops(state, network, place):
        return state.multicast
    if isinstance(event.message, Query) and not may_ask(state, network, place, event.message):
        return state.multicast
    return multicast_snooping.on_message(state.multicast, network, place, event.message, event.now)


def _snoops(state: State, network: str, place: PortRef) -> bool:
    return state.networks[network].multicast == "snoop" and state.exists(network, place)


def _recall_groups(state: State, event: BridgeReadBack) -> Multicast:
    told = []
    for vni, family, mac, queriers, ofports in event.groups:
        network = state.paths.get(vni)
        if network is not None:
            at = filter(None, (port_ref(state, event.host, ofport) for ofport in ofports))
            places = tuple(place for place in at if _snoops(state, network, place))
            told.append(RecoveredGroup(network, family, mac, queriers, places))
    young = not state.settled
    return multicast_snooping.restore_groups(
        state.multicast, event.host, state.read, told, event.now, young=young
    )


def _locate(state: State, host: str, sightings: Iterable[FdbKey]) -> Iterator[fdb.Sighted]:
    """Network, MAC and place that a bridge's numbers mean, where they mean anything (any more)."""
    for vni, mac, ofport in sightings:
        network, place = state.paths.get(vni), port_ref(state, host, ofport)
        if network is not None and place is not None and state.exists(network, place):
            yield network, mac, place
