"""What the controller costs when nothing happens."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from sdnapp.lab import services
from tests.bench import ground
from tests.bench.figure import Effort, Figure, absolute

SETTLE, WATCHED = 1, 4
"""Seconds that it has to come to rest, and that it is watched for in a round: one of echo requests."""


def figures(effort: Effort) -> Iterator[Figure]:
    """Look at the controller of two hosts that are in sync."""
    with tempfile.TemporaryDirectory() as directory, ground.overlay(Path(directory)) as lab:
        assert lab.controller is not None
        process = Path(f"/proc/{lab.controller.services[services.CONTROLLER].pid}")
        time.sleep(SETTLE)
        busy = [_busy(process) for _ in range(effort.few)]
        yield absolute("controller at rest: memory", [_megabytes(process)], "MB", at_most=80)
        yield absolute("controller at rest: processor", busy, "%", at_most=0.2)


def _busy(process: Path) -> float:
    """Return how much of one processor it takes in a round, in percent."""
    before = _nanoseconds(process)
    time.sleep(WATCHED)
    return (_nanoseconds(process) - before) / (WATCHED * 1e9) * 100


def _megabytes(process: Path) -> float:
    """Return the resident set (proc(5))."""
    found = re.search(r"^VmRSS:\s*(\d+) kB", (process / "status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found.group(1)) * 1024 / 1e6


def _nanoseconds(process: Path) -> int:
    """Return how long its threads have run (Documentation/scheduler/sched-stats.rst)."""
    return sum(int((task / "schedstat").read_text().split()[0]) for task in (process / "task").iterdir())
