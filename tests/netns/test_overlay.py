"""The overlay on real hosts: what the file promises is what the wire does, in every encapsulation."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from sdnapp.lab import faults
from sdnapp.lab.machine import environment
from tests.netns.conftest import Running, sdnapp, until
from tests.netns.test_loss import starved
from tests.netns.wire import Outer, send_encapsulated, transfer, underlay_tap, watched_ports

RED, BLUE, GREEN, UNKNOWN = 5010, 5020, 5030, 4242

EVERYTHING = """
overlay: {encapsulation: vxlan}
tenants:
  red:   {networks: {web: {vlan: 10, vni: 5010, subnet: [10.1.1.0/24, "fd00:1::/64"]}}}
  blue:  {networks: {web: {vlan: 10, vni: 5020, subnet: [10.1.1.0/24, "fd00:1::/64"]}}}
  green:
    networks:
      app: {vlan: 30, vni: 5030, subnet: 10.3.0.0/24}
      db:  {vlan: 40, vni: 5040, subnet: 10.4.0.0/24}
hosts:
  host1: {vtep: 192.168.4.201}
  host2: {vtep: 192.168.4.202, vlans: {green/app: 40, green/db: 30}}
  host3: {vtep: 192.168.4.203}
ports:
  red1:   {host: host1, network: red/web,  address: [10.1.1.1/24, "fd00:1::1/64"], mac: "02:00:00:00:00:01"}
  red2:   {host: host2, network: red/web,  address: [10.1.1.2/24, "fd00:1::2/64"], mac: "02:00:00:00:00:02"}
  red3:   {host: host3, network: red/web,  address: [10.1.1.3/24, "fd00:1::3/64"], mac: "02:00:00:00:00:03"}
  red4:   {host: host1, network: red/web,  address: [10.1.1.4/24, "fd00:1::4/64"], mac: "02:00:00:00:00:04"}
  blue1:  {host: host1, network: blue/web, address: [10.1.1.1/24, "fd00:1::1/64"], mac: "02:00:00:00:00:01"}
  blue2:  {host: host2, network: blue/web, address: [10.1.1.2/24, "fd00:1::2/64"], mac: "02:00:00:00:00:02"}
  trunk1: {host: host1, trunk: {green/app: 30, green/db: 40}, address: [10.3.0.1/24, 10.4.0.1/24]}
  trunk3: {host: host3, network: green/app, trunk: {green/db: 100}, address: [10.3.0.3/24, 10.4.0.3/24]}
  app2:   {host: host2, network: green/app, address: 10.3.0.2/24}
  db2:    {host: host2, network: green/db,  address: 10.4.0.2/24}
"""

ENCAPSULATIONS = ("vxlan", "gre", "geneve")
OVER_IPV6 = tuple((f"192.168.4.20{n}", f'"fd00:4::20{n}"') for n in (1, 2, 3))


@pytest.fixture(scope="module", params=[*ENCAPSULATIONS, "vxlan over IPv6"])
def everything(request: pytest.FixtureRequest, bring_up: Callable[..., Running]) -> Running:
    """Three hosts; tenants with equal addresses, MACs and tags; trunks; IPv4 and IPv6 inside."""
    encapsulation, _, ipv6 = request.param.partition(" over ")
    changes = [("encapsulation: vxlan", f"encapsulation: {encapsulation}"), *(OVER_IPV6 if ipv6 else ())]
    return bring_up(EVERYTHING, changes)


@pytest.fixture(scope="module")
def two(bring_up: Callable[..., Running]) -> Running:
    return bring_up("two-hosts.yaml")


def test_who_reaches_whom_is_what_the_file_promises(everything: Running) -> None:
    cells = everything.matrix()

    assert {pair: cell.failures for pair, cell in cells.items() if cell.failures} == {}
    assert {("red1", "red3", 4), ("red1", "red3", 6), ("blue1", "blue2", 6)} <= cells.keys()
    assert cells["trunk1", "db2", 4].expected
    assert cells["trunk3", "trunk1", 4].expected
    assert not cells["red1", "blue1", 4].expected
    assert sum(cell.expected for cell in cells.values()) == 38


@pytest.mark.parametrize(("source", "destination"), [("red1", "red2"), ("red3", "red4"), ("blue2", "blue1")])
def test_a_megabyte_goes_through_by_tcp(everything: Running, source: str, destination: str) -> None:
    assert transfer(everything, source, destination, 1 << 20) == 1 << 20


def test_the_underlay_carries_the_key_and_no_inner_tag(everything: Running) -> None:
    with underlay_tap(everything, "host2") as seen, watched_ports(everything) as ports:
        everything.run("red1", "ping", "-c", "1", "10.1.1.2")
        everything.run("blue1", "ping", "-c", "1", "10.1.1.2")
        assert ports.end("trunk1").tag == 30
        ports.broadcast_from("trunk1", 1)
        assert ports.seen(1) == {"trunk3": 1, "app2": 1}
        pings = [outer for outer in seen() if outer.inner[12:14] == b"\x08\x00" and outer.inner[23] == 1]

    assert Counter(outer.key for outer in pings) == {RED: 2, BLUE: 2, GREEN: 1}
    assert {outer.encapsulation for outer in pings} == {everything.overlay.encapsulation}


def test_the_largest_frame_goes_through_and_no_larger_one_is_let_in(everything: Running) -> None:
    """The outer header has DF set: a workload's MTU must leave room for it."""
    (link,) = json.loads(everything.run("red1", "ip", "-j", "link", "show", "eth0"))
    size = link["mtu"] - 28
    ping = ("ping", "-c", "1", "-W", "2", "-M", "do", "-s")

    assert "1 received" in everything.run("red1", *ping, str(size), "10.1.1.2")
    assert "1 received" not in everything.run("red1", *ping, str(size + 1), "10.1.1.2", check=False)


def test_broadcast_comes_out_once_everywhere_in_its_network_and_never_comes_back(everything: Running) -> None:
    with watched_ports(everything) as ports:
        for number, (source, others) in enumerate(
            {"red1": {"red2", "red3", "red4"}, "red3": {"red1", "red2", "red4"}, "blue2": {"blue1"}}.items()
        ):
            ports.broadcast_from(source, number)
            assert ports.seen(number) == dict.fromkeys(others, 1)


def test_what_does_not_come_from_a_peer_with_a_key_of_ours_goes_nowhere(everything: Running) -> None:
    """An unknown key from a peer, a known key from a stranger; and, so that the test is one, a known key
    from a peer.
    """
    overlay, lab = everything.overlay, everything.lab
    here, peer = overlay.hosts["host1"].vtep, overlay.hosts["host2"].vtep
    stranger = here - 100
    assert lab.underlay is not None
    _give_address(lab.underlay.anchor.pid, f"{stranger}/{24 if stranger.version == 4 else 64}")

    def outer(number: int, key: int) -> Outer:
        return Outer(overlay.encapsulation, key, ports.broadcast("red2", number))

    with watched_ports(everything) as ports:
        send_encapsulated(lab.hosts["host2"], peer, here, outer(1, UNKNOWN))
        assert not ports.seen(1)
        send_encapsulated(lab.underlay, stranger, here, outer(2, RED))
        assert not ports.seen(2)
        send_encapsulated(lab.hosts["host2"], peer, here, outer(3, RED))
        assert ports.seen(3) == {"red1": 1, "red4": 1}


@pytest.mark.parametrize("example", ["minimal", "three-hosts-geneve", "trunk", "ipv6-underlay"])
def test_every_example_keeps_its_promises(bring_up: Callable[..., Running], example: str) -> None:
    assert bring_up(f"{example}.yaml").broken() == {}


def test_a_killed_controller_costs_no_packet_and_its_successor_changes_nothing(two: Running) -> None:
    two.settled()
    overrun = starved(two)
    with (
        subprocess.Popen(
            two.command("red1", "ping", "-i", "0.01", "-c", "400", "-q", "10.1.1.2"),
            stdout=subprocess.PIPE,
            text=True,
        ) as ping,
        subprocess.Popen(
            two.command("host1", "ovs-ofctl", "-O", "OpenFlow14", "monitor", "br-int", "watch:!initial"),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment(),
            text=True,
            start_new_session=True,
        ) as changes,
    ):
        try:
            time.sleep(0.5)
            faults.kill_controller(two.lab)
            time.sleep(1.5)
            faults.start_controller(two.lab)
            two.settled()
            report = ping.communicate(timeout=30)[0]
            ofctl = ("host1", "ovs-ofctl", "-O", "OpenFlow14")
            two.run(*ofctl, "add-flow", "br-int", "table=99,cookie=0xd0e,actions=drop")
            two.run(*ofctl, "del-flows", "br-int", "cookie=0xd0e/-1")
            time.sleep(0.1)
        finally:
            os.killpg(changes.pid, signal.SIGTERM)
        seen = changes.communicate(timeout=10)[0]

    received = re.search(r"(\d+) received", report)
    assert received is not None, report
    assert int(received[1]) + starved(two) - overrun >= 400, report
    # The monitor works, and saw nothing but our own flow.
    events = [line for line in seen.splitlines() if "event=" in line]
    assert events
    assert all("table=99" in line for line in events), seen


def test_a_controller_that_was_away_for_long_is_found_again_within_a_second_or_so(two: Running) -> None:
    """Bridges try in vain after 0, 1, 2 and so on seconds, not after 0, 1, 3 and 7."""
    two.settled()
    connected = ("ovs-vsctl", "get", "controller", ".", "is_connected")
    until(lambda: all("true" in two.run(host, *connected) for host in two.lab.hosts))  # OVS says so late
    time.sleep(0.5)
    log = two.lab.log("controller", "controller")
    faults.kill_controller(two.lab)
    before = len(log.read_text())
    time.sleep(4)
    faults.start_controller(two.lab)
    two.settled()
    lines = [line for line in log.read_text()[before:].splitlines() if re.search("listening|bridge.up", line)]
    began, *found = (datetime.strptime(line[:23], "%Y-%m-%d %H:%M:%S.%f") for line in lines)

    assert len(found) == 2
    assert (max(found) - began).total_seconds() < 2


def test_a_port_that_comes_while_no_controller_runs_is_at_home_at_once(two: Running) -> None:
    two.settled()
    before = two.flows("host1")
    (number,) = [port.ofport for port in two.overlay.hosts["host1"].ports if port.name == "red1"]
    faults.kill_controller(two.lab)
    try:
        two.run("host1", "ovs-vsctl", "del-port", "br-int", "red1")
        vsctl = ("host1", "ovs-vsctl", "--if-exists", "get", "interface", "red1", "ofport")
        until(lambda: two.run(*vsctl).strip() == str(number))  # the agent put it back
        until(lambda: "1 received" in two.run("red1", "ping", "-c", "1", "-W", "1", "10.1.1.2", check=False))
    finally:
        faults.start_controller(two.lab)
    two.settled()
    assert two.flows("host1") == before


def test_while_the_file_is_broken_commands_go_by_the_last_good_one(two: Running) -> None:
    file = Path(two.lab.file)
    before = file.read_text()
    name = two.lab.name
    file.write_text(before + "  red3: {host: host9\n")
    try:
        done = [
            sdnapp("lab", "stream", "--name", name, "red1", "red2", "--seconds", "0.3"),
            sdnapp("lab", "ping", "--name", name, "red1", "red2"),
            sdnapp("lab", "exec", "--name", name, "red1", "--", "ping", "-c", "1", "10.1.1.2"),
        ]
        shown = json.loads(sdnapp("lab", "status", "--name", name, "--json").stdout)
    finally:
        file.write_text(before)

    assert [one.returncode for one in done] == [0, 0, 0]
    assert all("The last good one is in force." in one.stderr for one in done)
    assert "is broken" in shown["problem"]
    assert "red1" in {port["name"] for port in shown["ports"]}


def test_editing_the_file_is_all_it_takes(two: Running) -> None:
    """A port appears, works and goes again; a broken file changes nothing."""
    file = Path(two.lab.file)
    before = file.read_text()
    try:
        file.write_text(before + "  red3: {host: host1, network: red/web, address: 10.1.1.3/24}\n")
        until(lambda: "red3" in two.run("host1", "ip", "netns"))
        until(lambda: "1 received" in two.run("red3", "ping", "-c", "1", "-W", "1", "10.1.1.2", check=False))
        assert two.broken() == {}

        file.write_text(before + "  red3: {host: host9\n")
        time.sleep(1)
        assert "red3" in two.run("host1", "ip", "netns")
    finally:
        file.write_text(before)
    until(lambda: "red3" not in two.run("host1", "ip", "netns"))
    two.settled()
    assert two.broken() == {}


@pytest.mark.parametrize("encapsulation", ["vxlan", "geneve", "gre"])
def test_the_encapsulation_changes_while_the_lab_runs(two: Running, encapsulation: str) -> None:
    file = Path(two.lab.file)
    file.write_text(re.sub(r"encapsulation: \w+", f"encapsulation: {encapsulation}", file.read_text()))
    until(
        lambda: all(
            host["in_sync"]
            and {t["encapsulation"] for t in host["tunnels"] if t["ofport"]} == {encapsulation}
            for host in two.get("/v1/hosts")
        )
    )
    until(lambda: {port.partition("-")[0] for port in _tunnel_ports(two)} == {encapsulation})

    assert two.broken() == {}
    with underlay_tap(two, "host2") as seen:
        two.run("red1", "ping", "-c", "1", "10.1.1.2")
        assert {outer.encapsulation for outer in seen()} == {encapsulation}


def _tunnel_ports(lab: Running) -> list[str]:
    """Those of host1 and host2, also such as are about to go."""
    ports = [
        port
        for host in ("host1", "host2")
        for port in lab.run(host, "ovs-vsctl", "list-ports", "br-int").split()
    ]
    return [port for port in ports if port.endswith(("-host1", "-host2"))]


def _give_address(pid: int, address: str) -> None:
    enter = ["nsenter", f"--target={pid}", "--net", "ip", "address", "replace", address, "dev", "segment"]
    subprocess.run([*enter, *(["nodad"] if ":" in address else [])], check=True)
