"""Devices, namespaces, bridges and ports that are deleted or disturbed by hand are mended, frames included.

Each is proven by traffic: a port that is there and has its number may still receive nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import median

import pytest

from sdnapp.lab import services
from tests.netns.conftest import Running, until
from tests.netns.test_loss import witness

TEXT = """
overlay: {encapsulation: vxlan}
controller: {target: "tcp:192.168.4.10:6653"}
tenants:
  red: {networks: {web: {vlan: 10, vni: 5010, subnet: 10.1.1.0/24}}}
hosts:
  host1: {vtep: 192.168.4.201}
  host2: {vtep: 192.168.4.202}
ports:
  red1: {host: host1, network: red/web, address: 10.1.1.1/24}
  red2: {host: host2, network: red/web, address: 10.1.1.2/24}
  red3: {host: host1, network: red/web, address: 10.1.1.3/24}
  red4: {host: host1, network: red/web, address: 10.1.1.4/24}
"""

WHOLE = 10.0
"""Seconds: on a machine that does nothing else it takes 1.4 at most, most of which an ARP request waits."""

OTHERS = (("red3", "red4"), ("red4", "red3"), ("red3", "red2"), ("red2", "red3"))

DISTURBANCES = {
    "the host's end of a veth is deleted": "ip link del red1",
    "the other end of a veth is deleted": "ip -n red1 link del eth0",
    "a namespace is deleted": "ip netns del red1",
    "a namespace is deleted while a process is in it": (
        "ip netns exec red1 sleep 60 < /dev/null > /dev/null 2>&1 & "
        'while [ -z "$(ip netns pids red1)" ]; do sleep 0.01; done; ip netns del red1'
    ),
    "the other end is moved to another namespace": (
        "ip netns add elsewhere; ip -n red1 link set eth0 netns elsewhere"
    ),
    "the host's end is moved to another namespace": "ip netns add beyond; ip link set red1 netns beyond",
    "the host's end is renamed": "ip link set red1 down; ip link set red1 name other",
    "the other end is renamed": "ip -n red1 link set eth0 down; ip -n red1 link set eth0 name eth7",
    "the host's end is down": "ip link set red1 down",
    "the other end is down": "ip -n red1 link set eth0 down",
    "an address is removed": "ip -n red1 address del 10.1.1.1/24 dev eth0",
    "a MAC address is changed": "ip -n red1 link set eth0 address 02:00:00:00:00:77",
    "a port is deleted": "ovs-vsctl del-port red1",
    "a tunnel is deleted": "ovs-vsctl del-port vxlan-host2",
    "the integration bridge is deleted": "ovs-vsctl del-br br-int",
    "the device of the integration bridge is deleted": "ip link del br-int",
    "the bridge of the uplink is deleted": "ovs-vsctl del-br br-phy",
    "the device of the uplink's bridge is deleted": "ip link del br-phy",
    "the port of the uplink is deleted": "ovs-vsctl del-port eth0",
    "the bridge of the uplink is down": "ip link set br-phy down",
    "the bridge of the uplink loses its addresses": "ip address flush dev br-phy",
    "all veths are deleted at once": "for port in red1 red3 red4; do ip link del $port; done",
}


@pytest.fixture(scope="module", name="running")
def _running(bring_up: Callable[..., Running]) -> Running:
    return bring_up(TEXT)


def whole(running: Running) -> bool:
    """Whether red1 is answered by the others, beside it and behind the tunnel."""
    places = ("10.1.1.2", "10.1.1.3", "10.1.1.4")
    return all(
        " 1 received" in running.run("red1", "ping", "-c", "1", "-W", "0.3", place, check=False)
        for place in places
    )


@pytest.mark.parametrize("case", DISTURBANCES)
def test_frames_pass_again_by_themselves(running: Running, case: str) -> None:
    until(lambda: whole(running), WHOLE, "it was broken before")
    running.run("host1", "sh", "-ec", DISTURBANCES[case])
    until(lambda: whole(running), WHOLE, f"{case}: no frame passes")


def test_a_host_where_something_else_stays_wrong_is_mended_as_fast(running: Running) -> None:
    """Here an interface that cannot be made: the agent tries again ever more seldom, 16 s apart at last."""
    file = Path(running.lab.file)
    running.run("host1", "ip", "link", "add", "taken", "type", "veth")
    file.write_text(TEXT + "  taken: {host: host1, network: red/web, address: 10.1.1.9/24}\n")
    log = running.lab.log("host1", services.AGENT)
    until(lambda: "taken" in log.read_text(), WHOLE, "nothing is wrong")
    try:
        for _ in range(5):
            until(lambda: whole(running), WHOLE, "it was broken before")
            running.run("host1", "ip", "link", "del", "red1")
            until(lambda: whole(running), WHOLE / 2, "no frame passes")
    finally:
        running.run("host1", "ip", "link", "del", "taken")
        file.write_text(TEXT)
    until(lambda: whole(running), WHOLE)


@pytest.mark.alone
def test_a_veth_that_is_made_anew_costs_other_ports_nothing(running: Running) -> None:
    """What its deletion itself costs them is not ours: two changes of a device at once (execute.PAUSE)."""
    lost = []
    for command in ("ip link del red1", "ip -n red1 link del eth0", "ip netns del red1"):
        until(lambda: whole(running), WHOLE, "it was broken before")
        with witness(running, *OTHERS) as seen:
            running.run("host1", "sh", "-ec", command)
            until(lambda: whole(running), WHOLE, f"{command}: no frame passes")
        lost.append(seen.lost(*OTHERS))
        assert sum(seen.sent.values()) == 0  # the port has the number that it had
    assert median(lost) == 0
