"""A controller on every host: each knows the file and its own bridge, and nothing of the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import ip_address

import pytest

from tests.netns.conftest import Running, until
from tests.netns.controller_per_host import TARGET, everywhere
from tests.netns.guest import Guest, behind

GUEST = "02:aa:00:00:00:99"


@pytest.fixture(scope="module")
def running(bring_up: Callable[..., Running]) -> Iterator[Running]:
    """A lab whose controller and agents made way for a controller and an agent on each host."""
    vm = ("ports:", "ports:\n  vm: {attach: external, network: red/web}")
    central = bring_up("minimal.yaml", [vm, ("10.1.1.1/24}", "10.1.1.1/24, port_security: false}")])
    with everywhere(central) as running:
        yield running


def flows_about(running: Running, host: str, mac: str) -> list[str]:
    return [flow for flow in running.flows(host) if mac in flow]


def test_bridges_connect_to_their_own_host(running: Running) -> None:
    for host in running.lab.hosts:
        assert TARGET in running.run(host, "ovs-vsctl", "get-controller", "br-int")
        connected = ("ovs-vsctl", "--bare", "--columns=is_connected", "list", "controller")
        until(lambda host=host, ask=connected: "true" in running.run(host, *ask))  # type: ignore[misc]


def test_who_reaches_whom_is_what_the_file_promises(running: Running) -> None:
    assert running.broken() == {}


def test_a_station_that_only_another_host_knows_is_learned_from_its_tunnel(running: Running) -> None:
    """And the way to it is direct from then on, not flooded."""
    with behind(running, "red1", GUEST):
        running.run("red1", "ip", "address", "add", "10.1.1.77/24", "dev", "guest")
        ping = ("ping", "-c", "1", "-W", "1", "-I", "guest", "10.1.1.2")
        until(lambda: "1 received" in running.run("red1", *ping, check=False))

        tunnel = "idle_timeout=300"
        until(lambda: any(tunnel in flow for flow in flows_about(running, "host2", GUEST)))
        assert any("tun_id" in flow and "output" in flow for flow in flows_about(running, "host2", GUEST))
        assert any(tunnel in flow for flow in flows_about(running, "host1", GUEST))


def test_a_guest_is_reached_from_a_host_whose_controller_has_never_seen_it(running: Running) -> None:
    guest = Guest(running.lab.hosts["host2"], "vnet0", GUEST.replace("99", "98"), ip_address("10.1.1.9"))
    with guest.running():
        running.run("host2", "ip", "link", "set", "vnet0", "up")
        bind = ("add-port", "br-int", "vnet0", "--", "set", "interface", "vnet0", "external_ids:iface-id=vm")
        running.run("host2", "ovs-vsctl", *bind)
        ping = ("ping", "-c", "1", "-W", "0.3", "10.1.1.9")
        until(lambda: "1 received" in running.run("red1", *ping, check=False))
        running.run("host2", "ovs-vsctl", "del-port", "vnet0")


def test_a_host_goes_on_when_the_controller_of_another_is_gone(running: Running) -> None:
    running.run("host1", "pkill", "-KILL", "-f", "osken-manager")

    assert running.run("red2", "ping", "-c", "3", "-i", "0.2", "-W", "2", "10.1.1.1").count("bytes from") == 3
