"""Meaning of flow counters: reasons of drops, replies of the responder, flooded requests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from flows.actions import Punt
from flows.features import neighbor_suppression, port_security
from flows.flow import FlowKey, Program
from flows.match import Ingress
from flows.tables import Table
from flows.view import BridgeView

What = Literal["dropped", "answered", "flooded"]


class FlowCounter(NamedTuple):
    """What a flow counts.

    ``why``: the reason of a drop, such as ``mac``, or the name of its table; for requests ``arp`` or
    ``neighbour``. ``port`` and ``network`` (VNI): where the frame came in; None: any.
    """

    what: What
    why: str
    port: int | None
    network: int | None


def counted_flows(view: BridgeView, program: Program) -> dict[FlowKey, FlowCounter]:
    """Return the flows of this program with a counter that is reported.

    Flows for frames that exceed the MTU have none: Open vSwitch takes both branches of ``CheckPacketLarger``
    and counts each frame on both.
    """
    reasons = dict(_reasons(view))
    questions = (*neighbor_suppression.FLOODED_REQUESTS, neighbor_suppression.DAD_SOLICITATION)
    flooded = {match: _question(match.header == neighbor_suppression.REQUEST) for match in questions}
    counts: dict[FlowKey, FlowCounter] = {}
    for key, flow in program.flows.items():
        match = flow.match
        if match.ingress is Ingress.TOO_LARGE:
            continue
        if all(isinstance(action, Punt) for action in flow.actions):
            why = reasons.get(key, flow.table.label)
            counts[key] = FlowCounter("dropped", why, match.in_port, match.network)
        elif flow.table is Table.ARP_ND_RESPONDER and flow.goto in {
            Table.ND_RESPONDER,
            Table.RESPONDER_OUTPUT,
        }:
            arp = flow.goto is Table.RESPONDER_OUTPUT
            counts[key] = FlowCounter("answered", _question(arp), match.in_port, match.network)
        elif flow.table is Table.ARP_ND_RESPONDER and (asked := match._replace(network=None)) in flooded:
            counts[key] = FlowCounter("flooded", flooded[asked], None, match.network)
    return counts


def _reasons(view: BridgeView) -> Iterator[tuple[FlowKey, port_security.Reason]]:
    yield from ((flow.key, reason) for reason, flow in port_security.bridge_drop_flows())
    for network in view.networks:
        for member in network.members:
            if member.allowed is not None:
                yield from (
                    (flow.key, reason) for reason, flow in port_security.drop_flows(network.vni, member)
                )


def _question(arp: bool) -> str:
    return "arp" if arp else "neighbour"
