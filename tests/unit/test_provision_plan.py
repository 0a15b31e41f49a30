"""What a host should have, and the way there: values in, values out."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from sdnapp.config.devices import PHYSICAL_BRIDGE
from sdnapp.config_file import load
from sdnapp.provision.converge import pause_between
from sdnapp.provision.desired import Wanted, desire
from sdnapp.provision.execute import BRISK, PAUSE, RateLimiter
from sdnapp.provision.plan import Change, Move, Plan, diff
from sdnapp.provision.world import (
    Bridge,
    Device,
    Namespace,
    Port,
    Thing,
    Uplink,
    Workload,
)
from tests.hosts import DEFAULT_ROUTE, ETH0, after, found, lines, wanted, world
from tests.overlays import TWO_HOSTS

CONFIGS = Path(__file__).parents[2] / "configs"


def test_the_plan_of_a_bare_host_reads_as_it_will_be_done() -> None:
    host = world()
    assert lines(diff(wanted(host), host, "host1")) == [
        "create  namespace blue1",
        "create  namespace red1",
        "create  workload blue1 in namespace blue1 (eth0, 02:d2:1d:c8:17:36, 10.1.1.1/24, MTU 1458)",
        "create  workload red1 in namespace red1 (eth0, 02:bc:51:85:f4:95, 10.1.1.1/24, MTU 1458)",
        "create  bridge br-phy (netdev, standalone, uplink eth0)",
        "create  bridge br-int (netdev, secure, controller tcp:192.168.4.10:6653)",
        "create  port eth0 on br-phy",
        "create  port gre-host2 on br-int (gre to 192.168.4.202)",
        "create  port blue1 on br-int (tag 10)",
        "create  port red1 on br-int (tag 10)",
        "move    192.168.4.201/24, default via 192.168.4.1 from eth0 to br-phy",
        "hand    eth0 alone to Open vSwitch",
    ]


def test_a_host_that_has_all_needs_nothing() -> None:
    done = after(world(), wanted(world()))
    assert diff(wanted(done), done, "host1") == Plan((), ())


def test_the_kernel_datapath_needs_no_br_phy() -> None:
    host = world(kernel_datapath=True)
    want = wanted(host)
    assert {thing.name for thing in want.things if isinstance(thing, Bridge)} == {"br-int"}
    workload = found(want, Workload, "red1")
    assert isinstance(workload, Workload)
    assert workload.datapath == "system"
    assert not any(isinstance(step, Move) for step in diff(want, host, "host1").steps)


def test_the_file_may_ask_for_the_userspace_datapath() -> None:
    text = TWO_HOSTS.replace("{encapsulation: gre}", "{encapsulation: gre, datapath: netdev}")
    bridge = found(wanted(world(kernel_datapath=True), text=text), Bridge, "br-int")
    assert isinstance(bridge, Bridge)
    assert bridge.datapath_type == "netdev"


def test_who_asks_by_dhcp_keeps_the_addresses_that_it_has_and_gets_none() -> None:
    text = TWO_HOSTS.replace("10.1.1.1/24}", "10.1.1.1/24, addressing: dhcp}")
    text = text.replace("subnet: 10.1.1.0/24", "subnet: 10.1.1.0/24, dhcp: true")
    bare = found(wanted(world(), text=text), Workload, "red1")
    assert isinstance(bare, Workload)
    assert not bare.addresses

    has = replace(bare, addresses=frozenset({"10.1.1.1/24", "10.1.1.9/24"}), mtu=1400)
    again = found(wanted(world(has), text=text), Workload, "red1")
    assert again == replace(has, mtu=bare.mtu)


@pytest.mark.parametrize(
    ("encapsulation", "version", "kind"),
    [("gre", 4, "gre"), ("gre", 6, "ip6gre"), ("vxlan", 6, "vxlan"), ("geneve", 6, "geneve")],
)
def test_gre_over_ipv6_has_a_type_of_its_own(encapsulation: str, version: int, kind: str) -> None:
    """ovs-vswitchd.conf.db(5): ``gre`` is over IPv4; the kernel's datapath sends nothing over IPv6 by it."""
    text = TWO_HOSTS.replace("gre", encapsulation, 1)
    if version == 6:
        text = text.replace("vtep: 192.168.4.20", "vtep: fd00:4::20")

    port = found(wanted(world(), text=text), Port, f"{encapsulation}-host2")
    assert isinstance(port, Port)
    assert port.type == kind


@pytest.mark.parametrize(
    ("encapsulation", "mtu"), [("gre", 8958), ("vxlan", 8950), ("geneve", 8950), ("gre, mtu: 1300", 1300)]
)
def test_workloads_get_what_the_encapsulation_leaves_of_the_uplinks_mtu(encapsulation: str, mtu: int) -> None:
    host = world(devices=(replace(ETH0, mtu=9000),))
    workload = found(wanted(host, text=TWO_HOSTS.replace("gre", encapsulation, 1)), Workload, "red1")
    assert isinstance(workload, Workload)
    assert workload.mtu == mtu


def test_a_trunk_shows_its_tags() -> None:
    text = TWO_HOSTS.replace(
        "red1:  {host: host1, network: red/web,  address: 10.1.1.1/24}",
        "red1:  {host: host1, network: red/web, trunk: {blue/web: 30}, address: 10.1.1.1/24}",
    ).replace("blue: {networks: {web: {vlan: 10, vni: 5020, subnet: 10.1.1.0/24}}}",
              "blue: {networks: {web: {vlan: 10, vni: 5020}}}")  # fmt: skip
    port = found(wanted(world(), text=text), Port, "red1")
    assert isinstance(port, Port)
    assert (port.tag, port.trunks, port.vlan_mode) == (10, (30,), "native-untagged")


def test_the_record_of_the_uplink_survives_what_goes_wrong() -> None:
    """br-phy and its addresses stay as they are when the uplink is gone, or another one that is not there."""
    done = after(world(), wanted(world()))
    gone = replace(done, devices={PHYSICAL_BRIDGE: done.devices[PHYSICAL_BRIDGE]})

    plan = diff(wanted(gone), gone, "host1")

    assert plan.steps == ()
    assert plan.problems == ("no such uplink eth0 on host1",)


def test_an_address_that_the_uplink_got_later_is_recorded_and_moves_too() -> None:
    done = after(world(), wanted(world()))
    late = replace(done.devices["eth0"], addresses=("192.168.9.1/24",))
    host = replace(done, devices={**done.devices, "eth0": late})

    plan = diff(wanted(host), host, "host1")

    assert lines(plan) == [
        "change  bridge br-phy: uplink +192.168.9.1/24",
        "move    192.168.4.201/24, 192.168.9.1/24, default via 192.168.4.1 from eth0 to br-phy",
    ]


def test_what_an_admin_changes_on_br_phy_is_recorded_and_not_undone() -> None:
    done = after(world(), wanted(world()))
    route = replace(DEFAULT_ROUTE, gateway="192.168.4.2")
    changed = replace(done.devices[PHYSICAL_BRIDGE], routes=frozenset({route}))
    host = replace(done, devices={**done.devices, PHYSICAL_BRIDGE: changed})

    assert lines(diff(wanted(host), host, "host1")) == [
        "change  bridge br-phy: uplink +default via 192.168.4.2 -default via 192.168.4.1"
    ]


def test_a_bridge_device_that_was_made_anew_gets_what_was_recorded() -> None:
    done = after(world(), wanted(world()))
    anew = replace(done.devices[PHYSICAL_BRIDGE], addresses=(), routes=frozenset(), up=False)
    host = replace(done, devices={**done.devices, PHYSICAL_BRIDGE: anew})

    assert lines(diff(wanted(host), host, "host1")) == [
        "move    192.168.4.201/24, default via 192.168.4.1 from eth0 to br-phy"
    ]


def test_the_host_gets_back_an_uplink_that_is_one_no_more() -> None:
    done = after(world(), wanted(world()))
    text = TWO_HOSTS.replace("{vtep: 192.168.4.201}", "{vtep: 192.168.4.201, uplink: eth1}")
    host = replace(done, devices={**done.devices, "eth1": Device("eth1", "02:00:00:00:00:98", 1500, True)})

    plan = lines(diff(wanted(host, text=text), host, "host1"))

    assert plan[0] == "hand    eth0 back to the host"
    assert plan[1].startswith("change  bridge br-phy: other config ")
    assert plan[2:] == [
        "create  port eth1 on br-phy",
        "delete  port eth0 on br-phy",
        "hand    eth1 alone to Open vSwitch",
    ]


def test_an_address_that_an_admin_put_on_his_own_bridge_is_left_there() -> None:
    ours = replace(ETH0, name="br-ex")
    host = world(Bridge("br-ex", None, "netdev", "standalone"), devices=(ours,))
    want = wanted(host)
    assert want.problems == ()
    assert not any(thing.name in (PHYSICAL_BRIDGE, "br-ex") for thing in want.things)


def test_the_vtep_address_on_another_device_than_the_uplink_is_a_problem() -> None:
    text = TWO_HOSTS.replace("{vtep: 192.168.4.201}", "{vtep: 192.168.4.201, uplink: eth1}")
    host = world(devices=(ETH0, Device("eth1", "02:00:00:00:00:98", 1500, True)))
    assert wanted(host, text=text).problems == (
        "the vtep address 192.168.4.201 is on eth0, not on the uplink eth1 of host1",
    )


def test_removing_gives_the_addresses_back_before_the_bridge_goes() -> None:
    done = after(world(), wanted(world()))
    plan = lines(diff(Wanted(), done, "host1"))
    assert plan[:2] == [
        "hand    eth0 back to the host",
        "move    192.168.4.201/24, default via 192.168.4.1 from br-phy to eth0",
    ]
    assert plan[-6:] == [
        "delete  bridge br-int",
        "delete  bridge br-phy",
        "delete  workload blue1 in namespace blue1",
        "delete  workload red1 in namespace red1",
        "delete  namespace blue1",
        "delete  namespace red1",
    ]


def test_a_new_tunnel_is_made_at_once_and_the_old_one_goes_when_no_flow_uses_it() -> None:
    done = after(world(), wanted(world()))
    plan = diff(wanted(done, text=TWO_HOSTS.replace("gre", "geneve")), done, "host1")
    assert "create  port geneve-host2 on br-int (geneve to 192.168.4.202)" in map(str, plan.steps)
    assert list(map(str, plan.ends)) == ["delete  port gre-host2 on br-int when no flow uses it"]


def test_longer_packets_wait_until_the_tunnels_without_room_for_them_are_out_of_use() -> None:
    vxlan = TWO_HOSTS.replace("gre", "vxlan")
    done = after(world(), wanted(world(), text=vxlan))
    moved = TWO_HOSTS.replace("10.1.1.1/24}\n  red2", "10.1.1.7/24}\n  red2")
    plan = diff(wanted(done, text=moved), done, "host1")
    assert [line for line in map(str, plan.steps) if "workload" in line] == [
        "change  workload red1 in namespace red1: addresses +10.1.1.7/24 -10.1.1.1/24"
    ]
    assert list(map(str, plan.ends)) == [
        "delete  port vxlan-host2 on br-int when no flow uses it",
        "change  workload blue1 in namespace blue1: mtu 1450 -> 1458",
        "change  workload red1 in namespace red1: mtu 1450 -> 1458",
    ]

    back = wanted(world(), text=vxlan)
    shorter = [str(step) for step in diff(back, after(world(), wanted(world())), "host1").steps]
    assert "change  workload red1 in namespace red1: mtu 1458 -> 1450" in shorter


def test_a_workload_goes_after_its_port_when_no_flow_uses_that() -> None:
    done = after(world(), wanted(world()))
    plan = diff(
        wanted(done, text=TWO_HOSTS.replace("red1:  {host: host1", "red1:  {host: host2")), done, "host1"
    )
    assert plan.steps == ()
    assert list(map(str, plan.ends)) == [
        "delete  port red1 on br-int when no flow uses it",
        "delete  workload red1 in namespace red1 when no flow uses it",
        "delete  namespace red1 when no flow uses it",
    ]
    assert {port.name for end in plan.ends for port in end.awaits} == {"red1"}


def test_a_namespace_awaits_every_port_that_leads_into_it() -> None:
    text = TWO_HOSTS.replace("10.1.1.1/24}", "10.1.1.1/24, namespace: apps}")
    done = after(world(), wanted(world(), text=text))
    gone = "\n".join(line for line in text.splitlines() if "apps" not in line)
    plan = diff(wanted(done, text=gone), done, "host1")
    namespace = plan.ends[-1]
    assert isinstance(namespace.thing, Namespace)
    assert {port.name for port in namespace.awaits} == {"red1", "blue1"}


def test_what_is_taken_down_whole_waits_for_no_flow() -> None:
    done = after(world(), wanted(world()))
    assert diff(Wanted(), done, "host1").ends == ()


def test_a_workload_that_goes_to_another_namespace_is_made_anew_there() -> None:
    done = after(world(), wanted(world()))
    text = TWO_HOSTS.replace(
        "address: 10.1.1.1/24}\n  red2", "address: 10.1.1.1/24, namespace: apps}\n  red2"
    )
    plan = lines(diff(wanted(done, text=text), done, "host1"))
    assert [line.split(" (")[0] for line in plan] == [
        "delete  workload red1 in namespace red1",
        "create  namespace apps",
        "create  workload red1 in namespace apps",
        "reopen  port red1 on br-int",
        "delete  namespace red1",
    ]


def strangers() -> dict[str, tuple[Thing, str]]:
    """Things of others that have a name we want, and what is said of each."""
    return {
        "bridge": (
            Bridge("br-int", None, "system", None),
            "bridge br-int on host1 exists and is not ours: rename or remove it",
        ),
        "port": (
            Port("red1", None, "br-ex"),
            "port red1 on br-ex on host1 exists and is not ours: rename or remove it",
        ),
        "namespace": (
            Namespace("red1", None),
            "namespace red1 on host1 exists and is not ours: rename or remove it",
        ),
        "of another host": (
            Namespace("red1", "host2"),
            "namespace red1 on host1 exists and belongs to host2",
        ),
    }


@pytest.mark.parametrize("case", strangers())
def test_what_is_not_ours_is_refused_in_words_and_never_part_of_the_plan(case: str) -> None:
    thing, words = strangers()[case]
    host = world(thing)

    plan = diff(wanted(host), host, "host1")

    assert plan.problems == (words,)
    changes = [step for step in (*plan.steps, *plan.ends) if isinstance(step, Change)]
    assert (thing.kind, thing.name) not in {(change.thing.kind, change.thing.name) for change in changes}
    assert any("namespace blue1" in line for line in lines(plan))


def test_a_port_without_its_workload_goes() -> None:
    """The device of a port was replaced by a stranger's: it must not stay in the tenant's network."""
    done = after(world(), wanted(world()))
    others = {name: workload for name, workload in done.workloads.items() if name != "red1"}
    stranger = Device("red1", "02:00:00:00:00:97", 1500, True)
    host = replace(done, workloads=others, devices={**done.devices, "red1": stranger})

    plan = diff(wanted(host), host, "host1")

    assert lines(plan) == ["delete  port red1 on br-int"]
    assert plan.problems == ("device red1 on host1 exists and is not ours: rename or remove it",)


def test_with_strangers_in_it_nothing_is_deleted() -> None:
    done = after(world(), wanted(world()))
    crowded = replace(done.namespaces["red1"], unmanaged_devices=frozenset({"dummy0"}))
    ports = {**done.ports, "tap7": Port("tap7", None, "br-int")}
    host = replace(done, namespaces={**done.namespaces, "red1": crowded}, ports=ports)

    plan = diff(Wanted(), host, "host1")

    assert plan.problems == (
        "bridge br-int on host1 stays: tap7 in it is not ours",
        "namespace red1 on host1 stays: dummy0 in it is not ours",
    )
    assert not {"delete  bridge br-int", "delete  namespace red1"} & set(lines(plan))


def test_with_a_strangers_port_on_br_phy_the_host_keeps_its_uplink_there() -> None:
    done = after(world(), wanted(world()))
    host = replace(done, ports={**done.ports, "tap7": Port("tap7", None, PHYSICAL_BRIDGE)})

    plan = lines(diff(Wanted(), host, "host1"))

    assert not any("eth0" in line or PHYSICAL_BRIDGE in line for line in plan)


def test_what_is_recorded_of_an_uplink_reads_back_the_same() -> None:
    addresses = "192.168.4.201/24", "fd00::1/64"
    record = Uplink("eth0", addresses, frozenset({DEFAULT_ROUTE}), frozenset(addresses[:1]))
    assert Uplink.from_external_ids(record.to_external_ids()) == record
    assert Uplink.from_text(record.to_text()) == record


@pytest.mark.parametrize("routes", ["", "{", "[1]", '[{"destination": 1}]', "null"])
def test_a_record_that_somebody_spoilt_is_no_record(routes: str) -> None:
    ids = {"sdnapp-uplink": "eth0", "sdnapp-addresses": "192.168.4.201/24", "sdnapp-routes": routes}
    assert Uplink.from_external_ids(ids) is None
    assert Uplink.from_text(routes) is None


@pytest.mark.parametrize("file", sorted(CONFIGS.glob("*.yaml")), ids=lambda file: file.name)
def test_a_host_of_an_example_that_has_all_needs_nothing(file: Path) -> None:
    meaning = load(file)
    for name, host in meaning.hosts.items():
        address = f"{host.vtep}/{host.vtep.max_prefixlen}"
        uplink = replace(ETH0, name=host.uplink or "eth0", addresses=(address,))
        bare = world(devices=(uplink,))
        done = after(bare, desire(meaning, host, meaning.controller.target, bare))
        assert diff(desire(meaning, host, meaning.controller.target, done), done, name) == Plan((), ())


def test_the_ends_of_tunnels_watch_each_other_where_the_file_says_so() -> None:
    def settings(text: str) -> set[tuple[tuple[str, str], ...]]:
        return {t.bfd for t in wanted(world(), text=text).things if isinstance(t, Port) and t.type == "gre"}

    watched = TWO_HOSTS.replace("{encapsulation: gre}", "{encapsulation: gre, bfd: 300}")
    assert settings(TWO_HOSTS) == {()}
    assert settings(watched) == {(("enable", "true"), ("min_rx", "300"), ("min_tx", "300"))}


RED, RED_PORT = (found(wanted(world()), kind, "red1") for kind in (Workload, Port))
TUNNEL = found(wanted(world()), Port, "gre-host2")
MADE, GONE = [Change(None, RED)], [Change(RED_PORT, None), Change(RED, None)]


@pytest.mark.parametrize(
    ("steps", "pause"),
    [
        ([], PAUSE),
        (MADE, PAUSE),
        (30 * MADE, PAUSE),
        (30 * GONE, PAUSE),
        (200 * MADE, BRISK),
        (200 * GONE, BRISK),
        (200 * [Change(TUNNEL, None)], PAUSE),
    ],
)
def test_pauses_spare_the_packets_of_others_and_do_not_add_up(steps: list[Change], pause: float) -> None:
    host = after(world(), wanted(world()))

    assert pause_between(steps, host) == pause


def test_where_open_vswitch_itself_forwards_nothing_or_soon_will_not_nobody_waits() -> None:
    bare, in_kernel = world(), world(kernel_datapath=True)
    host = after(bare, wanted(bare))
    everything = [Change(thing, None) for thing in host.things()]

    assert pause_between(MADE, bare) == 0.0
    assert pause_between(MADE, after(in_kernel, wanted(in_kernel))) == 0.0
    assert pause_between(everything, host) == 0.0


def test_a_pace_waits_for_what_is_left_of_its_seconds() -> None:
    pace, began = RateLimiter(0.2), time.monotonic()

    pace.wait()
    assert time.monotonic() - began < 0.2
    time.sleep(0.15)
    pace.wait()
    assert 0.2 <= time.monotonic() - began < 0.35
