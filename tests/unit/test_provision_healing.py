"""What was deleted, moved or renamed by hand, and what the plan makes of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sdnapp.config.devices import PHYSICAL_BRIDGE
from sdnapp.provision.plan import Plan, diff
from sdnapp.provision.world import (
    Port,
    Uplink,
    Workload,
)
from tests.hosts import after, lines, wanted, world


def test_a_port_whose_device_is_another_one_is_opened_anew() -> None:
    done = replace(after(world(), wanted(world())), stale=frozenset({"red1", "br-phy"}))

    assert lines(diff(wanted(done), done, "host1")) == [
        "reopen  port br-phy on br-phy",
        "reopen  port red1 on br-int",
    ]


def test_a_veth_that_is_made_anew_is_opened_anew_in_the_same_pass() -> None:
    done = after(world(), wanted(world()))
    host = replace(done, workloads={name: w for name, w in done.workloads.items() if name != "red1"})

    made, opened = lines(diff(wanted(host), host, "host1"))
    assert made.startswith("create  workload red1 in namespace red1")
    assert opened == "reopen  port red1 on br-int"


def test_the_datapath_of_the_kernel_opens_devices_by_itself() -> None:
    bare = world(kernel_datapath=True)
    done = replace(after(bare, wanted(bare)), kernel_datapath=True)
    host = replace(done, workloads={name: w for name, w in done.workloads.items() if name != "red1"})

    assert not any("reopen" in line for line in lines(diff(wanted(host), host, "host1")))


def test_a_port_of_others_is_not_opened_anew() -> None:
    done = after(world(), wanted(world()))
    host = replace(
        done, ports={**done.ports, "tap7": Port("tap7", None, "br-int")}, stale=frozenset({"tap7"})
    )

    assert diff(wanted(host), host, "host1") == Plan((), ())


@pytest.mark.parametrize("owner", [None, "host1"])
def test_a_veth_of_ours_whose_other_end_was_moved_away_is_made_anew(owner: str | None) -> None:
    done = after(world(), wanted(world()))
    cut_off = Workload("red1", owner, "", "", "", 1600, frozenset(), (), "neither", ready=False)
    host = replace(done, workloads={**done.workloads, "red1": cut_off})

    plan = diff(wanted(host), host, "host1")
    assert [line.split(" (")[0] for line in lines(plan)] == [
        "delete  workload red1 in no namespace",
        "create  workload red1 in namespace red1",
        "reopen  port red1 on br-int",
    ]
    assert plan.problems == ()


def test_a_veth_of_others_whose_other_end_is_elsewhere_is_left_alone() -> None:
    done = after(world(), wanted(world()))
    others = Workload("other", "host2", "", "", "", 1600, frozenset(), (), "neither", ready=False)
    host = replace(done, workloads={**done.workloads, "other": others, "none": replace(others, owner=None)})

    assert diff(wanted(host), host, "host1") == Plan((), ())


def test_a_veth_whose_host_end_was_renamed_goes_before_the_new_one_comes() -> None:
    done = after(world(), wanted(world()))
    renamed = replace(done.workloads["red1"], name="other")
    host = replace(done, workloads={"blue1": done.workloads["blue1"], "other": renamed})

    assert [line.split(" (")[0] for line in lines(diff(wanted(host), host, "host1"))] == [
        "delete  workload other in namespace red1",
        "create  workload red1 in namespace red1",
        "reopen  port red1 on br-int",
    ]


def test_the_bridge_of_the_uplink_comes_back_with_its_addresses_when_it_was_deleted() -> None:
    done = after(world(), wanted(world()))
    record = done.bridges[PHYSICAL_BRIDGE].uplink
    assert record
    bridges = {name: bridge for name, bridge in done.bridges.items() if name != PHYSICAL_BRIDGE}
    ports = {name: port for name, port in done.ports.items() if port.bridge != PHYSICAL_BRIDGE}
    devices = {name: device for name, device in done.devices.items() if name != PHYSICAL_BRIDGE}
    host = replace(done, bridges=bridges, ports=ports, devices=devices)

    assert diff(wanted(host), host, "host1").problems == (
        "no device of host1 has its vtep address 192.168.4.201",
    )
    remembered = replace(host, records={"host1": record})
    assert lines(diff(wanted(remembered), remembered, "host1")) == [
        "create  bridge br-phy (netdev, standalone, uplink eth0)",
        "create  port eth0 on br-phy",
        "move    192.168.4.201/24, default via 192.168.4.1 from eth0 to br-phy",
    ]


def test_addresses_that_are_on_a_device_again_are_not_those_of_the_record() -> None:
    record = Uplink("eth1", ("192.168.4.201/24", "10.9.9.9/8"), frozenset())
    host = replace(world(), records={"host1": record})

    assert not any("10.9.9.9" in line for line in lines(diff(wanted(host), host, "host1")))


def test_a_bridge_that_is_down_gets_back_the_routes_that_the_kernel_deleted() -> None:
    done = after(world(), wanted(world()))
    down = replace(done.devices[PHYSICAL_BRIDGE], up=False, routes=frozenset())
    host = replace(done, devices={**done.devices, PHYSICAL_BRIDGE: down})

    assert lines(diff(wanted(host), host, "host1")) == [
        "move    192.168.4.201/24, default via 192.168.4.1 from eth0 to br-phy"
    ]
