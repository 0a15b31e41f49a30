"""Plan: flows to add and delete so that a bridge holds its program. Set arithmetic on identities."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from flows.flow import Flow, FlowKey, Flows, Meter, Origin, Program
from flows.tables import Table


@dataclass(frozen=True, slots=True)
class Plan:
    """Changes of one bridge; additions come before deletions, so that no frame meets a gap.

    An addition replaces the flow with the same table, priority and match; the deletion of the former identity
    then finds nothing. ``unused``: meters to delete; a plan that changes flows has none, as a meter's flows
    go with it. ``groups``: OpenFlow groups to delete; no program has any. ``fresh``: the bridge has no flow
    yet.
    """

    add: tuple[Flow, ...]
    delete: tuple[FlowKey, ...]
    meters: tuple[Meter, ...]
    unused: tuple[int, ...] = ()
    groups: tuple[int, ...] = ()
    fresh: bool = False

    def __bool__(self) -> bool:
        """Whether there is anything to send."""
        return bool(self.add or self.delete or self.meters or self.unused or self.groups)

    def __len__(self) -> int:
        """Number of messages that change the bridge."""
        return sum(map(len, (self.add, self.delete, self.meters, self.unused, self.groups)))


SINGLE_BUNDLE_MAX = 64
"""What is no larger than this is sent in one piece."""


def relief_first(plan: Plan) -> Plan:
    """Return what of the plan is sent first, on its own: a bridge in a storm is slow to take the rest."""
    relief = (
        tuple(flow for flow in plan.add if flow.kind is Origin.MAC_LIMIT)
        if len(plan) > SINGLE_BUNDLE_MAX
        else ()
    )
    return Plan(relief, (), ()) if relief else plan


BUNDLE_SIZE = 1_000
"""Flows after which those ports that have all of theirs need not wait for others. Open vSwitch takes in many
such bundles faster than a single one of all, and faster than smaller ones.
"""


def bundles(plan: Plan, size: int = BUNDLE_SIZE) -> Iterator[Sequence[Flow]]:
    """Return the additions in bundles, in order.

    A bridge without flows gets the flows of all ports first, and then those of one port after the other: a
    port is complete or closed.
    """
    if not plan.fresh:
        yield plan.add
        return
    tunnels = {flow.match.in_port for flow in plan.add if flow.table is Table.TUNNEL_TO_NETWORK}
    of_the_bridge: list[Flow] = []
    by_port: dict[int, list[Flow]] = {}
    for flow in plan.add:
        port = flow.match.in_port
        if (
            port is None or port in tunnels or flow.table is Table.EGRESS_POLICER
        ):  # where frames leave, not enter
            of_the_bridge.append(flow)
        else:
            by_port.setdefault(port, []).append(flow)
    part = of_the_bridge
    for of_port in by_port.values():
        if len(part) >= size:
            yield part
            part = []
        part += of_port
    yield part


def diff(
    installed: AbstractSet[FlowKey],
    meters: Iterable[Meter],
    program: Program,
    groups: Iterable[int] = (),
    *,
    among: AbstractSet[FlowKey] | None = None,
) -> Plan:
    """Return the plan from what is installed to the program, in a stable order. Flows of no program are
    deleted.

    ``among``: the only flows that may differ; None: any.
    """
    add, delete = _changes(installed, program.flows, among) if installed else (program.flows.values(), ())
    have_meters = frozenset(meters)
    gone = sorted(meter.id for meter in have_meters if meter.id not in program.meters)
    return Plan(
        add=tuple(add),
        delete=tuple(delete),
        meters=tuple(meter for meter in program.meters.values() if meter not in have_meters),
        unused=() if add or delete else tuple(gone),
        groups=tuple(sorted(groups)),
        fresh=not installed,
    )


def _changes(
    installed: AbstractSet[FlowKey], flows: Flows, among: AbstractSet[FlowKey] | None
) -> tuple[Collection[Flow], Collection[FlowKey]]:
    """Return the flows to add and the identities to delete."""
    wanted, held = (flows, installed) if among is None else (among, installed & among)
    missing = [key for key in wanted if key not in installed and key in flows]
    surplus = len(installed) + len(missing) - len(flows)
    delete = sorted(key for key in held if key not in flows) if surplus else ()
    return [flows[key] for key in sorted(missing)], delete
