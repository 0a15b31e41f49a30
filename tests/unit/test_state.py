"""Where the overlay believes that stations live, and what makes it change its mind."""

from __future__ import annotations

import itertools

import pytest

from sdnapp.net.events import (
    BridgeFound,
    BridgeReadBack,
    Configured,
    Event,
    FdbKey,
    PortsFound,
    PortsLost,
    RecoveredFdb,
    SourceExpired,
    SourcesSeen,
)
from sdnapp.net.fdb import PortRef
from sdnapp.net.state import State
from sdnapp.net.step import step
from tests.overlays import TWO_HOSTS, numbers, overlay, view_of

OVERLAY = overlay()
HOST1, HOST2 = OVERLAY.hosts["host1"], OVERLAY.hosts["host2"]
RED1, RED2 = OVERLAY.ports["red1"], OVERLAY.ports["red2"]
GUEST = "02:aa:00:00:00:01"
TUNNEL1 = HOST1.tunnels[0].ofport


def both_up() -> State:
    return after(State.of(OVERLAY), *(BridgeFound(h.name, numbers(h)) for h in (HOST1, HOST2)))


def after(state: State, *events: Event) -> State:
    for event in events:
        state = step(state, event)
    return state


def at(port: int, mac: str = GUEST, vni: int = 5010) -> FdbKey:
    return FdbKey(vni, mac, port)


def seen(host: str, *sightings: FdbKey, now: float = 0.0) -> SourcesSeen:
    return SourcesSeen(host, sightings, now)


def recalled(host: str, *sightings: FdbKey) -> BridgeReadBack:
    return BridgeReadBack(host, tuple(map(RecoveredFdb, sightings)))


def place_of(state: State, mac: str = GUEST, network: str = "red/web") -> PortRef | None:
    return state.place_of(network, mac)


def test_a_source_seen_on_a_port_is_a_location_there() -> None:
    state = step(both_up(), seen("host1", at(RED1.ofport)))

    assert place_of(state) == PortRef("host1", "red1")


def test_seeing_it_again_changes_nothing_at_all() -> None:
    state = step(both_up(), seen("host1", at(RED1.ofport)))

    assert step(state, seen("host1", at(RED1.ofport))) is state


def test_it_moves_when_it_speaks_elsewhere() -> None:
    state = after(both_up(), seen("host1", at(RED1.ofport)), seen("host2", at(RED2.ofport)))

    assert place_of(state) == PortRef("host2", "red2")


def test_its_silence_at_a_former_place_means_nothing() -> None:
    state = after(both_up(), seen("host1", at(RED1.ofport)), seen("host2", at(RED2.ofport)))

    assert step(state, SourceExpired("host1", (at(RED1.ofport),))) is state
    assert place_of(step(state, SourceExpired("host2", (at(RED2.ofport),)))) is None


@pytest.mark.parametrize(
    "sighting",
    [
        pytest.param(at(RED1.ofport, vni=4711), id="an unknown network"),
        pytest.param(at(RED1.ofport, vni=5020), id="a network that is not on the port"),
        pytest.param(at(65000), id="an unknown port"),
    ],
)
def test_nonsense_is_not_learned(sighting: FdbKey) -> None:
    state = both_up()

    assert step(state, seen("host1", sighting)) is state


def test_a_source_behind_a_tunnel_lives_somewhere_at_the_peer() -> None:
    state = step(both_up(), seen("host1", at(TUNNEL1)))

    assert place_of(state) == PortRef("host2", None)


def test_a_lost_port_takes_its_locations_along() -> None:
    state = after(both_up(), seen("host1", at(RED1.ofport)), PortsLost("host1", {"red1"}))

    assert place_of(state) is None


def test_a_new_number_of_a_port_keeps_its_locations() -> None:
    state = after(both_up(), seen("host1", at(RED1.ofport)), PortsFound("host1", [("red1", 77)]))

    (red,) = (n for n in view_of(state, "host1").networks if n.vni == 5010)
    assert any(GUEST in location.macs and location.port == 77 for location in red.locations)


def test_a_number_that_another_port_has_now_was_given_back() -> None:
    state = after(both_up(), seen("host1", at(RED1.ofport)), PortsFound("host1", [("blue1", RED1.ofport)]))

    assert state.ports("host1").number["blue1"] == RED1.ofport
    assert "red1" not in state.ports("host1").number
    assert place_of(state) is None


def test_a_bridge_has_the_last_word_on_its_own_ports() -> None:
    state = step(both_up(), seen("host1", at(RED1.ofport), at(RED1.ofport, "02:aa:00:00:00:02")))

    state = step(state, recalled("host1", at(RED1.ofport)))

    assert place_of(state) == PortRef("host1", "red1")
    assert place_of(state, "02:aa:00:00:00:02") is None


def test_its_word_on_a_peer_counts_until_the_peer_has_spoken() -> None:
    hearsay = step(both_up(), recalled("host1", at(TUNNEL1)))
    corrected = step(hearsay, recalled("host2"))

    assert place_of(hearsay) == PortRef("host2", None)
    assert place_of(corrected) is None
    assert step(corrected, recalled("host1", at(TUNNEL1))).learned.stations == {}


def test_a_reload_keeps_what_still_makes_sense() -> None:
    story = seen("host1", at(RED1.ofport), at(OVERLAY.ports["blue1"].ofport, vni=5020))
    without_blue = overlay("\n".join(line for line in TWO_HOSTS.splitlines() if "blue" not in line))

    state = after(both_up(), story, Configured(without_blue))

    assert {path: set(places) for path, places in state.learned.stations.items()} == {"red/web": {GUEST}}
    assert state.ports("host1").number == numbers(HOST1)


def test_the_order_in_which_bridges_and_sources_appear_does_not_matter() -> None:
    events: list[Event] = [
        BridgeFound("host1", numbers(HOST1)),
        BridgeFound("host2", numbers(HOST2)),
        PortsFound("host1", [("red1", RED1.ofport)]),
        seen("host1", at(RED1.ofport)),
    ]
    orders = [o for o in itertools.permutations(events) if o.index(events[0]) < o.index(events[3])]
    views = {view_of(after(State.of(OVERLAY), *order), host) for order in orders for host in ("host2",)}

    assert len(views) == 1


def test_a_tunnel_that_the_bridge_lacks_is_left_out_of_its_view() -> None:
    state = step(State.of(OVERLAY), BridgeFound("host1", {"red1": 1, "blue1": 2}))

    view = view_of(state, "host1")

    assert view.tunnels == ()
    assert [location.macs for location in view.networks[1].locations] == [(RED1.mac,)]


def test_a_port_of_the_file_has_its_number_before_it_is_there() -> None:
    complete = step(State.of(OVERLAY), BridgeFound("host1", numbers(HOST1)))

    waiting = step(complete, PortsLost("host1", {"red1"}))

    assert "red1" not in waiting.ports("host1").number
    assert view_of(waiting, "host1") == view_of(complete, "host1")


@pytest.mark.parametrize("other", ["tap0", "blue1"])
def test_a_number_that_somebody_else_has_is_not_waited_for(other: str) -> None:
    """Nobody gets it who did not ask for it; but if he did, it is his."""
    complete = step(State.of(OVERLAY), BridgeFound("host1", numbers(HOST1)))

    state = after(complete, PortsLost("host1", {"red1"}), PortsFound("host1", [(other, RED1.ofport)]))

    networks = {network.vni: network for network in view_of(state, "host1").networks}
    assert 5010 not in networks
    assert [member.port for member in networks[5020].members] == [
        RED1.ofport if other == "blue1" else OVERLAY.ports["blue1"].ofport
    ]
