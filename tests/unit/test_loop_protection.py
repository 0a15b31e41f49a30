"""Loop protection: which probes count, which port is held down and for how long, and what that costs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.compile import compile_bridge
from flows.tables import Table
from sdnapp.engine.loop_events import ALERT, FAST, MOST, SLOW, Probes
from sdnapp.engine.messages import LogEvent, PacketIn, PacketOut, ReleaseAsked, TimerFired
from sdnapp.net.events import BridgeFound, Configured, LoopFound, LoopsAged, PortReleased, PortsLost
from sdnapp.net.fdb import PortRef
from sdnapp.net.loop_protection import LONGEST, NO_LOOPS, QUIET, Loops, Sender, Tokens, aged, found, released
from sdnapp.net.model import Overlay
from sdnapp.net.state import State
from sdnapp.net.step import step
from tests.overlays import numbers, overlay, view_of
from tests.unit.test_engine import Fake, connected, of

TEXT = """
overlay: {loop_protect: 10}
tenants:
  red: {networks: {web: {vlan: 10, vni: 5010, subnet: 10.1.1.0/24}, db: {vlan: 20, vni: 5020}}}
hosts:
  host1: {vtep: 192.168.4.201}
  host2: {vtep: 192.168.4.202}
ports:
  a: {host: host1, network: red/web, attach: external, interface: a}
  b: {host: host1, network: red/web, attach: external, interface: b}
  c: {host: host2, network: red/web, attach: external, interface: c, loop_protect: false}
  t: {host: host2, trunk: {red/web: 30, red/db: 40}, attach: external, interface: t}
  strict: {host: host1, network: red/web, address: 10.1.1.1/24}
"""
OVERLAY = overlay(TEXT)
HOST1, HOST2 = OVERLAY.hosts["host1"], OVERLAY.hosts["host2"]
A, B, C, T = PortRef("host1", "a"), PortRef("host1", "b"), PortRef("host2", "c"), PortRef("host2", "t")
WEB = "red/web"
THERE = {"host1": HOST1.datapath_id, "host2": HOST2.datapath_id}


def up(meaning: Overlay = OVERLAY) -> State:
    """Every port of the file is there."""
    state = State.of(meaning)
    for host in meaning.hosts.values():
        state = step(state, BridgeFound(host.name, numbers(host)))
    return state


def looped(*ends: PortRef, now: float = 100.0, state: State | None = None) -> State:
    sent, came = ends
    return step(up() if state is None else state, LoopFound(WEB, (sent, came), now))


def any_port(_: PortRef) -> bool:
    return True


def test_only_protected_ports_send_probes_and_trunks_send_one_in_each_network() -> None:
    probes, state = Probes(bytes(16)), up()
    assert probes.follow(OVERLAY)

    sent = [*probes.due(state, THERE, 0.0)]
    number1, number2 = numbers(HOST1), numbers(HOST2)
    leaving = sorted((emit.dpid, emit.ofport, emit.data[12:14]) for emit in sent)
    assert leaving == sorted(
        [
            (HOST1.datapath_id, number1["a"], b"\x88\xb5"),
            (HOST1.datapath_id, number1["b"], b"\x88\xb5"),
            (HOST2.datapath_id, number2["t"], b"\x81\x00"),
            (HOST2.datapath_id, number2["t"], b"\x81\x00"),
        ]
    )


def test_a_port_is_probed_fast_when_it_is_new_or_macs_move_and_slowly_otherwise() -> None:
    probes, state = Probes(bytes(16)), up()
    probes.follow(OVERLAY)

    def times(begin: int, end: int) -> list[int]:
        number = numbers(HOST1)["a"]
        return [
            n for n in range(begin, end) if number in {e.ofport for e in probes.due(state, THERE, float(n))}
        ]

    assert times(0, 100) == [*range(0, int(ALERT), int(FAST)), int(ALERT), int(ALERT + SLOW)]
    probes.suspect([A], 100.0)
    assert times(100, 105) == [100, 102, 104]


def test_a_round_of_probes_is_bounded() -> None:
    many = TEXT + "".join(
        f"  p{n}: {{host: host1, network: red/db, attach: external, interface: p{n}}}\n" for n in range(200)
    )
    meaning = overlay(many)
    probes, state = Probes(bytes(16)), up(meaning)
    probes.follow(meaning)

    rounds = [[emit.ofport for emit in probes.due(state, THERE, float(n))] for n in range(6)]
    assert max(map(len, rounds)) <= MOST
    assert (
        len({ofport for sent in rounds for ofport in sent}) >= 200
    )  # nobody waits for those that are probed fast


def test_a_host_without_a_bridge_and_a_port_that_is_gone_are_not_probed() -> None:
    probes, state = Probes(bytes(16)), step(up(), PortsLost("host1", {"a"}))
    probes.follow(OVERLAY)

    assert [emit.ofport for emit in probes.due(state, {"host1": 1}, 0.0)] == [numbers(HOST1)["b"]]


def test_nothing_is_probed_where_nothing_is_protected() -> None:
    assert not Probes(bytes(16)).follow(overlay(TEXT.replace("loop_protect: 10", "loop_protect: false")))
    one = TEXT.replace("loop_protect: 10", "loop_protect: false").replace(
        "interface: a}", "interface: a, loop_protect: true}"
    )
    assert [port.name for port in overlay(one).ports.values() if port.security.loop_protect] == ["a"]
    assert overlay(one).loop_hold == 60


def test_a_probe_counts_as_long_as_its_port_stays_up() -> None:
    tokens, sender = Tokens(b"k" * 16), Sender(WEB, A)
    sent = tokens.frame(sender)
    assert len(sent) == 60
    assert tokens.sender(sent) == sender

    tokens.drop([A])
    assert tokens.sender(sent) is None
    assert tokens.sender(tokens.frame(sender)) == sender


def test_a_probe_of_another_process_does_not_count() -> None:
    tokens, others = Tokens(b"k" * 16), Tokens(b"l" * 16)
    tokens.frame(Sender(WEB, A))
    assert tokens.source != others.source
    assert tokens.sender(others.frame(Sender(WEB, A))) is None


@given(st.binary(max_size=128), st.integers(0, 59), st.integers(1, 255))
def test_no_made_up_or_altered_frame_counts(data: bytes, place: int, other: int) -> None:
    tokens = Tokens(b"k" * 16)
    sent = tokens.frame(Sender(WEB, A))
    assert tokens.sender(data) is None
    assert tokens.sender(sent[:14] + data) is None

    altered = bytearray(sent)
    altered[place] ^= other
    padding = place >= 38
    assert (tokens.sender(bytes(altered)) is not None) is padding


@pytest.mark.parametrize(
    ("ends", "held"),
    [((A, B), B), ((B, A), B), ((A, A), A), ((A, C), A), ((C, A), A), ((B, T), T), ((C, C), None)],
    ids=str,
)
def test_the_last_port_by_name_that_may_be_is_held(
    ends: tuple[PortRef, PortRef], held: PortRef | None
) -> None:
    assert [*looped(*ends).loops.held] == ([] if held is None else [held])


def test_a_port_is_held_until_its_time_is_over_and_no_probe_has_come_back_lately() -> None:
    state = looped(B, A)
    assert step(state, LoopsAged(109.9)).loops.held

    state = looped(B, A, now=108.0, state=state)
    assert step(state, LoopsAged(110.0)).loops.held
    assert not step(state, LoopsAged(108.0 + QUIET)).loops.held


def test_a_loop_that_is_back_holds_its_port_twice_as_long_up_to_a_bound() -> None:
    loops, now, held = NO_LOOPS, 0.0, []
    for _ in range(9):
        loops = found(loops, WEB, (A, B), any_port, 60, now)
        held.append(loops.held[B].seconds)
        now += loops.held[B].seconds + QUIET
        loops = aged(loops, now)
        assert not loops.held
        now += 1
    assert held == [60, 120, 240, 480, 960, 960, 960, 960, 960]
    assert held[-1] == LONGEST

    later = aged(loops, now + LONGEST + 1)
    assert later == NO_LOOPS
    assert found(later, WEB, (A, B), any_port, 60, now + LONGEST + 2).held[B].seconds == 60


def test_an_operator_releases_a_port_and_the_next_loop_counts_as_the_first() -> None:
    loops = aged(found(NO_LOOPS, WEB, (A, B), any_port, 60, 0.0), 60 + QUIET)
    loops = found(loops, WEB, (A, B), any_port, 60, 70.0)
    assert loops.held[B].seconds == 120

    assert released(loops, B) == NO_LOOPS
    assert released(loops, A) is loops
    assert not step(looped(A, B), PortReleased(B)).loops.held


def test_a_port_that_goes_or_is_not_protected_any_more_is_not_held() -> None:
    assert not step(looped(A, B), PortsLost("host1", {"b"})).loops.held
    free = overlay(TEXT.replace("interface: b}", "interface: b, loop_protect: false}"))
    assert not step(looped(A, B), Configured(free)).loops.held
    assert step(
        looped(A, B), Configured(overlay(TEXT.replace("loop_protect: 10", "loop_protect: 20")))
    ).loops.held


def test_a_bridge_admits_nothing_from_a_port_that_is_held_and_sends_nothing_there() -> None:
    state, number = looped(A, B), numbers(HOST1)["b"]
    flows = compile_bridge(view_of(state, "host1")).flows.values()

    assert not [flow for flow in flows if flow.match.in_port == number or f"output:{number}" in str(flow)]


def test_a_bridge_needs_no_flow_as_long_as_no_port_is_held() -> None:
    without = up(overlay(TEXT.replace("loop_protect: 10", "loop_protect: false")))
    for host in OVERLAY.hosts:
        assert compile_bridge(view_of(up(), host)) == compile_bridge(view_of(without, host))


def returned(fake: Fake, emits: list[PacketOut], out: str, back: str) -> list[LogEvent]:
    """What the probe of one port does that comes in at another."""
    numbered = numbers(HOST1)
    (data,) = (emit.data for emit in emits if emit.ofport == numbered[out])
    heard = PacketIn(HOST1.datapath_id, Table.MAC_LEARNING, 5010, numbered[back], data, now=2.0)
    return of(LogEvent, fake.tell(heard))


@pytest.fixture(name="fake")
def _fake() -> Fake:
    fake = Fake(OVERLAY)
    fake.tell(connected(HOST1), connected(HOST2))
    return fake


def test_a_returned_probe_takes_the_port_out_of_the_program_and_is_told(fake: Fake) -> None:
    (note, *_) = returned(fake, of(PacketOut, fake.tell(TimerFired(LoopsAged(1.0)))), "a", "b")

    assert (note.event, note.fields["port"], note.fields["peer_port"]) == ("port.loop_detected", "b", "a")
    (alarm,) = fake.engine.status("file").alarms
    assert (alarm.kind, alarm.host, alarm.port, alarm.network) == ("loop", "host1", "b", WEB)
    assert fake.flows[HOST1.datapath_id] == {f.key for f in compile_bridge(fake.view("host1")).flows.values()}

    cleared = of(LogEvent, fake.tell(ReleaseAsked("b")))
    assert "port.loop_cleared" in {note.event for note in cleared}
    assert not fake.engine.status("file").alarms


def test_a_frame_that_looks_like_a_probe_is_that_of_any_station(fake: Fake) -> None:
    source = fake.engine.probe_source
    heard = PacketIn(
        HOST1.datapath_id, Table.MAC_LEARNING, 5010, numbers(HOST1)["a"], b"\x03" * 6 + source, now=2.0
    )
    fake.tell(heard)

    assert fake.engine.state.place_of(WEB, source.hex(":")) == A
    assert not fake.engine.state.loops.held


def test_a_probe_that_comes_in_by_another_network_is_no_loop(fake: Fake) -> None:
    (data, *_) = (emit.data for emit in of(PacketOut, fake.tell(TimerFired(LoopsAged(1.0)))))
    fake.tell(PacketIn(HOST2.datapath_id, Table.MAC_LEARNING, 5020, numbers(HOST2)["t"], data, now=2.0))
    assert not fake.engine.state.loops.held


events = st.lists(
    st.tuples(st.sampled_from([A, B, C, T]), st.sampled_from([A, B, C, T, None]), st.floats(0, 300)),
    max_size=30,
)


@given(events)
def test_of_two_ports_of_a_loop_one_stays_and_holds_are_bounded(
    happened: list[tuple[PortRef, PortRef | None, float]],
) -> None:
    """Whatever probes come back in whatever order: at most one end of each loop is held, none for longer."""
    loops, now = Loops(), 0.0
    for sent, came, later in happened:
        now += later
        before = loops
        if came is None:
            loops = aged(loops, now)
            assert loops.held.keys() <= before.held.keys()
        else:
            loops = found(loops, WEB, (sent, came), lambda place: place != C, 60, now)
            fresh = loops.held.keys() - before.held.keys()
            assert fresh <= {sent, came} - {C}
            assert len(fresh) <= 1
            assert not (fresh and {sent, came} & before.held.keys())
        assert all(60 <= held.seconds <= LONGEST and held.peer is not None for held in loops.held.values())
    assert not aged(loops, now + LONGEST + QUIET).held
