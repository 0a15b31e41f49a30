"""How fast locations are learned from traffic, and whether a burst of them is learned to the last."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from struct import pack

from sdnapp.openflow.encode import VERSION
from tests.bench import bridges
from tests.bench.bridges import PATIENCE, Fleet
from tests.bench.figure import Effort, Figure, at_least
from tests.bench.flow_count import flow_count
from tests.bench.ground import until

BURST, FIRST = 20_000, 0x02AA00000000
QUIET = 1.5
"""Seconds without another flow after which all are there."""
_HELLO, _PACKET_OUT = 0, 13
_NO_BUFFER, _TABLE = 0xFFFFFFFF, 0xFFFFFFF9


def figures(effort: Effort) -> Iterator[Figure]:
    """Let a port of one of two hosts send frames from as many sources at once, and wait for the last flow."""
    found = [_burst() for _ in range(effort.few)]
    yield at_least("locations learned from traffic, two hosts", [rate for rate, _ in found], "/s", bar=5000)
    yield at_least("of a burst of 20,000 locations, learned", [known for _, known in found], "", bar=BURST)


def rate() -> float:
    """Return the locations learned in a second of a burst."""
    return _burst()[0]


def _burst() -> tuple[float, int]:
    with bridges.fleet(bridges.text(2, 1, [(0, 0), (1, 0)]), switches=1) as fleet:
        fleet.start()
        fleet.build()
        fleet.in_sync(2)
        return _learn(fleet, [number.to_bytes(6, "big") for number in range(FIRST, FIRST + BURST)])


def _learn(fleet: Fleet, sources: list[bytes]) -> tuple[float, int]:
    """Return the locations learned in a second, and how many of them there were."""
    first = fleet.overlay.hosts[bridges.host(0)]
    managed = [fleet.ovs(each).directory / f"{each}.mgmt" for each in fleet.overlay.hosts]
    with ExitStack() as ends:
        counts = [ends.enter_context(flow_count(each)) for each in managed]
        before = sum(count() for count in counts)
        began = time.monotonic()
        send(managed[0], first.ports[0].ofport, sources)
        ended = _last_growth(lambda: sum(count() for count in counts), before)
    learned = sum(location["kind"] == "learned" for location in fleet.controller.get("/v1/locations"))
    return learned / (ended - began), learned


def _last_growth(count: Callable[[], int], before: int) -> float:
    """Return the time after which so many flows became no more, for a while."""
    flows, grown = before, time.monotonic()

    def is_over() -> bool:
        nonlocal flows, grown
        now, was = time.monotonic(), flows
        flows = count()
        grown = now if flows > was else grown
        return flows > before and now - grown > QUIET

    until(is_over, "flows of what was learned go on and on", PATIENCE)
    return grown


def send(bridge: Path, port: int, sources: Iterable[bytes]) -> None:
    """Let a frame from each source come in on a port of the bridge that is managed here."""
    frames = b"".join(_frame(port, source) for source in sources)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(bridge))
        connection.sendall(pack("!BBHI", VERSION, _HELLO, 8, 0) + frames)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1 << 16):
            pass


def _frame(port: int, source: bytes) -> bytes:
    """Write a packet-out that lets a broadcast come in on the port (OpenFlow 1.3.5 §7.3.7)."""
    ethernet = b"\xff" * 6 + source + b"\x88\xb5" + bytes(46)
    action = pack("!HHIHxxxxxx", 0, 16, _TABLE, 0)
    length = 24 + len(action) + len(ethernet)
    head = pack("!BBHIIIHxxxxxx", VERSION, _PACKET_OUT, length, 0, _NO_BUFFER, port, len(action))
    return head + action + ethernet
