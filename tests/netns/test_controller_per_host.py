"""What several controllers learn, each of its own host: addresses, leases, groups, moves and flaps."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sdnapp.frames.packet import octets
from tests.netns.conftest import SDNAPP, Running, until
from tests.netns.controller_per_host import everywhere
from tests.netns.dhclient import ask
from tests.netns.dhcp_server import DhcpServer
from tests.netns.frames import answers, arp, questions
from tests.netns.guest import behind
from tests.netns.listeners import asking, listening, streamed
from tests.netns.raw import device, heard, wires
from tests.netns.wire import underlay_tap
from tests.overlays import THREE_HOSTS

FILE = (
    THREE_HOSTS
    + """\
  any1:   {host: host1, network: red/web, mac: "02:00:00:00:00:01"}
  red1:   {host: host1, network: red/web, mac: "02:00:00:00:00:02", address: [10.1.1.1, "fd00:1::1"]}
  any2:   {host: host2, network: red/web, mac: "02:00:00:00:00:03"}
  red2:   {host: host2, network: red/web, mac: "02:00:00:00:00:04", address: [10.1.1.2, "fd00:1::2"],
           roles: dhcp-server}
  red3:   {host: host3, network: red/web, mac: "02:00:00:00:00:05", address: [10.1.1.3, "fd00:1::3"]}
overlay: {duplicate_mac_detection: {max_moves: 3, freeze: 30}}
"""
)
GUEST, FLAPPER = "02:aa:00:00:00:01", "02:aa:00:00:00:02"


@pytest.fixture(scope="module")
def running(bring_up: Callable[..., Running]) -> Iterator[Running]:
    with everywhere(bring_up(FILE)) as running:
        yield running


def told(running: Running, host: str) -> Any:
    """What the controller of this host says."""
    return json.loads(running.run(host, SDNAPP, "show", "--json"))


def station(running: Running, host: str, mac: str = GUEST) -> dict[str, Any]:
    """Where the controller of this host takes a station to be; nothing if it does not know."""
    return next((at for at in told(running, host)["locations"] if at["mac"] == mac), {})


def reaches(running: Running, port: str, *whom: str) -> None:
    """Wait until a ping is answered: bridges connect anew, and tunnels find their neighbours."""
    until(lambda: "1 received" in running.run(port, "ping", "-c", "1", "-W", "1", *whom, check=False))


def frozen(running: Running, host: str) -> bool:
    return bool(station(running, host, FLAPPER).get("frozen"))


def asked(running: Running, port: str, mac: str, ip: str) -> tuple[int, int]:
    """A port of host1 or host2 asks for an address: the answers that it gets, the questions in tunnels."""
    host = running.overlay.ports[port].host
    own = running.overlay.ports[port].attachments[0].addresses[0].ip
    with device(running, port) as wire, underlay_tap(running, host) as seen:
        wire.send(arp(mac, mac, str(own), ip))
        told = answers(heard(wire))
        assert all(answer[22:28] == octets(GUEST) for answer in told)
        return len(told), len(questions([outer.inner for outer in seen()]))


def test_a_controller_that_has_its_own_bridge_is_well(running: Running) -> None:
    """Those of other hosts connect elsewhere."""
    healthy = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8080/healthz').read().decode())"
    for host in running.lab.hosts:
        ask = ("/usr/bin/python3", "-c", healthy)
        until(lambda host=host, ask=ask: json.loads(running.run(host, *ask))["status"] == "ok")  # type: ignore[misc]


def test_an_address_that_was_heard_is_answered_on_its_own_host_and_asked_for_elsewhere(
    running: Running,
) -> None:
    with behind(running, "any1", GUEST):
        running.run("any1", "ip", "address", "add", "10.1.1.77/24", "dev", "guest")
        reaches(running, "any1", "-I", "guest", "10.1.1.2")
        until(lambda: "10.1.1.77" in station(running, "host1").get("addresses", ()))
        running.followed()
        assert asked(running, "red1", "02:00:00:00:00:02", "10.1.1.77") == (1, 0)
        answered, flooded = asked(running, "red2", "02:00:00:00:00:04", "10.1.1.77")
        assert (answered, flooded > 0) == (1, True)


def test_a_lease_from_another_host_is_known_where_its_station_lives(running: Running, tmp_path: Path) -> None:
    with behind(running, "any1", GUEST), device(running, "red2") as raw:
        raw.setblocking(True)
        with DhcpServer(raw, "10.1.1.2", ("10.1.1.50", "fd00:1::50"), 3600).serving():
            ask(partial(running.run, "any1"), "guest", tmp_path, "-4")
        until(lambda: "10.1.1.50" in station(running, "host1").get("addresses", ()))
        running.followed()
        assert told(running, "host1")["networks"][0]["service_counters"]["lease learned"] >= 1
        assert asked(running, "red1", "02:00:00:00:00:02", "10.1.1.50") == (1, 0)


def test_a_station_that_moves_to_another_host_is_found_by_all(running: Running) -> None:
    """Each controller sees it come by itself; the old one by the tunnel."""
    for port, host in (("any1", "host1"), ("any2", "host2"), ("any1", "host1")):
        with behind(running, port, GUEST):
            running.run(port, "ip", "address", "add", "10.1.1.77/24", "dev", "guest")
            running.run(port, "arping", "-U", "-c", "1", "-I", "guest", "10.1.1.77", check=False)
            reaches(running, "red3", "10.1.1.77")
            for of in running.lab.hosts:
                until(lambda of=of, host=host: station(running, of).get("host") == host)  # type: ignore[misc]


def test_a_station_that_flaps_between_hosts_is_frozen_by_each(running: Running) -> None:
    frame = b"\xff" * 6 + octets(FLAPPER) + b"\x88\xb5" + bytes(50)
    hosts = tuple(running.lab.hosts)

    def followed(to: str) -> bool:
        """Whether each controller has seen this move, or takes no more of them."""
        seen = [station(running, host, FLAPPER) for host in hosts]
        return all(at.get("frozen") or at.get("host") == to for at in seen)

    with device(running, "any1") as one, device(running, "any2") as other:
        for _ in range(2):  # a first place, and the three moves
            for wire, host in ((one, "host1"), (other, "host2")):
                until(lambda wire=wire, host=host: wire.send(frame) and followed(host))  # type: ignore[misc]
    until(lambda: all(frozen(running, host) for host in hosts))
    where = {station(running, host, FLAPPER)["host"] for host in hosts}
    assert len(where) == 1
    until(lambda: not any(frozen(running, host) for host in hosts))


@pytest.mark.parametrize("version", [4, 6])
def test_groups_are_known_by_all(running: Running, version: int) -> None:
    """Reports go to every host there, so that each sends to the listeners of all."""
    with wires(running) as at, asking(running), listening(running, "red2", version) as red2:
        for host in running.lab.hosts:
            until(lambda host=host: snooping(running, host, version))  # type: ignore[misc]
        running.followed()
        for source in ("red1", "red3"):
            said, seen = streamed(running, at, version, source)
            assert seen == {"red2": 1, "router": 1}
            assert red2.recv(100) == said


def snooping(running: Running, host: str, version: int) -> bool:
    (network,) = told(running, host)["networks"]
    multicast = network["multicast"]
    return multicast[f"ipv{version}"] == "snooping" and len(multicast["groups"]) > 0
