"""Strangers' tunnels, from the file to ports of OVSDB, to the state and to where frames go."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from flows.compile import compile_bridge
from flows.tables import Table
from flows.trace import Frame, trace
from sdnapp.config_file import load
from sdnapp.net.events import BridgeFound, FdbKey, SourcesSeen
from sdnapp.net.fdb import PortRef
from sdnapp.net.model import Overlay
from sdnapp.net.mtu import workload_mtus
from sdnapp.net.overlay_diff import differences
from sdnapp.net.state import State
from sdnapp.net.step import step
from sdnapp.provision.desired import desire
from sdnapp.provision.world import Port, World
from tests.overlays import numbers, view_of
from tests.views import BROADCAST, STRANGER

OVERLAY = load(Path(__file__).parents[2] / "configs" / "external-vteps.yaml")
HOST1, HOST2 = OVERLAY.hosts["host1"], OVERLAY.hosts["host2"]
LAB7, LAB8, NAS = (OVERLAY.ports[name] for name in ("lab7", "lab8", "nas"))
RED1, RED2 = OVERLAY.ports["red1"], OVERLAY.ports["red2"]


def up() -> State:
    state = State.of(OVERLAY)
    for host in OVERLAY.hosts.values():
        state = step(state, BridgeFound(host.name, numbers(host)))
    return state


def ports(host: str, overlay: Overlay = OVERLAY) -> dict[str, Port]:
    wanted = desire(
        overlay,
        overlay.hosts[host],
        "tcp:192.168.4.10:6653",
        World(kernel_datapath=False, bridges={}, ports={}, namespaces={}, workloads={}, devices={}),
    )
    return {thing.name: thing for thing in wanted.things if isinstance(thing, Port)}


def test_without_a_key_the_tunnel_takes_all_keys_and_sends_none() -> None:
    """So that what has an unknown key is dropped by a flow, which counts it."""
    assert dict(ports("host1")["gre-lab7"].options) == {
        "remote_ip": "192.168.4.77",
        "local_ip": "192.168.4.201",
        "in_key": "flow",
        "csum": "false",
    }
    assert dict(ports("host2")["vxlan-nas"].options)["key"] == "flow"


def test_nobody_waits_for_bfd_of_a_stranger() -> None:
    watching = replace(OVERLAY, bfd=300)
    found = {name: bool(port.bfd) for name, port in ports("host2", watching).items() if port.type}
    assert found == {"geneve-host1": True, "vxlan-nas": False}


def test_a_tag_inside_costs_every_workload_four_bytes() -> None:
    assert workload_mtus(OVERLAY, HOST2, 1500)["blue2"] == 1446


@pytest.mark.parametrize(
    ("vlans", "key", "reached"),
    [
        ((10,), 0, {LAB8.ofport, RED1.ofport, HOST1.tunnels[0].ofport}),
        ((20,), 0, {OVERLAY.ports["blue1"].ofport, HOST1.tunnels[0].ofport}),
        ((30,), 0, set()),
        ((), 0, set()),
        ((10,), 5010, set()),
        ((), 5010, set()),
    ],
)
def test_a_stranger_reaches_what_the_file_gives_it(
    vlans: tuple[int, ...], key: int, reached: set[int]
) -> None:
    program = compile_bridge(view_of(up(), "host1"))

    went = trace(program, Frame(LAB7.ofport, STRANGER, BROADCAST, vlans, key))

    assert went.ports == reached
    assert reached or (
        went.dropped_in is Table.VLAN_TO_NETWORK and went.flows[-1].match.in_port == LAB7.ofport
    )


def test_what_comes_over_the_overlay_goes_on_to_the_strangers_as_they_understand_it() -> None:
    """They are leaves of the host that holds their tunnels: no other way leads there."""
    here = compile_bridge(view_of(up(), "host1"))
    there = compile_bridge(view_of(up(), "host2"))

    copies = trace(here, Frame(HOST1.tunnels[0].ofport, STRANGER, BROADCAST, (), 5010)).copies
    assert {(c.port, c.vlans) for c in copies} == {
        (RED1.ofport, ()),
        (LAB7.ofport, (10,)),
        (LAB8.ofport, (10,)),
    }
    assert {c.key for c in copies if c.port != RED1.ofport} == {0}

    copies = trace(there, Frame(RED2.ofport, RED2.mac or "", BROADCAST)).copies
    assert {(c.port, c.key) for c in copies} >= {(NAS.ofport, 7010), (HOST2.tunnels[0].ofport, 5010)}


def test_a_station_behind_a_stranger_is_known_to_every_host_by_the_one_that_holds_the_tunnel() -> None:
    state = step(up(), SourcesSeen("host2", (FdbKey(5010, STRANGER, NAS.ofport),), 0.0))
    assert state.place_of("red/web", STRANGER) == PortRef("host2", "vxlan-nas")

    away = trace(compile_bridge(view_of(state, "host1")), Frame(LAB7.ofport, RED1.mac or "", STRANGER, (10,)))
    assert [(c.port, c.key) for c in away.copies] == [(HOST1.tunnels[0].ofport, 5010)]
    tunnel = Frame(HOST2.tunnels[0].ofport, RED1.mac or "", STRANGER, (), 5010)
    assert [(c.port, c.key) for c in trace(compile_bridge(view_of(state, "host2")), tunnel).copies] == [
        (NAS.ofport, 7010)
    ]


def test_a_stranger_that_comes_is_told_with_all_that_is_known_of_it() -> None:
    without = load(Path(__file__).parents[2] / "configs" / "two-hosts.yaml")

    said = [str(d) for d in differences(without, OVERLAY) if d.kind == "peer"]

    assert said[2] == (
        "+ peer nas: host host2, tunnel vxlan to 192.168.4.79 UDP port 4789, interface vxlan-nas, "
        "max_macs 1024, roles dhcp-server, in red/web key 7010 untagged"
    )
    assert said[1].endswith("in red/web tagged 10")
