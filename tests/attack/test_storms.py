"""Storms of forged sources from every kind of sender, and what they cost those that have no part in them."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import netns
from tests.attack import packets
from tests.attack.arena import Arena, arena
from tests.attack.ground import KINDS, Sender, sender
from tests.netns.conftest import Running

pytestmark = pytest.mark.alone

STORM = str(Path(netns.__file__).with_name("storm.py"))
PINGS, MORE = 100, 3
"""Of each measurement, and how many more may be lost under a storm."""
FORGED = {"source MAC": (6, 12), "source address": (26, 30)}
BYSTANDERS = (("blue1", "10.1.1.2"), ("near", "10.1.1.2"))
"""Another tenant, and strict ports of the tenant that is attacked; both reach another host."""


@pytest.fixture(scope="module")
def there(bring_up: Callable[..., Running]) -> Iterator[Arena]:
    with arena(bring_up) as made:
        yield made


def frame(of: Sender) -> bytes:
    """An IPv4 packet in the first network of a sender, to everyone."""
    station = of.station
    tag = next(iter(station.tags.values())) if station is not None else None
    payload = packets.ipv4("10.1.1.99", "10.1.1.255", packets.UDP, bytes(26))
    source = station.mac if station is not None else "02:77:00:00:00:99"
    stack = () if tag is None else ((0x8100, tag),)
    return packets.ethernet(packets.EVERYONE, source, stack, packets.IPV4, payload)


@contextmanager
def storm(there: Arena, of: Sender, forged: tuple[int, int]) -> Iterator[None]:
    """Frames of this sender as fast as it can, with these octets made up each time."""
    data = frame(of)
    tag = 4 * (data[12:14] == b"\x81\x00" and forged[0] > 12)
    part = f"{forged[0] + tag}-{forged[1] + tag}"
    with there.taps[of.port].dup() as out:
        out.setblocking(True)
        command = [sys.executable, STORM, str(out.fileno()), data.hex(), part]
        process = subprocess.Popen(command, pass_fds=[out.fileno()])
        try:
            yield
            assert process.poll() is None
        finally:
            process.kill()
            process.wait()


def lost(there: Arena) -> int:
    """Of the pings of all bystanders, at once, how many are not answered."""
    pings = [
        subprocess.Popen(
            [*there.enter[port], "ping", "-q", "-c", str(PINGS), "-i", "0.02", "-W", "2", address],
            stdout=subprocess.PIPE,
            text=True,
        )
        for port, address in BYSTANDERS
    ]
    answered = [re.search(r"(\d+) received", each.communicate()[0]) for each in pings]
    return sum(PINGS - int(found.group(1)) for found in answered if found)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in {"vtep", "underlay"}])
def test_a_storm_of_forged_sources_starves_no_bystander(there: Arena, kind: str) -> None:
    """Storms on the underlay are left out: SECURITY.md says what they cost, and what filters them.

    They share the uplink's queue with the frames of other hosts. For a sender that no tunnel port has as its
    peer, Open vSwitch makes a datapath entry for each frame, before any flow of a bridge is looked up.
    """
    of = sender(there.ground, kind)
    found = {"quiet": lost(there)}
    for what, forged in FORGED.items():
        with storm(there, of, forged):
            found[what] = lost(there)
    found["quiet again"] = lost(there)

    reference = max(found["quiet"], found["quiet again"])
    assert max(found.values()) <= reference + MORE, found
    there.running.settled()
