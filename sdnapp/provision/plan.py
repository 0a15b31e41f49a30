"""The ordered difference between what a host should have and what it has. Pure.

The order is such that a run may end after any step and the next one goes on from there: devices before the
ports that need them, the record of the host's addresses before they move, new tunnels before old ones go.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

from sdnapp.provision.desired import Wanted
from sdnapp.provision.world import Bridge, Device, Namespace, Port, Route, Thing, Uplink, Workload, World

VERB_WIDTH = len("create ")


@dataclass(frozen=True, slots=True)
class Change:
    """Create (``old`` is None), delete (``new`` is None) or change one thing."""

    old: Thing | None
    new: Thing | None

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
            return f"{'delete':{VERB_WIDTH}} {subject}"
        return f"{'change':{VERB_WIDTH}} {subject}: {_differences(self.old, self.new)}"


@dataclass(frozen=True, slots=True)
class Move:
    """Bring the host's own addresses and routes from one device to another: an uplink to its bridge, or back.

    Ends with ``addresses`` and ``routes`` on ``target``, which is up, and none of the addresses on
    ``source``. The host's own stack listens to the uplink only where the uplink is the target.
    """

    source: str
    target: str
    uplink: str
    addresses: tuple[str, ...]
    routes: frozenset[Route]

    def __str__(self) -> str:
        what = ", ".join([*self.addresses, *map(str, sorted(self.routes, key=repr))])
        return f"{'move':{VERB_WIDTH}} {what} from {self.source} to {self.target}"


Step = Change | Move


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in the order of their execution, and in words what is wanted but cannot be planned."""

    steps: tuple[Step, ...]
    problems: tuple[str, ...]


def diff(wanted: Wanted, world: World, owner: str) -> Plan:
    """Find the way from ``world`` to ``wanted``; touch nothing that does not belong to host ``owner``."""
    found = _by_key(world.things())
    mine = {key: thing for key, thing in found.items() if thing.owner == owner}
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
    strangers = {c: names for c in gone if (names := _strangers(c.thing, world, owner))}
    gone = [c for c in gone if c not in strangers]

    def of(kind: type[Thing], some: Iterable[Change]) -> list[Step]:
        return [change for change in some if isinstance(change.thing, kind)]

    back, unreturnable = _moves_back(gone, world)
    steps: list[Step] = [
        *back,
        *(Change(c.old, None) for c in replaced),
        *of(Namespace, changes),
        *of(Workload, changes),
        *of(Bridge, changes),
        *of(Port, changes),
        *of(Port, gone),
        *of(Bridge, gone),
        *_moves(things.values(), world),
        *of(Workload, gone),
        *of(Namespace, gone),
    ]
    problems = [*wanted.problems, *refused.values(), *unreturnable]
    problems += (
        f"{c.thing.kind} {c.thing.name} on {owner} stays: {', '.join(names)} in it is not ours"
        for c, names in strangers.items()
    )
    return Plan(tuple(steps), tuple(problems))


Key = tuple[str, str]


def _refusals(
    things: Iterable[Thing], found: dict[Key, Thing], world: World, owner: str
) -> Iterable[tuple[Key, str]]:
    """Name the things that cannot be because somebody else has the name."""
    for thing in things:
        key = (thing.kind, thing.name)
        there = found.get(key)
        if there and there.owner != owner:
            whose = f"belongs to {there.owner}" if there.owner else "is not ours"
            yield key, f"{thing.kind} {thing.name}{there.place} on {owner} exists and {whose}"
        elif isinstance(thing, Workload) and not there and thing.name in world.devices:
            yield key, f"device {thing.name} on {owner} exists and is not ours"


def _blocked(things: Iterable[Thing], refused: Iterable[Key]) -> set[Key]:
    """Find what cannot be as something else is refused: a port without its workload, and so on."""
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


def _strangers(thing: Thing, world: World, owner: str) -> list[str]:
    """Name what would go with ``thing`` and is not ours."""
    if isinstance(thing, Bridge):
        return sorted(p.name for p in world.ports.values() if p.bridge == thing.name and p.owner != owner)
    return sorted(thing.strangers) if isinstance(thing, Namespace) else []


def _is_another(old: Workload, new: Thing | None) -> bool:
    """A veth cannot change its other end: it is deleted and created."""
    return isinstance(new, Workload) and (old.namespace, old.device) != (new.namespace, new.device)


def _moves(things: Iterable[Thing], world: World) -> Iterable[Move]:
    """What is recorded of an uplink and is not yet on its bridge's device."""
    for bridge in things:
        if isinstance(bridge, Bridge) and bridge.uplink:
            yield from _move(bridge.uplink.device, bridge.name, bridge.uplink, world)


def _moves_back(gone: Iterable[Change], world: World) -> tuple[list[Move], list[str]]:
    moves: list[Move] = []
    problems: list[str] = []
    for change in gone:
        if isinstance(change.old, Bridge) and (record := change.old.uplink):
            if record.device in world.devices:
                moves += _move(change.old.name, record.device, record, world)
            else:
                addresses = ", ".join(record.addresses)
                problems.append(f"no such uplink {record.device}: {addresses} cannot be given back")
    return moves, problems


def _move(source: str, target: str, record: Uplink, world: World) -> Iterable[Move]:
    nowhere = Device("", "", 0, up=False)
    there = world.devices.get(target, nowhere)
    still = world.devices.get(source, nowhere)
    addresses = set(record.addresses)
    moved = addresses <= set(there.addresses) and record.routes <= there.routes and there.up
    uplink = world.devices.get(record.device, nowhere)
    listens_right = uplink.deaf == (target != record.device) or uplink is nowhere
    if not moved or addresses & set(still.addresses) or not listens_right:
        yield Move(source, target, record.device, record.addresses, record.routes)


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
        before, after = (frozenset((*u.addresses, *map(str, u.routes))) for u in (before, after))
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
