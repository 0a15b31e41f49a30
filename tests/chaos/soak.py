"""Tens of thousands of MACs are learned and forgotten, three times over: memory stays where it was."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sdnapp.lab.errors import LabError
from sdnapp.memory import PERIOD
from tests.bench import bridges
from tests.bench.bridges import Fleet
from tests.bench.ground import until
from tests.bench.learning import FIRST, send

MACS, AGE, ROUNDS = 64_000, 60, 3
"""How many, the seconds of silence after which one is forgotten, and how often."""
TOLERANCE = 0.03
"""Of the memory after the round before the last, by how much it may differ after the last one."""
PATIENCE = 300.0
INSIDE = Path(__file__).with_name("inside")
"""What the controller's Python loads before all else."""
_PART, _PAUSE = 2_000, 0.25
"""Frames at once, and seconds until the next ones: fewer than a bridge may send to its controller."""


@dataclass(frozen=True, slots=True)
class Round:
    """MB that the controller's objects take when all are known, and when all are forgotten.

    ``resident``: MB of its resident set then, with the holes between objects. ``files``: its open files.
    ``learned``, ``forgotten``: seconds that it took.
    """

    known: float
    after: float
    resident: float
    files: int
    learned: float
    forgotten: float


def rounds(macs: int, age: int, hub: str = "eventlet") -> Iterator[Round]:
    """Learn so many MACs, wait until all are forgotten after ``age`` seconds of silence, and again."""
    written = bridges.text(2, 1, [(0, 0), (1, 0)])
    written = written.replace("{encapsulation: gre}", f"{{encapsulation: gre, mac_age: {age}}}")
    with tempfile.TemporaryDirectory() as directory, bridges.fleet(written, switches=2) as fleet:
        used = Path(directory, "memory")
        fleet.controller.hub = hub
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PYTHONPATH", str(INSIDE))
            patch.setenv("PYTHONMALLOC", "malloc")  # else it knows pools of objects, not objects
            patch.setenv("SDNAPP_MEMORY", str(used))
            fleet.start()
        fleet.build()
        fleet.in_sync(2)
        for _ in range(ROUNDS):
            yield _round(fleet, macs, used)


def _round(fleet: Fleet, macs: int, used: Path) -> Round:
    began, before = time.monotonic(), _flows(fleet)
    name = bridges.host(0)
    sources = [(FIRST + number).to_bytes(6, "big") for number in range(macs)]
    management, port = fleet.ovs(name).directory / f"{name}.mgmt", fleet.overlay.hosts[name].ports[0].ofport
    deadline = began + PATIENCE
    while not all(now >= then + macs for now, then in zip(_flows(fleet), before, strict=True)):
        if time.monotonic() > deadline:
            raise LabError(f"not all of {macs} MACs are learned after {PATIENCE:.0f} s: {_flows(fleet)}")
        for start in range(0, macs, _PART):  # again, as stations do: a bridge drops what is too much at once
            send(management, port, sources[start : start + _PART])
            time.sleep(_PAUSE)
    learned, known = time.monotonic(), _used(used)
    until(lambda: _flows(fleet) == before, "not all is forgotten", PATIENCE)
    until(fleet.controller.in_sync, "not in sync", PATIENCE)
    time.sleep(2 * PERIOD + 2)  # what was needed meanwhile is given back by then
    files = len(list(_process(fleet).joinpath("fd").iterdir()))
    seconds = learned - began, time.monotonic() - learned
    return Round(known, _used(used), _resident(fleet), files, *seconds)


def _used(path: Path) -> float:
    """Read what the controller wrote down last: MB."""
    return int(path.read_text(encoding="ascii")) / 1e6


def drift(found: list[Round]) -> float:
    """Return by which share memory differs after the last round from what it was after the one before."""
    return found[-1].after / found[-2].after - 1


def _flows(fleet: Fleet) -> list[int]:
    """How many flows each bridge holds. To ask the controller for its locations would take memory of it."""
    answers = [fleet.ovs(name).ofctl("dump-aggregate", name) for name in fleet.overlay.hosts]
    return [int(answer.rpartition("flow_count=")[2]) for answer in answers]


def _process(fleet: Fleet) -> Path:
    assert fleet.controller.process is not None
    return Path(f"/proc/{fleet.controller.process.pid}")


def _resident(fleet: Fleet) -> float:
    """The resident set of the controller, in MB (proc(5))."""
    found = re.search(r"^VmRSS:\s*(\d+) kB", (_process(fleet) / "status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024 / 1e6
