"""The kernel's datapath: every encapsulation, changes under traffic, sizes, TCP, trunks."""

from __future__ import annotations

import pytest

from tests.vm import overlays
from tests.vm.looks import devices, healthy, problems, reaches, settled, tunnels
from tests.vm.machine import Site, Stream, until

RED = 5010
WIRE = {
    "gre": (f"key={RED:#x}", "gre_sys"),
    "vxlan": (f"vni {RED}", "vxlan_sys_4789"),
    "geneve": (f"vni {RED:#x}", "genev_sys_6081"),
}
"""How tcpdump shows the key of red, and the kernel's device, by encapsulation."""


def test_the_kernel_forwards_and_everything_is_active(tenants: Site) -> None:
    for machine in tenants.machines:
        assert machine.run("ovs-vsctl get bridge br-int datapath_type").strip() == "system"
        assert machine.active("sdnapp-provision")
        assert "0 loaded units" in machine.run("systemctl --failed")
    assert tenants.host1.active("sdnapp-controller")
    healthy(tenants.host1)


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("encapsulation", WIRE)
def test_tenants_talk_with_their_key_on_the_wire(central: Site, encapsulation: str, family: int) -> None:
    key, device = WIRE[encapsulation]
    if (encapsulation, family) == ("gre", 6):
        device = "ip6gre_sys"
    central.apply(overlays.tenants(encapsulation, family=family))
    settled(central, encapsulation)
    for machine in central.machines:
        until(lambda m=machine: devices(m) == {device}, f"{machine.name} has {device} alone")  # type: ignore[misc]

    with central.wire("udp or ip proto 47 or ip6 proto 47") as wire:
        central.host1.run("ip netns exec red1 ping -c 3 -W 60 10.1.1.2")
        until(lambda: wire.read_text().count("ICMP echo re") >= 6, "requests and replies are on the wire")
    seen = wire.read_text()

    assert seen.count(key) >= 6
    assert "10.1.1.1 > 10.1.1.2: ICMP echo request" in seen
    assert f"{'IP6' if family == 6 else 'IP'} " in seen


def test_encapsulation_and_key_change_under_traffic_without_loss(tenants: Site) -> None:
    there, back = Stream(tenants.host1, "red1", "10.1.1.2"), Stream(tenants.host2, "red2", "10.1.1.1")
    for encapsulation, vni in (
        ("vxlan", RED),
        ("geneve", RED),
        ("geneve", 6010),
        ("gre", 6010),
        ("gre", RED),
    ):
        tenants.apply(overlays.tenants(encapsulation, vni=vni))
        settled(tenants, encapsulation)
        for stream in (there, back):
            stream.more(20)

    assert (there.end(), back.end()) == ([], [])


def test_a_packet_of_the_whole_mtu_passes_unfragmented_and_a_larger_one_is_refused(tenants: Site) -> None:
    host1 = tenants.host1
    mtu = int(host1.run("ip netns exec red1 cat /sys/class/net/eth0/mtu"))

    assert mtu == 1500 - 42
    host1.run(f"ip netns exec red1 ping -c 1 -W 60 -M do -s {mtu - 28} 10.1.1.2")
    refused = host1.attempt(f"ip netns exec red1 ping -c 1 -W 60 -M do -s {mtu - 27} 10.1.1.2")
    assert "message too long" in (refused.stdout + refused.stderr).lower()


def test_tcp_passes_with_offloads_on(tenants: Site) -> None:
    for machine, port in ((tenants.host1, "red1"), (tenants.host2, "red2")):
        offloads = machine.run(f"ip netns exec {port} ethtool -k eth0")
        assert "tx-checksumming: on" in offloads
        assert "tcp-segmentation-offload: on" in offloads
    host1, host2 = tenants.machines
    sent = host2.run("mkdir -p /run/blob && head -c 4M /dev/urandom | tee /run/blob/4M | sha256sum")
    server = "ip netns exec red2 python3 -m http.server --directory /run/blob 8000"
    pid = host2.run(f"{server} > /dev/null 2>&1 < /dev/null & echo $!").strip()
    until(lambda: ":8000" in host2.run("ip netns exec red2 ss -lnt"), "the server listens")

    got = host1.run("ip netns exec red1 curl -s -m 600 http://10.1.1.2:8000/4M | sha256sum")
    host2.run(f"kill {pid}")

    assert got == sent


def test_a_trunk_port_reaches_each_network_by_its_tag(central: Site) -> None:
    central.apply(overlays.example("trunk"))
    for address in ("10.1.1.11", "10.1.1.12", "10.1.2.12", "10.1.3.12"):
        until(lambda a=address: reaches(central.host1, "router", a), f"router reaches {address}")  # type: ignore[misc]

    assert tunnels(central.host1) == {"vxlan"}
    assert "eth0.10@eth0" in central.host1.run("ip -n router -br link")
    assert problems(central.host1) == []
