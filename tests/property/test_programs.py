"""What holds for every program and every frame."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from flows.actions import ApplyMeter, OutputMetered
from flows.compile import EMPTY_COMPILED, compile_bridge, recompile, run_to_completion
from flows.diff import Plan, bundles, diff
from flows.features.l2_forwarding import NO_LIMITS
from flows.flow import FlowKey, Meter, Program
from flows.match import Header, Match
from flows.tables import Table
from flows.trace import Frame, trace
from flows.verify import check
from flows.view import AllowedAddressPair, BridgeView, NetworkPort, NetworkView
from tests.views import (
    BROADCAST,
    DHCP,
    DHCP6,
    GROUP,
    MACS,
    PING,
    PORTS,
    SIZES,
    SOLICITED,
    TUNNELS,
    VNIS,
    headers,
    views,
)

frames = st.builds(
    Frame,
    in_port=st.sampled_from(PORTS + TUNNELS),
    eth_src=st.sampled_from(MACS),
    eth_dst=st.sampled_from([*MACS, BROADCAST, GROUP, SOLICITED, "02:99:00:00:00:01"]),
    vlans=st.lists(st.integers(1, 9), max_size=2).map(tuple),
    key=st.sampled_from([0, *VNIS]),
    header=headers,
    size=st.sampled_from([64, *SIZES, 1465]),
)


def entered(view: BridgeView, frame: Frame) -> int | None:
    """The network that a frame belongs to by the view alone, without looking at any flow."""
    for network in view.networks:
        if frame.in_port in network.allowed_tunnel_ports and frame.key in network.keys:
            return network.vni
        for member in network.members:
            if member.port == frame.in_port:
                tag = frame.vlans[0] if frame.vlans else None
                carried = member.vlan if member.tagged else None
                if tag == carried and member.key in (None, frame.key):
                    return network.vni
    return None


def speaker(view: BridgeView, frame: Frame) -> AllowedAddressPair | None:
    """The only one who may send such a frame where it comes in; None: anybody."""
    vni = entered(view, frame)
    members = (m for n in view.networks if n.vni == vni for m in n.members if m.port == frame.in_port)
    return next((member.allowed for member in members), None)


def is_admitted(view: BridgeView, frame: Frame) -> bool:
    """Whether such a frame may be sent there, if it says nothing of addresses."""
    only = speaker(view, frame)
    return only is None or only.mac == frame.eth_src


@given(views())
def test_every_flow_keeps_to_the_declaration_of_its_table(view: BridgeView) -> None:
    for flow in compile_bridge(view).flows.values():
        check(flow)


@given(views())
def test_there_are_flows_where_frames_come_and_nowhere_else(view: BridgeView) -> None:
    """But for the one that counts keys that are not ours, whether or not there are tunnels."""
    flows = compile_bridge(view).flows.values()
    come = {Table.CLASSIFY} | {flow.goto for flow in flows}
    come |= {
        Table.EGRESS_POLICER
        for flow in flows
        if any(isinstance(action, OutputMetered) for action in flow.actions)
    }

    if view.networks:
        assert {flow.table for flow in flows} | {None} == come | {Table.TUNNEL_TO_NETWORK, None}


@given(views(), views())
def test_applying_the_difference_gives_the_other_program(a: BridgeView, b: BridgeView) -> None:
    old, new = compile_bridge(a), compile_bridge(b)
    plan = diff(old.flows.keys(), old.meters.values(), new)
    held, meters = carried_out(old, plan)
    assert held == set(new.flows)
    assert meters >= set(new.meters.values())

    rest = diff(held, meters, new)
    assert not rest.add
    assert not rest.delete
    assert carried_out(new, rest) == (set(new.flows), set(new.meters.values()))


@given(st.lists(views(), min_size=1, max_size=4), st.data())
def test_what_is_compiled_step_by_step_is_what_is_compiled_at_once(
    steps: list[BridgeView], data: st.DataObject
) -> None:
    """Whatever came before: other views, or the same one with other locations, or other ports."""
    last = EMPTY_COMPILED
    for view in steps:
        last = run_to_completion(recompile(view, last))
        fewer = replace(view, networks=tuple(data.draw(fewer_locations(n)) for n in view.networks))
        least = replace(fewer, networks=tuple(data.draw(fewer_ports(n)) for n in fewer.networks))
        for now in (fewer, least, replace(view, networks=view.networks[1:]), view):
            before, last = last.program, run_to_completion(recompile(now, last))

            assert last.program == compile_bridge(now)
            held, meters = set(before.flows), before.meters.values()
            assert diff(held, meters, last.program, among=last.changed) == diff(held, meters, last.program)


@given(views(), frames)
def test_while_an_empty_bridge_is_programmed_a_port_is_as_it_will_be_or_closed(
    view: BridgeView, frame: Frame
) -> None:
    program = compile_bridge(view)
    in_the_end, closed, held = trace(program, frame), True, Program({}, program.meters)
    for part in bundles(diff(set(), (), program), size=1):
        held = replace(held, flows={**held.flows, **{flow.key: flow for flow in part}})
        walked = trace(held, frame)
        closed = closed and walked != in_the_end

        assert walked == in_the_end or (closed and not walked.copies and not walked.punted)
    assert held == program


def test_only_an_empty_bridge_is_programmed_part_by_part() -> None:
    view = BridgeView((), (1,), learn_from_tunnels=False, mac_age=300, punt_rate=1)
    network = NetworkView(5, (5,), (1,), tuple(NetworkPort(n, None, tagged=False) for n in (3, 4)), (), ())
    program = compile_bridge(replace(view, networks=(network,)))
    first, *others = bundles(diff(set(), (), program), size=1)
    whole = diff({flow.key for flow in first}, (), program)

    assert [{flow.match.in_port for flow in part} for part in others] == [{3}, {4}]
    assert [*bundles(whole, size=1)] == [whole.add]


@st.composite
def fewer_locations(draw: st.DrawFn, network: NetworkView) -> NetworkView:
    """The network, of whose stations only some are known, and their addresses."""
    known = draw(st.sets(st.sampled_from(MACS)))
    some = (at._replace(macs=tuple(mac for mac in at.macs if mac in known)) for at in network.locations)
    answers = tuple(answer for answer in network.neighbors if answer.mac in known)
    return replace(network, locations=tuple(at for at in some if at.macs), neighbors=answers)


@st.composite
def fewer_ports(draw: st.DrawFn, network: NetworkView) -> NetworkView:
    """The network, of whose local ports only some have appeared."""
    ports = sorted({member.port for member in network.members})
    gone = draw(st.sets(st.sampled_from(ports))) if ports else set()
    return replace(
        network,
        members=tuple(member for member in network.members if member.port not in gone),
        locations=tuple(at for at in network.locations if at.remote or at.port not in gone),
    )


def carried_out(program: Program, plan: Plan) -> tuple[set[FlowKey], set[Meter]]:
    """What a switch holds then: an added flow replaces the one with its table, priority and match."""
    table = {(f.table, f.priority, f.match): f for f in program.flows.values()}
    for flow in plan.add:
        table[flow.table, flow.priority, flow.match] = flow
    meters = {**program.meters, **{meter.id: meter for meter in plan.meters}}
    meters = {number: meter for number, meter in meters.items() if number not in plan.unused}
    return {flow.key for flow in table.values()} - set(plan.delete), set(meters.values())


@given(views(), frames)
def test_a_frame_never_leaves_its_network(view: BridgeView, frame: Frame) -> None:
    vni = entered(view, frame)
    network = next((n for n in view.networks if n.vni == vni), None)

    for copy in trace(compile_bridge(view), frame).copies:
        assert network is not None
        if copy.port in view.tunnels:
            assert (copy.port, copy.key) in {(peer.port, peer.key) for peer in network.peers}
        else:
            ways_out = {(m.port, m.vlan if m.tagged else None) for m in network.members}
            key = next(m.key for m in network.members if m.port == copy.port)
            assert key in (None, copy.key)
            inner = frame.vlans[1:] if entered_tagged(view, frame) else frame.vlans
            tag = copy.vlans[0] if len(copy.vlans) > len(inner) else None
            assert (copy.port, tag) in ways_out


def entered_tagged(view: BridgeView, frame: Frame) -> bool:
    return frame.in_port not in view.tunnels and bool(frame.vlans)


@given(views(), frames)
def test_nobody_receives_a_frame_twice_nor_its_sender_at_all(view: BridgeView, frame: Frame) -> None:
    walked = trace(compile_bridge(view), frame)
    ports = [copy.port for copy in walked.copies]

    assert len(ports) == len(set(ports))
    assert frame.in_port not in ports or walked.flows[-1].table is Table.RESPONDER_OUTPUT


@given(views(), frames)
def test_what_comes_from_a_tunnel_goes_to_no_tunnel(view: BridgeView, frame: Frame) -> None:
    if frame.in_port in view.tunnels:
        assert not trace(compile_bridge(view), frame).ports & set(view.tunnels)


def denied(view: BridgeView, network: NetworkView, frame: Frame) -> bool:
    """Whether nobody believes that this source is there; from tunnels, peers are, unless nobody else is."""
    looked_at = frame.in_port not in view.tunnels or view.learn_from_tunnels
    here = (location for location in network.locations if location.port == frame.in_port)
    refused = any(location.blocked for location in here if frame.eth_src in location.macs)
    return looked_at and refused and frame.in_port not in view.mac_limit_exceeded


@given(views(), frames)
def test_a_source_that_is_not_believed_reaches_nobody_and_asks_nobody(view: BridgeView, frame: Frame) -> None:
    network = next((n for n in view.networks if n.vni == entered(view, frame)), None)
    if network is not None and denied(view, network, frame):
        walked = trace(compile_bridge(view), frame)

        assert not walked.ports
        assert not walked.punted


@given(views(), frames)
def test_no_source_of_a_crowded_port_is_looked_at(view: BridgeView, frame: Frame) -> None:
    if frame.in_port in view.mac_limit_exceeded:
        met = trace(compile_bridge(view), frame).flows

        assert {flow.match for flow in met if flow.table is Table.MAC_LEARNING} <= {
            Match(in_port=frame.in_port)
        }


@given(views(), frames)
def test_nothing_unknown_leaves_where_the_network_floods_nothing_unknown(
    view: BridgeView, frame: Frame
) -> None:
    unknown = replace(frame, eth_dst="02:99:00:00:00:01")
    network = next((n for n in view.networks if n.vni == entered(view, unknown)), None)
    if network is not None and not network.floods_unknown:
        assert not trace(compile_bridge(view), unknown).copies


@given(views(), frames)
def test_every_copy_to_a_port_with_a_rate_is_within_it(view: BridgeView, frame: Frame) -> None:
    """Whether it is the only copy or one of many; and so is what came in."""
    met = trace(compile_bridge(view), frame)
    meters = {action.meter for flow in met.flows for action in flow.actions if isinstance(action, ApplyMeter)}
    expected = {view.limits[port].receive for port in met.ports & view.limits.keys()}
    if entered(view, frame) is not None:
        expected.add(view.limits.get(frame.in_port, NO_LIMITS).send)
    assert {meter.id for meter in expected if meter is not None} <= meters


@given(views(), frames)
def test_broadcast_reaches_everyone_of_the_network(view: BridgeView, frame: Frame) -> None:
    flooded = Frame(frame.in_port, frame.eth_src, BROADCAST, frame.vlans, frame.key)
    network = next((n for n in view.networks if n.vni == entered(view, flooded)), None)
    if network is not None and not denied(view, network, frame) and is_admitted(view, flooded):
        behind = frame.vlans if frame.in_port in view.tunnels else frame.vlans[1:]
        takes = [member for member in network.members if member.nests or not (behind and network.nests)]
        expected = {member.port for member in takes}
        expected |= (
            set() if frame.in_port in view.tunnels else {peer.port for peer in network.peers if peer.up}
        )
        assert trace(compile_bridge(view), flooded).ports == expected - {frame.in_port}


@given(views(), frames, st.sampled_from([DHCP, DHCP6]))
def test_where_the_network_serves_no_question_to_it_goes_any_further(
    view: BridgeView, frame: Frame, asks: Header
) -> None:
    network = next((n for n in view.networks if n.vni == entered(view, frame)), None)
    if network is not None and network.dhcp_enabled and frame.in_port not in view.tunnels:
        assert not trace(compile_bridge(view), replace(frame, header=asks)).copies


@given(views(), frames)
def test_what_is_too_large_goes_no_further_and_what_fits_goes_on(view: BridgeView, frame: Frame) -> None:
    """Where devices are not ours; the controller hears of packets, so that their senders do."""
    network = next((n for n in view.networks if n.vni == entered(view, frame)), None)
    members = () if network is None else network.members
    largest = next((m.max_frame_size for m in members if m.port == frame.in_port), None)
    if largest is None or speaker(view, frame) is not None:
        return
    program = compile_bridge(view)
    large = trace(program, replace(frame, size=largest + 1, header=PING))

    assert not large.copies
    believed = Table.MTU_CHECK in {flow.table for flow in large.flows}
    assert large.punted or not believed
    fits = trace(program, replace(frame, size=largest, header=PING))
    unasked = replace(
        view,
        networks=tuple(
            replace(n, members=tuple(replace(m, max_frame_size=None) for m in n.members))
            for n in view.networks
        ),
    )
    assert fits.copies == trace(compile_bridge(unasked), replace(frame, header=PING)).copies
