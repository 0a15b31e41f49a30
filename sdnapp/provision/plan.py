"""The ordered difference between what a host should have and what it has. Pure.

The order is such that a run may end after any step and the next one goes on from there: devices before the
ports that need them, the record of the host's addresses before they move. What a bridge's flows may still use
goes last, and waits until none does: the controller moves traffic away from it first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from sdnapp.provision.desired import Wanted
from sdnapp.provision.world import (
    Bridge,
    Device,
    Namespace,
    Port,
    Route,
    Thing,
    Tls,
    Uplink,
    Workload,
    World,
)

VERB_WIDTH = len("create ")


@dataclass(frozen=True, slots=True)
class Change:
    """Create (``old`` is None), delete (``new`` is None) or change one thing."""

    old: Thing | None
    new: Thing | None
    awaits: frozenset[Port] = frozenset()
    """The ports that no flow may use any more before this is done."""

    @property
    def thing(self) -> Thing:
        """The thing as it will be, or was."""
        thing = self.new or self.old
        assert thing is not None
        return thing

    def __str__(self) -> str:
        thing = self.thing
        subject = f"{thing.kind} {thing.name}{thing.place}"
        if self.old is None:
            return f"{'create':{VERB_WIDTH}} {subject}" + (f" ({thing})" if str(thing) else "")
        if self.new is None:
            return f"{'delete':{VERB_WIDTH}} {subject}" + (" when no flow uses it" if self.awaits else "")
        return f"{'change':{VERB_WIDTH}} {subject}: {_differences(self.old, self.new)}"


@dataclass(frozen=True, slots=True)
class Move:
    """Bring the host's own addresses and routes from one device to another: an uplink to its bridge, or back.

    Ends with ``addresses`` and ``routes`` on ``target``, which is up, and none of the addresses on
    ``source``.
    """

    source: str
    target: str
    addresses: tuple[str, ...]
    routes: frozenset[Route]
    broadcast: frozenset[str] = frozenset()
    """Of ``addresses`` those that have a broadcast address."""

    def __str__(self) -> str:
        what = ", ".join([*self.addresses, *map(str, sorted(self.routes, key=repr))])
        return f"{'move':{VERB_WIDTH}} {what} from {self.source} to {self.target}"


@dataclass(frozen=True, slots=True)
class SetUplinkExclusive:
    """Let Open vSwitch alone have what an uplink receives, or the host's own stack too."""

    device: str
    to_switch: bool

    def __str__(self) -> str:
        what = "alone to Open vSwitch" if self.to_switch else "back to the host"
        return f"{'hand':{VERB_WIDTH}} {self.device} {what}"


@dataclass(frozen=True, slots=True)
class Reopen:
    """Have Open vSwitch open the device of a port anew: it still reads from one of that name that is gone."""

    device: str
    bridge: str

    def __str__(self) -> str:
        return f"{'reopen':{VERB_WIDTH}} port {self.device} on {self.bridge}"


Step = Change | Move | SetUplinkExclusive | Reopen


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in the order of their execution, and in words what is wanted but cannot be planned.

    ``ends`` come after the steps, each when the ports that it awaits are free.
    """

    steps: tuple[Step, ...] = ()
    problems: tuple[str, ...] = ()
    ends: tuple[Change, ...] = ()


def diff(wanted: Wanted, world: World, owner: str) -> Plan:
    """Find the way from ``world`` to ``wanted``; touch nothing that does not belong to host ``owner``."""
    found = _by_key(world.things())
    mine = {key: thing for key, thing in found.items() if thing.owner == owner}
    mine |= _cut_off(wanted.things, found)
    refused = dict(_refusals(wanted.things, found, world, owner))
    blocked = _blocked(wanted.things, refused)
    things = {key: thing for key, thing in _by_key(wanted.things).items() if key not in blocked}

    changes = [Change(mine.get(key), thing) for key, thing in things.items() if mine.get(key) != thing]
    replaced = [c for c in changes if isinstance(c.old, Workload) and _is_another(c.old, c.new)]
    changes = [Change(None, c.new) if c in replaced else c for c in changes]
    gone = [
        Change(thing, None)
        for key, thing in mine.items()
        if key not in things and (key not in blocked or isinstance(thing, Port))
    ]
    occupied = {c: names for c in gone if (names := _unmanaged(c.thing, world, owner))}
    staying = [c.thing for c in occupied if isinstance(c.thing, Bridge) and c.thing.uplink]
    lifelines = {(Port.kind, bridge.uplink.device) for bridge in staying if bridge.uplink}
    gone = [c for c in gone if c not in occupied and (c.thing.kind, c.thing.name) not in lifelines]
    programmed = {t.name for t in things.values() if isinstance(t, Bridge) and t.controllers}
    used = (c.thing for c in gone if isinstance(c.thing, Port) and c.thing.bridge in programmed)
    gone = list(_awaiting(gone, {p.name: p for p in used if (p.kind, p.name) not in blocked}))
    late = [change for change in gone if change.awaits]
    displaced = list(_displaced(gone, changes, world))
    gone = [change for change in gone if not change.awaits and change not in displaced]
    changes, raised = _raising_late(changes, frozenset(port for c in late for port in c.awaits if port.type))
    late += raised

    def of(kind: type[Thing], some: Iterable[Change]) -> list[Change]:
        return [change for change in some if isinstance(change.thing, kind)]

    back, unreturnable = _moves_back(gone, world)
    bridges = [thing for thing in (*things.values(), *staying) if isinstance(thing, Bridge)]
    uplinks = [bridge.uplink.device for bridge in bridges if bridge.uplink]
    others = [b.uplink.device for b in world.bridges.values() if b.uplink and b.owner != owner]
    steps: list[Step] = [
        *_uplink_changes(world, to_host=world.devices.keys() - {*uplinks, *others, *world.workloads}),
        *back,
        *(Change(c.old, None) for c in replaced),
        *displaced,
        *of(Namespace, changes),
        *of(Workload, changes),
        *of(Tls, changes),
        *of(Bridge, changes),
        *_reopened(things, changes, world),
        *of(Port, changes),
        *of(Port, gone),
        *of(Bridge, gone),
        *of(Tls, gone),
        *_moves(bridges, world),
        *_uplink_changes(world, to_switch=uplinks),
        *of(Workload, gone),
        *of(Namespace, gone),
    ]
    problems = [*wanted.problems, *refused.values(), *unreturnable]
    problems += (
        f"{c.thing.kind} {c.thing.name} on {owner} stays: {', '.join(names)} in it is not ours"
        for c, names in occupied.items()
    )
    ends = [*of(Port, late), *of(Workload, late), *of(Namespace, late)]
    return Plan(tuple(steps), tuple(problems), tuple(ends))


Key = tuple[str, str]


def _refusals(
    things: Iterable[Thing], found: dict[Key, Thing], world: World, owner: str
) -> Iterable[tuple[Key, str]]:
    """Name conflicts with unmanaged things."""
    for thing in things:
        key = (thing.kind, thing.name)
        there = found.get(key)
        if there and there.owner != owner and not _is_cut_off(there):
            whose = f"belongs to {there.owner}" if there.owner else "is not ours: rename or remove it"
            yield key, f"{thing.kind} {thing.name}{there.place} on {owner} exists and {whose}"
        elif isinstance(thing, Workload) and not there and thing.name in world.devices:
            yield key, f"device {thing.name} on {owner} exists and is not ours: rename or remove it"


def _is_cut_off(thing: Thing) -> bool:
    """Whether it is the host's end of a veth that does not say of which host it is."""
    return isinstance(thing, Workload) and not thing.namespace and thing.owner is None


def _cut_off(things: Iterable[Thing], found: Mapping[Key, Thing]) -> dict[Key, Thing]:
    """Find such ends that have the name of a workload that is wanted."""
    keys = (key for key in _by_key(things) if key in found)
    return {key: found[key] for key in keys if _is_cut_off(found[key])}


def _displaced(gone: Iterable[Change], changes: Iterable[Change], world: World) -> Iterable[Change]:
    """Of the workloads that go, those that go first: no port uses them, and a new one needs their place.

    So it is when the host's end of a veth was renamed.
    """
    made = [c.new for c in changes if c.old is None and isinstance(c.new, Workload)]
    places = {(workload.namespace, workload.device) for workload in made}
    for change in gone:
        old = change.old
        if (
            isinstance(old, Workload)
            and old.name not in world.ports
            and (old.namespace, old.device) in places
        ):
            yield change


def _reopened(things: Mapping[Key, Thing], changes: Iterable[Change], world: World) -> Iterable[Reopen]:
    """Find what Open vSwitch is to open anew: what is stale, and what becomes so as its veth is made anew.

    A bridge that it makes or a port that it moves, it opens anyway.
    """
    made = {c.thing.name for c in changes if c.old is None and isinstance(c.new, Workload)}
    for name in sorted(world.stale | made):
        bridge, port = world.bridges.get(name), world.ports.get(name)
        if bridge and name in world.stale and (Bridge.kind, name) in things:
            yield Reopen(name, name)
        elif port and (wanted := things.get((Port.kind, name))) and isinstance(wanted, Port):
            there = world.bridges.get(port.bridge)
            if wanted.bridge == port.bridge and there and there.datapath_type == "netdev":
                yield Reopen(name, port.bridge)


def _blocked(things: Iterable[Thing], refused: Iterable[Key]) -> set[Key]:
    """Things that depend on a refused one, such as the port of a workload."""
    blocked = set(refused)
    while more := {key for key, thing in _by_key(things).items() if _needs(thing) & blocked} - blocked:
        blocked |= more
    return blocked


def _needs(thing: Thing) -> set[Key]:
    if isinstance(thing, Port):
        return {(Bridge.kind, thing.bridge), (Workload.kind, thing.name)}
    if isinstance(thing, Workload):
        return {(Namespace.kind, thing.namespace), (Port.kind, thing.name)}
    return set()


def _by_key(things: Iterable[Thing]) -> dict[Key, Thing]:
    return {(thing.kind, thing.name): thing for thing in things}


def _unmanaged(thing: Thing, world: World, owner: str) -> list[str]:
    """Name what would go with ``thing`` and is not ours."""
    if isinstance(thing, Bridge):
        return sorted(p.name for p in world.ports.values() if p.bridge == thing.name and p.owner != owner)
    return sorted(thing.unmanaged_devices) if isinstance(thing, Namespace) else []


def _awaiting(gone: Iterable[Change], used: Mapping[str, Port]) -> Iterable[Change]:
    """What goes, with those of the ports that flows may use which are the thing itself or lead to it."""
    inside: dict[str, set[Port]] = {}
    for change in gone:
        if isinstance(change.thing, Workload) and change.thing.name in used:
            inside.setdefault(change.thing.namespace, set()).add(used[change.thing.name])
    for change in gone:
        match change.thing:
            case Namespace(name=name):
                yield replace(change, awaits=frozenset(inside.get(name, ())))
            case (Port() | Workload()) as thing if thing.name in used:
                yield replace(change, awaits=frozenset({used[thing.name]}))
            case _:
                yield change


def _raising_late(changes: list[Change], tunnels: frozenset[Port]) -> tuple[list[Change], list[Change]]:
    """Put off longer packets until the tunnels that go, which may have no room for them, are out of use."""
    prompt, late = [], []
    for change in changes:
        old, new = change.old, change.new
        if tunnels and isinstance(old, Workload) and isinstance(new, Workload) and old.mtu < new.mtu:
            kept = replace(new, mtu=old.mtu)
            prompt += [Change(old, kept)] if kept != old else []
            late.append(Change(kept, new, tunnels))
        else:
            prompt.append(change)
    return prompt, late


def _is_another(old: Workload, new: Thing | None) -> bool:
    """A veth cannot change its other end: it is deleted and created."""
    return isinstance(new, Workload) and (old.namespace, old.device) != (new.namespace, new.device)


def _uplink_changes(
    world: World, *, to_host: Iterable[str] = (), to_switch: Iterable[str] = ()
) -> Iterable[SetUplinkExclusive]:
    """Changes of uplinks between the host's stack and Open vSwitch."""
    for devices, wanted in ((to_host, False), (to_switch, True)):
        for name in sorted(devices):
            if name in world.devices and world.devices[name].stack_blocked != wanted:
                yield SetUplinkExclusive(name, to_switch=wanted)


def _moves(bridges: Iterable[Bridge], world: World) -> Iterable[Move]:
    """What is recorded of an uplink and is not yet on its bridge's device."""
    for bridge in bridges:
        if bridge.uplink:
            yield from _move(bridge.uplink.device, bridge.name, bridge.uplink, world)


def _moves_back(gone: Iterable[Change], world: World) -> tuple[list[Move], list[str]]:
    moves: list[Move] = []
    problems: list[str] = []
    for change in gone:
        if isinstance(change.old, Bridge) and (record := world.taken_over(change.old)):
            if record.device in world.devices:
                moves += _move(change.old.name, record.device, record, world)
            else:
                addresses = ", ".join(record.addresses)
                problems.append(f"no such uplink {record.device}: {addresses} cannot be given back")
    return moves, problems


def _move(source: str, target: str, what: Uplink, world: World) -> Iterable[Move]:
    nowhere = Device("", "", 0, up=False)
    there, still = world.devices.get(target, nowhere), world.devices.get(source, nowhere)
    addresses = set(what.addresses)
    moved = addresses <= set(there.addresses) and what.routes <= there.routes and there.up
    if not moved or addresses & set(still.addresses):
        yield Move(source, target, what.addresses, what.routes, what.broadcast)


def _differences(old: Thing, new: Thing) -> str:
    """Name the fields that differ: ``tag 10 -> 20`` or, of sets, ``addresses +10.1.1.2/24 -10.1.1.1/24``."""
    words = []
    for field in fields(new):
        before, after = getattr(old, field.name), getattr(new, field.name)
        if before != after and field.compare:
            words.append(f"{field.name.replace('_', ' ')} {_from_to(before, after)}")
    return ", ".join(words)


def _from_to(before: Any, after: Any) -> str:
    if isinstance(after, Uplink) and isinstance(before, Uplink) and before.device == after.device:
        before, after = (
            frozenset((*u.addresses, *(f"brd {a}" for a in u.broadcast), *map(str, u.routes)))
            for u in (before, after)
        )
    if isinstance(after, frozenset) or (isinstance(after, tuple) and after and isinstance(after[0], tuple)):
        added = [f"+{_word(item)}" for item in sorted(set(after) - set(before))]
        return " ".join([*added, *(f"-{_word(item)}" for item in sorted(set(before) - set(after)))])
    return f"{_word(before)} -> {_word(after)}"


def _word(value: Any) -> str:
    if value is None or value == ():
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return "=".join(map(_word, value))
    if isinstance(value, Uplink):
        return value.device
    if isinstance(value, frozenset):
        return ",".join(map(str, sorted(value)))
    return str(value)
