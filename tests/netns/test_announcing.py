"""A neighbour that had an address's old MAC gets the new one, and waits for no time-out of its own."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.netns.conftest import Running, until

TEXT = """
tenants:
  red: {networks: {web: {vni: 5010, subnet: [10.1.1.0/24, "fd00:1::/64"]}}}
hosts:
  host1: {vtep: 192.168.4.201}
  host2: {vtep: 192.168.4.202}
ports:
  here:  {host: host1, network: red/web, address: [10.1.1.1/24, "fd00:1::1/64"]}
  there: {host: host2, network: red/web, address: [10.1.1.2/24, "fd00:1::2/64"]}
  near:  {host: host1, network: red/web, address: [10.1.1.3/24, "fd00:1::3/64"]}
"""
NEW = "02:00:00:00:00:99"
AT_REST = 20.0
"""Seconds: less than the 30 that a neighbour is reachable without a word from it (RFC 4861 section 10)."""


@pytest.fixture(scope="module")
def running(bring_up: Callable[..., Running]) -> Running:
    return bring_up(TEXT)


def neighbours(running: Running, port: str, *addresses: str) -> set[str]:
    """The MACs that the workload of this port has for these addresses."""
    words = "".join(running.run(port, "ip", "neigh", "show", address) for address in addresses)
    return set(re.findall("lladdr ([0-9a-f:]+)", words))


def change(running: Running, before: str, after: str) -> None:
    file = Path(running.lab.file)
    text = file.read_text(encoding="utf-8")
    assert before in text
    file.write_text(text.replace(before, after), encoding="utf-8")


@pytest.mark.parametrize(
    ("before", "after", "addresses"),
    [
        pytest.param("there: {", f'there: {{mac: "{NEW}", ', ("10.1.1.2", "fd00:1::2"), id="a new MAC"),
        pytest.param("near: ", "renamed: ", ("10.1.1.3", "fd00:1::3"), id="another name"),
    ],
)
def test_neighbours_take_the_new_mac_of_an_address(
    running: Running, before: str, after: str, addresses: tuple[str, str]
) -> None:
    others = [port for port in running.overlay.ports if not before.startswith(f"{port}:")]
    for port in others:
        for address in addresses:
            running.run(port, "ping", "-c", "1", address)
    assert len(set.union(*(neighbours(running, port, *addresses) for port in others))) == 1

    change(running, before, after)

    (new,) = {port.mac for port in running.overlay.ports.values() if after.startswith(f"{port.name}:")}
    for port in others:
        until(lambda port=port: neighbours(running, port, *addresses) == {new}, AT_REST)  # type: ignore[misc]
    assert "1 received" in running.run(others[0], "ping", "-c", "1", "-W", "2", addresses[0])
