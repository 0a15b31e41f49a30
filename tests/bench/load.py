"""What an honest bridge notices of what only burdens the controller, and what the controller takes for it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.bench.figure import Effort, Figure, absolute, plain
from tests.ovs.load import Load, scene

SECONDS = 5.0
KINDS = {
    "silent": "1,000 silent connections",
    "unknown": "1,000 unknown bridges",
    "packet_ins": "50,000 packet-ins/s of one bridge",
    "endless": "a reply without end",
    "garbage": "300 connections of garbage",
}


def figures(effort: Effort) -> Iterator[Figure]:
    """Measure each assault on both hubs, so many times; and an echo beside none."""
    for hub in ("eventlet", "native"):
        with tempfile.TemporaryDirectory() as directory, scene(Path(directory), hub) as on:
            calm = [on.suffer(None, SECONDS) for _ in range(effort.few)]
            yield plain(f"echo beside nothing, {hub}: p99", _echoes(calm), "ms")
            for kind, words in KINDS.items():
                loads = [on.suffer(kind, SECONDS) for _ in range(effort.few)]
                beside = f"beside {words}, {hub}"
                yield absolute(f"echo {beside}: p99", _echoes(loads), "ms", at_most=50)
                lost = [max(load.sent - load.received for load in loads)]
                yield absolute(f"of a stream {beside}: lost", lost, "", at_most=0)
                grown = [max(load.grown for load in loads) / 1e6]
                yield absolute(f"memory of the controller {beside}: growth", grown, "MB", at_most=50)


def _echoes(loads: list[Load]) -> list[float]:
    return [load.echo(0.99).seconds * 1000 for load in loads]
