"""Ports on the kernel's datapath: machines that others plug in, DHCP, port security, rates."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from tests.vm import overlays
from tests.vm.frames import arp, guest, heard, send
from tests.vm.looks import healthy, reaches, settled
from tests.vm.machine import UNDERLAY, Machine, Site, until

GUEST, ID = "02:aa:00:00:00:09", "5f1f2d3a-6b0e-4f0c-9a52-0d5f1c8e7a10"
RED1 = "02:00:00:00:00:01"
FILE = f"""\
overlay: {{encapsulation: vxlan}}
controller: {{target: "{overlays.CENTRAL}"}}
tenants:
  red:
    networks:
      web: {{vlan: 10, vni: 5010, subnet: 10.1.1.0/24, dhcp: {{router: 10.1.1.254, lease: 600}}}}
hosts:
  host1: {{vtep: {UNDERLAY}.201}}
  host2: {{vtep: {UNDERLAY}.202}}
ports:
  red1: {{host: host1, network: red/web, address: 10.1.1.1/24, mac: "{RED1}", storm_control: 10}}
  red2: {{host: host2, network: red/web, address: 10.1.1.2/24}}
  asks: {{host: host2, network: red/web, address: 10.1.1.3/24, addressing: dhcp}}
  vm:   {{attach: external, iface_id: {ID}, network: red/web, address: 10.1.1.9/24, mac: "{GUEST}"}}
"""


@pytest.fixture
def web(central: Site) -> Site:
    """Return the machines with one network with DHCP, a limited port, and one of a virtual machine."""
    central.apply(FILE)
    settled(central, "vxlan", ("red1",))
    healthy(central.host1)
    return central


@pytest.fixture
def plugged(web: Site) -> Iterator[Machine]:
    """Return host1 with a virtual machine, in the namespace vm, plugged in as libvirt does."""
    with guest(web.host1, "vm", GUEST) as tap:
        ids = {"attached-mac": GUEST, "iface-id": ID, "iface-status": "active"}
        settings = " ".join(f'external_ids:{key}=\\"{value}\\"' for key, value in ids.items())
        web.host1.run(f"ovs-vsctl add-port br-int {tap} -- set Interface {tap} {settings}")
        yield web.host1


def lease(machine: Machine, namespace: str) -> str:
    """Have dhclient(8) ask at eth0 of a namespace, and return the address that it has then."""
    files = f"-lf /run/{namespace}.leases -pf /run/{namespace}.pid"
    machine.run(f"ip netns exec {namespace} dhclient -1 -v {files} eth0")
    machine.run(f"kill $(cat /run/{namespace}.pid)")
    address = machine.run(f"ip -n {namespace} -br -4 address show dev eth0").split()[2]
    assert "routers 10.1.1.254" in machine.run(f"cat /run/{namespace}.leases")
    return address


def test_a_tap_with_an_iface_id_is_its_port_and_is_told_its_address(plugged: Machine) -> None:
    assert lease(plugged, "vm") == "10.1.1.9/24"
    until(lambda: reaches(plugged, "vm", "10.1.1.2"), "the virtual machine reaches red2")


def test_a_workload_asks_for_its_address_and_uses_it(web: Site) -> None:
    assert lease(web.host2, "asks") == "10.1.1.3/24"
    until(lambda: reaches(web.host1, "red1", "10.1.1.3"), "red1 reaches it")


def test_a_port_speaks_as_the_file_says(web: Site) -> None:
    """Of an ARP request for each of three senders, the one of the port's own arrives at the other host."""
    liar = "02:00:00:00:00:66"
    frames = (arp(liar, "10.1.1.1", "10.1.1.51"), arp(RED1, "10.1.1.66", "10.1.1.52"))
    with heard(web.host2, "red2", "arp") as words:
        send(web.host1, "red1", *frames, arp(RED1, "10.1.1.1", "10.1.1.53"))
        until(lambda: "who-has 10.1.1.53" in web.host2.run(f"cat {words}"), "the honest one arrives")
        seen = web.host2.run(f"cat {words}")

    assert "10.1.1.51" not in seen
    assert "10.1.1.52" not in seen
    assert reaches(web.host1, "red1", "10.1.1.2")


def test_a_storm_is_cut_to_its_rate_by_a_meter_of_the_kernel(web: Site) -> None:
    """Of 600 in some seconds a few arrive, ten a second; the others are counted."""
    assert "pktps" in web.host1.run("ovs-ofctl -O OpenFlow13 dump-meters br-int")
    sends = "for i in $(seq 6); do ip netns exec red1 ping -q -b -i 0.005 -c 100 -W 1 10.1.1.255; done"
    with heard(web.host2, "red2", "icmp and dst 10.1.1.255") as words:
        began = float(web.host1.run("cut -d' ' -f1 /proc/uptime"))
        web.host1.attempt(sends)
        until(lambda: reaches(web.host1, "red1", "10.1.1.2"), "unicast passes")
        ended = float(web.host1.run("cut -d' ' -f1 /proc/uptime"))
        arrived = len(re.findall("ICMP echo request", web.host2.run(f"cat {words}")))

    assert 1 <= arrived <= min(400, 20 + 10 * 1.2 * (ended - began))
    (limit,) = json.loads(web.host1.run("curl -s -m 60 http://127.0.0.1:8080/v1/ports/red1/limits"))
    assert limit["dropped_frames"] >= 600 - arrived
