"""Sources that are in two places, and sources without end: on real hosts."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles

import pytest

from sdnapp.frames.packet import octets
from sdnapp.lab.machine import entered
from tests.netns.conftest import Running, ahead, sdnapp, until
from tests.netns.frames import EVERYONE, advertisement, arp, frame, icmpv6, udp
from tests.netns.raw import device

TEXT = """
overlay: {encapsulation: vxlan, mtu: 1400, duplicate_mac_detection: {max_moves: 5, period: 180, freeze: 20}}
controller: {target: "tcp:192.168.4.10:6653"}
tenants:
  red:  {networks: {web: {vlan: 10, vni: 5010, subnet: [10.1.1.0/24, "fd00:1::/64"]}}}
  blue: {networks: {web: {vlan: 10, vni: 5020, subnet: 10.1.1.0/24}}}
hosts:
  host1: {vtep: 192.168.4.201}
  host2: {vtep: 192.168.4.202}
ports:
  red1:  {host: host1, network: red/web,  address: 10.1.1.1/24, port_security: false}
  red2:  {host: host2, network: red/web,  address: 10.1.1.2/24, port_security: false}
  red3:  {host: host1, network: red/web,  address: 10.1.1.3/24, port_security: false}
  red4:  {host: host1, network: red/web,  address: [10.1.1.4/24, "fd00:1::4"], mac: "02:00:00:00:00:04"}
  blue1: {host: host1, network: blue/web, address: 10.1.1.1/24, port_security: false}
  blue2: {host: host2, network: blue/web, address: 10.1.1.2/24, port_security: false}
"""
GUEST = "02:aa:00:00:00:01"
STORM = str(Path(__file__).with_name("storm.py"))
SOURCE = "7-12"
"""The octets of a source, but for the first, which says that it is one station's own."""
KNOWN = 1024
ROUNDS = 6
MORE = 1.0
"""Milliseconds that a frame of somebody else may take longer."""
FRAMES, FEW = 3_000, 100
"""At least so many frames a second are a storm, and so many in all are none."""


@pytest.fixture(scope="module")
def running(bring_up: Callable[..., Running]) -> Running:
    running = bring_up(TEXT)
    running.settled()
    return running


def speak(running: Running, port: str, source: str = GUEST, destination: str = "ff:ff:ff:ff:ff:ff") -> None:
    """Send one frame of that source from a port."""
    with device(running, port) as out:
        out.send(octets(destination) + octets(source) + b"\x88\xb5" + bytes(46))


def guest(running: Running) -> tuple[str, bool] | None:
    """Where the guest is believed to be, and whether it may move."""
    found = (place for place in running.get("/v1/locations") if place["mac"] == GUEST)
    return next(((place["port"], place["frozen"]) for place in found), None)


def is_frozen(running: Running) -> bool:
    return (guest(running) or ("", False))[1]


def alarms(running: Running) -> set[tuple[str, str]]:
    return {(alarm["kind"], alarm["port"]) for alarm in running.get("/v1/alarms")}


def flows(running: Running, host: str, *words: str) -> list[str]:
    dump = running.run(host, "ovs-ofctl", "-O", "OpenFlow13", "dump-flows", "br-int", "table=40")
    return [line for line in dump.splitlines() if all(word in line for word in words)]


def flap(running: Running) -> None:
    """Have the guest speak here and there, until it may not move any more."""
    for port in ("red1", "red2") * 4:
        if not is_frozen(running):
            speak(running, port)
            until(lambda port=port: (guest(running) or ("", False))[0] == port)  # type: ignore[misc]
            time.sleep(0.06)
    assert is_frozen(running)


def test_a_mac_that_flaps_is_frozen_reported_and_unfrozen(running: Running) -> None:
    flap(running)
    assert guest(running) == ("red2", True)
    speak(running, "red1")
    until(lambda: ("mac-blocked", "red1") in alarms(running))
    assert ("duplicate-mac", "red2") in alarms(running)
    shown = sdnapp("show", "--name", running.name).stdout
    assert f"{GUEST} of red/web moves too often: frozen on port red2" in shown

    until(lambda: len(flows(running, "host1", GUEST, "actions=drop")) == 1)
    before = flows(running, "host1", GUEST, "actions=drop")
    for _ in range(20):
        speak(running, "red1")
    until(lambda: packets(flows(running, "host1", GUEST, "actions=drop")) >= packets(before) + 20)
    assert guest(running) == ("red2", True)

    until(lambda: guest(running) == ("red2", False))
    until(lambda: not flows(running, "host1", GUEST, "actions=drop"))
    speak(running, "red1")
    until(lambda: guest(running) == ("red1", False))


def packets(dumped: list[str]) -> int:
    return sum(int(found[1]) for line in dumped if (found := re.search(r"n_packets=(\d+)", line)))


def test_a_frozen_mac_is_unfrozen_by_hand_and_stays_frozen_over_a_restart(running: Running) -> None:
    assert "has no frozen" in sdnapp("unfreeze", "--name", running.name, "red/web", GUEST).stderr
    flap(running)
    for port in ("red1", "red2"):
        speak(running, port)
    until(lambda: any(kind == "mac-blocked" for kind, _ in alarms(running)))
    held = {host: identities(running, host) for host in ("host1", "host2")}

    sdnapp("lab", "controller", "kill", "--name", running.name)
    sdnapp("lab", "controller", "start", "--name", running.name)
    running.settled()

    assert is_frozen(running)
    assert {host: identities(running, host) for host in held} == held
    done = sdnapp("unfreeze", "--name", running.name, "red/web", GUEST)
    assert "may move again" in done.stdout
    until(lambda: not alarms(running))
    until(lambda: not any(flows(running, host, GUEST, "actions=drop") for host in held))


def identities(running: Running, host: str) -> set[str]:
    dump = running.run(host, "ovs-ofctl", "-O", "OpenFlow13", "dump-flows", "br-int")
    return set(re.findall(r"cookie=(0x[0-9a-f]+)", dump))


def test_a_mac_of_the_file_stays_where_the_file_puts_it(running: Running) -> None:
    mac = running.overlay.ports["red1"].mac or ""
    speak(running, "red2", mac)

    until(lambda: ("mac-blocked", "red2") in alarms(running))
    running.run("red2", "ping", "-c", "3", "-i", "0.2", "-W", "1", "10.1.1.1")
    speak(running, "red2", mac)
    until(lambda: packets(flows(running, "host2", mac, "actions=drop")) > 0)


@contextmanager
def storm(running: Running, name: str, data: bytes, *forged: str) -> Iterator[None]:
    """Send a frame from a port as fast as the processor allows; these parts of it are forged."""
    with entered(*running.place(name)):
        out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        out.bind(("eth0", 0))
    command = [sys.executable, STORM, str(out.fileno()), data.hex(), *forged]
    before = sent(running, name)
    with out, subprocess.Popen(command, pass_fds=(out.fileno(),)) as process:
        try:
            until(lambda: sent(running, name) > before + FEW)
            before, began = sent(running, name), time.monotonic()
            yield
            assert sent(running, name) > before + FRAMES * (time.monotonic() - began)
        finally:
            process.terminate()


def to(running: Running, port: str, source: str = GUEST) -> bytes:
    """A frame that nobody else wants."""
    return frame(source, running.overlay.ports[port].mac or "", 0x88B5, bytes(46))


def sent(running: Running, port: str) -> int:
    """How many frames have come out of a port of host1."""
    return int(running.run("host1", "cat", f"/sys/class/net/{port}/statistics/rx_packets"))


def times(running: Running, count: int = 80) -> list[float]:
    """Milliseconds that pings of another tenant take between the two hosts."""
    with ahead(running):
        said = running.run(
            "blue1", "ping", "-i", "0.01", "-c", str(count), "-W", "1", "10.1.1.2", check=False
        )
    found = [float(took) for took in re.findall(r"time=([\d.]+)", said)]
    assert len(found) > count * 0.9
    return found


def quiet(running: Running, port: str) -> list[float]:
    """The same while nothing comes out of this port."""
    before = sent(running, port)
    took = times(running)
    assert sent(running, port) < before + FEW
    return took


@pytest.mark.alone
def test_a_storm_of_forged_sources_burdens_neither_controller_nor_neighbours(running: Running) -> None:
    """What a flood costs that has one source nobody can help; forged ones cost no more. By turns."""
    known = running.overlay.ports["red3"].mac or ""
    with storm(running, "red3", to(running, "red1"), SOURCE):
        until(lambda: flows(running, "host1", "priority=200") != [])
    assert ("mac-limit-exceeded", "red3") in alarms(running)
    found: dict[str, list[float]] = {"quiet": [], "one source": [], "forged": []}
    for _ in range(ROUNDS):
        found["quiet"] += quiet(running, "red3")
        with storm(running, "red3", to(running, "red1", known)):
            found["one source"] += times(running)
        with storm(running, "red3", to(running, "red1"), SOURCE):
            found["forged"] += times(running)
    middle = {name: median(took) for name, took in found.items()}
    print(
        *(f"{name} {middle[name]:.3f} (p90 {quantiles(took, n=10)[-1]:.3f})" for name, took in found.items())
    )

    learned = [place for place in running.get("/v1/locations") if place["port"] == "red3"]
    assert len(learned) == KNOWN
    assert len(flows(running, "host1")) < KNOWN + 30
    assert running.get("/v1/hosts")[0]["in_sync"]
    assert middle["forged"] <= middle["one source"] + MORE
    assert middle["forged"] <= middle["quiet"] + MORE


@pytest.mark.alone
def test_the_datapaths_of_both_hosts_need_few_entries_for_them(running: Running) -> None:
    with storm(running, "red3", to(running, "red2"), SOURCE):
        until(lambda: flows(running, "host1", "priority=200") != [])
        until(lambda: max(len(entries(running, host)) for host in ("host1", "host2")) < 50)
        assert any("in_port(red3)" in entry for entry in entries(running, "host1"))
        assert any("in_port(vxlan" in entry for entry in entries(running, "host2"))


def entries(running: Running, host: str) -> list[str]:
    return running.run(host, "ovs-appctl", "dpctl/dump-flows", "--names").splitlines()


STRICT = "02:00:00:00:00:04"
FORGED: dict[str, tuple[bytes, tuple[str, ...]]] = {
    "MAC": (frame(STRICT, EVERYONE, 0x88B5, bytes(46)), ("7-12",)),
    "MAC, and any destination": (frame(STRICT, EVERYONE, 0x88B5, bytes(46)), ("7-12", "1-6")),
    "IPv4": (udp(STRICT, GUEST, "10.1.1.99", "10.1.1.1"), ("26-30",)),
    "IPv6": (udp(STRICT, GUEST, "fd00:1::99", "fd00:1::1"), ("22-38",)),
    "ARP sender": (arp(STRICT, STRICT, "10.1.1.99", "10.1.1.1"), ("28-32",)),
    "ARP MAC": (arp(STRICT, STRICT, "10.1.1.4", "10.1.1.1"), ("22-28",)),
    "ARP": (arp(STRICT, STRICT, "10.1.1.99", "10.1.1.1"), ("22-32", "38-42")),
    "target": (
        icmpv6(STRICT, GUEST, "fd00:1::4", "fd00:1::1", advertisement("fd00:1::99", STRICT)),
        ("62-78",),
    ),
}
"""What a strict port is not, with the octets that are made up."""


@pytest.mark.alone
def test_a_storm_of_lies_at_a_strict_port_burdens_nobody(running: Running) -> None:
    """Entries of the datapath go after 10 s without a frame: those of all storms may be there together."""
    found: dict[str, list[float]] = {name: [] for name in ("quiet", *FORGED)}
    needed: dict[str, int] = {}
    for _ in range(2):
        found["quiet"] += quiet(running, "red4")
        for name, (data, forged) in FORGED.items():
            running.run("host1", "ovs-appctl", "revalidator/purge")
            with storm(running, "red4", data, *forged):
                found[name] += times(running)
                needed[name] = sum("in_port(red4)" in entry for entry in entries(running, "host1"))
    print({name: (f"{median(took):.3f}", needed.get(name)) for name, took in found.items()})

    assert all(0 < entries <= 64 for entries in needed.values())
    assert max(map(median, found.values())) <= median(found["quiet"]) + MORE
    assert running.get("/v1/hosts/host1")["in_sync"]
    told = {c["why"] for c in running.get("/v1/hosts/host1/counters") if c["port"] == "red4" and c["frames"]}
    assert told >= {"mac", "arp", "ipv4", "ipv6", "neighbour"}
