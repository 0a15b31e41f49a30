"""Where frames to groups go: to those who asked for them, and what is said about groups to those who ask."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from flows.actions import Punt
from flows.compile import compile_bridge
from flows.features.local_services import NO_TRUNCATION
from flows.match import Header
from flows.trace import Frame, Trace, trace
from flows.view import BridgeView, MulticastGroups, MulticastPorts, NetworkView
from tests.views import (
    ABOUT,
    BROADCAST,
    GROUP,
    GROUP_6,
    LEAVE_6,
    LINK,
    LINK_6,
    PING,
    QUERY,
    QUERY_6,
    REPORT,
    REPORT_6,
    ROUTER,
    STRANGER,
    STREAM,
    STREAM_6,
    open_to_all,
    views,
)

MACS = {4: GROUP, 6: GROUP_6}
SLOW = [HealthCheck.too_slow, HealthCheck.filter_too_much]
unhurried = settings(max_examples=50, suppress_health_check=SLOW)


@st.composite
def ways_in(draw: st.DrawFn) -> tuple[BridgeView, NetworkView, Frame]:
    """A view, one of its networks, and a frame that comes into it."""
    view = open_to_all(draw(views()))
    assume(view.networks)
    network = draw(st.sampled_from(view.networks))
    from_tunnel: bool = draw(st.booleans())
    if network.allowed_tunnel_ports and network.keys and from_tunnel:
        port, key = draw(st.sampled_from(network.allowed_tunnel_ports)), draw(st.sampled_from(network.keys))
        return view, network, Frame(port, STRANGER, BROADCAST, key=key)
    member = draw(st.sampled_from(network.members))
    tags = (member.vlan,) if member.tagged and member.vlan is not None else ()
    return view, network, Frame(member.port, STRANGER, BROADCAST, tags, member.key or 0)


def sent(view: BridgeView, frame: Frame, family: int, header: Header, source: str = STRANGER) -> Trace:
    to_group = Frame(frame.in_port, source, MACS[family], frame.vlans, frame.key, header)
    return trace(compile_bridge(view), to_group)


def everybody(view: BridgeView, frame: Frame) -> frozenset[int]:
    return trace(compile_bridge(view), frame).ports


def reached(view: BridgeView, network: NetworkView, frame: Frame, *wanted: MulticastPorts) -> set[int]:
    ports = {port for listeners in wanted for port in listeners.ports}
    if frame.in_port not in view.tunnels:
        up = {peer.port for peer in network.peers if peer.up}
        ports |= {port for listeners in wanted for port in listeners.peers if port in up}
    return ports - {frame.in_port}


def known(network: NetworkView, family: int) -> MulticastGroups | None:
    return next((one for one in network.multicast if one.family == family), None)


@pytest.mark.parametrize(("family", "stream"), [(4, STREAM), (4, PING), (6, STREAM_6)])
@given(ways_in())
@unhurried
def test_a_group_goes_to_its_listeners_and_to_routers_once_they_are_known(
    family: int, stream: Header, way_in: tuple[BridgeView, NetworkView, Frame]
) -> None:
    view, network, frame = way_in
    snooping = known(network, family)
    copies = sent(view, frame, family, stream).copies
    ports = {copy.port for copy in copies}

    assert len(ports) == len(copies)
    if snooping is None or snooping.groups is None:
        assert ports == everybody(view, frame)
    else:
        listeners = dict(snooping.groups).get(MACS[family], MulticastPorts((), ()))
        assert ports == reached(view, network, frame, snooping.routers, listeners)


@pytest.mark.parametrize(("family", "header"), [(4, LINK), (4, QUERY), (6, LINK_6), (6, QUERY_6)])
@given(ways_in())
@unhurried
def test_what_is_for_the_whole_link_and_what_asks_goes_everywhere(
    family: int, header: Header, way_in: tuple[BridgeView, NetworkView, Frame]
) -> None:
    view, _, frame = way_in

    assert sent(view, frame, family, header).ports == everybody(view, frame)


@pytest.mark.parametrize(("family", "query"), [(4, QUERY), (6, QUERY_6)])
@given(ways_in())
@unhurried
def test_the_controller_hears_that_somebody_asks_where_nobody_else_tells_it(
    family: int, query: Header, way_in: tuple[BridgeView, NetworkView, Frame]
) -> None:
    """Before anybody has asked, and after; once."""
    view, _, frame = way_in
    told = [flow for flow in sent(view, frame, family, query).flows if Punt(NO_TRUNCATION) in flow.actions]

    assert len(told) == (frame.in_port not in view.tunnels or view.learn_from_tunnels)


@given(ways_in())
@unhurried
def test_a_question_about_one_group_goes_everywhere_too(
    way_in: tuple[BridgeView, NetworkView, Frame],
) -> None:
    view, network, frame = way_in
    snooping = known(network, 4)
    if snooping is None or ROUTER in snooping.queriers:
        assert sent(view, frame, 4, ABOUT, ROUTER).ports == everybody(view, frame)


@pytest.mark.parametrize(("family", "header"), [(4, REPORT), (4, ABOUT), (6, REPORT_6), (6, LEAVE_6)])
@given(ways_in())
@unhurried
def test_a_report_reaches_routers_and_the_controller_and_no_other_host(
    family: int, header: Header, way_in: tuple[BridgeView, NetworkView, Frame]
) -> None:
    view, network, frame = way_in
    snooping = known(network, family)
    if snooping is None:
        return
    went = sent(view, frame, family, header)
    peers = (
        [MulticastPorts((), tuple(peer.port for peer in network.peers))] if view.learn_from_tunnels else []
    )

    assert went.ports == reached(view, network, frame, snooping.routers, *peers)
    if frame.in_port not in view.tunnels or view.learn_from_tunnels:
        assert went.punted
