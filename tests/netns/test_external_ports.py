"""Ports that others make, as libvirt, OpenStack and people do it, on real hosts."""

from __future__ import annotations

import re
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address

import pytest

from sdnapp.frames.packet import octets
from sdnapp.lab import faults, model, services
from sdnapp.lab.echo import BROADCAST, tagged
from sdnapp.lab.process import kill
from tests.netns.conftest import Running, until
from tests.netns.guest import Guest
from tests.netns.raw import device, raw, received

MAC, ID = "02:aa:00:00:00:09", "5f1f2d3a-6b0e-4f0c-9a52-0d5f1c8e7a10"
FILE = f"""
controller: {{target: "tcp:192.168.4.10:6653"}}
tenants:
  red:
    networks:
      web: {{vlan: 10, vni: 5010, subnet: 10.1.1.0/24}}
      db:  {{vlan: 20, vni: 5011, subnet: 10.1.2.0/24}}
  blue: {{networks: {{web: {{vlan: 10, vni: 5020, subnet: 10.1.1.0/24}}}}}}
hosts:
  host1: {{vtep: 192.168.4.201}}
  host2: {{vtep: 192.168.4.202}}
  host3: {{vtep: 192.168.4.203}}
ports:
  red1:  {{host: host1, network: red/web, address: 10.1.1.1/24}}
  db1:   {{host: host1, network: red/db, address: 10.1.2.1/24, port_security: false}}
  blue1: {{host: host1, network: blue/web, address: 10.1.1.1/24}}
  vm:    {{attach: external, iface_id: {ID}, network: red/web, address: 10.1.1.9/24, mac: "{MAC}"}}
  guest: {{attach: external, network: red/web}}
  router: {{attach: external, network: red/web, trunk: {{red/db: 200}}}}
  legacy: {{attach: external, interface: eth1, host: host3, trunk: {{red/web: 101, red/db: 102}}}}
"""


@pytest.fixture(scope="module")
def running(bring_up: Callable[..., Running]) -> Running:
    return bring_up(FILE)


def plug(running: Running, host: str, interface: str, iface_id: str, *more: str) -> None:
    """What libvirt runs when a guest starts: virNetDevOpenvswitchAddPort."""
    ids = {"attached-mac": MAC, "iface-id": iface_id, "vm-id": "c0ffee", "iface-status": "active"}
    setting = [f'external_ids:{key}="{value}"' for key, value in ids.items()]
    remove = ("--", "--if-exists", "del-port", interface)
    add = ("--", "add-port", "br-int", interface, "--", "set", "Interface", interface)
    running.run(host, "ovs-vsctl", "--timeout=5", *remove, *add, *setting, *more)


def shell(running: Running, host: str, command: str) -> None:
    running.run(host, "sh", "-c", command)


def unplug(running: Running, host: str, interface: str) -> None:
    running.run(host, "ovs-vsctl", "--timeout=5", "--", "--if-exists", "del-port", interface)


@contextmanager
def machine(
    running: Running, host: str, tap: str, *, address: str = "10.1.1.9", tag: int | None = None
) -> Iterator[Guest]:
    """A virtual machine that has started, before it is plugged in."""
    with Guest(running.lab.hosts[host], tap, MAC, ip_address(address), tag).running() as guest:
        running.run(host, "ip", "link", "set", tap, "up")
        try:
            yield guest
        finally:
            unplug(running, host, tap)
            until(lambda: where(running, "vm") is None and where(running, "router") is None)


def where(running: Running, name: str) -> str | None:
    port = running.get(f"/v1/ports/{name}")
    return f"{port['host']} {port['interface']}" if port["interface"] else None


def lives(running: Running, mac: str) -> str | None:
    return next((place["host"] for place in running.get("/v1/locations") if place["mac"] == mac), None)


def learned(running: Running, port: str) -> list[tuple[str, str]]:
    """Where those behind a port are believed to be, and by what."""
    places = running.get("/v1/locations")
    return [(place["host"], place["kind"]) for place in places if place["port"] == port]


def answers(running: Running, who: str, address: str, count: int = 1, wait: str = "0.2") -> int:
    """How many of so many pings are answered."""
    words = running.run(who, "ping", "-c", str(count), "-i", "0.02", "-W", wait, address, check=False)
    return int(re.findall(r"(\d+) received", words)[0])


def test_a_guest_is_reached_as_soon_as_it_is_plugged_in_and_by_its_own_network_alone(
    running: Running,
) -> None:
    with machine(running, "host2", "vnet0") as guest:
        began = time.monotonic()
        plug(running, "host2", "vnet0", ID)
        until(lambda: where(running, "vm") == "host2 vnet0", patience=3)
        assert time.monotonic() - began < 0.5
        until(lambda: answers(running, "red1", "10.1.1.9") == 1, patience=3)

        stranger = octets(running.overlay.ports["blue1"].mac or "")
        assert answers(running, "blue1", "10.1.1.9") == 0
        assert stranger not in {frame[6:12] for frame in guest.received}
        assert answers(running, "red1", "10.1.1.9", 5) == 5
    assert answers(running, "red1", "10.1.1.9") == 0


def test_a_guest_that_moves_is_reached_all_the_time(running: Running) -> None:
    """The new place is prepared while it runs at the old one, which goes when it has spoken at the new."""
    with machine(running, "host2", "vnet0"), machine(running, "host3", "vnet0") as there:
        plug(running, "host2", "vnet0", ID)
        until(lambda: answers(running, "red1", "10.1.1.9") == 1)
        plug(running, "host3", "vnet0", ID)
        until(lambda: running.get("/v1/status")["alarms"] != [])
        assert answers(running, "red1", "10.1.1.9", 20) == 20
        assert lives(running, MAC) == "host2"

        there.announce()
        until(lambda: lives(running, MAC) == "host3", patience=1)
        heard = len(there.received)
        assert answers(running, "red1", "10.1.1.9", 20) == 20
        assert len(there.received) - heard >= 20

        unplug(running, "host2", "vnet0")
        until(lambda: running.get("/v1/status")["alarms"] == [])
        assert answers(running, "red1", "10.1.1.9", 20) == 20


def test_a_switch_that_starts_anew_knows_at_once_whose_ports_it_has(running: Running) -> None:
    with machine(running, "host2", "vnet0"):
        plug(running, "host2", "vnet0", ID)
        until(lambda: answers(running, "red1", "10.1.1.9") == 1)
        kill([running.lab.hosts["host2"].services[services.AGENT]], signal.SIGKILL)
        faults.start_switch(faults.kill_switch(running.lab, "host2"), "host2")
        until(lambda: answers(running, "red1", "10.1.1.9") == 1)
        restart_agent(running, "host2")


def test_what_happened_while_the_agent_was_away_is_caught_up_with(running: Running) -> None:
    agent = running.lab.hosts["host2"].services[services.AGENT]
    with machine(running, "host2", "vnet7"):
        kill([agent], signal.SIGKILL)
        plug(running, "host2", "vnet7", ID)
        time.sleep(0.3)
        assert where(running, "vm") is None

        restart_agent(running, "host2")
        until(lambda: where(running, "vm") == "host2 vnet7")
        running.settled()
        assert answers(running, "red1", "10.1.1.9", 3) == 3


def restart_agent(running: Running, host: str) -> None:
    lab = running.lab
    there = lab.hosts[host]
    started = services.start_agent(lab, there)
    there.services[services.AGENT] = started  # type: ignore[index]
    model.save(lab)


def test_a_controller_and_an_agent_that_start_anew_change_nothing(running: Running) -> None:
    with machine(running, "host2", "vnet0"):
        plug(running, "host2", "vnet0", ID)
        until(lambda: answers(running, "red1", "10.1.1.9") == 1)
        running.settled()
        ask = ("ovs-vsctl", "--columns=_uuid,name,ofport", "list", "Interface")
        before = set(running.run("host2", *ask).split("\n\n"))

        log = running.lab.log("controller", services.CONTROLLER)
        size = log.stat().st_size
        kill([running.lab.hosts["host2"].services[services.AGENT]], signal.SIGKILL)
        faults.start_controller(faults.kill_controller(running.lab))
        restart_agent(running, "host2")
        running.settled()

        assert where(running, "vm") == "host2 vnet0"
        assert "bridge.programmed" not in log.read_text()[size:]
        assert answers(running, "red1", "10.1.1.9", 3) == 3
        assert set(running.run("host2", *ask).split("\n\n")) == before


@pytest.mark.parametrize(("kind", "address"), [("veth", "10.1.1.77"), ("internal", "10.1.1.78")])
def test_a_container_is_found_like_a_guest_and_its_mac_is_learned(
    running: Running, kind: str, address: str
) -> None:
    shell(running, "host3", "ip netns add box")
    try:
        if kind == "veth":
            shell(running, "host3", "ip link add cont0 type veth peer name eth0 netns box")
            shell(running, "host3", "ip -n box link set eth0 up")
            shell(running, "host3", "ip netns exec box ethtool -K eth0 tx off")
            shell(running, "host3", "ip link set cont0 up")
            plug(running, "host3", "cont0", "guest")
        else:
            plug(running, "host3", "cont0", "guest", "type=internal")
            shell(running, "host3", "ip link set cont0 netns box name eth0")
            shell(running, "host3", "ip -n box link set eth0 up")
        shell(running, "host3", f"ip -n box addr add {address}/24 dev eth0")

        until(lambda: answers(running, "red1", address) == 1)
        until(lambda: learned(running, "guest") == [("host3", "learned")])
    finally:
        unplug(running, "host3", "cont0")
        shell(running, "host3", "ip netns del box")
    until(lambda: where(running, "guest") is None)


def test_a_guest_with_a_trunk_speaks_untagged_in_one_network_and_tagged_in_another(running: Running) -> None:
    with machine(running, "host2", "vnet1") as native:
        plug(running, "host2", "vnet1", "router")
        until(lambda: answers(running, "red1", "10.1.1.9") == 1)
        assert answers(running, "db1", "10.1.2.9") == 0
        native.tag, native.address = 200, ip_address("10.1.2.9")
        until(lambda: answers(running, "db1", "10.1.2.9") == 1)


@pytest.fixture(scope="module")
def wire(running: Running) -> Iterator[socket.socket]:
    """The far end of a cable in the network card eth1 of host3."""
    shell(running, "host3", "ip link add eth1 type veth peer name wire")
    try:
        shell(running, "host3", "ip link set wire up")
        shell(running, "host3", "ip link set eth1 up")
        until(lambda: running.get("/v1/ports/legacy")["ofport"] is not None)
        with raw(running.place("host3"), "wire") as end:
            end.settimeout(1.0)
            until(lambda: running.get("/v1/hosts/host3")["in_sync"])
            yield end
    finally:
        shell(running, "host3", "ip link del eth1")


@contextmanager
def listening(running: Running, port: str) -> Iterator[socket.socket]:
    """What arrives at a port."""
    with device(running, port) as end:
        end.settimeout(0.5)
        yield end


def arrives(end: socket.socket, content: bytes) -> bytes | None:
    """The frame with this content, if it arrives."""
    try:
        while content not in (frame := received(end)):
            pass
        return frame
    except TimeoutError:
        return None


FAR = "02:bb:00:00:00:01"


def frame(content: bytes, kind: int = 0x88B5) -> bytes:
    """A broadcast frame of an ethertype that nobody reads (IEEE 802, local experimental)."""
    return octets(BROADCAST) + octets(FAR) + struct.pack("!H", kind) + content.ljust(50, b".")


def test_a_network_card_carries_each_network_with_its_own_tag(running: Running, wire: socket.socket) -> None:
    with listening(running, "red1") as red, listening(running, "db1") as db:
        wire.send(tagged(frame(b"to web"), 101))
        assert arrives(red, b"to web") == frame(b"to web")
        assert arrives(db, b"to web") is None
        wire.send(tagged(frame(b"to db"), 102))
        assert arrives(db, b"to db") == frame(b"to db")
        wire.send(tagged(frame(b"to nobody"), 103))
        wire.send(frame(b"untagged"))
        assert arrives(red, b"to nobody") is None
        assert arrives(red, b"untagged") is None
        db.send(frame(b"from db"))
        assert arrives(wire, b"from db") == tagged(frame(b"from db"), 102)


@pytest.mark.parametrize("outer", [0x8100, 0x88A8])
def test_an_inner_tag_passes_untouched(running: Running, wire: socket.socket, outer: int) -> None:
    """IEEE 802.1Q, clause 16. Between trunks alone: guards cannot read behind it for other ports."""
    inner = tagged(frame(b"inner"), 42)
    with listening(running, "red1") as red, machine(running, "host2", "vnet1") as trunk:
        wire.send(inner[:12] + struct.pack("!HH", outer, 101) + inner[12:])
        assert arrives(red, b"inner") is None

        plug(running, "host2", "vnet1", "router")
        until(lambda: where(running, "router") is not None)
        running.settled()
        running.followed()
        wire.send(inner[:12] + struct.pack("!HH", outer, 102) + inner[12:])
        until(lambda: tagged(inner, 200) in trunk.received, patience=2)
        trunk.send(tagged(tagged(frame(b"back"), 43), 200))
        assert arrives(wire, b"back") == tagged(tagged(frame(b"back"), 43), 102)
