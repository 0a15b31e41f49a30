"""How long a person waits for a lab."""

from __future__ import annotations

import time
from collections.abc import Iterator

from sdnapp.lab import lifecycle, services
from tests.bench import ground
from tests.bench.figure import Effort, Figure, absolute


def figures(effort: Effort) -> Iterator[Figure]:
    """Time the command, from its start to its end, when everything is ready."""
    yield absolute("lab up, two hosts", [_up() for _ in range(effort.few)], "s", at_most=8)


def _up() -> float:
    try:
        began = time.monotonic()
        ground.run([services.script("sdnapp"), "lab", "up", str(ground.EXAMPLE), "--name", ground.OURS])
        return time.monotonic() - began
    finally:
        lifecycle.down(ground.OURS)
