"""Loops between ports: two learning ports that are bridged behind the back of the network."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from sdnapp.lab import services
from tests.netns.conftest import Running, sdnapp, until

TEXT = """
overlay: {encapsulation: vxlan, loop_protect: 5}
controller: {target: "tcp:192.168.4.10:6653"}
tenants:
  red: {networks: {web: {vlan: 10, vni: 5010, subnet: 10.1.1.0/24}, db: {vlan: 20, vni: 5020}}}
hosts:
  host1: {vtep: 192.168.4.201}
  host2: {vtep: 192.168.4.202}
ports:
  red1: {host: host1, network: red/web, address: 10.1.1.1/24}
  red2: {host: host2, network: red/web, address: 10.1.1.2/24}
  red3: {host: host1, network: red/web, address: 10.1.1.3/24}
  loop1: {host: host1, network: red/web, address: 10.1.1.11/24, port_security: false, namespace: around}
  loop2: {host: host1, network: red/web, address: 10.1.1.12/24, port_security: false, namespace: around}
  open1: {host: host1, network: red/db, port_security: false, namespace: beside, loop_protect: false}
  open2: {host: host1, network: red/db, port_security: false, namespace: beside, loop_protect: false}
"""

PAIRS = {"around": ("loop1", "loop2"), "beside": ("open1", "open2")}
"""By namespace, the ports in it; those beside are not protected."""

HOLD = 5

PATIENCE = 30.0
"""Seconds. On a machine that does nothing else a loop is found in 1 to 3."""


@pytest.fixture(scope="module", name="running")
def _running(bring_up: Callable[..., Running]) -> Running:
    return bring_up(TEXT)


def held(running: Running) -> list[dict[str, Any]]:
    """Alarms of ports that are held down."""
    return [alarm for alarm in running.get("/v1/alarms") if alarm["kind"] == "loop"]


def bridged(running: Running, namespace: str) -> None:
    """Bridge the two ports in a namespace; the bridge says that it is there, in frames to groups."""
    one, other = PAIRS[namespace]
    for command in (
        "link add name br0 address 02:00:00:00:0b:00 type bridge",
        f"link set {one} master br0",
        f"link set {other} master br0",
        "link set br0 up",
    ):
        running.run("host1", "ip", "-n", namespace, *command.split())


def unbridged(running: Running, namespace: str) -> None:
    """Take the bridge away."""
    running.run("host1", "ip", "-n", namespace, "link", "del", "br0")


def rate(running: Running, namespace: str) -> float:
    """Frames per second that come in at the two ports in a namespace."""

    def count() -> int:
        files = [f"/sys/class/net/{port}/statistics/rx_packets" for port in PAIRS[namespace]]
        return sum(map(int, running.run("host1", "cat", *files).split()))

    began, before = time.monotonic(), count()
    time.sleep(1)
    return (count() - before) / (time.monotonic() - began)


def log(running: Running) -> str:
    """What the controller logged."""
    return running.lab.log(services.CONTROLLER, services.CONTROLLER).read_text()


def ping(running: Running, source: str, address: str) -> bool:
    """Whether 20 pings in a row are all answered."""
    said = running.run(source, "ping", "-c", "20", "-i", "0.05", "-W", "2", address, check=False)
    return " 20 received" in said


def passes(running: Running) -> bool:
    """Whether frames pass the port that is held down, both ways."""
    said = running.run("loop2", "ping", "-I", "loop2", "-c", "1", "-W", "1", "10.1.1.1", check=False)
    return " 1 received" in said


def test_a_loop_of_two_ports_is_ended_told_and_forgotten_when_it_is_gone(running: Running) -> None:
    running.settled()
    assert passes(running)
    bridged(running, "beside")
    storm = max(rate(running, "beside") for _ in range(2))
    unbridged(running, "beside")
    assert not held(running)

    bridged(running, "around")
    until(lambda: bool(held(running)), PATIENCE, "no alarm")
    (alarm,) = held(running)
    assert (alarm["host"], alarm["port"], alarm["network"]) == ("host1", "loop2", "red/web")
    assert "loop1" in alarm["text"]
    assert "port.loop_detected host=host1 port=loop2" in log(running)

    until(lambda: rate(running, "around") < storm / 20, PATIENCE, f"the storm of {storm:.0f}/s goes on")
    assert not passes(running)
    assert ping(running, "red1", "10.1.1.3")
    assert ping(running, "red1", "10.1.1.2")
    time.sleep(HOLD + 1)
    assert held(running), "released although the loop is there"

    unbridged(running, "around")
    until(lambda: not held(running), PATIENCE, "it is held although the loop is gone")
    assert "port.loop_cleared host=host1 port=loop2" in log(running)
    until(lambda: passes(running), PATIENCE, "it is not back")


def test_a_port_is_released_by_hand(running: Running) -> None:
    until(lambda: not held(running), PATIENCE)
    bridged(running, "around")
    until(lambda: bool(held(running)), PATIENCE, "no alarm")
    unbridged(running, "around")

    assert "loop2 is released" in sdnapp("unfreeze", "--port", "loop2", "--name", running.name).stdout
    until(lambda: not held(running), PATIENCE)
    assert "is not held down" in sdnapp("unfreeze", "--port", "loop2", "--name", running.name).stderr
