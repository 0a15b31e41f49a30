"""What the counters of flows mean."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flows.compile import compile_bridge
from flows.counters import FlowCounter, counted_flows
from flows.features import neighbor_suppression
from flows.match import ARP, UNSPECIFIED, ZERO_MAC, Header
from flows.trace import Frame, trace
from flows.view import BridgeView, NeighborEntry
from tests.views import BLUE, BROADCAST, RED, RED_MAC, RED_PORT, TRUNK, two_tenants


def knowing(ip: str) -> BridgeView:
    """Both tenants know this address."""
    known = NeighborEntry(ip, RED_MAC, RED_PORT, learned=False, router=False)
    networks = tuple(replace(network, neighbors=(known,)) for network in two_tenants().networks)
    return replace(two_tenants(), networks=networks)


def test_questions_that_nobody_answers_are_counted_by_network() -> None:
    view = knowing("10.1.1.1")
    program = compile_bridge(view)
    counts = counted_flows(view, program)
    asks = Header(ARP, arp_op=1, arp_spa="10.1.1.1", arp_tpa="10.1.1.99", arp_sha=RED_MAC)
    met = trace(program, Frame(RED_PORT, RED_MAC, BROADCAST, header=asks)).flows

    nothing_known = two_tenants()
    assert "flooded" not in {
        count.what for count in counted_flows(nothing_known, compile_bridge(nothing_known)).values()
    }
    assert {count for count in counts.values() if count.what == "flooded"} == {
        FlowCounter("flooded", why, None, vni) for why in ("arp", "neighbour") for vni in (RED, BLUE)
    }
    assert [counts[flow.key] for flow in met if flow.key in counts] == [
        FlowCounter("flooded", "arp", None, RED)
    ]


@pytest.mark.parametrize("known", ["10.1.1.1", "fd00::1"])
def test_whoever_asks_without_his_mac_is_counted_whether_or_not_addresses_of_ipv6_are_known(
    known: str,
) -> None:
    """So asks who has no address yet whether anybody has the one that he wants."""
    view = knowing(known)
    program = compile_bridge(view)
    counts = counted_flows(view, program)
    asks = neighbor_suppression.SOLICITATION._replace(
        ipv6_src=UNSPECIFIED, nd_target="fd00::9", nd_sll=ZERO_MAC
    )
    met = trace(program, Frame(RED_PORT, RED_MAC, "33:33:ff:00:00:09", header=asks)).flows

    assert [counts[flow.key] for flow in met if flow.key in counts] == [
        FlowCounter("flooded", "neighbour", None, RED)
    ]


def test_what_a_trunk_sends_with_another_tag_is_counted_by_trunk() -> None:
    view = two_tenants()
    program = compile_bridge(view)
    met = trace(program, Frame(TRUNK, RED_MAC, BROADCAST, (50,))).flows

    assert counted_flows(view, program)[met[-1].key] == FlowCounter("dropped", "vlan-to-network", TRUNK, None)


def test_what_is_small_enough_is_not_told_to_be_dropped_as_too_large() -> None:
    view = two_tenants()
    bounded = tuple(
        replace(network, members=tuple(replace(member, max_frame_size=1464) for member in network.members))
        for network in view.networks
    )
    counts = counted_flows(view, compile_bridge(replace(view, networks=bounded)))

    assert "service" not in {count.why for count in counts.values()}
