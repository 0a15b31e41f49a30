"""Tunnels behind which nobody is heard: nothing is flooded there, and somebody is told."""

from __future__ import annotations

from sdnapp.engine.tunnel_events import health_alarms, health_notes
from sdnapp.net.events import BridgeFound, PortsFound
from sdnapp.net.state import State
from sdnapp.net.step import step
from tests.overlays import TWO_HOSTS, numbers, overlay, view_of

WATCHED = TWO_HOSTS.replace("{encapsulation: gre}", "{encapsulation: gre, bfd: 300}")


def up(text: str = WATCHED) -> State:
    state = State.of(overlay(text))
    for host in state.overlay.hosts.values():
        state = step(state, BridgeFound(host.name, numbers(host)))
    return state


def change(state: State, *, dead: bool) -> State:
    tunnel = state.overlay.hosts["host1"].tunnels[0]
    return step(
        state,
        PortsFound(
            "host1",
            [(tunnel.interface, tunnel.ofport)],
            frozenset({tunnel.interface}) if dead else frozenset(),
        ),
    )


def peers_up(state: State, host: str) -> set[bool]:
    return {peer.up for network in view_of(state, host).networks for peer in network.peers}


def test_a_peer_that_is_not_heard_is_down_and_comes_back() -> None:
    state = up()
    broken = change(state, dead=True)

    assert (peers_up(state, "host1"), peers_up(broken, "host1")) == ({True}, {False})
    assert peers_up(broken, "host2") == {True}
    assert change(broken, dead=False) == state
    assert change(broken, dead=True) is broken


def test_what_is_known_to_live_there_is_still_sent_there() -> None:
    before, broken = (view_of(state, "host1") for state in (up(), change(up(), dead=True)))

    assert [network.locations for network in broken.networks] == [
        network.locations for network in before.networks
    ]


def test_where_nobody_watches_nobody_is_down() -> None:
    state = change(up(TWO_HOSTS), dead=True)

    assert peers_up(state, "host1") == {True}
    assert not [alarm.text for alarm in health_alarms(state)]


def test_a_bridge_that_connects_says_which_of_its_tunnels_are_down() -> None:
    host = overlay(WATCHED).hosts["host1"]
    dead = frozenset({host.tunnels[0].interface, "red1"})
    state = step(State.of(overlay(WATCHED)), BridgeFound("host1", numbers(host), dead))

    assert [alarm.text for alarm in health_alarms(state)] == ["the tunnel from host1 to host2 is down"]


def test_the_log_tells_when_it_goes_down_and_when_it_is_up_again() -> None:
    state, broken = up(), change(up(), dead=True)

    assert [note.event for note in health_notes(state, broken)] == ["tunnel.down"]
    assert [note.event for note in health_notes(broken, state)] == ["tunnel.up"]
