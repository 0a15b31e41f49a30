"""Floods, groups and rates on real hosts: kernels that answer queries, storms, iperf3."""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Callable

import pytest

from sdnapp.lab import faults
from tests.groups import query
from tests.netns.conftest import Running, until
from tests.netns.listeners import GROUP, PORT, listening
from tests.netns.raw import wires

pytestmark = pytest.mark.alone

OVERLAY = """
overlay: {dscp: inherit}
tenants:
  red: {networks: {web: {vlan: 10, vni: 5010, subnet: 10.1.1.0/24}}}
hosts:
  host1: {vtep: 192.168.4.201}
  host2: {vtep: 192.168.4.202}
  host3: {vtep: 192.168.4.203}
ports:
  router: {host: host1, network: red/web, address: 10.1.1.254/24, mac: "02:00:00:00:00:fe", roles: [router]}
  red1:   {host: host1, network: red/web, address: 10.1.1.1/24, mac: "02:00:00:00:00:01", storm_control: 100}
  red2:   {host: host2, network: red/web, address: 10.1.1.2/24, mac: "02:00:00:00:00:02"}
  red3:   {host: host3, network: red/web, address: 10.1.1.3/24}
  red4:   {host: host3, network: red/web, address: 10.1.1.4/24}
  slow:   {host: host2, network: red/web, address: 10.1.1.5/24, rate: {send: 20M, receive: 10M}}
"""
EVERYBODY = ("router", "red2", "red3", "red4", "slow")


@pytest.fixture(scope="module")
def lab(bring_up: Callable[..., Running]) -> Running:
    return bring_up(OVERLAY)


def to_group(number: int, group: str = GROUP[4]) -> bytes:
    """A frame from red1 to a group."""
    low = socket.inet_aton(group)
    mac = bytes([1, 0, 0x5E, low[1] & 0x7F, low[2], low[3]])
    udp = struct.pack("!HHHH", PORT, PORT, 8 + 32, 0) + struct.pack("!I", number) * 8
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 8, 17, 0)
    ip = head + socket.inet_aton("10.1.1.1") + low
    return mac + bytes.fromhex("020000000001") + b"\x08\x00" + ip + udp


def state(lab: Running) -> str:
    (network,) = lab.get("/v1/networks")
    return str(network["multicast"]["ipv4"])


def members(lab: Running) -> set[str]:
    (network,) = lab.get("/v1/networks")
    return {port for ports in network["multicast"]["groups"].values() for port in ports}


def test_groups_go_to_those_that_listen_once_somebody_asks(lab: Running) -> None:
    """Flooded without a querier; then to the listener and the router; after its leave to the router alone."""
    asks = query(3, interval=30)
    with wires(lab) as at, listening(lab, "red2", 4):
        at.send("red1", to_group(1))
        assert at.seen(to_group(1)) == dict.fromkeys(EVERYBODY, 1)

        at.send("router", asks)
        assert at.seen(asks) == dict.fromkeys({*EVERYBODY, "red1"} - {"router"}, 1)
        assert state(lab) == "querying"
        at.send("red1", to_group(2))
        assert at.seen(to_group(2)) == dict.fromkeys(EVERYBODY, 1)
        until(lambda: state(lab) == "snooping")
        until(lambda: members(lab) == {"red2"})
        lab.settled()
        lab.followed()

        at.send("red1", *(to_group(n) for n in range(3, 53)))
        assert at.seen(to_group(52)) == {"red2": 1, "router": 1}
        at.send("red1", to_group(53, "224.0.0.251"), to_group(54, "239.9.9.9"))
        assert at.seen(to_group(53, "224.0.0.251")) == dict.fromkeys(EVERYBODY, 1)
        at.send("red1", to_group(54, "239.9.9.9"))
        assert at.seen(to_group(54, "239.9.9.9")) == {"router": 1}

        before = {host: lab.flows(host) for host in lab.overlay.hosts}
        faults.kill_controller(lab.lab)
        faults.start_controller(lab.lab)
        until(lambda: all(host["connected"] and host["in_sync"] for host in lab.get("/v1/hosts")))
        after = {host: lab.flows(host) for host in before}
        assert {host: after[host] ^ before[host] for host in before} == {host: set() for host in before}
        assert (state(lab), members(lab)) == ("snooping", {"red2"})
        at.send("red1", to_group(55))
        assert at.seen(to_group(55)) == {"red2": 1, "router": 1}
        with listening(lab, "red4", 4):
            until(lambda: members(lab) == {"red2", "red4"})
            lab.settled()
            lab.followed()
            at.send("red1", to_group(56))
            assert at.seen(to_group(56)) == {"red2": 1, "red4": 1, "router": 1}
    until(lambda: not members(lab))
    lab.settled()
    lab.followed()
    with wires(lab) as at:
        at.send("red1", to_group(57))
        assert at.seen(to_group(57)) == {"router": 1}


def test_a_storm_from_one_port_is_held_and_its_neighbour_is_not(lab: Running) -> None:
    storm = bytes.fromhex("ffffffffffff020000000001 88b5") + bytes(50)
    other = bytes.fromhex("ffffffffffff020000000002 88b5") + bytes(50)
    with wires(lab) as at:
        begun = time.monotonic()
        while time.monotonic() < begun + 2:
            at.send("red1", *[storm] * 20)
            time.sleep(0.002)
        at.send("red2", other)
        assert at.seen(other) == dict.fromkeys({"router", "red1", "red3", "red4", "slow"}, 1)
    counted = next(limit for limit in lab.get("/v1/ports/red1/limits") if limit["what"] == "broadcast")
    passed = counted["frames"] - counted["dropped_frames"]
    assert 200 <= passed <= 100 + 2.5 * 100 * 1.1
    assert counted["dropped_frames"] > 1000


@pytest.mark.parametrize(("flags", "rate"), [((), 20), (("-R",), 10), (("-u", "-b", "40M"), 20)])
def test_a_port_gets_its_rate_and_no_more(lab: Running, flags: tuple[str, ...], rate: int) -> None:
    """Within a tenth, over five seconds, of which a quarter second's worth may come at once.

    TCP takes losses for congestion, and leaves some of a rate unused that drops what is too much.
    """
    lab.run("red3", "iperf3", "-s", "-1", "-D")
    time.sleep(0.3)
    told = json.loads(lab.run("slow", "iperf3", "-c", "10.1.1.3", "-t", "5", "-J", *flags))
    end = told["end"]
    arrived = end["sum_received"]["bits_per_second"]

    assert (0.9 if "-u" in flags else 0.75) * rate <= arrived / 1e6 <= 1.1 * rate
