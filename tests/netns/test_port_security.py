"""Who may speak on real hosts, and questions for addresses that no tunnel carries any more."""

from __future__ import annotations

import json
import struct
import time
from collections import Counter
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address

import pytest

from sdnapp.frames.packet import octets
from sdnapp.lab import faults
from sdnapp.lab.echo import tagged
from tests.netns.conftest import Running, sdnapp, until
from tests.netns.frames import EVERYONE, advertisement, answers, arp, frame, icmpv6, questions, udp
from tests.netns.raw import device, heard
from tests.netns.wire import underlay_tap

FILE = """
overlay: {encapsulation: vxlan}
tenants:
  red: {networks: {web: {vlan: 10, vni: 5010, subnet: [10.1.1.0/24, "fd00:1::/64"]}}}
hosts:
  host1: {vtep: 192.168.4.201}
  host2: {vtep: 192.168.4.202}
ports:
  red1: {host: host1, network: red/web, address: [10.1.1.1, "fd00:1::1"], mac: "02:00:00:00:00:01"}
  red2: {host: host2, network: red/web, address: [10.1.1.2, "fd00:1::2"], mac: "02:00:00:00:00:02"}
  tag1: {host: host1, trunk: {red/web: 30}, address: [10.1.1.3, "fd00:1::3"], mac: "02:00:00:00:00:03"}
  any1: {host: host1, network: red/web, address: [10.1.1.4, "fd00:1::4"], mac: "02:00:00:00:00:04",
         port_security: false}
  gw1:  {host: host1, network: red/web, address: [10.1.1.5, "fd00:1::5"], mac: "02:00:00:00:00:05",
         roles: [router, dhcp-server]}
"""

MAC = {number: f"02:00:00:00:00:0{number}" for number in range(10)}
ALL_NODES = "33:33:00:00:00:01"
TENTATIVE = ("ip", "-6", "address", "show", "tentative")
"""Addresses of which a kernel still asks whether somebody else has them: such questions are flooded."""


@pytest.fixture(scope="module")
def running(bring_up: Callable[..., Running]) -> Running:
    running = bring_up(FILE)
    until(lambda: not any(running.run(port, *TENTATIVE) for port in running.overlay.ports))
    return running


def forget(running: Running, port: str) -> None:
    running.run(port, "ip", "neigh", "flush", "all")
    running.run(port, "ip", "-6", "neigh", "flush", "all")


@pytest.mark.parametrize("port", ["red1", "any1"])
def test_who_asks_for_a_known_address_is_answered_and_nothing_is_flooded(running: Running, port: str) -> None:
    running.settled()
    forget(running, port)
    forget(running, "red2")
    with underlay_tap(running, "host1") as seen:
        assert "1 received" in running.run(port, "ping", "-c", "1", "-W", "2", "10.1.1.2")
        assert "1 received" in running.run(port, "ping", "-6", "-c", "1", "-W", "2", "fd00:1::2")
        asked = questions([outer.inner for outer in seen()])
    neighbours = running.run(port, "ip", "neigh") + running.run(port, "ip", "-6", "neigh")

    assert asked == []
    assert neighbours.count(MAC[2]) >= 2


def test_three_hundred_questions_and_none_of_them_floods(running: Running) -> None:
    """Those that nobody can answer do."""
    known = [f"10.1.1.{n}" for n in (2, 3, 4, 5)] * 75
    with device(running, "red1") as red1, underlay_tap(running, "host1") as seen:
        for ip in known:
            red1.send(arp(MAC[1], MAC[1], "10.1.1.1", ip))
            time.sleep(0.0005)
        told = answers(heard(red1))
        assert questions([outer.inner for outer in seen()]) == []
        red1.send(arp(MAC[1], MAC[1], "10.1.1.1", "10.1.1.99"))
        time.sleep(0.2)
        assert len(questions([outer.inner for outer in seen()])) == 1

    assert len(told) == 300
    assert {data[6:12] for data in told} == {octets(MAC[n]) for n in (2, 3, 4, 5)}


def test_on_a_trunk_the_answer_has_the_tag_of_the_question(running: Running) -> None:
    with device(running, "tag1") as tag1, underlay_tap(running, "host1") as seen:
        tag1.send(tagged(arp(MAC[3], MAC[3], "10.1.1.3", "10.1.1.2"), 30))
        got = [data for data in heard(tag1) if data[16:18] == b"\x08\x06"]
        assert questions([outer.inner for outer in seen()]) == []

    told = arp(MAC[2], MAC[2], "10.1.1.2", "10.1.1.3", op=2, to=MAC[3])
    assert got == [tagged(told[:32] + octets(MAC[3]) + told[38:], 30)]


def test_what_is_announced_reaches_everybody_and_nobody_is_told_of_itself(running: Running) -> None:
    with device(running, "red1") as red1, device(running, "red2") as red2:
        red1.send(announced := arp(MAC[1], MAC[1], "10.1.1.1", "10.1.1.1"))
        red1.send(probe := arp(MAC[1], MAC[1], "0.0.0.0", "10.1.1.1"))
        said = icmpv6(MAC[1], ALL_NODES, "fd00:1::1", "ff02::1", advertisement("fd00:1::1", MAC[1]))
        red1.send(said)
        there, here = heard(red2), heard(red1, 0.1)

    for sent in (announced, probe, said):
        assert there.count(sent) == 1
    assert not answers(here)


def test_two_cannot_have_one_address(running: Running) -> None:
    """Duplicate address detection: by a kernel in IPv6 (RFC 4862 §5.4), by a probe in IPv4 (RFC 5227).

    On a device of its own, from which the agent takes no address that the file does not give.
    """
    for words in ("link add guest link eth0 type macvlan", "link set guest up"):
        running.run("any1", "ip", *words.split())
    running.run("any1", "ip", "-6", "addr", "add", "fd00:1::2/64", "dev", "guest")
    running.run("any1", "ip", "-6", "addr", "add", "fd00:1::99/64", "dev", "guest")

    def states() -> dict[str, str]:
        (found,) = json.loads(running.run("any1", "ip", "-6", "-j", "addr", "show", "dev", "guest"))
        words = ("dadfailed", "tentative")
        return {a["local"]: next(filter(a.get, words), "fine") for a in found["addr_info"]}

    until(lambda: "tentative" not in states().values(), patience=5)
    assert states()["fd00:1::2"] == "dadfailed"
    assert states()["fd00:1::99"] == "fine"
    running.run("any1", "ip", "link", "del", "guest")
    with device(running, "any1") as any1:
        any1.send(arp(MAC[4], MAC[4], "0.0.0.0", "10.1.1.2"))
        (answer,) = answers(heard(any1))
    assert answer[22:32] == octets(MAC[2]) + ip_address("10.1.1.2").packed


LIES = {
    "mac": udp(MAC[9], MAC[2], "10.1.1.1", "10.1.1.2"),
    "ipv4": udp(MAC[1], MAC[2], "10.1.1.9", "10.1.1.2"),
    "ipv6": udp(MAC[1], MAC[2], "fd00:1::9", "fd00:1::2"),
    "arp spa": arp(MAC[1], MAC[1], "10.1.1.5", "10.1.1.2", op=2, to=MAC[2]),
    "arp sha": arp(MAC[1], MAC[9], "10.1.1.1", "10.1.1.2", op=2, to=MAC[2]),
    "nd target": icmpv6(MAC[1], MAC[2], "fd00:1::1", "fd00:1::2", advertisement("fd00:1::5", MAC[1])),
    "nd option": icmpv6(MAC[1], MAC[2], "fd00:1::1", "fd00:1::2", advertisement("fd00:1::1", MAC[9])),
}
TRUTHS = {
    "ipv4": udp(MAC[1], MAC[2], "10.1.1.1", "10.1.1.2"),
    "ipv6": udp(MAC[1], MAC[2], "fd00:1::1", "fd00:1::2"),
    "arp": arp(MAC[1], MAC[1], "10.1.1.1", "10.1.1.2", op=2, to=MAC[2]),
    "nd": icmpv6(MAC[1], MAC[2], "fd00:1::1", "fd00:1::2", advertisement("fd00:1::1", MAC[1])),
    "link-local": udp(MAC[1], MAC[2], "fe80::ff:fe00:1", "fd00:1::2"),
    "another ethertype": frame(MAC[1], MAC[2], 0x88B5, bytes(46)),
    "dhcp": udp(MAC[1], EVERYONE, "0.0.0.0", "255.255.255.255", (68, 67)),
}


def test_a_strict_port_cannot_lie(running: Running) -> None:
    before = dropped(running, "red1")
    with device(running, "red1") as red1, device(running, "red2") as red2:
        for sent in (*LIES.values(), *TRUTHS.values()):
            red1.send(sent)
        got = heard(red2)

    assert {name: got.count(sent) for name, sent in LIES.items()} == dict.fromkeys(LIES, 0)
    assert {name: got.count(sent) for name, sent in TRUTHS.items()} == dict.fromkeys(TRUTHS, 1)
    wanted = {"mac": 1, "ipv4": 1, "ipv6": 1, "arp": 2, "neighbour": 2}
    until(lambda: dropped(running, "red1") - before == Counter(wanted), patience=5)


def dropped(running: Running, port: str) -> Counter[str]:
    """Why frames of this port were dropped, and how often."""
    counters = running.get("/v1/hosts/host1/counters")
    return Counter({c["why"]: c["frames"] for c in counters if c["what"] == "dropped" and c["port"] == port})


FALSE = {
    "reply": arp(MAC[4], MAC[4], "10.1.1.2", "10.1.1.1", op=2, to=MAC[1]),
    "question": arp(MAC[4], MAC[4], "10.1.1.2", "10.1.1.99"),
    "announced": arp(MAC[4], MAC[4], "10.1.1.2", "10.1.1.2"),
    "advertisement": icmpv6(
        MAC[4], MAC[1], "fe80::ff:fe00:4", "fd00:1::1", advertisement("fd00:1::2", MAC[4])
    ),
}
"""What any1 says of red2's addresses."""


def test_what_the_file_gives_no_port_that_learns_can_claim(running: Running) -> None:
    """The claim ends there, is told and counted; who has the address keeps it, also after a restart."""

    def alarms() -> set[tuple[str, str]]:
        return {
            (a["port"], a["address"]) for a in running.get("/v1/alarms") if a["kind"] == "address-conflict"
        }

    claimed = {("any1", "10.1.1.2"), ("any1", "fd00:1::2")}
    with (
        device(running, "any1") as any1,
        device(running, "red1") as red1,
        underlay_tap(running, "host1") as seen,
    ):
        any1.send(FALSE["announced"])
        (told,) = answers(heard(any1))
        for sent in FALSE.values():
            any1.send(sent)
        until(lambda: alarms() == claimed)
        running.settled()
        before = dropped(running, "any1")["neighbor-snooping"]
        for sent in FALSE.values():
            any1.send(sent)
        until(lambda: dropped(running, "any1")["neighbor-snooping"] == before + len(FALSE), patience=5)
        got = [*heard(red1), *(outer.inner for outer in seen())]

    assert told[22:32] == octets(MAC[2]) + ip_address("10.1.1.2").packed
    assert {name: got.count(sent) for name, sent in FALSE.items()} == dict.fromkeys(FALSE, 0)
    shown = sdnapp("show", "--name", running.name).stdout
    assert "port any1 claims 10.1.1.2 of red/web, which the file gives to red2" in shown
    for where, address in (("red1", "10.1.1.2"), ("any1", "10.1.1.2"), ("red2", "10.1.1.4")):
        assert "1 received" in running.run(where, "ping", "-c", "1", "-W", "2", address)

    held = running.flows("host1")
    faults.kill_controller(running.lab)
    faults.start_controller(running.lab)
    until(lambda: alarms() == claimed)
    running.settled()
    assert running.flows("host1") == held


def served(number: int) -> dict[str, bytes]:
    """What servers and routers say, from this port."""
    here, own = f"10.1.1.{number}", f"fe80::ff:fe00:{number}"
    router = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0)
    redirect = struct.pack("!BBHI", 137, 0, 0, 0) + IPv6Address("fd00:1::9").packed * 2
    return {
        "offer": udp(MAC[number], EVERYONE, here, "255.255.255.255", (67, 68)),
        "offer from elsewhere": udp(MAC[number], MAC[2], here, "10.1.1.2", (9, 68)),
        "reply": udp(MAC[number], MAC[2], f"fd00:1::{number}", "fd00:1::2", (547, 546)),
        "router": icmpv6(MAC[number], ALL_NODES, own, "ff02::1", router),
        "redirect": icmpv6(MAC[number], MAC[2], own, "fd00:1::2", redirect),
    }


@pytest.mark.parametrize(("port", "number", "arrives"), [("red1", 1, 0), ("any1", 4, 0), ("gw1", 5, 1)])
def test_only_those_that_may_are_servers_and_routers(
    running: Running, port: str, number: int, arrives: int
) -> None:
    with device(running, port) as here, device(running, "red2") as red2:
        for sent in served(number).values():
            here.send(sent)
        got = heard(red2)

    assert {name: got.count(sent) for name, sent in served(number).items()} == dict.fromkeys(
        served(number), arrives
    )


def test_an_address_that_the_file_does_not_give_is_heard_and_answered_too(running: Running) -> None:
    """A station behind a port that learns, with an address of its own: known once it has spoken."""
    for words in ("link add guest link eth0 type macvlan", "link set guest up"):
        running.run("any1", "ip", *words.split())
    running.run("any1", "ip", "addr", "add", "10.1.1.77/24", "dev", "guest")
    running.run("any1", "ip", "-6", "addr", "add", "fd00:1::77/64", "dev", "guest", "nodad")
    until(lambda: not running.run("any1", *TENTATIVE), patience=5)

    def known() -> set[str]:
        return {ip for station in running.get("/v1/locations") for ip in station["addresses"]}

    assert "1 received" in running.run("red2", "ping", "-c", "1", "-W", "2", "10.1.1.77")
    assert "1 received" in running.run("red2", "ping", "-6", "-c", "1", "-W", "2", "fd00:1::77")
    until(lambda: {"10.1.1.77", "fd00:1::77"} <= known())
    running.settled()
    time.sleep(0.2)
    forget(running, "red2")
    with underlay_tap(running, "host2") as seen:
        assert "1 received" in running.run("red2", "ping", "-c", "1", "-W", "2", "10.1.1.77")
        assert "1 received" in running.run("red2", "ping", "-6", "-c", "1", "-W", "2", "fd00:1::77")
        assert questions([outer.inner for outer in seen()]) == []
    running.run("any1", "ip", "link", "del", "guest")


def test_a_router_forwards_and_a_port_that_learns_speaks_for_others(running: Running) -> None:
    forwarded = udp(MAC[5], MAC[2], "10.9.9.9", "10.1.1.2")
    spoken = udp(MAC[9], MAC[2], "10.1.1.77", "10.1.1.2")
    with device(running, "gw1") as gw1, device(running, "any1") as any1, device(running, "red2") as red2:
        gw1.send(forwarded)
        any1.send(spoken)
        got = heard(red2)

    assert (got.count(forwarded), got.count(spoken)) == (1, 1)
