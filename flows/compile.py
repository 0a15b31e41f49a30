"""Compile a view to its program, in proportion to what changed.

A program consists of what every bridge has and what each network adds. With the last result at hand, a
network that is the same object costs nothing, and one with changed ports or locations costs these, and what
all of its ports share. The result equals that of compiling anew.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from itertools import chain, compress, count
from operator import attrgetter, is_not
from typing import Any, NamedTuple, TypeVar

from flows.features import (
    flooding,
    l2_forwarding,
    local_services,
    multicast_snooping,
    neighbor_suppression,
    port_security,
)
from flows.flow import (
    CONTROLLER_METER,
    EMPTY,
    Flow,
    FlowKey,
    Flows,
    Meter,
    Program,
    apply_delta,
    collect,
    shared,
)
from flows.tables import Table, enabled_tables
from flows.view import AddressConflict, BridgeView, Location, NeighborEntry, NetworkPort, NetworkView

Outcome = TypeVar("Outcome")
T = TypeVar("T")

STEP = 2_000
"""Flows that are compiled in some 5 ms."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """The program of a view, with what the next compilation needs.

    ``common``: what all ports of a network share, by VNI. ``rest``: flows of no network; ``basis``: what they
    depend on. ``changed``: a superset of the flows that differ from the last program; None: any. ``doubled``:
    two sources yielded the same flow, so it may not be removed because one of them is gone.
    """

    view: BridgeView
    program: Program
    basis: tuple[object, ...]
    rest: Flows
    common: Mapping[int, Flows]
    changed: Set[FlowKey] | None
    doubled: bool


EMPTY_COMPILED = Compiled(BridgeView((), (), False, 0, 0), EMPTY, (), {}, {}, None, doubled=False)


def compile_bridge(view: BridgeView) -> Program:
    """Return everything that the bridge with this view must hold."""
    return run_to_completion(recompile(view, EMPTY_COMPILED)).program


def recompile(view: BridgeView, last: Compiled) -> Generator[None, None, Compiled]:
    """Compile with the last result at hand. Raises ValueError if different flows share an identity.

    The generator pauses after every ``STEP`` flows, so that other tasks can run.
    """
    if last.doubled or _bare(view) != _bare(last.view):
        last = EMPTY_COMPILED
    before = {network.vni: network for network in last.view.networks}
    common: dict[int, Flows] = {}
    gone: list[Flows] = []
    come: list[Flows] = []
    fresh, alike = 0, view.mac_limit_exceeded == last.view.mac_limit_exceeded
    for network in view.networks:
        old, shared = before.pop(network.vni, None), last.common.get(network.vni, {})
        if old is not network:
            alike = alike and old is not None and _unlocated(old) == _unlocated(network)
            went, came, shared = _turn(view, old, network, shared)
            gone += went
            come += came
            fresh += sum(map(len, came))
        common[network.vni] = shared
        if fresh >= STEP:
            fresh = 0
            yield
    for old in before.values():
        gone += (last.common[old.vni], *_whole(view, old))
    rest, basis = last.rest, last.basis
    if last is EMPTY_COMPILED or before or not alike:
        basis = _basis(view)
    if basis != last.basis:
        rest = collect(_rest(view))
        gone.append(last.rest)
        come.append(rest)
    flows = apply_delta(last.program.flows, gone, come)
    doubled = len(flows) != len(last.program.flows) - sum(map(len, gone)) + sum(map(len, come))
    changed = None if last is EMPTY_COMPILED else frozenset().union(*gone, *come)
    program = Program(flows, {meter.id: meter for meter in _meters(view)})
    return Compiled(view, program, basis, rest, common, changed, doubled)


class NetworkElements(NamedTuple):
    """Elements of a network, all or some: ports, locations, neighbors, address conflicts."""

    members: tuple[NetworkPort, ...]
    locations: tuple[Location, ...]
    answers: tuple[NeighborEntry, ...]
    lies: tuple[AddressConflict, ...]


def _turn(
    view: BridgeView, old: NetworkView | None, new: NetworkView, common: Flows
) -> tuple[list[Flows], list[Flows], Flows]:
    """Return removed and added flows as a network changes from old to new, and what its ports share then."""
    if old is None:
        common = collect(_of_network(view, new))
        return [], [common, *_whole(view, new)], common
    was, now = _apart(old, new)
    gone, come = [*_peopled(view, old, was)], [*_peopled(view, new, now)]
    if old.neighbors is not new.neighbors:
        gone.append(collect(neighbor_suppression.unknown_target_flows(old)))
        come.append(collect(neighbor_suppression.unknown_target_flows(new)))
    if _unpeopled(old) != _unpeopled(new):
        gone.append(common)
        common = collect(_of_network(view, new))
        come.append(common)
    return gone, come, common


def _meters(view: BridgeView) -> Iterator[Meter]:
    yield Meter(CONTROLLER_METER, view.punt_rate, 2 * view.punt_rate)
    for _, of_port in sorted(view.limits.items()):
        yield from (meter for meter in (of_port.send, of_port.receive, of_port.flood) if meter is not None)
    yield from (meter for network in view.networks if (meter := local_services.meter(network)) is not None)


def run_to_completion(steps: Generator[None, None, Outcome]) -> Outcome:
    """Return the result of the steps, without a pause."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            outcome: Outcome = end.value
            return outcome


def _all_but(of: type[BridgeView | NetworkView], *names: str) -> Callable[[Any], Any]:
    """Return all fields of a view but these, for a comparison that includes later fields."""
    return attrgetter(*(field.name for field in fields(of) if field.name not in names))


_bare = _all_but(BridgeView, "networks", "crowded")
"""What of a view the flows of any network may depend on."""
_unpeopled = _all_but(NetworkView, "locations", "answers", "lies")
"""Fields of a network but its elements, which come and go."""
_unlocated = _all_but(NetworkView, "locations", "lies")
"""What of a network the flows of no network may depend on."""


def _basis(view: BridgeView) -> tuple[object, ...]:
    """Return what the flows of no network depend on."""
    return view.mac_limit_exceeded, view.features, _gates(view)


def _gates(view: BridgeView) -> tuple[frozenset[int], frozenset[int]]:
    """Return the ports with several networks: trunks, and tunnels of external VTEPs."""
    members = [member for network in view.networks for member in network.members]
    strangers = frozenset(member.port for member in members if member.key is not None)
    return frozenset(member.port for member in members if member.tagged) - strangers, strangers


def _whole(view: BridgeView, network: NetworkView) -> Iterator[Flows]:
    """Yield the flows of all elements of a network."""
    all_elements = NetworkElements(network.members, network.locations, network.neighbors, network.conflicts)
    yield from _peopled(view, network, all_elements)
    yield collect(neighbor_suppression.unknown_target_flows(network))


def _peopled(view: BridgeView, network: NetworkView, part: NetworkElements) -> Iterator[Flows]:
    """Yield the flows of these elements of a network."""
    if part.members:
        yield collect(_of_ports(view, replace(network, members=part.members)))
        yield collect(neighbor_suppression.tagged_reply_flows(network, part.members))
    if part.locations:
        yield from l2_forwarding.fdb_source_flows(view, network.vni, part.locations)
        yield from l2_forwarding.fdb_destination_flows(view, network, part.locations)
    if part.answers:
        yield collect(neighbor_suppression.known_binding_flows(view, network.vni, part.answers))
        yield collect(neighbor_suppression.static_address_guard(network, part.answers))
        yield collect(neighbor_suppression.responder_flows(network.vni, part.answers))
    if part.lies:
        yield collect(neighbor_suppression.address_conflict_flows(view, network.vni, part.lies))


def _apart(old: NetworkView, new: NetworkView) -> tuple[NetworkElements, NetworkElements]:
    """Return the elements of each that the other lacks."""
    members, (was, now) = _differing(old.members, new.members), _differing(old.locations, new.locations)
    ports = frozenset(member.port for some in members for member in some)
    answers, lies = _differing(old.neighbors, new.neighbors), _differing(old.conflicts, new.conflicts)
    if old.members is not new.members and old.has_open_port != new.has_open_port:
        answers = old.neighbors, new.neighbors
    if bool(old.neighbors) != bool(new.neighbors):  # the responder is enabled, or disabled
        members = old.members, new.members
    if old.nests != new.nests:  # what leads to local ports is not alike
        was, now = old.locations, new.locations
    if ports:  # what leads there is not alike, though the location may be
        was, now = _with(was, old, ports), _with(now, new, ports)
    return (
        NetworkElements(members[0], _beyond(was, now, ports), answers[0], lies[0]),
        NetworkElements(members[1], _beyond(now, was, ports), answers[1], lies[1]),
    )


def _with(some: tuple[Location, ...], network: NetworkView, ports: Collection[int]) -> tuple[Location, ...]:
    return tuple(dict.fromkeys((*some, *(at for at in network.locations if at.port in ports))))


@lru_cache(maxsize=64)
def _beyond(
    some: tuple[Location, ...], others: tuple[Location, ...], ports: frozenset[int]
) -> tuple[Location, ...]:
    """Return the locations of ``some`` without the MACs that ``others`` have at the same place.

    Locations on ``ports`` are returned whole. Cached: after one change, all bridges of a network compute the
    same.
    """
    known = {at._replace(macs=()): frozenset(at.macs) for at in others if at.port not in ports}
    left = (_without(at, known.get(at._replace(macs=()), frozenset())) for at in some)
    return tuple(at for at in left if at.macs)


_FOR_OTHER_BRIDGES = (_beyond, shared)
"""What was worked out for one bridge, for others that need the same at about that time. Each holds MACs."""
_worked_out = dict.fromkeys(_FOR_OTHER_BRIDGES, 0)


def forget() -> None:
    """Free what is kept for other bridges, of each kind of which nothing was added since the last call."""
    for cache in _FOR_OTHER_BRIDGES:
        if cache.cache_info().misses == _worked_out[cache]:
            cache.cache_clear()
        _worked_out[cache] = cache.cache_info().misses


def _differing(old: tuple[T, ...], new: tuple[T, ...]) -> tuple[tuple[T, ...], tuple[T, ...]]:
    """Return what each lacks of the other. Equal objects at both ends cost next to nothing."""
    if old is new:
        return (), ()
    shorter = min(len(old), len(new))
    head = next(_unlike(old, new), shorter)
    tail = min(next(_unlike(reversed(old), reversed(new)), shorter), shorter - head)
    own, others = old[head : len(old) - tail], new[head : len(new) - tail]
    alike = frozenset(own) & frozenset(others)
    return tuple(x for x in own if x not in alike), tuple(x for x in others if x not in alike)


def _unlike(some: Iterable[object], others: Iterable[object]) -> Iterator[int]:
    """Yield the positions at which the two have different objects."""
    return compress(count(), map(is_not, some, others))


def _without(at: Location, macs: frozenset[str]) -> Location:
    return at._replace(macs=tuple(mac for mac in at.macs if mac not in macs))


def _rest(view: BridgeView) -> Iterator[Flow]:
    """Yield flows of no network, in the tables that are enabled."""
    there = enabled_tables(view.features)
    return (flow for flow in _anywhere(view, there) if flow.table in there)


def _anywhere(view: BridgeView, there: Set[Table]) -> Iterator[Flow]:
    trunks, strangers = _gates(view)
    return chain(
        l2_forwarding.table_miss_flows(there),
        l2_forwarding.classify(view, trunks, strangers),
        l2_forwarding.drop_unknown_tags(trunks | strangers),
        port_security.bridge_flows(),
        l2_forwarding.mac_learning_guards(view),
        neighbor_suppression.snoop_flows(),
        neighbor_suppression.responder_bridge_flows(),
        l2_forwarding.nested(),
        flooding.storm_control_flows(view, there),
        multicast_snooping.query_snoop_flows(view),
        flooding.egress_policer_flows(view),
    )


def _of_ports(view: BridgeView, network: NetworkView) -> Iterator[Flow]:
    """Yield flows of single ports, which depend on no other port."""
    return chain(
        l2_forwarding.classify_untagged(view, network),
        l2_forwarding.vlan_to_key(network),
        port_security.port_flows(network),
        neighbor_suppression.skip_secured_ports(network),
        local_services.mtu_check_flows(network),
    )


def _of_network(view: BridgeView, network: NetworkView) -> Iterator[Flow]:
    return chain(
        l2_forwarding.key_to_network(view, network),
        l2_forwarding.switch_learning(view, network),
        port_security.dhcp_client_snooping(view, network),
        local_services.service(network),
        multicast_snooping.multicast(view, network),
        flooding.flood_remote_flows(network),
        flooding.flood_local_flows(view, network),
    )
