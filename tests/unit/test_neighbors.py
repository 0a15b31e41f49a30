"""Addresses that traffic tells of: what is believed, where it is answered, and when it is forgotten."""

from __future__ import annotations

import random
from dataclasses import replace
from ipaddress import ip_address

import pytest

from flows.compile import compile_bridge
from flows.match import ARP, Header
from flows.tables import Table
from flows.trace import Frame, Trace, trace
from flows.view import NeighborEntry
from sdnapp.frames.packet import link_local
from sdnapp.net.events import (
    BridgeFound,
    BridgeReadBack,
    Configured,
    FdbKey,
    PortsLost,
    RecoveredFdb,
    SourcesSeen,
)
from sdnapp.net.fdb import REMOTE_ONLY, PortRef
from sdnapp.net.neighbor_snooping import (
    SnoopedBinding,
    on_arp_nd,
    on_expiry,
    prune_bindings,
    restore_bindings,
)
from sdnapp.net.neighbors import (
    MAX_PER_PORT,
    NO_ADDRESSES,
    IpMacPair,
    RecoveredNeighbor,
    parse_arp_nd,
    snoop,
    with_bindings,
)
from sdnapp.net.state import State
from sdnapp.net.step import step
from tests.overlays import LEARNING, numbers, overlay, view_of
from tests.views import BROADCAST

RED = 5010
OVERLAY = overlay(LEARNING)
RED1, RED2 = OVERLAY.ports["red1"], OVERLAY.ports["red2"]
GUEST, OTHER = "02:aa:00:00:00:01", "02:aa:00:00:00:02"
IP = "10.1.1.77"


def up() -> State:
    state = State.of(OVERLAY)
    for host in OVERLAY.hosts.values():
        state = step(state, BridgeFound(host.name, numbers(host)))
    return state


def said(claim: IpMacPair, port: int = RED1.ofport, host: str = "host1") -> SnoopedBinding:
    return SnoopedBinding(host, RED, port, claim)


def with_guest() -> State:
    """A guest behind red1 that said what its address is."""
    state = step(up(), SourcesSeen("host1", (FdbKey(RED, GUEST, RED1.ofport),), 0.0))
    return on_arp_nd(state, said(IpMacPair(IP, GUEST)), 0.0)


def ask(state: State, host: str, port: int, ip: str, asker: str) -> Trace:
    asks = Header(ARP, arp_op=1, arp_spa="10.1.1.8", arp_tpa=ip, arp_sha=asker)
    return trace(compile_bridge(view_of(state, host)), Frame(port, asker, BROADCAST, header=asks))


def test_an_address_that_was_heard_is_answered_on_another_host() -> None:
    (copy,) = ask(with_guest(), "host2", RED2.ofport, IP, RED2.mac or "").copies

    assert copy.port == RED2.ofport
    assert dict(copy.rewritten)["arp_sha"] == GUEST


def test_who_shares_the_port_of_an_address_hears_of_it_there() -> None:
    asked = ask(with_guest(), "host1", RED1.ofport, IP, RED1.mac or "")

    assert RED1.ofport not in asked.ports


def test_what_was_heard_is_no_news_and_what_is_not_known_is() -> None:
    state = with_guest()
    program = compile_bridge(view_of(state, "host1"))

    def tells(ip: str, mac: str) -> bool:
        claim = Header(ARP, arp_op=2, arp_spa=ip, arp_tpa="10.1.1.1", arp_sha=mac)
        return trace(program, Frame(RED1.ofport, GUEST, BROADCAST, header=claim)).punted

    assert not tells(IP, GUEST)
    assert tells(IP, OTHER)
    assert tells("10.1.1.78", GUEST)


def test_nobody_claims_what_is_outside_the_subnets() -> None:
    state = up()

    assert on_arp_nd(state, said(IpMacPair("10.9.9.9", GUEST)), 0.0) is state


def with_liar() -> State:
    """A guest behind red1 claims what the file gives red2."""
    return on_arp_nd(up(), said(IpMacPair("10.1.1.2", GUEST)), 0.0)


def lie(state: State, ip: str = "10.1.1.2", to: str = "10.1.1.99", at: str = BROADCAST) -> Trace:
    claim = Header(ARP, arp_op=1, arp_spa=ip, arp_tpa=to, arp_sha=GUEST)
    frame = Frame(RED1.ofport, RED1.mac or "", at, header=claim)
    return trace(compile_bridge(view_of(state, "host1")), frame)


def test_what_the_file_gives_somebody_else_nobody_hears_and_we_hear_once() -> None:
    for state, told in ((up(), True), (with_liar(), False)):
        ended = lie(state)
        assert (ended.ports, ended.punted, ended.dropped_in) == (frozenset(), told, Table.NEIGHBOR_SNOOPING)
    assert lie(with_liar(), "10.1.1.1").ports  # red1's own


def test_who_announces_it_is_told_who_has_it_the_first_time() -> None:
    (copy,) = lie(up(), to="10.1.1.2").copies

    assert (copy.port, dict(copy.rewritten)["arp_sha"]) == (RED1.ofport, RED2.mac)
    assert not lie(with_liar(), to="10.1.1.2").copies


def test_an_announcement_to_one_station_of_what_the_file_gives_another_ends() -> None:
    """No table answers it, so it would reach the station, whose neighbour cache it changes."""
    ended = lie(up(), to="10.1.1.2", at=RED2.mac or "")

    assert (ended.ports, ended.dropped_in) == (frozenset(), Table.NEIGHBOR_SNOOPING)


def test_lies_are_forgotten_with_silence_with_the_port_and_when_they_become_true() -> None:
    state, place = with_liar(), PortRef("host1", RED1.interface)

    assert state.addresses.lies == {"red/web": {("10.1.1.2", place)}}
    assert state.addresses.held == {place: 1}
    silent = on_expiry(state, said(IpMacPair("10.1.1.2", "")))
    gone = prune_bindings(state, step(state, PortsLost("host1", {RED1.interface})))
    free = overlay(LEARNING.replace("address: 10.1.1.2/24", "address: 10.1.1.22/24"))
    true = prune_bindings(state, step(state, Configured(free)))
    for later in (silent, gone, true):
        assert later.addresses == NO_ADDRESSES
    assert not any(view.conflicts for view in view_of(true, "host1").networks)


def test_a_bridge_remembers_lies() -> None:
    memory = RecoveredNeighbor(RED, IpMacPair("10.1.1.2", ""), RED1.ofport)

    assert restore_bindings(up(), "host1", [memory], frozenset()).addresses == with_liar().addresses
    assert restore_bindings(with_liar(), "host1", [], frozenset()).addresses == NO_ADDRESSES
    assert restore_bindings(with_liar(), "host2", [], frozenset()).addresses.lies
    assert restore_bindings(
        replace(with_liar(), contested={"host1": 5.0}), "host1", [], frozenset()
    ).addresses.lies
    of_nobody = RecoveredNeighbor(RED, IpMacPair("10.1.1.1", ""), RED1.ofport)
    assert restore_bindings(up(), "host1", [of_nobody], frozenset()).addresses == NO_ADDRESSES


def test_an_address_moves_to_whoever_claims_it_but_not_at_every_frame() -> None:
    state = with_guest()

    assert on_arp_nd(state, said(IpMacPair(IP, OTHER)), 0.5) is state
    moved = on_arp_nd(state, said(IpMacPair(IP, OTHER)), 1.5)
    assert moved.addresses.bound["red/web"][IP].mac == OTHER


def test_it_does_not_count_while_its_station_lives_elsewhere() -> None:
    state = with_guest()
    moved = step(state, SourcesSeen("host2", (FdbKey(RED, GUEST, RED2.ofport),), 10.0))

    assert len(ask(moved, "host2", RED2.ofport, IP, RED2.mac or "").copies) == 1
    assert RED2.ofport not in ask(moved, "host2", RED2.ofport, IP, RED2.mac or "").ports
    again = on_arp_nd(moved, said(IpMacPair(IP, GUEST), RED2.ofport, "host2"), 10.0)
    assert RED1.ofport in ask(again, "host1", RED1.ofport, IP, RED1.mac or "").ports


def test_silence_and_a_port_that_goes_make_it_forgotten() -> None:
    state = with_guest()

    assert not on_expiry(state, said(IpMacPair(IP, GUEST))).addresses.bound
    assert on_expiry(state, said(IpMacPair(IP, OTHER))) is state
    gone = prune_bindings(state, step(state, PortsLost("host1", {RED1.interface})))
    assert not gone.addresses.bound
    assert not gone.addresses.held


def test_what_bridges_remember_is_what_was_known() -> None:
    """The holder's bridge by its port, the others by the station that they answer for."""
    claim = IpMacPair(IP, GUEST)
    fresh = step(up(), SourcesSeen("host1", (FdbKey(RED, GUEST, RED1.ofport),), 0.0))

    for host, ofport in (("host1", RED1.ofport), ("host2", None)):
        known = restore_bindings(fresh, host, [RecoveredNeighbor(RED, claim, ofport)], frozenset())
        assert known.addresses.bound["red/web"][IP][:2] == (GUEST, PortRef("host1", RED1.interface))
    assert (
        restore_bindings(fresh, "host2", [RecoveredNeighbor(RED, claim, None)], frozenset({"host1"})) is fresh
    )
    assert not restore_bindings(with_guest(), "host1", [], frozenset()).addresses.bound
    assert restore_bindings(with_guest(), "host2", [], frozenset()).addresses.bound


def test_a_bridge_that_is_read_first_keeps_its_answers() -> None:
    """Nobody but it has told yet where the station is, and it knows only behind which host."""
    memory = RecoveredFdb(
        FdbKey(RED, GUEST, OVERLAY.hosts["host2"].tunnels[0].ofport), REMOTE_ONLY, denied=False
    )
    read_first = step(up(), BridgeReadBack("host2", (memory,)))
    state = restore_bindings(
        read_first, "host2", [RecoveredNeighbor(RED, IpMacPair(IP, GUEST), None)], frozenset()
    )

    def answers(known: State) -> tuple[NeighborEntry, ...]:
        (network,) = (one for one in view_of(known, "host2").networks if one.vni == RED)
        return network.neighbors

    assert answers(state) == answers(with_guest())
    assert IP in {answer.ip for answer in answers(state)}


def test_whoever_invents_addresses_is_not_listened_to_for_long() -> None:
    known = up().addresses
    place = PortRef("host1", "red1")
    for number in range(MAX_PER_PORT + 50):
        known = snoop(known, "red/web", IpMacPair(str(ip_address(number + 1)), GUEST), place, 0.0)

    assert known.held == {place: MAX_PER_PORT}
    assert not with_bindings(known, "red/web", dict.fromkeys(known.bound["red/web"])).held


ARP_REPLY = bytes.fromhex("ffffffffffff02aa000000010806000108000604000202aa000000010a01014d" + "00" * 10)
NA = bytes.fromhex(
    "333300000001" + "02aa00000001" + "86dd" + "6000000000203aff" + "fd00" + "00" * 13 + "01"
    "ff02" + "00" * 13 + "01" + "88000000" + "20000000" + "fd00" + "00" * 13 + "07" + "0e01000000000000"
    "020102aa00000001"
)  # fmt: skip
NS = NA[:54] + bytes([135]) + NA[55:78] + b"\1\1" + bytes.fromhex("02aa00000001")


@pytest.mark.parametrize(
    ("frame", "claim"),
    [
        (ARP_REPLY, IpMacPair(IP, GUEST)),
        (NA, IpMacPair("fd00::7", GUEST)),
        (NS, IpMacPair("fd00::1", GUEST)),
        (NA[:78], None),
        (ARP_REPLY[:28] + bytes(4) + ARP_REPLY[32:], None),
        (ARP_REPLY[:22] + b"\1" + ARP_REPLY[23:], None),
    ],
)
def test_claims_are_read_from_frames(frame: bytes, claim: IpMacPair | None) -> None:
    """An option before the one that counts is passed over; one that is missing says nothing."""
    assert parse_arp_nd(frame) == claim


def test_garbage_says_nothing_and_never_raises() -> None:
    rng = random.Random(7)
    for _ in range(20_000):
        frame = bytearray(rng.choice((ARP_REPLY, NA, NS)))
        for _ in range(rng.randrange(4)):
            frame[rng.randrange(len(frame))] = rng.randrange(256)
        parse_arp_nd(bytes(frame[: rng.randrange(len(frame) + 1)]))


def test_the_link_local_address_of_a_mac() -> None:
    """RFC 4291, appendix A, with the example of its text."""
    assert str(link_local("34:56:78:9a:bc:de")) == "fe80::3656:78ff:fe9a:bcde"
