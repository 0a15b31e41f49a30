"""Machines that ask for all they need, and packets that are too large, on real hosts with a real client."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.netns.conftest import Running, until
from tests.netns.dhclient import ask
from tests.netns.wire import transfer, underlay_tap

FILE = """
controller: {target: "tcp:192.168.4.10:6653"}
tenants:
  red:
    networks:
      web:
        vni: 5010
        subnet: [10.1.1.0/24, "fd00:1::/64"]
        dhcp: {router: 10.1.1.254, dns: [10.1.1.53, "fd00:1::53"], domain: red.example}
  blue: {networks: {web: {vni: 5020, vlan: 10, subnet: [10.1.1.0/24, "fd00:1::/64"]}}}
hosts:
  host1: {vtep: 192.168.4.201}
  host2: {vtep: 192.168.4.202}
ports:
  vm1: {host: host1, attach: external, interface: vm1, network: red/web, address: [10.1.1.1, "fd00:1::1"],
        mac: "02:00:00:00:00:01"}
  vm2: {host: host2, attach: external, interface: vm2, network: red/web, address: [10.1.1.2, "fd00:1::2"],
        mac: "02:00:00:00:00:02"}
  vm3: {host: host2, attach: external, interface: vm3, trunk: {red/web: 77}, address: [10.1.1.3, "fd00:1::3"],
        mac: "02:00:00:00:00:03"}
  red4: {host: host2, network: red/web, address: [10.1.1.4, "fd00:1::4"]}
  red5: {host: host2, network: red/web, address: [10.1.1.5, "fd00:1::5"], addressing: dhcp}
  blue1: {host: host1, network: blue/web, address: [10.1.1.1, "fd00:1::1"]}
  blue2: {host: host2, network: blue/web, address: [10.1.1.4, "fd00:1::4"]}
"""


@pytest.fixture(scope="module")
def running(bring_up: Callable[..., Running]) -> Running:
    """A lab in which somebody else has made machines, which have no address yet."""
    lab = bring_up(FILE)
    for host, name, mac in (("host1", "vm1", 1), ("host2", "vm2", 2), ("host2", "vm3", 3)):
        lab.run(host, "ip", "netns", "add", name)
        address = f"02:00:00:00:00:0{mac}"
        peer = ("peer", "name", "eth0", "address", address, "netns", name)
        inside(lab, host, name, "sysctl", "-qw", "net.ipv6.conf.default.accept_dad=0")
        lab.run(host, "ip", "link", "add", name, "type", "veth", *peer)
        inside(lab, host, name, "ethtool", "-K", "eth0", "tx", "off")
        lab.run(host, "ip", "link", "set", name, "up")
    until(lambda: all(port["ofport"] for port in lab.get("/v1/ports")))
    lab.settled()
    for host, name in (("host1", "vm1"), ("host2", "vm2")):
        inside(lab, host, name, "ip", "link", "set", "eth0", "up")
    return lab


def inside(running: Running, host: str, name: str, *command: str, check: bool = True) -> str:
    return running.run(host, "ip", "netns", "exec", name, *command, check=check)


def asked(running: Running, host: str, name: str, directory: Path, *version: str) -> tuple[float, str]:
    """Run a client once: the seconds until it had what it asked for, and what it was told."""
    return ask(partial(inside, running, host, name), "eth0", directory, *version)


def said(running: Running) -> dict[str, int]:
    counts: dict[str, int] = running.get("/v1/networks/red/web")["service_counters"]
    return counts


def test_a_machine_gets_its_address_and_all_else_at_once_and_nobody_else_hears_of_it(
    running: Running, tmp_path: Path
) -> None:
    with underlay_tap(running, "host1") as seen:
        took, told = asked(running, "host1", "vm1", tmp_path, "-4")
        outside = [outer.inner for outer in seen() if outer.inner[12:14] == b"\x08\x00"]

    assert took < 1
    assert not [inner for inner in outside if inner[23] == 17]
    for line in (
        "new_ip_address=10.1.1.1",
        "new_subnet_mask=255.255.255.0",
        "new_routers=10.1.1.254",
        "new_domain_name_servers=10.1.1.53",
        "new_domain_name=red.example",
        "new_host_name=vm1",
        "new_interface_mtu=1450",
        "new_dhcp_lease_time=3600",
    ):
        assert line in told.splitlines()
    assert said(running)["dhcp ack"] >= 1
    assert said(running)["dhcp offer"] >= 1


def test_a_machine_gets_its_ipv6_address_and_knows_its_link(running: Running, tmp_path: Path) -> None:
    until(lambda: "fd00:1::/64" in inside(running, "host2", "vm2", "ip", "-6", "route"))
    took, told = asked(running, "host2", "vm2", tmp_path, "-6")

    assert took < 1.5  # the client itself waits for up to 1 s before it asks (RFC 8415, section 18.2.1)
    assert "new_ip6_address=fd00:1::2" in told
    assert "new_dhcp6_name_servers=fd00:1::53" in told
    assert "new_dhcp6_domain_search=red.example." in told
    assert said(running)["router advertisement"] >= 1


def test_machines_reach_each_other_with_what_they_got(running: Running, tmp_path: Path) -> None:
    for host, name, *version in (
        ("host1", "vm1", "-4"),
        ("host2", "vm2", "-4"),
        ("host1", "vm1", "-6"),
        ("host2", "vm2", "-6"),
    ):
        asked(running, host, name, tmp_path, *version)

    for address in ("10.1.1.2", "10.1.1.4", "fd00:1::2", "fd00:1::4"):
        assert "1 received" in inside(running, "host1", "vm1", "ping", "-c", "1", "-W", "2", address)


def test_a_trunk_asks_with_its_tag(running: Running) -> None:
    """As this kernel may have no VLAN devices, the question is put together here."""
    question = (
        "import socket, sys; s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3); s.bind(('eth0', 3)); "
        "s.settimeout(2); s.send(bytes.fromhex(sys.argv[1])); "
        "print(next(d.hex() for d in iter(lambda: s.recv(2048), b'') if b'vm3' in d))"
    )
    inside(running, "host2", "vm3", "ip", "link", "set", "eth0", "up")
    data = discover("02:00:00:00:00:03", 77).hex()
    answer = bytes.fromhex(inside(running, "host2", "vm3", "/usr/bin/python3", "-c", question, data))

    assert bytes((10, 1, 1, 3)) in answer


def discover(mac: str, tag: int) -> bytes:
    raw = bytes.fromhex(mac.replace(":", ""))
    bootp = b"\x01\x01\x06\0\0\0\0\x07" + bytes(20) + raw + bytes(202) + b"\x63\x82\x53\x63\x35\x01\x01\xff"
    udp = b"\0\x44\0\x43" + (8 + len(bootp)).to_bytes(2, "big") + b"\0\0" + bootp
    head = b"\x45\0" + (20 + len(udp)).to_bytes(2, "big") + bytes(4) + b"\x40\x11"
    total = sum(int.from_bytes(head[n : n + 2], "big") for n in range(0, 10, 2)) + 0xFFFF * 2
    checksum = (0xFFFF - total % 0xFFFF).to_bytes(2, "big")
    ip = head + checksum + bytes(4) + b"\xff" * 4
    return b"\xff" * 6 + raw + b"\x81\0" + tag.to_bytes(2, "big") + b"\x08\0" + ip + udp


def test_a_namespace_that_asks_has_what_it_was_told_and_nothing_is_set_or_taken_away(
    running: Running, tmp_path: Path
) -> None:
    def addresses() -> list[str]:
        return re.findall(
            r"inet6? (?!fe80)(\S+)", running.run("red5", "ip", "address", "show", "dev", "eth0")
        )

    assert addresses() == []
    asked(running, "host2", "red5", tmp_path, "-4")
    running.run("red5", "ip", "address", "add", "fd00:1::5:5/64", "dev", "eth0", "nodad")
    time.sleep(2)
    assert addresses() == ["10.1.1.5/24", "fd00:1::5:5/64"]
    assert "1 received" in running.run("red5", "ping", "-c", "1", "-W", "2", "10.1.1.4")


PING = ("ping", "-c", "1", "-W", "2", "-M", "do", "-s")


@pytest.mark.parametrize(
    ("address", "headers", "complaint"),
    [("10.1.1.2", 28, r"[Ff]rag needed.*mtu ?= ?1450"), ("fd00:1::2", 48, r"too big: mtu=1450")],
)
def test_what_fits_passes_and_one_byte_more_is_answered(
    running: Running, tmp_path: Path, address: str, headers: int, complaint: str
) -> None:
    """Somebody gave the machine a larger MTU than its network has."""
    version = "-6" if ":" in address else "-4"
    for host, name in (("host1", "vm1"), ("host2", "vm2")):
        asked(running, host, name, tmp_path, version)
    inside(running, "host1", "vm1", "ip", "link", "set", "eth0", "mtu", "1500")
    inside(running, "host1", "vm1", "ip", version, "route", "flush", "cache")

    assert "1 received" in inside(running, "host1", "vm1", *PING, str(1450 - headers), address)
    told = inside(running, "host1", "vm1", *PING, str(1451 - headers), address, check=False)
    assert re.search(complaint, told), told
    again = inside(
        running, "host1", "vm1", "ping", "-c", "2", "-i", "0.2", "-s", "3000", address, check=False
    )
    assert re.search(r"[12] received", again)
    assert said(running)["packet too big"] >= 1


def test_tcp_gets_through_although_a_device_is_too_large(running: Running, tmp_path: Path) -> None:
    for host, name in (("host1", "vm1"), ("host2", "vm2")):
        asked(running, host, name, tmp_path, "-4")
        inside(running, host, name, "ip", "link", "set", "eth0", "mtu", "1500")
        inside(running, host, name, "ip", "route", "flush", "cache")
    receive = "import socket; s = socket.create_server(('', 5000)); c = s.accept()[0]; n = 0\n"
    receive += "while d := c.recv(65536): n += len(d)\nprint(n)"
    send = "import socket; s = socket.create_connection(('10.1.1.2', 5000), 5); s.settimeout(5)\n"
    send += "s.sendall(bytes(1 << 20)); s.close()"
    listening = running.command("host2", "ip", "netns", "exec", "vm2", "/usr/bin/python3", "-c", receive)
    with subprocess.Popen(listening, stdout=subprocess.PIPE, text=True) as server:
        until(lambda: ":5000" in inside(running, "host2", "vm2", "ss", "-tln"))
        inside(running, "host1", "vm1", "/usr/bin/python3", "-c", send)
        assert server.communicate(timeout=10)[0] == f"{1 << 20}\n"


def test_jumbo_underlays_carry_jumbo_frames(bring_up: Callable[..., Running]) -> None:
    jumbo = bring_up(
        "minimal.yaml",
        [(f"vtep: 192.168.4.20{n}", f"vtep: 192.168.4.20{n}, underlay_mtu: 9000") for n in (1, 2)],
    )

    assert "mtu 8950" in jumbo.run("red1", "ip", "link", "show", "eth0")
    assert "1 received" in jumbo.run("red1", *PING, str(8950 - 28), "10.1.1.2")
    assert transfer(jumbo, "red1", "red2", 1 << 20) == 1 << 20
