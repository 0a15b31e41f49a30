"""Multicast among kernels: a bridge that asks, sockets that join and leave, streams that go there alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.netns.conftest import Running, until
from tests.netns.listeners import GROUP, asking, listening, streamed
from tests.netns.raw import wires
from tests.overlays import THREE_HOSTS

FILE = (
    THREE_HOSTS
    + """\
  red1:   {host: host1, network: red/web, address: [10.1.1.1, "fd00:1::1"]}
  red2:   {host: host2, network: red/web, address: [10.1.1.2, "fd00:1::2"]}
  red3:   {host: host3, network: red/web, address: [10.1.1.3, "fd00:1::3"]}
  red4:   {host: host3, network: red/web, address: [10.1.1.4, "fd00:1::4"]}
"""
)
EVERYBODY = {"router", "red2", "red3", "red4"}


@pytest.fixture(scope="module")
def lab(bring_up: Callable[..., Running]) -> Running:
    running = bring_up(FILE)
    assert running.broken() == {}  # the first packet of a tunnel waits for nobody to be found in the underlay
    return running


def known(lab: Running, version: int) -> tuple[str, set[str]]:
    """What bridges do with groups, and who is known to listen to this one."""
    (network,) = lab.get("/v1/networks")
    multicast = network["multicast"]
    return multicast[f"ipv{version}"], set(multicast["groups"].get(GROUP[version], ()))


def listens(lab: Running, version: int, *ports: str) -> None:
    """Wait until these are known to listen, and bridges send accordingly."""
    until(lambda: known(lab, version) == ("snooping", set(ports)))
    lab.settled()
    lab.followed()


def test_while_nobody_asks_a_stream_goes_everywhere(lab: Running) -> None:
    with wires(lab) as at:
        for version in (4, 6):
            assert streamed(lab, at, version)[1] == dict.fromkeys(EVERYBODY, 1)


@pytest.mark.parametrize("version", [4, 6])
def test_a_stream_goes_where_kernels_joined_and_nowhere_else(lab: Running, version: int) -> None:
    with wires(lab) as at, asking(lab), listening(lab, "red2", version) as red2:
        listens(lab, version, "red2")
        said, seen = streamed(lab, at, version)
        assert seen == {"red2": 1, "router": 1}
        assert red2.recv(100) == said
        with listening(lab, "red4", version) as red4:
            listens(lab, version, "red2", "red4")
            said, seen = streamed(lab, at, version)
            assert seen == {"red2": 1, "red4": 1, "router": 1}
            assert red2.recv(100) == red4.recv(100) == said
        listens(lab, version, "red2")
        assert streamed(lab, at, version)[1] == {"red2": 1, "router": 1}
