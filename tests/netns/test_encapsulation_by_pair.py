"""An encapsulation for each pair of hosts, on real hosts: as in the file, also when the file changes."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.netns.conftest import Running, until
from tests.netns.wire import underlay_tap, watched_ports

IN_THE_FILE = {"red1": "vxlan", "red3": "geneve", "red4": "gre"}


@pytest.fixture(scope="module")
def mixed(bring_up: Callable[..., Running]) -> Running:
    return bring_up("mixed.yaml")


def spoken(mixed: Running) -> Mapping[str, str]:
    """By which encapsulation red2 and each of the others reach each other."""
    kinds = {}
    for peer in IN_THE_FILE:
        with underlay_tap(mixed, "host2") as seen:
            mixed.run("red2", "ping", "-c", "1", f"10.1.1.{peer[-1]}")
            pings = [outer for outer in seen() if outer.inner[12:14] == b"\x08\x00"]
        assert len(pings) == 2
        (kinds[peer],) = {outer.encapsulation for outer in pings}
    return kinds


def test_each_pair_speaks_in_its_own_way(mixed: Running) -> None:
    assert mixed.broken() == {}
    assert spoken(mixed) == IN_THE_FILE


def test_broadcast_arrives_once_whatever_the_ways(mixed: Running) -> None:
    with watched_ports(mixed) as ports:
        for number, source in enumerate(["red1", "red2", "red3", "red4"]):
            ports.broadcast_from(source, number)
            assert ports.seen(number) == dict.fromkeys({"red1", "red2", "red3", "red4"} - {source}, 1)


def test_one_pair_changes_while_traffic_flows(mixed: Running) -> None:
    file = Path(mixed.lab.file)
    command = mixed.command("red2", "ping", "-i", "0.01", "-c", "400", "-q", "10.1.1.3")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as ping:
        file.write_text(file.read_text().replace("{host3: geneve}", "{host3: gre}"))
        report = ping.communicate(timeout=30)[0]
    until(lambda: "geneve-host3" not in mixed.run("host2", "ovs-vsctl", "list-ports", "br-int"))

    assert " 0% packet loss" in report
    assert spoken(mixed) == {**IN_THE_FILE, "red3": "gre"}
    assert mixed.broken() == {}
