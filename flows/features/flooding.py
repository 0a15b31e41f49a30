"""Flooding (BUM traffic): broadcast, unknown unicast and multicast, replicated to ports and peers once each.

::

    forward ──▶ storm-control ──▶ multicast ──▶ flood-remote ──▶ flood-local ──▶ local ports
                                      │               │               │
                                  listeners        tunnels      egress-policer ──▶ local ports with a rate

Split horizon: frames from a tunnel go to local ports only. Copies are plain outputs rather than buckets
of groups: they cost no resubmits, of which OVS allows 4,096 for one frame.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from itertools import chain, groupby
from operator import attrgetter

from flows.actions import Action, ApplyMeter, Goto, Output, OutputMetered, PopVlan, PushVlan, SetTunnelKey
from flows.features.l2_forwarding import EXACT, EXCEPTION, IS_NESTED, NO_LIMITS, tunnel_key_actions
from flows.flow import Flow
from flows.match import Ingress, Match
from flows.tables import Table, next_enabled_table
from flows.view import BridgeView, NetworkPort, NetworkView, Peer

UNICAST = "00:00:00:00:00:00/01:00:00:00:00:00"


def storm_control_flows(view: BridgeView, there: Set[Table]) -> Iterator[Flow]:
    """Meter what a port floods, in all of its networks together; what passes goes on as a miss does."""
    after = [Goto(table) for table in [next_enabled_table(Table.STORM_CONTROL, there)] if table is not None]
    for port, limits in sorted(view.limits.items()):
        if limits.flood is not None:
            yield Flow(Table.STORM_CONTROL, EXACT, Match(in_port=port), (ApplyMeter(limits.flood.id), *after))


def flood_remote_flows(network: NetworkView) -> Iterator[Flow]:
    """Replicate frames of local ports to each peer with the network that is up, then to the local ports."""
    if not network.floods_unknown:
        yield Flow(Table.FLOOD_REMOTE, EXCEPTION, Match(network=network.vni, eth_dst=UNICAST))
    if up := tuple(peer for peer in network.peers if peer.up):
        local = Match(ingress=Ingress.LOCAL, network=network.vni)
        yield Flow(Table.FLOOD_REMOTE, EXACT, local, (*replicate_to_peers(up), Goto(Table.FLOOD_LOCAL)))


def replicate_to_peers(peers: Iterable[Peer]) -> Iterator[Action]:
    """Return actions that send a copy to each peer, with the tunnel key that it accepts."""
    for key, ports in groupby(sorted(peers, key=attrgetter("key", "port")), key=attrgetter("key")):
        yield SetTunnelKey(key)
        yield from (Output(peer.port) for peer in ports)


def flood_local_flows(view: BridgeView, network: NetworkView) -> Iterator[Flow]:
    """Replicate to every local port of the network, or to each that may have nested tags.

    The bridge leaves out the port of ingress (OpenFlow 1.3 section 5.12).
    """
    here = Match(network=network.vni)
    yield Flow(Table.FLOOD_LOCAL, EXACT, here, _to(view, network.members))
    if network.nests:
        nesting = (member for member in network.members if member.nests)
        yield Flow(Table.FLOOD_LOCAL, EXCEPTION, here._replace(header=IS_NESTED), _to(view, nesting))


def _to(view: BridgeView, members: Iterable[NetworkPort]) -> tuple[Action, ...]:
    return tuple(chain.from_iterable(output_to_port(view, member) for member in members))


def egress_policer_flows(view: BridgeView) -> Iterator[Flow]:
    """Meter flooded copies by the rate of the port that they leave by; copies to other ports are not
    affected.
    """
    for port, limits in sorted(view.limits.items()):
        if limits.receive is not None:
            yield Flow(
                Table.EGRESS_POLICER,
                EXACT,
                Match(in_port=port),
                (ApplyMeter(limits.receive.id), Output(port)),
            )


def output_to_port(view: BridgeView, member: NetworkPort) -> tuple[Action, ...]:
    """Return actions that send a copy out of a local port, within its rate, and leave the frame unchanged."""
    paced = view.limits.get(member.port, NO_LIMITS).receive is not None
    out = OutputMetered(member.port) if paced else Output(member.port)
    if not member.tagged or member.vlan is None:
        return (*tunnel_key_actions(member), out)
    return (*tunnel_key_actions(member), PushVlan(member.vlan), out, PopVlan())
