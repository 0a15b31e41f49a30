"""What is believed of sources that move, that are in two places, and that are too many."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdnapp.net.events import (
    BridgeFound,
    BridgeReadBack,
    Configured,
    ContestOver,
    Event,
    FdbKey,
    MacLimitTimerExpired,
    MacUnfrozen,
    PortsFound,
    PortsLost,
    RecoveredFdb,
    SourceExpired,
    SourcesSeen,
)
from sdnapp.net.fdb import MOVE_HOLDDOWN, REMOTE_ONLY, FdbEntry, PortRef
from sdnapp.net.state import State
from sdnapp.net.step import step
from tests.overlays import TWO_HOSTS, numbers, overlay, view_of

OVERLAY = overlay(TWO_HOSTS.replace("red1:  {host: host1,", "red1:  {host: host1, max_macs: 4,"))
HOST1, HOST2 = OVERLAY.hosts["host1"], OVERLAY.hosts["host2"]
RED1, RED2 = OVERLAY.ports["red1"], OVERLAY.ports["red2"]
AT_RED1, AT_RED2 = PortRef("host1", "red1"), PortRef("host2", "red2")
GUEST = "02:aa:00:00:00:01"
KEY = ("red/web", GUEST)


def up() -> State:
    return after(State.of(OVERLAY), *(BridgeFound(h.name, numbers(h)) for h in (HOST1, HOST2)))


def after(state: State, *events: Event) -> State:
    for event in events:
        state = step(state, event)
    return state


def on_red1(mac: str = GUEST, now: float = 0.0) -> SourcesSeen:
    return SourcesSeen("host1", (FdbKey(5010, mac, RED1.ofport),), now)


def on_red2(mac: str = GUEST, now: float = 0.0) -> SourcesSeen:
    return SourcesSeen("host2", (FdbKey(5010, mac, RED2.ofport),), now)


def flapping(moves: int, apart: float = 1.0) -> State:
    """The guest is on red1, and moves so often, there and back."""
    story = [(on_red2 if n % 2 else on_red1)(now=100 + n * apart) for n in range(moves + 1)]
    return after(up(), *story)


def station(state: State) -> FdbEntry | None:
    return state.learned.stations.get("red/web", {}).get(GUEST)


def denied(state: State) -> frozenset[PortRef]:
    return state.learned.denied.get("red/web", {}).get(GUEST, frozenset())


def test_every_move_has_a_number() -> None:
    state = flapping(3)

    assert station(state) == FdbEntry(AT_RED2, 3, (101.0, 102.0, 103.0))


def test_what_both_places_said_at_the_same_time_is_one_move() -> None:
    """Frames of the former place are still in flight, and two bridges report by turns."""
    story = [(on_red2 if n % 2 else on_red1)(now=100 + n * MOVE_HOLDDOWN / 50) for n in range(40)]

    state = after(up(), *story)

    assert station(state) == FdbEntry(AT_RED2, 1, (100 + MOVE_HOLDDOWN / 50,))
    assert not state.learned.frozen


def test_the_file_has_the_last_word_on_its_own_macs() -> None:
    assert RED2.mac is not None
    state = step(up(), on_red1(RED2.mac))

    assert state.learned.stations == {}
    assert state.learned.denied == {"red/web": {RED2.mac: frozenset({AT_RED1})}}
    assert step(state, on_red1(RED2.mac)) is state
    assert step(state, SourceExpired("host1", (FdbKey(5010, RED2.mac, RED1.ofport),))).learned == up().learned


def test_a_station_that_moves_too_often_is_frozen_where_it_came_to() -> None:
    state = flapping(5)

    assert state.learned.frozen == {KEY: 105.0}
    state = step(state, on_red1(now=106))
    assert state.place_of(*KEY) == AT_RED2
    assert denied(state) == {AT_RED1}
    assert step(state, on_red1(now=107)) is state


def test_moves_that_are_long_ago_do_not_count() -> None:
    assert not flapping(20, apart=46.0).learned.frozen
    assert flapping(20, apart=44.0).learned.frozen


def test_it_thaws_when_asked_and_may_move_again() -> None:
    frozen = after(flapping(5), on_red1(now=106))

    assert step(frozen, MacUnfrozen(*KEY, since=99.0)) is frozen
    thawed = step(frozen, MacUnfrozen(*KEY, since=105.0))
    assert (thawed.learned.frozen, thawed.learned.denied) == ({}, {})
    moved = step(thawed, on_red1(now=107))
    assert moved.place_of(*KEY) == AT_RED1
    assert not moved.learned.frozen


@pytest.mark.parametrize(
    "event", [SourceExpired("host2", (FdbKey(5010, GUEST, RED2.ofport),)), PortsLost("host2", {"red2"})]
)
def test_a_frozen_station_that_is_gone_may_appear_anywhere(event: Event) -> None:
    state = after(flapping(5), on_red1(now=106), event)

    assert (state.learned.frozen, denied(state), station(state)) == ({}, frozenset(), None)
    assert step(state, on_red1(now=107)).place_of(*KEY) == AT_RED1


def macs(count: int) -> list[str]:
    return [f"02:bb:00:00:00:{n:02x}" for n in range(count)]


def crowd() -> State:
    """Red1 may have four: its own, and three more."""
    return after(up(), *(on_red1(mac) for mac in macs(5)))


def test_a_port_holds_as_many_as_it_may_and_no_more() -> None:
    state = crowd()

    assert set(state.learned.stations["red/web"]) == set(macs(3))
    assert state.learned.crowded == {AT_RED1}
    assert state.learned.held == {AT_RED1: 3}
    assert view_of(state, "host1").mac_limit_exceeded == (RED1.ofport,)
    assert view_of(state, "host2").mac_limit_exceeded == ()


def test_denied_sources_count_too() -> None:
    assert RED2.mac is not None
    state = after(up(), on_red1(RED2.mac), *(on_red1(mac) for mac in macs(3)))

    assert len(state.learned.stations["red/web"]) == 2
    assert state.learned.crowded == {AT_RED1}


def test_silence_at_a_crowded_port_means_nothing() -> None:
    gone = SourceExpired("host1", (FdbKey(5010, macs(1)[0], RED1.ofport),))

    assert step(crowd(), gone) == crowd()
    eased = after(crowd(), MacLimitTimerExpired(AT_RED1), gone)
    assert set(eased.learned.stations["red/web"]) == set(macs(3)[1:])
    assert not step(eased, on_red1(macs(5)[4])).learned.crowded


def test_who_leaves_a_crowded_port_is_found_elsewhere() -> None:
    state = step(crowd(), on_red2(macs(1)[0], now=1.0))

    assert state.place_of("red/web", macs(1)[0]) == AT_RED2
    assert state.learned.held == {AT_RED1: 2, AT_RED2: 1}


def test_a_larger_limit_counts_at_once() -> None:
    assert not step(crowd(), Configured(overlay())).learned.crowded


def test_what_a_restarted_controller_reads_is_what_the_one_before_knew() -> None:
    """But for when the moves were."""
    before = after(flapping(5), on_red1(now=106), *(on_red1(mac) for mac in macs(3)))
    told = {
        "host1": (
            *(RecoveredFdb(FdbKey(5010, mac, RED1.ofport)) for mac in macs(2)),
            RecoveredFdb(FdbKey(5010, GUEST, RED1.ofport), denied=True),
            RecoveredFdb(FdbKey(5010, GUEST, HOST1.tunnels[0].ofport), REMOTE_ONLY),
        ),
        "host2": (RecoveredFdb(FdbKey(5010, GUEST, RED2.ofport), 5),),
    }
    for order in itertools.permutations(told):
        again = after(up(), *(BridgeReadBack(h, told[h], (RED1.ofport,) * (h == "host1")) for h in order))

        assert again.learned.frozen == {KEY: None}
        assert station(again) == FdbEntry(AT_RED2, 5)
        for host in ("host1", "host2"):
            assert view_of(again, host) == view_of(before, host)


def test_who_has_the_port_knows_better_than_who_saw_only_the_host_whoever_speaks_first() -> None:
    """A bridge that learns from its tunnels too has the same number of moves."""
    there = BridgeReadBack("host1", (RecoveredFdb(FdbKey(5010, GUEST, RED1.ofport)),))
    seen = BridgeReadBack("host2", (RecoveredFdb(FdbKey(5010, GUEST, HOST2.tunnels[0].ofport)),))

    for order in ((there, seen), (seen, there)):
        assert after(up(), *order).place_of("red/web", GUEST) == PortRef("host1", RED1.interface)


def test_a_bridge_that_was_away_does_not_bring_the_past_back() -> None:
    """It missed that the guest moved, and later that it was thawed."""
    away = after(up(), BridgeReadBack("host1", ()), BridgeReadBack("host2", ()), on_red1(), on_red2(now=1.0))

    stale = (
        RecoveredFdb(FdbKey(5010, GUEST, RED1.ofport)),
        RecoveredFdb(FdbKey(5010, GUEST, RED1.ofport), denied=True),
    )
    assert step(away, BridgeReadBack("host1", stale[:1])).learned == away.learned
    assert step(away, BridgeReadBack("host1", stale[1:], (RED1.ofport,))).learned == away.learned


def test_what_a_contested_bridge_lacks_is_forgotten_once_the_contest_is_over() -> None:
    """Its ports and flows may be those of another bridge under the same datapath id."""
    before = after(up(), BridgeReadBack("host1", ()), on_red1(), on_red2(macs(1)[0]))
    for ports in (numbers(HOST1), {}):
        contested = after(before, BridgeFound("host1", ports, contested=5.0), BridgeReadBack("host1", ()))
        again = after(contested, BridgeFound("host1", ports, contested=7.0), ContestOver("host1", 5.0))

        assert contested.learned == again.learned == before.learned
        over = step(again, ContestOver("host1", 7.0))
        assert (station(over) is None) == (not ports)
        assert station(step(over, BridgeReadBack("host1", ()))) is None


def test_what_a_contested_bridge_tells_counts() -> None:
    contested = after(up(), BridgeReadBack("host1", ()), BridgeFound("host1", numbers(HOST1), contested=5.0))
    told = step(contested, BridgeReadBack("host1", (RecoveredFdb(FdbKey(5010, GUEST, RED1.ofport), 3),)))

    assert station(told) == FdbEntry(AT_RED1, 3)
    assert station(step(told, on_red2(now=6.0))) == FdbEntry(AT_RED2, 4, (6.0,))
    assert station(step(told, SourceExpired("host1", (FdbKey(5010, GUEST, RED1.ofport),)))) is None


memories = st.lists(
    st.tuples(
        *(st.sampled_from(["host1", "host2"]), st.sampled_from(macs(3)), st.integers(0, 3)),
        *(st.booleans(), st.sampled_from(["red", "other red", "tunnel"])),
    ),
    max_size=8,
    unique_by=lambda told: told[:2],
)
MORE = overlay(
    TWO_HOSTS + "  more1: {host: host1, network: red/web}\n  more2: {host: host2, network: red/web}\n"
)
PORT = {
    ("host1", "red"): RED1.ofport,
    ("host2", "red"): RED2.ofport,
    ("host1", "other red"): MORE.ports["more1"].ofport,
    ("host2", "other red"): MORE.ports["more2"].ofport,
    ("host1", "tunnel"): HOST1.tunnels[0].ofport,
    ("host2", "tunnel"): HOST2.tunnels[0].ofport,
}


@given(memories)
def test_bridges_that_contradict_each_other_may_be_read_in_any_order(
    told: list[tuple[str, str, int, bool, str]],
) -> None:
    def recalled(host: str) -> BridgeReadBack:
        held = (
            RecoveredFdb(
                FdbKey(5010, mac, PORT[on, where]),
                REMOTE_ONLY if where == "tunnel" else moves,
                refused and where != "tunnel",
            )
            for on, mac, moves, refused, where in told
            if on == host
        )
        return BridgeReadBack(host, tuple(held))

    there = after(State.of(MORE), *(BridgeFound(h.name, numbers(h)) for h in MORE.hosts.values()))
    one, other = (after(there, *map(recalled, order)) for order in (("host1", "host2"), ("host2", "host1")))
    assert one.learned == other.learned


stories = st.lists(
    st.one_of(
        st.builds(on_red1, st.sampled_from([GUEST, *macs(5)]), st.floats(0, 400)),
        st.builds(on_red2, st.sampled_from([GUEST, *macs(5)]), st.floats(0, 400)),
        st.builds(
            lambda mac, host: SourceExpired(
                host, (FdbKey(5010, mac, {"host1": RED1, "host2": RED2}[host].ofport),)
            ),
            *(st.sampled_from([GUEST, *macs(5)]), st.sampled_from(["host1", "host2"])),
        ),
        st.sampled_from(
            [
                PortsLost("host2", {"red2"}),
                PortsFound("host2", [("red2", RED2.ofport)]),
                BridgeFound("host2", {}, contested=5.0),
                BridgeReadBack("host2", ()),
                ContestOver("host2", 5.0),
                MacLimitTimerExpired(AT_RED1),
            ]
        ),
        st.just(Configured(overlay())),
        st.just(Configured(OVERLAY)),
    ),
    max_size=40,
)


@given(stories)
def test_whatever_happens_the_counts_are_right_and_nobody_is_in_two_places(story: list[Event]) -> None:
    state = up()
    for event in story:
        state = step(state, event)
        learned = state.learned
        counted: dict[PortRef, int] = {}
        for network, by_mac in learned.stations.items():
            for mac, at in by_mac.items():
                counted[at.place] = counted.get(at.place, 0) + 1
                assert state.exists(network, at.place)
                assert at.place not in learned.denied.get(network, {}).get(mac, ())
        for by_mac_denied in learned.denied.values():
            for places in by_mac_denied.values():
                for place in places:
                    counted[place] = counted.get(place, 0) + 1
        assert learned.held == counted
        assert all(KEY[0] in learned.stations and mac in learned.stations[n] for n, mac in learned.frozen)
