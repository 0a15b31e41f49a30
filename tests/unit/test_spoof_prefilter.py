"""Senders of strict ports, asked bit by bit: the first wrong one ends the questions, a right one goes on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flows.compile import compile_bridge
from flows.features.port_security import EXACT, TAGS
from flows.flow import Flow, Program
from flows.match import ARP, ICMPV6, IPV6, NO_HEADER, Header
from flows.tables import Table
from flows.trace import Frame, Trace, trace
from flows.view import AllowedAddressPair, NetworkPort
from tests.views import BROADCAST, RED_MAC, RED_PORT, bridge, two_tenants

OWN = ("10.1.1.1", "10.1.1.8", "fd00:1::1", "fe80::ff:fe00:1")
VIEW = two_tenants()


@pytest.fixture(scope="module")
def program() -> Program:
    """One port that may speak from several addresses."""
    red = VIEW.networks[0]
    strict = replace(
        red, members=(NetworkPort(RED_PORT, 10, tagged=False, allowed=AllowedAddressPair(RED_MAC, OWN)),)
    )
    return compile_bridge(bridge(strict))


def sent(program: Program, header: Header = NO_HEADER, source: str = RED_MAC) -> Trace:
    return trace(program, Frame(RED_PORT, source, BROADCAST, header=header))


def advertised(target: str) -> Header:
    return Header(
        IPV6,
        ICMPV6,
        ipv6_src="fd00:1::1",
        icmpv6_type=136,
        icmpv6_code=0,
        nd_target=target,
        nd_tll=RED_MAC,
    )


LIES = {
    "source": (NO_HEADER, "02:00:00:00:00:81"),
    "source, with no bit too many": (NO_HEADER, "02:00:00:00:00:00"),
    "sender": (Header(ARP, arp_op=2, arp_spa="10.1.1.16", arp_tpa="10.1.1.2", arp_sha=RED_MAC), RED_MAC),
    "sender, of bits that own ones have": (
        Header(ARP, arp_op=2, arp_spa="10.1.1.9", arp_tpa="10.1.1.2", arp_sha=RED_MAC),
        RED_MAC,
    ),
    "MAC of the sender": (
        Header(ARP, arp_op=2, arp_spa="10.1.1.1", arp_tpa="10.1.1.2", arp_sha="02:00:00:00:00:05"),
        RED_MAC,
    ),
    "address": (Header(IPV6, 17, ipv6_src="fd00:1::10"), RED_MAC),
    "target": (advertised("fd00:1::10"), RED_MAC),
}
TRUTHS = {
    "another ethertype": NO_HEADER,
    "a probe": Header(ARP, arp_op=1, arp_spa="0.0.0.0", arp_tpa="10.1.1.1", arp_sha=RED_MAC),
    **{
        own: Header(ARP, arp_op=1, arp_spa=own, arp_tpa="10.1.1.2", arp_sha=RED_MAC)
        for own in OWN
        if ":" not in own
    },
    **{f"from {own}": Header(IPV6, 17, ipv6_src=own) for own in OWN if ":" in own},
    **{f"for {own}": advertised(own) for own in OWN if ":" in own},
}


def is_question(flow: Flow) -> bool:
    return Table.SPOOF_PREFILTER <= flow.table < Table.PORT_SECURITY_L2 and TAGS > flow.priority > EXACT


@pytest.mark.parametrize("lie", LIES)
def test_lies_end(program: Program, lie: str) -> None:
    """In one of the tables that say why, for this port."""
    header, source = LIES[lie]
    ended = sent(program, header, source)

    assert ended.dropped_in in {Table.PORT_SECURITY_L2, Table.PORT_SECURITY_IP, Table.PORT_SECURITY_ND}
    assert ended.flows[-1].match.in_port == RED_PORT


@pytest.mark.parametrize("truth", TRUTHS)
def test_truths_do_not(program: Program, truth: str) -> None:
    assert Table.MAC_LEARNING in {flow.table for flow in sent(program, TRUTHS[truth]).flows}


def test_each_bit_is_asked_once_and_in_an_order_of_its_own(program: Program) -> None:
    asked = [flow for flow in program.flows.values() if is_question(flow)]

    assert len({(flow.table, flow.priority) for flow in asked}) == len(asked) == 3 * 32 + 2 * 48


def test_where_no_port_is_strict_nothing_is_asked() -> None:
    flows = compile_bridge(VIEW).flows.values()

    assert not any(map(is_question, flows))
