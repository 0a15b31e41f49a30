"""Who may speak, and who is answered, whatever else is in force."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from flows.actions import Punt
from flows.compile import compile_bridge
from flows.features.local_services import NO_TRUNCATION
from flows.match import ARP, Header
from flows.tables import Table
from flows.trace import Frame, trace
from flows.view import BridgeView, NeighborEntry, NetworkPort, NetworkView
from tests.property.test_programs import entered, frames
from tests.views import ADDRESSES, BROADCAST, ROUTED, SERVED, STRANGER, requests, views


def where(view: BridgeView, frame: Frame) -> tuple[NetworkView, NetworkPort] | None:
    """The network that a local port's frame enters, and as what."""
    vni = entered(view, frame)
    found = ((n, m) for n in view.networks if n.vni == vni for m in n.members if m.port == frame.in_port)
    return None if frame.in_port in view.tunnels else next(found, None)


@given(views(), frames)
def test_a_strict_port_speaks_as_the_file_says(view: BridgeView, frame: Frame) -> None:
    found = where(view, frame)
    if found is None or found[1].allowed is None or not trace(compile_bridge(view), frame).copies:
        return
    member, (mac, addresses), said = found[1], found[1].allowed, frame.header
    assert frame.eth_src == mac
    assert said.arp_sha in {None, mac}
    assert said.arp_spa in {None, "0.0.0.0", *addresses}
    assert said.nd_sll in {None, "00:00:00:00:00:00", mac}
    assert said.nd_tll in {None, "00:00:00:00:00:00", mac}
    assert said.icmpv6_type != 136 or said.nd_target in addresses
    if "router" not in member.roles or said.icmpv6_type in {135, 136}:
        assert said.ipv4_src in {None, "0.0.0.0", *addresses}
        assert said.ipv6_src in {None, "::", *addresses}


@given(views(), frames, st.sampled_from([*SERVED, *ROUTED]))
def test_only_ports_that_may_say_what_servers_and_routers_say(
    view: BridgeView, frame: Frame, said: Header
) -> None:
    found = where(view, frame)
    role = "dhcp-server" if said in SERVED else "router"
    if found is not None and role not in found[1].roles:
        assert not trace(compile_bridge(view), replace(frame, header=said)).copies


@given(views(), frames, st.sampled_from(SERVED))
def test_the_controller_hears_of_leases_from_those_who_may_give_them(
    view: BridgeView, frame: Frame, said: Header
) -> None:
    """Behind a tunnel, its own bridge has seen to that; where nobody else tells us, it counts as well."""
    met = trace(compile_bridge(view), replace(frame, header=said)).flows
    heard = [
        flow for flow in met if flow.table is Table.DHCP_RA_GUARD and Punt(NO_TRUNCATION) in flow.actions
    ]
    found = where(view, frame)
    if found is not None:
        assert not heard or "dhcp-server" in found[1].roles
    else:
        assert not heard or (view.learn_from_tunnels and frame.in_port in view.tunnels)


@given(views(), frames, requests.filter(lambda header: header.arp_op == 1))
def test_who_asks_for_a_known_address_is_told_and_nobody_hears_it(
    view: BridgeView, frame: Frame, asks: Header
) -> None:
    """Unless it asks for its own, or says that a learned one is its own now."""
    asked = replace(frame, eth_dst=BROADCAST, header=asks)
    found, program = where(view, asked), compile_bridge(view)
    if found is None or not (walked := trace(program, asked)).copies:
        return
    network, member = found
    known = {answer.ip: answer for answer in network.neighbors}.get(str(asks.arp_tpa))
    if known is None or is_announced(known, asked):
        assert frame.in_port not in walked.ports
        return
    (copy,) = walked.copies
    assert copy.port == frame.in_port
    inner = frame.vlans[1:] if member.tagged else frame.vlans
    assert copy.vlans == ((member.vlan, *inner) if member.tagged else inner)
    answer = {**dict(asks.said()), "eth_src": frame.eth_src, "eth_dst": BROADCAST} | dict(copy.rewritten)
    assert answer == {
        **{"eth_src": known.mac, "eth_dst": frame.eth_src, "eth_type": ARP, "arp_op": 2},
        **{"arp_sha": known.mac, "arp_spa": known.ip, "arp_tha": asks.arp_sha, "arp_tpa": asks.arp_spa},
    }


@given(views(), frames, requests)
def test_what_the_file_gives_a_port_nobody_else_claims(view: BridgeView, frame: Frame, says: Header) -> None:
    """Unless it is asked for at the same time: then who has it says so, and nobody else hears of it."""
    said = replace(frame, eth_dst=BROADCAST, header=says)
    found = where(view, said)
    if found is None:
        return
    known = {answer.ip: answer for answer in found[0].neighbors if not answer.learned}.get(str(says.arp_spa))
    if known is not None and known.port != frame.in_port and found[1].allowed is None:
        announced = says.arp_op == 1 and says.arp_tpa == says.arp_spa
        assert trace(compile_bridge(view), said).ports <= ({frame.in_port} if announced else set())


def is_announced(known: NeighborEntry, frame: Frame) -> bool:
    own = known.port == frame.in_port
    return own or (known.learned and frame.header.arp_spa == known.ip)


@given(views(), st.sampled_from(ADDRESSES[:2]))
def test_a_question_from_a_tunnel_is_for_local_ports_to_answer(view: BridgeView, ip: str) -> None:
    for network in view.networks:
        for tunnel, key in ((tunnel, key) for tunnel in network.allowed_tunnel_ports for key in network.keys):
            asks = Header(ARP, arp_op=1, arp_spa="10.1.1.8", arp_tpa=ip, arp_sha=STRANGER)
            asked = Frame(tunnel, STRANGER, BROADCAST, key=key, header=asks)
            assert trace(compile_bridge(view), asked).ports == {member.port for member in network.members}


@given(views(), frames)
def test_a_second_tag_reaches_trunks_without_port_security_alone(view: BridgeView, frame: Frame) -> None:
    """What it hides is not read by guards; whether the network has such trunks is told by the file."""
    found = where(view, frame)
    if found is None or len(frame.vlans) < 2 or not found[0].nests:
        return
    network, behind = found[0], frame.vlans[1:]
    copies = trace(compile_bridge(view), frame).copies
    ports = {member.port for member in network.members if member.nests}
    assert {copy.port for copy in copies} <= ports | {peer.port for peer in network.peers}
    assert all(copy.vlans[-len(behind) :] == behind for copy in copies)
