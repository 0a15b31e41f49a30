"""A port that moves: served where it was until it has arrived, and then at once where it is."""

from __future__ import annotations

from sdnapp.net.events import BridgeFound, Configured, Event, GracePeriodExpired, PortsFound, PortsLost
from sdnapp.net.state import State
from sdnapp.net.step import step
from tests.overlays import TWO_HOSTS, numbers, overlay, view_of

THREE_HOSTS = TWO_HOSTS.replace("ports:", "  host3: {vtep: 192.168.4.203}\nports:")
BEFORE = overlay(THREE_HOSTS)
MOVED = overlay(THREE_HOSTS.replace("red2:  {host: host2", "red2:  {host: host3"))
RED2 = BEFORE.ports["red2"]


def after(state: State, *events: Event) -> State:
    for event in events:
        state = step(state, event)
    return state


def running() -> State:
    return after(State.of(BEFORE), *(BridgeFound(h.name, numbers(h)) for h in BEFORE.hosts.values()))


def test_until_it_has_arrived_every_bridge_sees_it_where_it_was() -> None:
    before = running()
    state = step(before, Configured(MOVED))

    assert [view_of(state, host) for host in BEFORE.hosts] == [view_of(before, host) for host in BEFORE.hosts]


def test_once_it_has_arrived_nothing_reminds_of_where_it_was() -> None:
    tunnels = [("host1", "gre-host3"), ("host3", "gre-host1")]
    arrival = [PortsFound(host, [(name, 40000)]) for host, name in tunnels]
    state = after(running(), Configured(MOVED), *arrival, PortsFound("host3", [("red2", RED2.ofport)]))

    assert state.overlay is MOVED
    (red,) = view_of(state, "host3").networks
    assert [member.port for member in red.members] == [RED2.ofport]
    assert "red/web" not in state.overlay.hosts["host2"].networks
    remote = next(location for location in red.locations if RED2.mac not in location.macs)
    assert (remote.port, remote.remote) == (40000, True)


def test_when_its_old_place_goes_first_the_new_one_is_waited_for_there() -> None:
    state = after(running(), Configured(MOVED), PortsLost("host2", {"red2"}))

    assert state.overlay is MOVED


def test_it_does_not_stay_in_a_network_that_it_has_left() -> None:
    text = THREE_HOSTS.replace(
        "red2:  {host: host2, network: red/web", "red2:  {host: host3, network: blue/web"
    )
    elsewhere = overlay(text.replace("10.1.1.2/24}\n  blue1", "10.1.1.9/24}\n  blue1"))

    assert step(running(), Configured(elsewhere)).overlay is elsewhere


def test_it_may_change_its_mind_on_the_way() -> None:
    state = after(running(), Configured(MOVED), Configured(BEFORE))

    assert state.overlay is BEFORE


def test_a_controller_that_sees_one_host_does_not_wait_for_what_it_cannot_see() -> None:
    before, moved = (
        overlay(text.replace("192.168.4.10:", "127.0.0.1:"))
        for text in (THREE_HOSTS, THREE_HOSTS.replace("red2:  {host: host2", "red2:  {host: host3"))
    )
    state = after(State.of(before), BridgeFound("host2", numbers(before.hosts["host2"])), Configured(moved))

    assert state.overlay is moved


def test_a_move_does_not_keep_the_configuration_from_settling() -> None:
    state = after(running(), Configured(MOVED), GracePeriodExpired(MOVED))

    assert state.settled
    assert after(state, PortsFound("host3", [("red2", RED2.ofport)])).settled
