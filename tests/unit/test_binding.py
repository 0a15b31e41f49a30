"""Ports that are found by their iface-id: where they are follows from what bridges show now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.view import NetworkView
from sdnapp.config import names
from sdnapp.engine import Engine
from sdnapp.engine.messages import StartupGraceExpired, TimerFired
from sdnapp.net.events import BridgeFound, Configured, Event, FdbKey, PortsFound, PortsLost, SourcesSeen
from sdnapp.net.state import State
from sdnapp.net.step import step
from tests.overlays import TWO_HOSTS, numbers, overlay, plugged, view_of
from tests.unit.test_engine import Fake, connected, plans

MAC = "02:aa:00:00:00:09"
VM = f'  vm: {{attach: external, iface_id: x-1, network: red/web, mac: "{MAC}"}}\n'
GUESTS = TWO_HOSTS + VM + "  guest: {attach: external, network: red/web}\n"
PLUGGED = plugged("vnet0", 7, "x-1")
THERE = plugged("vnet3", 9, "x-1")


def up(text: str = GUESTS, **more: Mapping[str, int]) -> State:
    state = State.of(overlay(text))
    for host in state.overlay.hosts.values():
        state = step(state, BridgeFound(host.name, {**numbers(host), **more.get(host.name, {})}))
    return state


def after(state: State, *events: Event) -> State:
    for event in events:
        state = step(state, event)
    return state


def appears(host: str, ports: Mapping[str, int]) -> list[Event]:
    return [PortsFound(host, [(name, number)]) for name, number in ports.items()]


def red(state: State, host: str) -> NetworkView:
    return next(network for network in view_of(state, host).networks if network.vni == 5010)


def where(state: State, host: str) -> set[int]:
    """Ports of the bridge behind which it believes the machine to be."""
    return {at.port for at in red(state, host).locations if MAC in at.macs and not at.blocked}


def tunnel(host: str) -> int:
    return overlay().hosts[host].tunnels[0].ofport


def test_a_note_says_which_iface_id_an_interface_has() -> None:
    assert names.decode_iface_ids(plugged("vnet0", 7, "x-1")) == {"vnet0": names.iface_id_hash("x-1")}
    assert all(len(name) <= names.MAX_INTERFACE for name in names.iface_id_port_names(65279, "vnet0", "x-1"))


def test_another_interface_that_gets_its_number_does_not_get_its_iface_id() -> None:
    ports = dict(PLUGGED)
    del ports["vnet0"]

    assert names.decode_iface_ids(ports) == {}
    assert names.decode_iface_ids({**ports, "vnet1": 7}) != {"vnet1": names.iface_id_hash("x-1")}
    assert names.decode_iface_ids({**ports, "vnet0": 8}) == {}


def test_an_interface_with_two_notes_is_nobody() -> None:
    assert names.decode_iface_ids({**PLUGGED, **plugged("vnet0", 7, "guest")}) == {}


def test_nobody_hears_of_a_port_that_is_nowhere() -> None:
    state = up()

    assert where(state, "host1") == where(state, "host2") == set()
    assert "vm" not in state.overlay.ports


@pytest.mark.parametrize("host", ["host1", "host2"])
def test_where_it_appears_it_is_a_port_like_any_other(host: str) -> None:
    state = after(up(), *appears(host, PLUGGED))
    other = {"host1": "host2", "host2": "host1"}[host]

    assert where(state, host) == {7}
    assert 7 in {member.port for member in red(state, host).members}
    assert where(state, other) == {tunnel(other)}
    assert state.overlay.ports["vm"].interface == "vnet0"


def test_the_order_in_which_bridges_and_ports_appear_does_not_matter() -> None:
    there = up(host1=PLUGGED)
    for events in permutations(appears("host1", PLUGGED)):
        state = after(up(), *events)
        assert [view_of(state, h) for h in ("host1", "host2")] == [
            view_of(there, h) for h in ("host1", "host2")
        ]


def test_it_vanishes_with_its_interface_or_its_note() -> None:
    for name in ("vnet0", min(PLUGGED.keys() - {"vnet0"})):
        state = step(up(host1=PLUGGED), PortsLost("host1", {name}))
        assert where(state, "host2") == set()
        assert "vm" not in state.overlay.ports


def test_in_two_places_both_hear_what_is_flooded_and_it_is_reached_where_it_spoke_last() -> None:
    state = after(up(host1=PLUGGED), *appears("host2", THERE))
    assert where(state, "host1") == {7}
    assert 9 in {member.port for member in red(state, "host2").members}

    moved = step(state, SourcesSeen("host2", (FdbKey(5010, MAC, 9),), now=0.0))
    assert where(moved, "host1") == {tunnel("host1")}
    assert where(moved, "host2") == {9}

    gone = step(moved, PortsLost("host2", {"vnet3"}))
    assert where(gone, "host1") == {7}


def test_nobody_else_can_take_its_mac() -> None:
    stolen = step(
        up(host1=PLUGGED), SourcesSeen("host2", (FdbKey(5010, MAC, overlay().ports["red2"].ofport),), 0.0)
    )

    assert where(stolen, "host1") == {7}
    assert where(stolen, "host2") == {tunnel("host2")}


def test_one_that_the_file_pins_counts_on_its_host_alone() -> None:
    pinned = GUESTS.replace("iface_id: x-1", "iface_id: x-1, host: host2")

    assert "vm" not in up(pinned, host1=PLUGGED).overlay.ports
    assert up(pinned, host2=PLUGGED).overlay.ports["vm"].host == "host2"


def test_a_new_file_finds_what_is_there_already() -> None:
    state = step(up(TWO_HOSTS, host1=PLUGGED), Configured(overlay(GUESTS)))
    assert where(state, "host1") == {7}

    assert "vm" not in step(state, Configured(overlay(TWO_HOSTS))).overlay.ports


def test_its_edge_tag_is_that_of_the_host_where_it_is() -> None:
    text = GUESTS.replace("{vtep: 192.168.4.202}", "{vtep: 192.168.4.202, vlans: {red/web: 30}}")

    assert up(text, host1=PLUGGED).overlay.ports["vm"].attachments[0].vlan == 10
    assert up(text, host2=PLUGGED).overlay.ports["vm"].attachments[0].vlan == 30


def test_hosts_that_may_have_it_have_tunnels_and_are_flooded_only_while_they_do() -> None:
    text = GUESTS.replace("ports:", "  host3: {vtep: 192.168.4.203}\nports:")
    state = up(text)
    assert {t.peer for t in state.overlay.hosts["host3"].tunnels} == {"host1", "host2"}
    assert len(red(state, "host1").peers) == 1

    assert len(red(after(state, *appears("host3", PLUGGED)), "host1").peers) == 2


def test_a_controller_of_one_host_floods_wherever_it_may_be_and_learns_where_it_is() -> None:
    text = GUESTS.replace("ports:", "  host3: {vtep: 192.168.4.203}\nports:")
    meaning = overlay(text.replace("tcp:192.168.4.10:6653", "tcp:127.0.0.1:6653"))
    host1 = meaning.hosts["host1"]
    state = step(State.of(meaning), BridgeFound("host1", {**numbers(host1), **PLUGGED}))
    to_host3 = next(t.ofport for t in host1.tunnels if t.peer == "host3")
    assert len(red(state, "host1").peers) == 2

    here = step(state, SourcesSeen("host1", (FdbKey(5010, MAC, 7),), 1.0))
    assert where(here, "host1") == {7}
    assert where(step(here, SourcesSeen("host1", (FdbKey(5010, MAC, to_host3),), 2.0)), "host1") == {to_host3}


@given(st.data())
def test_where_everything_is_follows_from_what_bridges_show_now(data: st.DataObject) -> None:
    """Whatever appeared, vanished and changed its number before; but for what traffic has taught."""
    state = up()
    shown = {host: dict(numbers(state.overlay.hosts[host])) for host in ("host1", "host2")}
    for _ in range(data.draw(st.integers(1, 8))):
        host = data.draw(st.sampled_from(["host1", "host2"]))
        interface = data.draw(st.sampled_from(["tap1", "tap2"]))
        ports = plugged(interface, data.draw(st.integers(1, 2)), data.draw(st.sampled_from(["x-1", "guest"])))
        for name in data.draw(st.permutations(sorted(ports))):
            if data.draw(st.booleans()):
                others = {other: number for other, number in shown[host].items() if number != ports[name]}
                shown[host] = {**others, name: ports[name]}
                state = step(state, PortsFound(host, [(name, ports[name])]))
            elif name in shown[host]:
                del shown[host][name]
                state = step(state, PortsLost(host, {name}))

    fresh = after(State.of(overlay(GUESTS)), *(BridgeFound(h, ports) for h, ports in shown.items()))
    assert state.overlay == fresh.overlay
    assert replace(state, learned=fresh.learned) == fresh


def test_as_long_as_a_host_has_not_told_it_may_have_any_of_them() -> None:
    meaning = overlay(GUESTS.replace("red2:  {host: host2", "red2:  {host: host1"))
    state = step(State.of(meaning), BridgeFound("host1", numbers(meaning.hosts["host1"])))
    tunnels = {tunnel.interface: tunnel.ofport for tunnel in meaning.hosts["host2"].tunnels}

    assert len(red(state, "host1").peers) == 1
    assert not red(step(state, BridgeFound("host2", tunnels)), "host1").peers


def test_a_controller_that_starts_anew_waits_for_all_bridges_before_it_changes_any() -> None:
    fake = Fake(overlay(GUESTS))
    bridges = [
        replace(connected(host), ports={**numbers(host)}) for host in fake.engine.state.wanted.hosts.values()
    ]
    bridges[1] = replace(bridges[1], ports={**bridges[1].ports, **PLUGGED})
    fake.tell(*bridges)

    fake.engine = Engine(overlay(GUESTS))
    assert not plans(fake.tell(bridges[0]))
    assert not plans(fake.tell(bridges[1]))

    fake.engine = Engine(overlay(GUESTS))
    assert not plans(fake.tell(bridges[0]))
    assert plans(fake.tell(TimerFired(StartupGraceExpired())))
