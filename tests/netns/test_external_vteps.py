"""Strangers on real hosts: bridges made by hand, over GRE and VXLAN, and a vxlan device of the kernel."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from itertools import permutations
from pathlib import Path

import pytest

from sdnapp.lab import faults
from sdnapp.lab.machine import inside
from tests.netns.conftest import SDNAPP, Running, until
from tests.netns.external_vteps import Strangers

RED = {"red1": 1, "red2": 2, "red7": 7, "red8": 8, "vni7010": 9}
"""The last number of each address in 10.1.1.0/24."""
BLUE = {"blue1": 1, "blue2": 2, "blue7": 7}


@pytest.fixture(scope="module")
def net(bring_up: Callable[..., Running]) -> Iterator[Strangers]:
    """The lab of the example, and its three strangers as its comments say."""
    with ExitStack() as stack:
        running = bring_up("external-vteps.yaml")
        net = Strangers(running, stack)
        net.bridge(
            "lab7",
            "gre",
            "192.168.4.201",
            "192.168.4.77",
            {"red7": (10, "10.1.1.7"), "blue7": (20, "10.1.1.7")},
        )
        net.bridge(
            "lab8",
            "vxlan",
            "192.168.4.201",
            "192.168.4.78",
            {"red8": (10, "10.1.1.8"), "blue8": (20, "10.1.1.8")},
        )
        net.kernel("nas", "192.168.4.202", "192.168.4.79", {7010: "10.1.1.9", 7011: "10.1.1.10"})
        running.settled()
        yield net


def reached(net: Strangers, source: str, number: int) -> bool:
    return "1 received" in net.run(source, "ping", "-c", "1", "-W", "2", f"10.1.1.{number}", check=False)


@pytest.mark.parametrize("members", [RED, BLUE], ids=["red", "blue"])
def test_everybody_of_a_network_reaches_everybody(net: Strangers, members: dict[str, int]) -> None:
    """Strangers behind one host among themselves, too."""
    lost = [pair for pair in permutations(members, 2) if not reached(net, pair[0], members[pair[1]])]

    assert lost == []


@pytest.mark.parametrize(
    ("source", "destination"), [("red1", "red7"), ("red2", "red8"), ("vni7010", "red1"), ("red7", "vni7010")]
)
def test_a_megabyte_goes_through_by_tcp(net: Strangers, source: str, destination: str) -> None:
    assert net.transfer(source, destination, f"10.1.1.{RED[destination]}", 1 << 20) == 1 << 20


def test_nobody_reaches_what_the_file_does_not_give_it(net: Strangers) -> None:
    """Neither another network, nor its own by a tag or a key that it does not have; and that is counted."""
    before = {peer: _refused(net, *peer) for peer in (("host1", "lab8"), ("host2", "nas"))}

    assert not reached(net, "blue8", 1)
    assert not reached(net, "blue8", 7)
    assert not reached(net, "vni7011", 1)
    assert not reached(net, "blue7", 9)
    assert not reached(net, "red1", 10)

    assert all(_refused(net, *peer) > count for peer, count in before.items())


def _refused(net: Strangers, host: str, peer: str) -> int:
    """Frames of a stranger that its host has dropped for their tag or their key."""
    flows = json.loads(
        subprocess.check_output(
            [SDNAPP, "flows", host, "-t", "vlan-to-network", "--json", "--rest", net.lab.lab.rest]
        )
    )
    (port,) = (port for port in net.lab.get("/v1/ports") if port["name"] == peer)
    return sum(
        f["packets"] for f in flows if f["match"] == f"in_port={port['interface']}" and f["actions"] == "drop"
    )


def test_broadcast_comes_out_once_everywhere(net: Strangers) -> None:
    """Whoever sends it: one of ours, a stranger beside another one, or one behind another host."""
    with ExitStack() as stack:
        taps = {place: stack.enter_context(net.tap(place)) for place in (*RED, *BLUE, "blue8", "vni7011")}
        for number, source in enumerate(("red1", "red2", "red7", "vni7010")):
            frame = b"\xff" * 6 + _mac(taps[source]) + b"\x88\xb5" + bytes([number]) + bytes(49)
            taps[source].send(frame)
            time.sleep(0.5)
            heard = {place: _frames(tap).count(frame) for place, tap in taps.items() if place != source}

            assert {place for place, count in heard.items() if count} == RED.keys() - {source}
            assert set(heard.values()) == {0, 1}


def test_what_is_behind_a_stranger_is_known_by_its_host_and_forgotten_in_silence(net: Strangers) -> None:
    """The other hosts send there what is for it, and flood no more."""
    mac = json.loads(net.run("vni7010", "ip", "-j", "link", "show", "eth0"))[0]["address"]
    assert reached(net, "vni7010", 1)
    (found,) = (place for place in net.lab.get("/v1/locations") if place["mac"] == mac)
    assert (found["network"], found["host"], found["port"], found["kind"]) == (
        "red/web",
        "host2",
        "nas",
        "learned",
    )

    with net.tap("red8") as elsewhere:
        assert reached(net, "red1", 9)
        time.sleep(0.2)
        seen = [frame for frame in _frames(elsewhere) if frame[:6] == bytes.fromhex(mac.replace(":", ""))]
    assert seen == []

    file = Path(net.lab.lab.file)
    before = file.read_text()
    net.run("vni7010", "ip", "link", "set", "eth0", "down")
    try:
        file.write_text(before.replace("{encapsulation: geneve}", "{encapsulation: geneve, mac_age: 2}"))
        until(lambda: mac not in {place["mac"] for place in net.lab.get("/v1/locations")})
        until(lambda: mac not in _held(net, "host1") + _held(net, "host2"))
    finally:
        net.run("vni7010", "ip", "link", "set", "eth0", "up")
        file.write_text(before)
    assert reached(net, "vni7010", 1)


def _held(net: Strangers, host: str) -> str:
    return net.lab.run(host, "ovs-ofctl", "-O", "OpenFlow13", "dump-flows", "br-int")


def _mac(tap: socket.socket) -> bytes:
    """Of the device: no port of ours may speak as another."""
    address: bytes = tap.getsockname()[4]
    return address


def _frames(tap: socket.socket) -> list[bytes]:
    found = []
    with suppress(BlockingIOError):
        while True:
            found.append(tap.recv(2048))
    return found


def test_a_stranger_that_changes_its_host_is_found_there(net: Strangers) -> None:
    """The file says so, and somebody at the stranger."""
    file = Path(net.lab.lab.file)
    before = file.read_text()
    file.write_text(before.replace("lab8: {host: host1", "lab8: {host: host2"))
    until(lambda: "vxlan-lab8" in net.lab.run("host2", "ovs-vsctl", "list-ports", "br-int"))
    until(lambda: "vxlan-lab8" not in net.lab.run("host1", "ovs-vsctl", "list-ports", "br-int"))
    machine, _ = net.places["red8"]
    subprocess.run(
        inside(machine, ["ovs-vsctl", "set", "interface", "vxlan0", "options:remote_ip=192.168.4.202"]),
        check=True,
    )

    for place in ("red1", "red7", "vni7010"):
        assert reached(net, place, 8)


def test_the_bridge_learns_of_strangers_while_there_is_no_controller(net: Strangers) -> None:
    """What it learned by itself is neither drift nor anything that a controller would undo."""
    mac = "02:77:00:00:00:01"
    frame = bytes.fromhex("ffffffffffff" + mac.replace(":", "") + "88b5") + bytes(50)
    faults.kill_controller(net.lab.lab)
    try:
        with net.tap("red7") as stranger, net.tap("red1") as ours, net.tap("red8") as other:
            stranger.send(frame)
            time.sleep(1)
            back = frame[6:12] + _mac(ours) + frame[12:]
            ours.send(back)
            time.sleep(0.5)
            assert _frames(stranger).count(back) == 1
            assert _frames(other).count(back) == 0
        assert mac in _taught(net)
    finally:
        faults.start_controller(net.lab.lab)
    net.lab.settled()

    assert mac in _taught(net)
    assert {host["name"]: host["drift"] for host in net.lab.get("/v1/hosts")} == {"host1": 0, "host2": 0}
    assert not any(place["mac"] == mac for place in net.lab.get("/v1/locations"))


def _taught(net: Strangers) -> str:
    """The flows that host1 has learned by itself."""
    by_kind = "cookie=0x5d30000000000000/0xfff0000000000000"
    return net.lab.run("host1", "ovs-ofctl", "-O", "OpenFlow13", "dump-flows", "br-int", by_kind)


def test_strangers_come_and_go_with_the_file(net: Strangers) -> None:
    """Here one whose frames have neither a key nor a tag."""
    net.bridge("old", "gre", "192.168.4.202", "192.168.4.80", {"old12": (None, "10.1.1.12")})
    assert not reached(net, "old12", 1)
    file = Path(net.lab.lab.file)
    before = file.read_text()

    bare = "host: host2, vtep: 192.168.4.80, encapsulation: gre, network: red/web"
    file.write_text(f"{before}  old: {{{bare}}}\n")
    until(lambda: reached(net, "old12", 1))
    assert reached(net, "old12", 7)
    assert not reached(net, "blue1", 12)

    file.write_text(before)
    until(lambda: "gre-old" not in net.lab.run("host2", "ovs-vsctl", "list-ports", "br-int"))
    assert not reached(net, "old12", 1)
    assert reached(net, "vni7010", 1)


def test_the_tag_inside_leaves_room_for_the_largest_frame(net: Strangers) -> None:
    """The workloads' MTU is what the costliest tunnel carries: VXLAN with a tag."""
    (link,) = json.loads(net.run("red2", "ip", "-j", "link", "show", "eth0"))
    assert link["mtu"] == 1446
    for number in (RED["red7"], RED["red8"], RED["vni7010"]):
        whole = ("-M", "do", "-s", str(1446 - 28))
        assert "1 received" in net.run("red2", "ping", "-c", "1", "-W", "2", *whole, f"10.1.1.{number}")
