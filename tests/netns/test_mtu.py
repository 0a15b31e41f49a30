"""The largest packet passes and one byte more is answered: by every encapsulation, over IPv4 and IPv6."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.netns.conftest import Running, until

FILE = """
overlay: {encapsulation: vxlan}
controller: {target: "tcp:192.168.4.10:6653"}
tenants:
  red: {networks: {web: {vlan: 10, vni: 5010, subnet: [10.1.1.0/24, "fd00:1::/64"]}}}
hosts:
  host1: {vtep: VTEP1}
  host2: {vtep: VTEP2}
ports:
  vm1:  {host: host1, attach: external, interface: vm1, network: red/web, address: [10.1.1.1, "fd00:1::1"],
         mac: "02:00:00:00:00:01"}
  red2: {host: host2, network: red/web, address: [10.1.1.2, "fd00:1::2"]}
"""
OVERHEAD = {"vxlan": 50, "geneve": 50, "gre": 42}
"""Bytes over IPv4; 20 more over IPv6."""


@pytest.fixture(scope="module", params=["192.168.4.20", "fd00:4::20"], ids=["IPv4", "IPv6"])
def running(request: pytest.FixtureRequest, bring_up: Callable[..., Running]) -> Running:
    """A machine that somebody else has made, and given more than its network can carry."""
    running = bring_up(FILE, [(f"VTEP{n}", f"{request.param}{n}") for n in (1, 2)])
    running.run("host1", "ip", "netns", "add", "vm1")
    peer = ("peer", "name", "eth0", "address", "02:00:00:00:00:01", "netns", "vm1")
    running.run("host1", "ip", "link", "add", "vm1", "type", "veth", *peer)
    for words in (
        "ethtool -K eth0 tx off",
        "ip link set eth0 up",
        "ip address add 10.1.1.1/24 dev eth0",
        "ip address add fd00:1::1/64 dev eth0 nodad",
    ):
        machine(running, *words.split())
    running.run("host1", "ip", "link", "set", "vm1", "up")
    return running


def machine(running: Running, *command: str, check: bool = True) -> str:
    return running.run("host1", "ip", "netns", "exec", "vm1", *command, check=check)


@pytest.mark.parametrize("encapsulation", OVERHEAD)
def test_what_fits_passes_and_one_byte_more_is_answered(running: Running, encapsulation: str) -> None:
    file = Path(running.lab.file)
    file.write_text(re.sub("encapsulation: [a-z]+", f"encapsulation: {encapsulation}", file.read_text()))
    mtu = 1500 - OVERHEAD[encapsulation] - 20 * (running.overlay.hosts["host1"].vtep.version == 6)

    until(lambda: f"mtu {mtu} " in running.run("red2", "ip", "link", "show", "eth0"))
    until(lambda: all(t["interface"].startswith(encapsulation) for t in tunnels(running)))
    running.settled()
    for address, headers, complaint in (
        ("10.1.1.2", 28, rf"[Ff]rag needed.*mtu ?= ?{mtu}\b"),
        ("fd00:1::2", 48, rf"too big: mtu={mtu}\b"),
    ):
        machine(running, "ip", "-6" if ":" in address else "-4", "route", "flush", "cache")
        ping = ("ping", "-c", "1", "-W", "2", "-M", "do", address, "-s")
        assert "1 received" in machine(running, *ping, str(mtu - headers))
        told = machine(running, *ping, str(mtu - headers + 1), check=False)
        assert re.search(complaint, told), told


def test_what_fits_is_not_told_to_be_dropped(running: Running) -> None:
    """Open vSwitch counts a frame on both ways that it may go when its size decides."""
    before = counts(running)
    machine(running, "ping", "-c", "1", "-W", "1", "10.1.1.98", check=False)

    until(lambda: counts(running)["flooded", "arp"] > before["flooded", "arp"])
    assert counts(running)["dropped", "local-services"] == 0


def counts(running: Running) -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    for each in running.get("/v1/hosts/host1/counters"):
        found[each["what"], each["why"]] += each["frames"]
    return found


def tunnels(running: Running) -> list[dict[str, str]]:
    return [t for host in ("host1", "host2") for t in running.get(f"/v1/hosts/{host}")["tunnels"]]
