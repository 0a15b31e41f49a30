"""Tunnels that notice when their other end is gone, and neighbours that are never forgotten for long."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest

from sdnapp.lab import services
from sdnapp.lab.stream import streaming
from tests.netns.conftest import Running, sdnapp, until
from tests.netns.wire import underlay_tap, watched_ports

pytestmark = pytest.mark.alone

INTERVAL = 0.3
FILE = """
overlay: {bfd: 300}
controller: {target: "tcp:192.168.4.10:6653"}
tenants: {red: {networks: {web: {vni: 5010, subnet: 10.1.1.0/24}}}}
hosts:
  host1: {vtep: 192.168.4.201}
  host2: {vtep: 192.168.4.202}
  host3: {vtep: 192.168.4.203}
ports:
  red1: {host: host1, network: red/web, address: 10.1.1.1/24}
  red2: {host: host2, network: red/web, address: 10.1.1.2/24}
  red3: {host: host3, network: red/web, address: 10.1.1.3/24}
"""


def down(running: Running, host: str) -> set[str]:
    tunnels = running.get(f"/v1/hosts/{host}")["tunnels"]
    return {tunnel["peer"] for tunnel in tunnels if tunnel["down"]}


def test_nothing_is_flooded_to_a_peer_that_is_gone(bring_up: Callable[..., Running]) -> None:
    running = bring_up(FILE)
    until(lambda: not any(down(running, host) for host in ("host1", "host2", "host3")))
    time.sleep(2)  # until both ends have agreed on how often: sessions begin slowly (RFC 5880 §6.8.3)

    running.run("host2", "ip", "link", "set", "eth0", "down")
    began = time.monotonic()
    until(lambda: down(running, "host1") == {"host2"}, patience=4)
    assert time.monotonic() - began < 3 * INTERVAL + 0.1
    until(lambda: running.get("/v1/hosts/host1")["in_sync"])
    assert "the tunnel from host1 to host2 is down" in running.get("/v1/status")["alarms"]
    assert "vxlan-host2 to 192.168.4.202, down" in sdnapp("show", "--name", running.name).stdout
    with underlay_tap(running, "host1") as seen, watched_ports(running) as ports:
        ports.broadcast_from("red1", 1)
        assert ports.seen(1) == {"red3": 1}
        copies = [
            outer for outer in seen() if outer.key == 5010 and ports.broadcast("red1", 1) == outer.inner
        ]
        assert len(copies) == 1

    running.run("host2", "ip", "link", "set", "eth0", "up")
    until(lambda: not any(down(running, host) for host in ("host1", "host2", "host3")))
    running.settled()
    with watched_ports(running) as ports:
        ports.broadcast_from("red1", 2)
        assert ports.seen(2) == {"red2": 1, "red3": 1}
    told = running.lab.log("controller", services.CONTROLLER).read_text()
    assert re.search(r"tunnel\.down.*host1.*host2(?s:.*)tunnel\.up.*host1.*host2", told)


@pytest.mark.parametrize("underlay", ["IPv4", "IPv6"])
def test_a_stream_survives_that_the_switch_forgets_its_neighbour(
    bring_up: Callable[..., Running], underlay: str
) -> None:
    """Without the agent, Open vSwitch 3.1 loses all of a stream in one direction from then on."""
    running = bring_up("two-hosts.yaml" if underlay == "IPv4" else "ipv6-underlay.yaml")
    names = [p.name for p in running.overlay.ports.values() if p.attachments[0].network == "red/web"]
    with streaming(running.lab, [(names[0], names[1])], rate=200) as packets:
        time.sleep(1.0)
        running.run("host1", "ovs-appctl", "tnl/neigh/flush")
        time.sleep(4.0)

    (there,) = packets.counts()
    assert there.lost < 0.75 * 200


def test_a_stream_survives_the_age_of_its_neighbour(bring_up: Callable[..., Running]) -> None:
    """What Open vSwitch forgets 15 minutes after its last use, it forgets after 2 seconds here."""
    running = bring_up("two-hosts.yaml")
    running.run("host1", "ovs-appctl", "tnl/neigh/aging", "2")
    with streaming(running.lab, [("red1", "red2")], rate=200) as packets:
        time.sleep(6.0)

    (there,) = packets.counts()
    assert there.lost == 0
