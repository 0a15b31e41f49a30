"""Hosts of a lab write to files of their own: the machine that they run on stays as it is."""

from __future__ import annotations

import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from tests.netns.conftest import Running

FILE = """
controller: {target: "tcp:192.168.4.10:6653"}
tenants:
  red: {networks: {web: {vlan: 10, vni: 5010, subnet: 10.1.1.0/24, dhcp: {dns: 10.1.1.53, domain: lab.test}}}}
hosts: {host1: {vtep: 192.168.4.201}, host2: {vtep: 192.168.4.202}}
ports:
  red1: {host: host1, network: red/web, address: 10.1.1.1, addressing: dhcp}
  red2: {host: host2, network: red/web, address: 10.1.1.2}
"""


@pytest.fixture(scope="module")
def lab(bring_up: Callable[..., Running]) -> Running:
    return bring_up(FILE)


def machine_files() -> dict[str, str]:
    """A digest of each file of the machine that a workload's tools write to, by path."""
    below = [
        Path(where, name)
        for root in ("/etc", "/var/lib/dhcp")
        for where, _, names in os.walk(root)
        for name in names
    ]
    files = [path for path in (*below, *Path("/run").iterdir()) if path.is_file()]
    return {str(path): sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_dhcp_client_of_a_workload_leaves_the_machine_as_it_is(lab: Running) -> None:
    """dhclient, as on a real host, writes resolv.conf, leases and a pid file: on the lab's host."""
    before = machine_files()

    lab.run("red1", "dhclient", "-1", "eth0")

    assert "nameserver 10.1.1.53" in lab.run("red1", "cat", "/etc/resolv.conf")
    assert "nameserver 10.1.1.53" not in lab.run("red2", "cat", "/etc/resolv.conf")
    assert "fixed-address 10.1.1.1" in lab.run("red1", "cat", "/var/lib/dhcp/dhclient.leases")
    assert lab.run("red1", "cat", "/run/dhclient.pid").strip().isdigit()
    assert machine_files() == before


def test_files_that_one_host_writes_are_not_those_of_another(lab: Running) -> None:
    for host in ("host1", "host2"):
        lab.run(host, "sh", "-c", f"echo {host} | tee /run/mine /var/lib/mine /etc/mine")

    for host in ("host1", "host2"):
        assert lab.run(host, "cat", "/run/mine", "/var/lib/mine", "/etc/mine").split() == [host] * 3
