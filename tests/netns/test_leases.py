"""Somebody else's DHCP server gives a machine its address on real hosts: everybody knows it from then on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import IPv6Address
from itertools import count
from pathlib import Path

import pytest

from sdnapp.frames.packet import Ends, link_local, octets, with_icmp
from sdnapp.lab import faults
from tests.netns.conftest import Running, until
from tests.netns.dhcp_server import DhcpServer
from tests.netns.frames import arp
from tests.netns.strangers import Strangers
from tests.netns.test_dhcp import SCRIPT
from tests.netns.test_speakers import device, heard, questions
from tests.netns.wire import underlay_tap

FILE = """
controller: {target: "tcp:192.168.4.10:6653"}
tenants:
  red: {networks: {web: {vlan: 10, vni: 5010, subnet: [10.1.1.0/24, "fd00:1::/64"]}}}
hosts:
  host1: {vtep: 192.168.4.201}
  host2: {vtep: 192.168.4.202}
ports:
  any1: {host: host1, network: red/web, mac: "02:00:00:00:00:01"}
  any2: {host: host2, network: red/web, mac: "02:00:00:00:00:02"}
  red2: {host: host2, network: red/web, mac: "02:00:00:00:00:03", address: [10.1.1.3, "fd00:1::3"]}
  srv2: {host: host2, network: red/web, mac: "02:00:00:00:00:04", address: [10.1.1.4, "fd00:1::4"],
         may: dhcp-server}
peers:
  nas: {host: host2, vtep: 192.168.4.79, keys: {red/web: 7010}, may: [dhcp-server, router]}
  lab: {host: host2, vtep: 192.168.4.78, keys: {red/web: 7011}}
"""
ASKER = "02:00:00:00:00:03"
guests = count(1)
NUMBERS = {"srv2": 4, "any2": 2, "vni7010": 5, "vni7011": 6}


@pytest.fixture(scope="module")
def net(bring_up: Callable[..., Running]) -> Iterator[Strangers]:
    with ExitStack() as stack:
        running = bring_up(FILE)
        net = Strangers(running, stack)
        net.kernel("nas", "192.168.4.202", "192.168.4.79", {7010: "10.1.1.5"})
        net.kernel("lab", "192.168.4.202", "192.168.4.78", {7011: "10.1.1.6"})
        running.settled()
        yield net


@contextmanager
def guest(net: Strangers) -> Iterator[str]:
    """A machine that nobody has seen, behind a port that learns; its MAC."""
    run, mac = net.lab.run, f"02:aa:00:00:00:{next(guests):02x}"
    run("any1", "sysctl", "-qw", "net.ipv4.conf.all.arp_ignore=1")  # eth0 does not speak for it
    run("any1", "ip", "link", "add", "guest", "link", "eth0", "address", mac, "type", "macvlan")
    run("any1", "ip", "link", "set", "guest", "up")
    until(lambda: "tentative" not in run("any1", "ip", "-6", "addr", "show", "dev", "guest"))
    try:
        yield mac
    finally:
        run("any1", "ip", "link", "del", "guest")


@contextmanager
def serving(net: Strangers, place: str, lease: int) -> Iterator[DhcpServer]:
    """Somebody serves there: each server gives addresses of its own."""
    number, raw = NUMBERS[place], net.tap(place)
    first = (f"10.1.1.{number}0", f"fd00:1::{number}0")
    with DhcpServer(raw, f"10.1.1.{number}", first, lease).serving() as server:
        yield server


def ask(net: Strangers, directory: Path, *version: str, check: bool = True) -> str:
    """Run a client once, and return what it was told. It ends without a word to the server."""
    record, script, leases, pid = (directory / name for name in ("told", "script", "leases", "pid"))
    record.write_text("")
    script.write_text(SCRIPT.format(record=record))
    script.chmod(0o755)
    leases.unlink(missing_ok=True)
    files = ("-sf", str(script), "-lf", str(leases), "-pf", str(pid), "-cf", "/dev/null")
    words = ("timeout", "6", "dhclient", *version, "-1", *files, "guest")
    net.lab.run("any1", *words, check=check)
    if check:
        until(lambda: pid.exists() and pid.read_text() != "")
        net.lab.run("any1", "kill", pid.read_text().strip())
        pid.unlink()
    return record.read_text()


def give_back(net: Strangers, directory: Path, *version: str) -> None:
    """Say that the address of the last lease is not needed any more."""
    files = ("-sf", directory / "script", "-lf", directory / "leases", "-pf", directory / "pid")
    net.lab.run("any1", "dhclient", *version, "-r", *map(str, files), "-cf", "/dev/null", "guest")


def known(net: Strangers, mac: str) -> set[str]:
    """The addresses that the controller knows a guest by, but for link-local ones."""
    heard = (ip for at in net.lab.get("/v1/locations") if at["mac"] == mac for ip in at["addresses"])
    return {ip for ip in heard if not ip.startswith("fe80:")}


@pytest.mark.parametrize("place", ["srv2", "vni7010"])
def test_what_a_server_leased_is_answered_and_asked_for_in_no_tunnel(
    net: Strangers, tmp_path: Path, place: str
) -> None:
    """Before the machine has said a word about its address itself."""
    ip, ip6 = f"10.1.1.{NUMBERS[place]}0", f"fd00:1::{NUMBERS[place]}0"
    with guest(net) as mac, serving(net, place, 3600):
        assert f"new_ip_address={ip}" in ask(net, tmp_path, "-4")
        until(lambda: ip in known(net, mac))
        net.lab.settled()
        with device(net.lab, "red2") as red2, underlay_tap(net.lab, "host2") as seen:
            red2.send(arp(ASKER, ASKER, "10.1.1.3", ip))
            (answer,) = (data for data in heard(red2) if data[12:14] == b"\x08\x06" and data[21] == 2)
            assert answer[22:28] == octets(mac)
            assert questions([outer.inner for outer in seen()]) == []
        assert "1 received" in net.lab.run("red2", "ping", "-c", "1", "-W", "2", ip)

        assert f"new_ip6_address={ip6}" in ask(net, tmp_path, "-6")
        until(lambda: ip6 in known(net, mac))
        give_back(net, tmp_path, "-6")
        until(lambda: ip6 not in known(net, mac))


def test_a_lease_ends_where_it_is_given_back_or_runs_out(net: Strangers, tmp_path: Path) -> None:
    with guest(net) as mac, serving(net, "srv2", 3600) as server:
        ask(net, tmp_path, "-4")
        until(lambda: known(net, mac) == {"10.1.1.40"})
        give_back(net, tmp_path, "-4")
        until(lambda: not known(net, mac))

        server.lease = 8
        began = time.monotonic()
        for _ in range(2):  # the second time, it is renewed: so it ends later
            ask(net, tmp_path, "-4")
            until(lambda: known(net, mac) == {"10.1.1.40"})
            time.sleep(max(0, began + 5 - time.monotonic()))
        renewed = time.monotonic()
        while time.monotonic() < began + 10:
            assert known(net, mac) == {"10.1.1.40"}
        until(lambda: not known(net, mac), 10)
        assert time.monotonic() - renewed < 12


def test_a_lease_outlives_a_controller_and_nothing_is_sent(net: Strangers, tmp_path: Path) -> None:
    """What bridges hold is what they must, also of the seconds that a lease has left."""
    with guest(net) as mac, serving(net, "srv2", 3600):
        ask(net, tmp_path, "-4")
        until(lambda: known(net, mac) == {"10.1.1.40"})
        net.lab.settled()
        before = flows(net, mac)
        assert any("hard_timeout=3600" in flow for flow in before["host1"])
        faults.kill_controller(net.lab.lab)
        faults.start_controller(net.lab.lab)
        net.lab.settled()
        until(lambda: known(net, mac) == {"10.1.1.40"})
        assert flows(net, mac) == before


def flows(net: Strangers, mac: str) -> dict[str, set[str]]:
    """What bridges hold of a station."""
    dump = ("ovs-ofctl", "-O", "OpenFlow13", "dump-flows", "br-int", "--no-stats")
    lines = {host: net.lab.run(host, *dump).splitlines() for host in net.lab.lab.hosts}
    return {host: {line for line in of_host if mac in line} for host, of_host in lines.items()}


@pytest.mark.parametrize(("place", "arrives"), [("vni7010", 1), ("vni7011", 0)])
def test_a_stranger_is_a_router_if_it_may(net: Strangers, place: str, arrives: int) -> None:
    with net.tap(place) as tap, device(net.lab, "red2") as red2:
        mac = tap.getsockname()[4].hex(":")
        ends = Ends(mac, "33:33:00:00:00:01", link_local(mac), IPv6Address("ff02::1"))
        said = with_icmp(ends, 134, 0, rest=64 << 24 | 1800, payload=bytes(8))
        tap.send(said)
        assert heard(red2).count(said) == arrives


@pytest.mark.parametrize("place", ["any2", "vni7011"])
def test_nobody_else_gives_leases(net: Strangers, tmp_path: Path, place: str) -> None:
    with guest(net) as mac, serving(net, place, 3600):
        assert "new_ip_address" not in ask(net, tmp_path, "-4", check=False)
        assert not known(net, mac)
