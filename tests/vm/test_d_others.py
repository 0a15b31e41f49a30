"""What else a site may have: strangers as peers, controllers on every host, hosts with one network card."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.vm import overlays
from tests.vm.looks import healthy, reaches, settled
from tests.vm.machine import UNDERLAY, Machine, Site, Stream, until

PEERS = f"""\
peers:
  lab7: {{host: host1, vtep: {UNDERLAY}.77, encapsulation: gre, trunk: {{red/web: 10}}}}
  nas:  {{host: host1, vtep: {UNDERLAY}.79, encapsulation: vxlan, keys: {{red/web: 7010}}}}
"""

_BY_HAND = f"""
ip address add {UNDERLAY}.77/24 dev eth1
ovs-vsctl add-br br-hand
ovs-vsctl add-port br-hand gre0 -- set interface gre0 type=gre \\
    options:remote_ip={UNDERLAY}.201 options:local_ip={UNDERLAY}.77
ip netns add lab7
ip link add lab7 mtu 1446 type veth peer name eth0 mtu 1446 netns lab7
ip link set lab7 up
ip -n lab7 address add 10.1.1.77/24 dev eth0
ip -n lab7 link set eth0 up
ovs-vsctl add-port br-hand lab7 tag=10
"""

_KERNEL = f"""
ip netns add nas
ip link add nas link eth1 netns nas type macvlan mode bridge
ip -n nas address add {UNDERLAY}.79/24 dev nas
ip -n nas link set nas up
ip -n nas link add eth0 mtu 1450 type vxlan id 7010 local {UNDERLAY}.79 remote {UNDERLAY}.201 dstport 4789
ip -n nas address add 10.1.1.79/24 dev eth0
ip -n nas link set eth0 up
"""

_AWAY = f"""
ovs-vsctl --if-exists del-br br-hand
ip netns del lab7
ip netns del nas
ip address del {UNDERLAY}.77/24 dev eth1
"""


@pytest.fixture
def strangers(central: Site) -> Iterator[Site]:
    """Return the machines with two strangers, on host2: a bridge with GRE, a vxlan device of the kernel."""
    central.host2.run(f"set -e{_BY_HAND}{_KERNEL}")
    central.apply(overlays.tenants("geneve", more=PEERS))
    yield central
    central.host2.run(_AWAY)


def test_strangers_of_the_kernel_and_a_bridge_made_by_hand_are_members(strangers: Site) -> None:
    for stranger, other in (("lab7", "10.1.1.79"), ("nas", "10.1.1.77")):
        for address in ("10.1.1.1", "10.1.1.2", other):
            until(
                lambda s=stranger, a=address: reaches(strangers.host2, s, a),  # type: ignore[misc]
                f"{stranger} reaches {address}",
            )
    healthy(strangers.host1)


def controlled(machine: Machine, target: str) -> bool:
    """Say whether its bridge has this controller, and is connected to it."""
    seen = machine.run("ovs-vsctl --bare --columns=target,is_connected list controller").split()
    return seen == [target, "true"]


def test_controllers_on_every_host_take_over_under_traffic_and_give_back(tenants: Site) -> None:
    healthy(tenants.host1)
    stream = Stream(tenants.host1, "red1", "10.1.1.2")

    tenants.apply(overlays.tenants().replace(overlays.CENTRAL, "tcp:127.0.0.1:6653"))
    tenants.host2.run("systemctl start sdnapp-controller")
    for machine in tenants.machines:
        until(lambda m=machine: controlled(m, "tcp:127.0.0.1:6653"), f"{machine.name} has its own")  # type: ignore[misc]
    healthy(tenants.host2)
    stream.more(20)
    tenants.apply(overlays.tenants())
    for machine in tenants.machines:
        until(lambda m=machine: controlled(m, overlays.CENTRAL), f"{machine.name} has that of host1")  # type: ignore[misc]
    tenants.host2.run("systemctl stop sdnapp-controller")
    healthy(tenants.host1)

    assert stream.end() == []


def test_one_network_card_carries_the_userspace_datapath_and_is_given_back(tenants: Site) -> None:
    tenants.apply(overlays.tenants("vxlan", datapath="netdev"))
    settled(tenants, "vxlan")
    for machine in tenants.machines:
        assert machine.run("ovs-vsctl get bridge br-int datapath_type").strip() == "netdev"
        assert machine.vtep in machine.run("ip -br address show dev br-phy")
    healthy(tenants.host1)

    tenants.apply(overlays.tenants("vxlan"))
    settled(tenants, "vxlan")
    for machine in tenants.machines:
        until(lambda m=machine: m.vtep in m.run("ip -br address show dev eth1"), "the card has its address")  # type: ignore[misc]
        assert machine.run("ovs-vsctl get bridge br-int datapath_type").strip() == "system"
    healthy(tenants.host1)
