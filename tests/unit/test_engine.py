"""The engine asks for exactly what a bridge lacks, when it is ready to take it."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.compile import compile_bridge
from flows.diff import Plan
from flows.flow import FlowKey, Meter, Origin, Unit, origin_of
from flows.tables import Table
from flows.view import BridgeView
from sdnapp.config import Problem
from sdnapp.engine import Engine
from sdnapp.engine.engine import CONTESTED
from sdnapp.engine.messages import (
    BridgeRead,
    ConfigChanged,
    ConfigRejected,
    Connected,
    Disconnected,
    DriftDetected,
    Effect,
    Event,
    FdbFlowExpired,
    LogEvent,
    PersistConfig,
    PlanApplied,
    PortChanged,
    Read,
    Rejection,
    Send,
    SourceSeen,
    StartTimer,
    StartupGraceExpired,
    ThawAsked,
    TimerFired,
)
from sdnapp.net.events import ContestOver, FdbKey, MacLimitTimerExpired, MacUnfrozen, SourceExpired
from sdnapp.net.events import Event as WorldEvent
from sdnapp.net.fdb import PortRef
from sdnapp.net.meters import limits
from sdnapp.net.model import Host, Overlay
from sdnapp.net.state import State
from sdnapp.net.step import step
from tests.overlays import LEARNING, TWO_HOSTS, numbers, overlay, view_of

OVERLAY = overlay()
HOST1, HOST2 = OVERLAY.hosts["host1"], OVERLAY.hosts["host2"]
GUEST = "02:aa:00:00:00:01"
E = TypeVar("E", bound=Effect)


def handled(engine: Engine, *events: Event) -> list[Effect]:
    """All that the engine wants done."""
    return [effect for effect in engine.handle(events) if effect is not None]


class Fake:
    """An engine, and bridges that do at once what it asks of them."""

    def __init__(self, meaning: Overlay = OVERLAY) -> None:
        self.engine = Engine(meaning)
        self.flows: dict[int, set[FlowKey]] = {}
        self.meters: dict[int, frozenset[Meter]] = {}

    def tell(self, *events: Event) -> list[Effect]:
        """Tell the engine, carry out what it asks, and so on until it asks no more; all its effects."""
        effects = handled(self.engine, *events)
        answers = [self._answer(effect) for effect in effects if isinstance(effect, Read | Send)]
        return effects + (self.tell(*answers) if answers else [])

    def view(self, host: str) -> BridgeView:
        """What the bridge should be made from now, projected without any memory."""
        return view_of(self.engine.state, host)

    def _answer(self, effect: Read | Send) -> Event:
        held = self.flows.setdefault(effect.dpid, set())
        if isinstance(effect, Read):
            meters = self.meters.get(effect.dpid, frozenset())
            return BridgeRead(effect.dpid, frozenset(held), meters, (), connection=effect.connection)
        held |= {flow.key for flow in effect.plan.add}
        held -= set(effect.plan.delete)
        kept = (m for m in self.meters.get(effect.dpid, ()) if m.id not in effect.plan.unused)
        self.meters[effect.dpid] = frozenset({m.id: m for m in (*kept, *effect.plan.meters)}.values())
        return PlanApplied(effect.dpid, (), connection=effect.connection)


def connected(host: Host, connection: int = 0) -> Connected:
    return Connected(host.datapath_id, "192.0.2.1:4711", numbers(host), now=1.0, connection=connection)


def of(kind: type[E], effects: list[Effect]) -> list[E]:
    return [effect for effect in effects if isinstance(effect, kind)]


def plans(effects: list[Effect]) -> list[Plan]:
    return [send.plan for send in of(Send, effects)]


def test_a_bridge_is_read_before_it_is_written() -> None:
    engine = Engine(OVERLAY)

    first = handled(engine, connected(HOST1))
    second = handled(engine, BridgeRead(HOST1.datapath_id, frozenset(), frozenset(), ()))

    assert of(Read, first) == [Read(HOST1.datapath_id)]
    assert not plans(first)
    assert len(plans(second)) == 1


def test_a_bridge_that_comes_back_unchanged_is_sent_nothing() -> None:
    fake = Fake()
    fake.tell(connected(HOST1))

    effects = fake.tell(Disconnected(HOST1.datapath_id)) + fake.tell(connected(HOST1))

    assert of(Read, effects)
    assert not plans(effects)
    assert fake.engine.status("overlay.yaml").bridges["host1"].in_sync


def test_flows_that_a_bridge_deletes_as_it_ends_are_not_called_others_changes() -> None:
    """ovs-vswitchd that is stopped deletes them, and its flow monitor says so before the connection ends."""
    fake = Fake()
    fake.tell(connected(HOST1))
    dpid = HOST1.datapath_id

    effects = handled(fake.engine, DriftDetected(dpid, 4, frozenset()), DriftDetected(dpid, 2, frozenset()))
    effects += handled(fake.engine, Disconnected(dpid))
    effects += fake.tell(connected(HOST1))

    assert "bridge.drift" not in {note.event for note in of(LogEvent, effects)}
    assert fake.engine.status("overlay.yaml").bridges["host1"].drift == 0


def test_changes_by_others_are_told_once_the_bridge_has_been_read() -> None:
    fake = Fake()
    fake.tell(connected(HOST1))

    effects = fake.tell(DriftDetected(HOST1.datapath_id, 4, frozenset()))

    (told,) = [note for note in of(LogEvent, effects) if note.event == "bridge.drift"]
    assert told.fields["changes"] == 4
    assert fake.engine.status("overlay.yaml").bridges["host1"].drift == 4


@pytest.mark.parametrize("noticed", [True, False])
def test_a_bridge_that_comes_back_empty_is_sent_what_was_worked_out_for_it_before(*, noticed: bool) -> None:
    fake = Fake()
    (first,) = plans(fake.tell(connected(HOST1)))
    if noticed:
        fake.tell(Disconnected(HOST1.datapath_id))
    fake.flows.clear()
    fake.meters.clear()

    (again,) = plans(fake.tell(connected(HOST1)))

    assert again == first
    assert all(one is other for one, other in zip(again.add, first.add, strict=True))


def test_a_new_controller_sends_nothing_to_a_bridge_that_is_right() -> None:
    old, new = Fake(), Fake()
    old.tell(connected(HOST1))
    new.flows, new.meters = old.flows, old.meters

    assert not plans(new.tell(connected(HOST1)))


def test_a_meter_goes_after_the_flows_that_used_it() -> None:
    fake = Fake()
    fake.tell(connected(HOST1))
    bridge = HOST1.datapath_id
    rate = "red1:  {host: host1, network: red/web, rate: {send: 1M},"
    limited = overlay(TWO_HOSTS.replace("red1:  {host: host1, network: red/web, ", rate))
    (limit,) = limits(limited.hosts["host1"].ports, numbers(HOST1)).values()
    assert limit.send is not None

    (plan,) = plans(fake.tell(ConfigChanged(limited)))
    assert [(m.id, m.rate, m.unit) for m in plan.meters] == [(limit.send.id, 1000, Unit.KILOBITS)]
    assert len(fake.meters[bridge]) == 2

    first, second = plans(fake.tell(ConfigChanged(OVERLAY)))
    assert (bool(first.add), first.unused) == (True, ())
    assert (second.add, second.unused) == ((), (limit.send.id,))
    assert len(fake.meters[bridge]) == 1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("encapsulation: gre", "encapsulation: gre, mac_age: 77"),
        ("vni: 5010", "vni: 5010, unknown_unicast: drop"),
        ("host: host1, network: red/web", "host: host1, network: red/web, storm_control: 7"),
    ],
)
def test_a_setting_that_changes_reaches_the_bridge(old: str, new: str) -> None:
    fake = Fake()
    fake.tell(connected(HOST1))
    fake.tell(SourceSeen(HOST1.datapath_id, FdbKey(5010, GUEST, HOST1.ports[1].ofport), 1.0))

    assert plans(fake.tell(ConfigChanged(overlay(TWO_HOSTS.replace(old, new)))))
    assert not plans(fake.tell(ConfigChanged(overlay(TWO_HOSTS.replace(old, new)))))


def test_flows_of_somebody_else_go() -> None:
    fake = Fake()
    fake.flows[HOST1.datapath_id] = {(3, 0xDEAD)}

    (plan,) = plans(fake.tell(connected(HOST1)))

    assert plan.delete == ((3, 0xDEAD),)


def test_what_happens_while_a_plan_is_on_its_way_is_in_the_next_one() -> None:
    engine = Engine(OVERLAY)
    handled(engine, connected(HOST1))
    handled(engine, BridgeRead(HOST1.datapath_id, frozenset(), frozenset(), ()))

    meanwhile = handled(engine, PortChanged(HOST1.datapath_id, "red1", 7))
    afterwards = handled(engine, PlanApplied(HOST1.datapath_id, ()))

    assert not plans(meanwhile)
    (plan,) = plans(afterwards)
    assert plan.delete


def test_a_learned_source_is_programmed_where_it_is_and_where_its_network_is() -> None:
    fake = Fake()
    fake.tell(connected(HOST1), connected(HOST2))

    red1 = OVERLAY.ports["red1"].ofport
    effects = fake.tell(SourceSeen(HOST1.datapath_id, FdbKey(5010, GUEST, red1), now=1.0))

    tables = {send.dpid: sorted(flow.table for flow in send.plan.add) for send in of(Send, effects)}
    assert tables == {
        HOST1.datapath_id: [Table.MAC_LEARNING, Table.FORWARD],
        HOST2.datapath_id: [Table.FORWARD],
    }
    notes = of(LogEvent, effects)
    assert [note.event for note in notes][:1] == ["location.learned"]
    assert notes[0].detail, "a line for each learned MAC is for those that look for a fault"


def many(count: int, now: float = 1.0) -> list[Event]:
    """So many sources on red1."""
    red1 = OVERLAY.ports["red1"].ofport
    macs = (f"02:bb:00:00:{n >> 8:02x}:{n & 255:02x}" for n in range(count))
    return [SourceSeen(HOST1.datapath_id, FdbKey(5010, mac, red1), now) for mac in macs]


def test_sources_that_fall_silent_together_are_worked_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tens of thousands took minutes of the processor, one by one, while echoes of their bridge waited."""
    fake = Fake()
    fake.tell(connected(HOST1), connected(HOST2))
    dpid, ofport = HOST1.datapath_id, numbers(HOST1)["red1"]
    seen = [SourceSeen(dpid, FdbKey(5010, f"02:aa:00:00:00:{n:02x}", ofport), 5.0) for n in range(50)]
    before = set(fake.flows[dpid])
    fake.tell(*seen)
    aged = [
        key
        for key in fake.flows[dpid] - before
        if origin_of(key[1]) is Origin.LEARNED and key[0] == Table.MAC_LEARNING
    ]
    assert len(aged) == len(seen)
    fake.flows[dpid] -= set(aged)
    steps: list[WorldEvent] = []

    def counted(state: State, event: WorldEvent) -> State:
        steps.append(event)
        return step(state, event)

    monkeypatch.setattr("sdnapp.engine.engine.step", counted)

    told = fake.tell(*(FdbFlowExpired(dpid, s.sighting, key) for s, key in zip(seen, aged, strict=True)))

    assert len([event for event in steps if isinstance(event, SourceExpired)]) == 1
    assert not fake.engine.state.learned.stations
    assert fake.flows[dpid] == before
    assert len([note for note in of(LogEvent, told) if note.event == "location.forgotten"]) == len(seen)


def test_a_crowded_port_is_relieved_first_and_looked_at_again_later() -> None:
    fake = Fake()
    fake.tell(connected(HOST1), connected(HOST2))

    effects = fake.tell(*many(1100))

    at_host1 = [send.plan for send in of(Send, effects) if send.dpid == HOST1.datapath_id]
    assert [len(plan) for plan in at_host1] == [1, 2 * 1023]
    assert origin_of(at_host1[0].add[0].cookie) is Origin.MAC_LIMIT
    (later,) = (
        later for later in of(StartTimer, effects) if isinstance(later.event.event, MacLimitTimerExpired)
    )
    assert "port.mac_limit_exceeded" in {note.event for note in of(LogEvent, effects)}
    (plan,) = [send.plan for send in of(Send, fake.tell(later.event))]
    assert [cookie for _, cookie in plan.delete] == [at_host1[0].add[0].cookie]


def test_a_flow_that_expired_at_a_crowded_port_is_put_back() -> None:
    fake = Fake()
    sources = many(1100)
    fake.tell(connected(HOST1), connected(HOST2))
    fake.tell(*sources)
    held = fake.flows[HOST1.datapath_id]
    learned = next(
        key for key in held if key[0] == Table.MAC_LEARNING and origin_of(key[1]) is Origin.LEARNED
    )

    first = sources[0]
    assert isinstance(first, SourceSeen)
    (plan,) = plans(fake.tell(FdbFlowExpired(HOST1.datapath_id, first.sighting, learned)))

    assert [flow.key for flow in plan.add] == [learned]
    assert not plan.delete


def test_a_station_that_flaps_is_frozen_for_a_while() -> None:
    fake = Fake()
    fake.tell(connected(HOST1), connected(HOST2))
    ends = ((HOST1, "red1"), (HOST2, "red2"))
    places = [(host.datapath_id, OVERLAY.ports[port].ofport) for host, port in ends]

    effects: list[Effect] = []
    for turn in range(7):
        dpid, port = places[turn % 2]
        effects += fake.tell(SourceSeen(dpid, FdbKey(5010, GUEST, port), now=float(turn)))

    told = [note.event for note in of(LogEvent, effects) if note.event.startswith("location")]
    assert told == ["location.learned", *["location.moved"] * 5, "location.frozen", "location.blocked"]
    assert [alarm.kind for alarm in fake.engine.status("").alarms] == ["duplicate-mac", "mac-blocked"]
    (later,) = (later for later in of(StartTimer, effects) if isinstance(later.event.event, MacUnfrozen))
    unfrozen = fake.tell(later.event)
    assert next(note.event for note in of(LogEvent, unfrozen)) == "location.unfrozen"
    assert not fake.engine.status("").alarms
    assert not plans(fake.tell(ThawAsked("red/web", GUEST)))


def test_an_unknown_bridge_is_listed_and_left_empty_until_the_file_names_it() -> None:
    fake = Fake()

    effects = fake.tell(Connected(0xBEEF, "192.0.2.9:1", {}, now=1.0))

    assert not of(Read, effects)
    assert fake.engine.status("overlay.yaml").unknown_bridges == {0xBEEF: "192.0.2.9:1"}

    named = overlay(TWO_HOSTS.replace("192.168.4.202}", "192.168.4.202, datapath_id: 0xbeef}"))
    assert plans(fake.tell(ConfigChanged(named)))
    assert not fake.engine.status("overlay.yaml").unknown_bridges


def test_a_controller_that_starts_anew_changes_no_bridge_before_it_has_read_them_all() -> None:
    """One may remember what another needs: a station, an address, a listener."""
    fake = Fake()
    fake.tell(connected(HOST1), connected(HOST2))

    fake.engine = Engine(overlay(TWO_HOSTS.replace("vni: 5010", "vni: 5011")))

    assert not plans(fake.tell(connected(HOST1)))
    assert plans(fake.tell(connected(HOST2)))


RENUMBERED = overlay(TWO_HOSTS.replace("vni: 5010", "vni: 5011"))


@pytest.mark.parametrize("there", [(HOST1, HOST2), (HOST1,)], ids=["both", "one is away"])
def test_a_controller_that_finds_another_key_when_it_starts_has_it_understood_before_it_is_spoken(
    there: tuple[Host, ...],
) -> None:
    """It was told what was in force, and with it what bridges understand that are away."""
    fake = Fake()
    fake.tell(connected(HOST1), connected(HOST2))
    fake.engine = Engine(OVERLAY, held=True)

    effects = fake.tell(ConfigChanged(RENUMBERED, b"vni: 5011"))
    for host in there:
        assert not plans(effects)
        effects += fake.tell(connected(host))
    effects += fake.tell(TimerFired(StartupGraceExpired()))

    assert of(PersistConfig, effects) == [PersistConfig(b"vni: 5011")]
    assert len(plans(effects)) == len(there)
    for host in there:
        (red,) = (network for network in fake.view(host.name).networks if network.vni == 5011)
        assert set(red.keys) == {5010, 5011}
        assert {peer.key for peer in red.peers} == {5010}


def test_a_refused_flow_is_named_and_its_neighbours_are_programmed() -> None:
    engine = Engine(OVERLAY)
    handled(engine, connected(HOST1))
    (plan,) = plans(handled(engine, BridgeRead(HOST1.datapath_id, frozenset(), frozenset(), ())))

    culprit = plan.add[5]
    effects = handled(engine, PlanApplied(HOST1.datapath_id, (Rejection(culprit, "OFPFMFC_TABLE_FULL"),)))

    (again,) = plans(effects)
    assert set(again.add) == set(plan.add) - {culprit}
    handled(engine, PlanApplied(HOST1.datapath_id, ()))
    status = engine.status("overlay.yaml").bridges["host1"]
    assert not status.in_sync
    assert "OFPFMFC_TABLE_FULL" in status.failures[0]


def test_a_bridge_that_refuses_everything_is_read_again_and_then_left_alone() -> None:
    engine = Engine(OVERLAY)
    effects = handled(engine, connected(HOST1))
    reads = 0
    while of(Read, effects):
        reads += 1
        assert reads < 10
        handled(engine, BridgeRead(HOST1.datapath_id, frozenset(), frozenset(), ()))
        effects = handled(engine, PlanApplied(HOST1.datapath_id, (Rejection(None, "OFPBRC_EPERM"),)))

    assert reads > 1
    assert engine.status("overlay.yaml").bridges["host1"].failures == ("OFPBRC_EPERM",)


def test_a_broken_file_is_told_and_changes_nothing() -> None:
    fake = Fake()
    fake.tell(connected(HOST1))

    effects = fake.tell(ConfigRejected((Problem("overlay.yaml", 3, 1, "", "no", "Yes"),)))

    assert [note.event for note in of(LogEvent, effects)] == ["config.invalid"]
    assert not plans(effects)
    assert fake.engine.status("overlay.yaml").config_error == "overlay.yaml:3:1: no. Yes"
    fake.tell(ConfigChanged(OVERLAY))
    assert fake.engine.status("overlay.yaml").config_error is None


def test_a_reload_sends_only_the_difference_and_only_where_there_is_one() -> None:
    fake = Fake()
    fake.tell(connected(HOST1), connected(HOST2))

    renumbered = overlay(TWO_HOSTS.replace("5020", "5021"))
    effects = fake.tell(ConfigChanged(renumbered))

    for plan in plans(effects):
        assert all("5021" in str(flow) for flow in plan.add)
    assert not plans(fake.tell(ConfigChanged(renumbered)))


events = st.lists(
    st.one_of(
        st.builds(
            lambda host, mac, port: SourceSeen(host, FdbKey(5010, f"02:aa:00:00:00:0{mac}", port), now=1.0),
            *(st.sampled_from([HOST1.datapath_id, HOST2.datapath_id]), st.integers(1, 3)),
            st.sampled_from([port.ofport for port in OVERLAY.ports.values()]),
        ),
        st.builds(
            PortChanged,
            *(st.just(HOST1.datapath_id), st.sampled_from(["red1", "blue1", HOST1.tunnels[0].interface])),
            st.sampled_from([None, 7, 8]),
        ),
        st.builds(ConfigChanged, st.sampled_from([OVERLAY, overlay(TWO_HOSTS.replace("5020", "5021"))])),
        st.builds(connected, st.sampled_from([HOST1, HOST2])),
    ),
    max_size=12,
)


@given(events)
def test_whatever_happened_bridges_hold_what_follows_from_the_state_alone(story: list[Event]) -> None:
    """Recomputing everything is the oracle for what the engine computes in proportion to the change."""
    fake = Fake()
    fake.tell(connected(HOST1), connected(HOST2))
    for event in story:
        fake.tell(event)

        for host in (HOST1, HOST2):
            assert fake.flows[host.datapath_id] == set(compile_bridge(fake.view(host.name)).flows)


changes = st.builds(
    PortChanged,
    st.sampled_from([HOST1.datapath_id, HOST2.datapath_id]),
    st.sampled_from(["red1", "red2", "blue1", HOST1.tunnels[0].interface]),
    st.sampled_from([None, 7, 8, 9]),
    st.booleans(),
)


@given(st.lists(changes, max_size=12))
def test_ports_that_change_in_a_row_are_as_if_told_of_one_by_one(story: list[PortChanged]) -> None:
    at_once, one_by_one = Fake(), Fake()
    for fake in (at_once, one_by_one):
        fake.tell(connected(HOST1), connected(HOST2))

    at_once.tell(*story)
    for change in story:
        one_by_one.tell(change)

    for host in ("host1", "host2"):
        assert at_once.engine.state.ports(host) == one_by_one.engine.state.ports(host)
    assert at_once.flows == one_by_one.flows


def test_every_port_that_came_or_went_is_told_of_once() -> None:
    fake = Fake()
    fake.tell(connected(HOST1))
    dpid = HOST1.datapath_id

    told = of(
        LogEvent,
        fake.tell(
            *(PortChanged(dpid, "one", 7), PortChanged(dpid, "two", 8), PortChanged(dpid, "two", 9)),
            *(PortChanged(dpid, "one", None), PortChanged(dpid, "one", 7)),
        ),
    )

    ports = [
        (note.event, note.fields["port"], note.fields.get("ofport")) for note in told if "port." in note.event
    ]
    assert ports == [
        ("port.added", "one", 7),
        ("port.added", "two", 9),
        ("port.removed", "one", None),
        ("port.added", "one", 7),
    ]


def test_what_a_replaced_connection_says_counts_for_nothing() -> None:
    """A3: its events came after its successor had connected, and took ports from the state of that one."""
    fake = Fake()
    older, newer = (replace(connected(HOST1), connection=serial) for serial in (1, 2))
    fake.tell(older)
    fake.tell(newer)
    before = fake.engine.state

    dpid = HOST1.datapath_id
    fake.tell(
        PortChanged(dpid, "vxlan-host2", None, connection=1),
        SourceSeen(dpid, FdbKey(5010, GUEST, numbers(HOST1)["red1"]), 5.0, connection=1),
        PlanApplied(dpid, (Rejection(None, "OFPBFC_TIMEOUT"),), connection=1),
        Disconnected(dpid, connection=1),
        older,
    )

    assert fake.engine.state is before
    status = fake.engine.status("test.yaml").bridges["host1"]
    assert status.connected
    assert status.in_sync


def test_a_bridge_that_replaced_another_is_sent_the_learned_flows_that_it_lacks() -> None:
    """A7: what answered "no flows" under a known datapath id had its learned locations forgotten."""
    fake = Fake(overlay(LEARNING))
    dpid, place = HOST1.datapath_id, ("red/web", GUEST)
    fake.tell(connected(HOST1))
    fake.tell(SourceSeen(dpid, FdbKey(5010, GUEST, numbers(HOST1)["red1"]), 5.0))
    held = set(fake.flows[dpid])

    fake.flows.clear()
    fake.meters.clear()
    effects = fake.tell(replace(connected(HOST1), connection=2, now=6.0, contested=True))

    assert fake.engine.state.place_of(*place) == PortRef("host1", "red1")
    assert fake.flows[dpid] == held
    (over,) = (each for each in of(StartTimer, effects) if isinstance(each.event.event, ContestOver))
    assert over.seconds == CONTESTED

    fake.tell(over.event)
    fake.flows.clear()
    fake.tell(replace(connected(HOST1), connection=3, now=6.0 + CONTESTED))
    assert fake.engine.state.place_of(*place) is None


def test_what_is_for_a_connection_says_for_which() -> None:
    engine = Engine(OVERLAY)
    newer = replace(connected(HOST1), connection=7)

    effects = handled(engine, newer)
    effects += handled(engine, BridgeRead(HOST1.datapath_id, frozenset(), frozenset(), (), connection=7))

    assert [effect.connection for effect in effects if isinstance(effect, Read | Send)] == [7, 7]
