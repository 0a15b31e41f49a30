"""What a bridge does with a frame, asked as a person would ask it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from flows.actions import Output
from flows.compile import compile_bridge
from flows.diff import diff
from flows.flow import (
    CONTROLLER_METER,
    EMPTY,
    Flow,
    Meter,
    Origin,
    PatchedMapping,
    apply_delta,
    collect,
    origin_of,
)
from flows.match import IGMP, IPV4, UDP, Header, Match
from flows.tables import TABLES, Table
from flows.trace import Frame, OutputPacket, Trace, trace
from flows.view import (
    AllowedAddressPair,
    BridgeView,
    Limits,
    Location,
    MulticastGroups,
    MulticastPorts,
    NeighborEntry,
    NetworkPort,
    NetworkView,
    Peer,
)
from tests.views import (
    BLUE,
    BLUE_FAR,
    BLUE_MAC,
    BLUE_PORT,
    BROADCAST,
    OTHER_TUNNEL,
    RED,
    RED_FAR,
    RED_MAC,
    RED_PORT,
    STRANGER,
    TRUNK,
    TUNNEL,
    alone,
    bridge,
    two_tenants,
)

PROGRAM = compile_bridge(two_tenants())
OTHER_TRUNK = 4


def send(in_port: int, src: str, dst: str, *vlans: int, key: int = 0) -> Trace:
    return trace(PROGRAM, Frame(in_port, src, dst, vlans, key))


def test_known_remote_destination_leaves_on_its_tunnel_with_the_key_and_no_tag() -> None:
    assert send(RED_PORT, RED_MAC, RED_FAR).copies == (OutputPacket(TUNNEL, (), RED),)


def test_known_local_destination_leaves_on_its_port() -> None:
    assert send(TUNNEL, RED_FAR, RED_MAC, key=RED).copies == (OutputPacket(RED_PORT, (), RED),)


def test_broadcast_from_a_port_reaches_each_peer_and_each_other_port_once() -> None:
    assert set(send(RED_PORT, RED_MAC, BROADCAST).copies) == {
        OutputPacket(TUNNEL, (), RED),
        OutputPacket(TRUNK, (30,), RED),
    }


def test_broadcast_from_a_tunnel_reaches_local_ports_only() -> None:
    assert send(TUNNEL, RED_FAR, BROADCAST, key=RED).ports == {RED_PORT, TRUNK}


def test_remote_destination_from_a_tunnel_never_goes_back_to_a_tunnel() -> None:
    assert TUNNEL not in send(TUNNEL, RED_FAR, RED_FAR, key=RED).ports


@pytest.mark.parametrize("destination", [BLUE_MAC, BLUE_FAR, BROADCAST, STRANGER])
def test_red_never_reaches_blue(destination: str) -> None:
    for copy in send(RED_PORT, RED_MAC, destination).copies:
        assert copy.port != BLUE_PORT
        assert copy.port != TRUNK or copy.vlans == (30,)
        assert copy.port != TUNNEL or copy.key == RED


def test_equal_macs_in_two_tenants_are_two_stations() -> None:
    def network(vni: int, port: int) -> NetworkView:
        here = (Location(port, False, False, (RED_MAC,)),)
        return replace(alone(vni, NetworkPort(port, 10, tagged=False)), locations=here)

    program = compile_bridge(bridge(network(RED, RED_PORT), network(BLUE, BLUE_PORT), tunnels=(TUNNEL,)))

    assert trace(program, Frame(BLUE_PORT, STRANGER, RED_MAC)).ports <= {BLUE_PORT}


def test_a_trunk_keeps_networks_apart_by_tag() -> None:
    assert send(TRUNK, STRANGER, RED_MAC, 30).copies == (OutputPacket(RED_PORT, (), 0),)
    assert send(TRUNK, STRANGER, BLUE_MAC, 40).copies == (OutputPacket(BLUE_PORT, (), 0),)


@pytest.mark.parametrize("inner", [(77,), (77, 0, 5)])
def test_inner_tags_of_a_tenant_pass_untouched_between_trunks(inner: tuple[int, ...]) -> None:
    red, blue = nesting(two_tenants()).networks
    there = Location(OTHER_TRUNK, False, True, (STRANGER,))
    members = (*red.members, NetworkPort(OTHER_TRUNK, 31, tagged=True))
    view = replace(
        two_tenants(),
        networks=(replace(red, members=members, locations=(*red.locations, there)), blue),
    )
    program = compile_bridge(view)

    def sent(port: int, to: str, *vlans: int, key: int = 0) -> set[OutputPacket]:
        return set(trace(program, Frame(port, BLUE_MAC, to, vlans, key)).copies)

    assert sent(TRUNK, STRANGER, 30, *inner) == {OutputPacket(OTHER_TRUNK, (31, *inner), 0)}
    assert sent(TRUNK, RED_FAR, 30, *inner) == {OutputPacket(TUNNEL, inner, RED)}
    assert sent(TUNNEL, STRANGER, *inner, key=RED) == {OutputPacket(OTHER_TRUNK, (31, *inner), RED)}
    assert sent(TRUNK, BROADCAST, 30, *inner) == {
        OutputPacket(TUNNEL, inner, RED),
        OutputPacket(OTHER_TRUNK, (31, *inner), RED),
    }
    for to in (RED_MAC, BROADCAST):
        assert all(copy.port != RED_PORT for copy in sent(TRUNK, to, 30, *inner))
        assert all(copy.port != RED_PORT for copy in sent(TUNNEL, to, *inner, key=RED))


@pytest.mark.parametrize(
    ("frame", "table"),
    [
        (Frame(RED_PORT, RED_MAC, RED_FAR, (10,)), Table.CLASSIFY),
        (Frame(TRUNK, STRANGER, RED_FAR), Table.CLASSIFY),
        (Frame(99, STRANGER, RED_FAR), Table.CLASSIFY),
        (Frame(TRUNK, STRANGER, RED_FAR, (50,)), Table.VLAN_TO_NETWORK),
        (Frame(TUNNEL, RED_FAR, RED_MAC, key=4711), Table.TUNNEL_TO_NETWORK),
        (Frame(OTHER_TUNNEL, RED_FAR, RED_MAC, key=RED), Table.TUNNEL_TO_NETWORK),
        (Frame(RED_PORT, "03:00:00:00:00:01", RED_FAR), Table.PORT_SECURITY_L2),
        (Frame(RED_PORT, "00:00:00:00:00:00", RED_FAR), Table.MAC_LEARNING),
        (Frame(RED_PORT, RED_MAC, "01:80:c2:00:00:0e"), Table.PORT_SECURITY_L2),
    ],
)
def test_what_has_no_business_here_is_dropped_where_it_is_counted(frame: Frame, table: Table) -> None:
    assert trace(PROGRAM, frame).dropped_in is table


def test_an_unknown_source_goes_its_way_and_the_controller_hears_of_it() -> None:
    unknown, known = send(RED_PORT, STRANGER, RED_FAR), send(RED_PORT, RED_MAC, RED_FAR)

    assert unknown.punted
    assert unknown.ports == {TUNNEL}
    assert not known.punted


@pytest.mark.parametrize("per_host", [False, True])
def test_sources_behind_tunnels_are_reported_only_where_nobody_else_tells(per_host: bool) -> None:
    network = alone(RED, NetworkPort(RED_PORT, 10, tagged=False), peers=(TUNNEL,))
    program = compile_bridge(bridge(network, per_host=per_host))

    assert trace(program, Frame(TUNNEL, STRANGER, RED_MAC, key=RED)).punted is per_host


def test_a_network_without_a_tag_is_entered_untagged_and_only_so() -> None:
    network = alone(RED, NetworkPort(RED_PORT, None, tagged=False), peers=(TUNNEL,))
    program = compile_bridge(bridge(network))

    assert trace(program, Frame(RED_PORT, STRANGER, BROADCAST)).ports == {TUNNEL}
    assert not trace(program, Frame(RED_PORT, STRANGER, BROADCAST, (10,))).copies


@pytest.mark.parametrize("having", range(6))
def test_keys_are_taken_from_peers_that_have_the_network_and_in_few_flows(having: int) -> None:
    tunnels = tuple(range(40001, 40006))
    peers = tunnels[:having]
    network = alone(RED, NetworkPort(RED_PORT, 10, tagged=False), peers=peers)
    program = compile_bridge(bridge(network, tunnels=tunnels))

    for tunnel in tunnels:
        admitted = bool(trace(program, Frame(tunnel, STRANGER, BROADCAST, key=RED)).copies)
        assert admitted is (tunnel in peers)
    flows = [f for f in program.flows.values() if f.table is Table.TUNNEL_TO_NETWORK and f.match.key]
    assert len(flows) <= min(having, 6 - having)


def test_only_learned_sources_age_and_their_flows_say_so() -> None:
    learn = [
        f
        for f in PROGRAM.flows.values()
        if f.table is Table.MAC_LEARNING and f.match.eth_src and f.match.in_port
    ]

    assert {f.match.eth_src: (f.idle, origin_of(f.cookie) is Origin.LEARNED) for f in learn} == {
        RED_MAC: (0, False),
        BLUE_MAC: (300, True),
    }


def known(view: BridgeView, *ips: str) -> BridgeView:
    """The same, where red's own station has these addresses."""
    red, blue = view.networks
    answers = tuple(NeighborEntry(ip, RED_MAC, RED_PORT, learned=False, router=False) for ip in ips)
    return replace(view, networks=(replace(red, neighbors=answers), blue))


def serving(view: BridgeView) -> BridgeView:
    return replace(view, networks=tuple(replace(network, dhcp_enabled=True) for network in view.networks))


def asked(view: BridgeView) -> BridgeView:
    """The same, where somebody asks red who listens, and nobody has answered yet."""
    red, blue = view.networks
    snooping = MulticastGroups(4, (STRANGER,), MulticastPorts((RED_PORT,), ()), None)
    return replace(view, networks=(replace(red, multicast=(snooping,)), blue))


def nesting(view: BridgeView) -> BridgeView:
    """The same, where frames of red may have a second tag."""
    red, blue = view.networks
    return replace(view, networks=(replace(red, nests=True), blue))


def with_limits(view: BridgeView, limits: Limits) -> BridgeView:
    return replace(view, limits={RED_PORT: limits})


def with_red(view: BridgeView, **said: Any) -> BridgeView:
    """The same, with these words about red's own port."""
    red, blue = view.networks
    first, *others = red.members
    return replace(view, networks=(replace(red, members=(replace(first, **said), *others)), blue))


def test_who_lives_elsewhere_is_heard_of_nothing() -> None:
    """Neither as a DHCP server, which this port may be, nor as a querier."""
    red, blue = with_red(two_tenants(), roles=frozenset({"dhcp-server"})).networks
    elsewhere = Location(RED_PORT, False, True, (STRANGER,), blocked=True)
    there = replace(red, external_dhcp=True, locations=(*red.locations, elsewhere))
    program = compile_bridge(replace(two_tenants(), networks=(there, blue)))
    words = (
        ("01:00:5e:00:00:01", Header(IPV4, IGMP, ipv4_dst="224.0.0.1")),
        (BROADCAST, Header(IPV4, UDP, udp_src=67, udp_dst=68)),
        (BROADCAST, Header(IPV4, UDP, udp_src=68, udp_dst=67)),
    )
    for group, said in words:
        known, denied = (
            trace(program, Frame(RED_PORT, who, group, header=said)) for who in (RED_MAC, STRANGER)
        )
        assert (known.punted, known.dropped_in) == (True, None)
        assert (denied.punted, denied.dropped_in) == (False, Table.MAC_LEARNING)


PLAIN = two_tenants()
SOME = Meter(1, 1000, 1000)
FOR_STRICT = {table for table in Table if table.label.startswith("spoof-prefilter")} | {
    Table.PORT_SECURITY_IP,
    Table.PORT_SECURITY_ND,
}
HAVING: dict[str, tuple[BridgeView, set[Table]]] = {
    "nothing": (PLAIN, set()),
    "a strict port": (with_red(PLAIN, allowed=AllowedAddressPair(RED_MAC, ("fe80::1",))), FOR_STRICT),
    "a port of others": (with_red(PLAIN, max_frame_size=1464), {Table.MTU_CHECK, Table.LOCAL_SERVICES}),
    "DHCP": (serving(PLAIN), {Table.LOCAL_SERVICES}),
    "an address": (known(PLAIN, "10.1.1.1"), {Table.RESPONDER_OUTPUT}),
    "an IPv6 address": (known(PLAIN, "10.1.1.1", "fd00::1"), {Table.ND_RESPONDER, Table.RESPONDER_OUTPUT}),
    "a trunk without port security": (nesting(PLAIN), {Table.NESTED_TAGS}),
    "a querier": (asked(PLAIN), set()),
    "a rate of floods": (with_limits(PLAIN, Limits(flood=SOME)), {Table.STORM_CONTROL}),
    "a rate to receive": (with_limits(PLAIN, Limits(receive=SOME)), {Table.EGRESS_POLICER}),
}
"""Views with one thing each, and the tables that are there for it."""
AFTER = {
    Table.ARP_ND_RESPONDER: (Table.MTU_CHECK, Table.LOCAL_SERVICES, Table.NESTED_TAGS, Table.FORWARD),
    Table.LOCAL_SERVICES: (Table.NESTED_TAGS, Table.FORWARD),
    Table.FORWARD: (Table.STORM_CONTROL, Table.MULTICAST),
}
"""Where a miss leads: the first of these that is there."""


@pytest.mark.parametrize("what", HAVING)
def test_a_table_that_is_there_for_something_is_there_with_it_alone(what: str) -> None:
    view, more = HAVING[what]
    always = {table for table, declaration in TABLES.items() if declaration.only is None}

    assert {flow.table for flow in compile_bridge(view).flows.values()} == always | more


@pytest.mark.parametrize("what", HAVING)
def test_every_table_says_what_happens_to_the_rest(what: str) -> None:
    """It goes on, past the tables that are not there; where flows match whatever comes, nothing is left."""
    program = compile_bridge(HAVING[what][0])
    there = {flow.table for flow in program.flows.values()}
    misses = {flow.table: flow.goto for flow in program.flows.values() if flow.match == Match()}

    assert misses.keys() >= {table for table in there if not TABLES[table].whole}
    for table, goto in misses.items():
        assert goto == next(
            (after for after in AFTER.get(table, (TABLES[table].miss,)) if after in there), None
        )


@pytest.mark.parametrize("what", HAVING)
def test_what_a_bridge_has_more_changes_no_flow_of_a_port_or_a_station(what: str) -> None:
    """It has the same flows and more, but for where the misses lead, and what is of the very thing."""
    before, now = set(PROGRAM.flows.values()), set(compile_bridge(HAVING[what][0]).flows.values())
    very = {Table.TUNNEL_TO_NETWORK} if HAVING[what][1] == {Table.NESTED_TAGS} else set()

    for gone in before - now:
        assert gone.match == Match() or gone.table in very or RED_PORT in {gone.match.in_port, *outputs(gone)}


def outputs(flow: Flow) -> set[int]:
    return {action.port for action in flow.actions if isinstance(action, Output)}


def test_cookies_are_ours_and_follow_the_content() -> None:
    again = compile_bridge(two_tenants())

    assert list(PROGRAM.flows) == list(again.flows)
    assert all(origin_of(cookie) is not None for _, cookie in PROGRAM.flows)
    assert origin_of(0) is None


def test_nothing_to_do_is_an_empty_plan() -> None:
    plan = diff(PROGRAM.flows.keys(), PROGRAM.meters.values(), PROGRAM)

    assert not plan
    assert len(plan) == 0


def test_somebody_elses_flow_is_deleted_and_a_wrong_meter_set() -> None:
    plan = diff({*PROGRAM.flows, (0, 0)}, [], PROGRAM)

    assert plan.add == ()
    assert plan.delete == ((0, 0),)
    assert [meter.id for meter in plan.meters] == [CONTROLLER_METER]


def test_a_program_refuses_two_flows_of_one_identity() -> None:
    flow, other = list(PROGRAM.flows.values())[:2]
    forged = flow._replace(priority=7, match=other.match)

    with pytest.raises(ValueError, match="share cookie"):
        collect([flow, forged])
    with pytest.raises(ValueError, match="share cookie"):
        apply_delta(collect([flow]), [], [collect([forged])])
    many = apply_delta(PROGRAM.flows, [collect([other])], [])
    assert isinstance(many, PatchedMapping)
    with pytest.raises(ValueError, match="share cookie"):
        apply_delta(many, [], [collect([forged])])
    assert not EMPTY.flows


def test_flows_that_are_amended_bit_by_bit_are_those_that_are_collected_at_once() -> None:
    """Whether what they were made of is kept beside the few that differ, or they are put together anew."""
    flows = [Flow(Table.FORWARD, 100, Match(network=vni)) for vni in range(200)]
    there, amended = set(flows[:150]), apply_delta({}, [], [collect(flows[:150])])
    kinds = set()
    for turn in range(40):
        gone = {flows[7 * turn % 200], flows[11 * turn % 200]}  # there, come lately, or gone before
        come = {flows[11 * turn % 200], flows[13 * turn % 200]} - (there - gone)
        amended = apply_delta(amended, [collect(gone)], [collect(come)])
        there = (there - gone) | come
        kinds.add(type(amended))

        assert amended == collect(there)
        assert len(amended) == len(list(amended)) == len(there)
        for away in gone - come:
            with pytest.raises(KeyError):
                amended[away.key]
    assert kinds == {dict, PatchedMapping}


def test_of_two_learned_flows_of_one_identity_one_counts() -> None:
    """A workload may make up MACs until it has found two whose flows would collide."""
    flow = next(flow for flow in PROGRAM.flows.values() if flow.kind is Origin.LEARNED)
    forged = flow._replace(match=flow.match._replace(eth_src=STRANGER, eth_dst=None))

    (kept,) = collect([flow, forged]).values()

    assert kept in (flow, forged)
    assert (
        collect([forged, flow]) == apply_delta(collect([flow]), [], [collect([forged])]) == {flow.key: kept}
    )


def test_while_a_key_changes_both_are_understood_and_each_peer_hears_its_own() -> None:
    """Half of the peers understand the new key, half only the old one."""
    network = replace(
        alone(RED, NetworkPort(RED_PORT, 10, tagged=False), peers=(TUNNEL, OTHER_TUNNEL)),
        keys=(RED, 4999),
        peers=(Peer(TUNNEL, RED), Peer(OTHER_TUNNEL, 4999)),
    )
    program = compile_bridge(bridge(network, tunnels=(TUNNEL, OTHER_TUNNEL)))

    flooded = trace(program, Frame(RED_PORT, STRANGER, BROADCAST)).copies
    assert set(flooded) == {OutputPacket(TUNNEL, (), RED), OutputPacket(OTHER_TUNNEL, (), 4999)}
    for key in network.keys:
        assert trace(program, Frame(TUNNEL, STRANGER, BROADCAST, key=key)).ports == {RED_PORT}
