"""One reconciliation pass: read the host, plan, execute. A failed step does not stop independent ones."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from itertools import groupby

from pyroute2.netlink.exceptions import NetlinkError

from sdnapp.net.model import Overlay, TlsFiles
from sdnapp.provision import appctl, drain, execute, kernel, opened
from sdnapp.provision.desired import Wanted, desire
from sdnapp.provision.execute import Failed, RateLimiter
from sdnapp.provision.ovsdb import Conflict, Database, Rejected, Switch, Unreachable
from sdnapp.provision.plan import Change, Move, Plan, Reopen, SetUplinkExclusive, Step, diff
from sdnapp.provision.world import Bridge, Port, Tls, Workload, World
from sdnapp.signals import held_back
from sdnapp.tls import Unusable, client_context

ATTEMPTS = 5
"""Retries of a pass after concurrent changes by others."""
LEISURE = 3.0
"""Maximum seconds of pauses in a pass, so that hundreds of ports are created soon."""


@dataclass(frozen=True, slots=True)
class Goal:
    """Desired state: a host of an overlay; without overlay, everything that it owns is removed."""

    host: str
    overlay: Overlay | None
    target: str | None = None
    """Where the bridge connects, instead of where the file says."""
    userspace: bool = False
    """``datapath: auto`` means the userspace datapath, even where the kernel has one: a lab's choice."""

    noting: bool = True
    """Whether iface-id ports are written here; otherwise by another thread."""
    outdated: bool = False
    """Whether the file has changed since and is invalid."""

    @property
    def tls_files(self) -> tuple[str, ...]:
        """Paths of the files that Open vSwitch needs to connect there; none where that is without TLS."""
        if self.overlay is None or not (self.target or self.overlay.controller.target).startswith("ssl:"):
            return ()
        files = self.overlay.hosts[self.host].tls
        return (files.key, files.certificate, files.ca)

    def wanted(self, world: World) -> Wanted:
        """Compute the desired state for the current one."""
        if self.overlay is None:
            return Wanted()
        target = self.target or self.overlay.controller.target
        if self.userspace:
            world = replace(world, kernel_datapath=False)
        host = self.overlay.hosts[self.host]
        fault = _fault(host.tls) if self.tls_files else None
        return desire(self.overlay, host, target, world, noting=self.noting, tls_fault=fault)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of a pass: steps done, problems, and ports that wait for their device."""

    steps: tuple[Step, ...] = ()
    problems: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    lingering: frozenset[Port] = frozenset()
    """Ports to remove as soon as no flow uses them."""


def look(database: Database) -> World:
    """Read what is on this host. Raises ``Conflict`` if that changes while it is read."""
    switch = database.read()
    with held_back():  # in the midst of an answer, pyroute2 would end noisily
        try:
            found, kernel_datapath = kernel.read(), kernel.has_datapath()
            stale = _stale(switch, found, database)
        except (OSError, NetlinkError) as error:
            raise Conflict(f"the devices of this host change: {error}") from error
    workloads = {
        name: workload if workload.namespace else replace(workload, owner=_owner(switch.ports.get(name)))
        for name, workload in found.workloads.items()
    }
    return World(
        kernel_datapath=kernel_datapath,
        bridges=switch.bridges,
        ports=switch.ports,
        namespaces=found.namespaces,
        workloads=workloads,
        devices=found.devices,
        records=switch.records,
        stale=stale,
        tls=switch.tls,
    )


def _fault(files: TlsFiles) -> str | None:
    """Why Open vSwitch could not use these files, in words."""
    try:
        client_context(ca=files.ca, key=files.key, certificate=files.certificate)
    except Unusable as error:
        return str(error)
    return None


def _owner(port: Port | None) -> str | None:
    """A veth without its other end, which was moved away, belongs to the owner of its port."""
    return port.owner if port else None


def _stale(switch: Switch, found: kernel.Kernel, database: Database) -> frozenset[str]:
    """Find the ports and bridges of devices that are gone and that the userspace datapath has open."""
    bridges = [name for name, bridge in switch.bridges.items() if bridge.datapath_type == "netdev"]
    if not bridges:
        return frozenset()
    ports = [p.name for p in switch.ports.values() if p.bridge in bridges and p.type == ""]
    indices = {name: device.index for name, device in found.devices.items()}
    return opened.stale(indices, ports, bridges, appctl.process(database.directory))


def plan(goal: Goal, world: World) -> Plan:
    """Find the way to the goal."""
    return diff(goal.wanted(world), world, goal.host)


def converge(
    goal: Goal, database: Database, say: Callable[[str], None], overdue: frozenset[Port] = frozenset()
) -> Outcome:
    """Bring the host to the goal, saying each step as it is done, and wait until ovs-vswitchd is there too.

    A port that flows use does not go, unless it is ``overdue``. Raises ``Unreachable`` if OVSDB is.
    """
    reason = ""
    for _ in range(ATTEMPTS):
        try:
            world = look(database)
            wanted = goal.wanted(world)
            planned = diff(wanted, world, goal.host)
            problems = _execute(planned.steps, world, goal.host, database, say)
            awaited = frozenset(port for end in planned.ends for port in end.awaits)
            lingering, silence = drain.in_use(awaited - overdue, database)
            ends = [replace(end, awaits=frozenset()) for end in planned.ends if not end.awaits & lingering]
            if ends:  # flows may have changed just now
                time.sleep(execute.PAUSE)
            problems += silence + _execute(ends, world, goal.host, database, say)
        except Conflict as conflict:
            reason = str(conflict)
            database.wait_for_news()
            continue
        waiting, errors = _complaints(wanted, database)
        return Outcome((*planned.steps, *ends), (*planned.problems, *problems, *errors), waiting, lingering)
    raise Unreachable(f"no quiet moment in {ATTEMPTS} attempts: {reason}")


def converge_patiently(goal: Goal, database: Database, say: Callable[[str], None]) -> Outcome:
    """Converge, and give the controller some time to free the ports that are to go."""
    outcome = converge(goal, database, say)
    steps, began, pauses = outcome.steps, time.monotonic(), drain.pauses()
    patient = True
    while outcome.lingering and patient:
        time.sleep(next(pauses))
        now = time.monotonic()
        patient = now - began < drain.PATIENCE
        if not patient or drain.in_use(outcome.lingering, database)[0] != outcome.lingering:
            overdue = drain.overdue(dict.fromkeys(outcome.lingering, began), now)
            outcome = converge(goal, database, say, overdue)
            steps += outcome.steps
    return replace(outcome, steps=steps)


def pause_between(steps: Iterable[Step], world: World) -> float:
    """Seconds between changes of devices, and between ports that go; none where no packet is at stake.

    Those that ovs-vswitchd itself forwards are, by a bridge that is there and stays. Each port that goes
    keeps it from that for some 15 ms, until the kernel has closed the port's socket.
    """
    disturbances = sum(map(_disturbances, steps))
    changes = [step for step in steps if isinstance(step, Change)]
    gone = {change.thing.name for change in changes if isinstance(change.old, Bridge) and change.new is None}
    staying = (bridge for name, bridge in world.bridges.items() if name not in gone)
    if not any(bridge.datapath_type == "netdev" for bridge in staying):
        return 0.0
    return execute.PAUSE if disturbances * execute.PAUSE <= LEISURE else execute.BRISK


def _disturbances(step: Step) -> int:
    """How many changes of a device on the host it makes, or sockets it has closed."""
    match step:
        case Change(old=None, new=Workload()):  # made, up, and with a workload behind it
            return 3
        case Change(old=Workload(), new=None):  # down, and gone
            return 2
        case Change(old=Port(type=""), new=None) | Reopen():
            return 1
    return 0


def _execute(
    steps: Collection[Step], world: World, owner: str, database: Database, say: Callable[[str], None]
) -> list[str]:
    """Do all the steps that can be done, from this world on; returns what went wrong, in words."""
    pace = RateLimiter(pause_between(steps, world))
    problems: list[str] = []
    without_device: set[str] = set()
    last: Step | None = None
    for batch in _batches(steps, apart=pace.seconds > 0):
        if last is not None and _is_for_switch(last) != _is_for_switch(batch[0]):
            time.sleep(execute.PAUSE)
        last = batch[0]
        changes = [step for step in batch if isinstance(step, Change)]
        try:
            if isinstance(batch[0], Reopen):
                _reopen(batch, database, pace)
            elif _is_for_switch(batch[0]):
                changes = [change for change in changes if change.thing.name not in without_device]
                pace.wait()
                database.apply(changes, owner)
            else:
                with held_back():
                    _change_kernel(batch[0], changes, owner, pace)
        except (Failed, Rejected, Unreachable) as error:
            problems.append(f"{_subject(batch[0])}: {error}" if len(batch) == 1 else str(error))
            failed = [c.new.name for c in changes if isinstance(c.new, Workload)]
            without_device.update(name for name in failed if not _exists(name))
        else:
            for step in changes or batch:
                say(str(step))
    return problems


def _reopen(steps: Iterable[Step], database: Database, pace: RateLimiter) -> None:
    for step in steps:
        if isinstance(step, Reopen):
            pace.wait()
            execute.detach(step, database.directory)
    pace.wait()
    database.reconfigure()


def _change_kernel(first: Step, changes: list[Change], owner: str, pace: RateLimiter) -> None:
    if isinstance(first, Move):
        execute.move(first)
    elif isinstance(first, SetUplinkExclusive):
        execute.set_uplink_exclusive(first)
    elif _is_end_of_veth(first):
        execute.delete([change.thing.name for change in changes], pace)
    elif isinstance(first, Change):
        execute.apply(first, owner, pace)


def _batches(steps: Iterable[Step], *, apart: bool) -> Iterable[list[Step]]:
    """Group what is done in one go: all of OVSDB, reopening ports, deleting veths; the rest one by one.

    ``apart``: veths that go, and ports with a device of their own, are, too.
    """

    def kind(step: Step) -> tuple[bool, bool, bool]:
        alone = apart and isinstance(step, Change) and step.new is None and _disturbances(step) > 0
        return (
            _is_for_switch(step) and not alone,
            _is_end_of_veth(step) and not alone,
            isinstance(step, Reopen),
        )

    for together, group in groupby(steps, key=kind):
        if any(together):
            yield list(group)
        else:
            yield from ([step] for step in group)


def _is_for_switch(step: Step) -> bool:
    thing = step.thing if isinstance(step, Change) else None
    return isinstance(step, Reopen) or isinstance(thing, Bridge | Port | Tls)


def _is_end_of_veth(step: Step) -> bool:
    return isinstance(step, Change) and isinstance(step.old, Workload) and step.new is None


def _subject(step: Step) -> str:
    return f"{step.thing.kind} {step.thing.name}{step.thing.place}" if isinstance(step, Change) else str(step)


def _exists(device: str) -> bool:
    try:
        return socket.if_nametoindex(device) > 0
    except OSError:
        return False


def _complaints(wanted: Wanted, database: Database) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What waits for its device, and what ovs-vswitchd says is wrong, of the ports that are wanted."""
    everyone = [thing for thing in wanted.things if isinstance(thing, Port)]
    waiting = [port for port in everyone if port.name in wanted.external and not _exists(port.name)]
    errors = database.lasting_errors({port.name for port in everyone if port not in waiting})
    ports = [port for port in everyone if port.name in errors]
    return (
        tuple(f"port {port.name}{port.place} waits for its device" for port in waiting),
        tuple(f"port {p.name}{p.place}: {errors[p.name]}" for p in ports),
    )
