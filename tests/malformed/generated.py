"""``./run fuzz``: messages made at random of what OpenFlow has, and broken; how a controller takes them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from random import Random

import os_ken.base.app_manager  # noqa: F401  # the connection's module wants to be imported after it

from sdnapp.openflow import connection, shapes
from tests.malformed.damage import damaged
from tests.malformed.judge import LONGEST, judge
from tests.malformed.messages import TYPES


def made(seed: int, count: int) -> Iterator[bytes]:
    """So many messages, of all types, the same from each seed."""
    random = Random(seed)
    makes = list(TYPES.values())
    for _ in range(count):
        yield damaged(random, random.choice(makes)(random))


def run(runs: int, seed: int) -> int:
    """Say so many messages; the exit code: 0 if none raised anything or took too long."""
    logging.getLogger("sdnapp").setLevel(logging.ERROR)
    told = judge(made(seed, runs))
    worst, step, message = told.worst
    print(f"{told.messages} messages, seed {seed}: {told.heard} were heard,", end=" ")
    print(f"{connection.malformed.total()} malformed, {connection.unreadable.total()} unreadable")
    print(f"slowest: {worst * 1000:.1f} ms of the processor for a {step} of {shapes.name(message[1])}")
    for took, step, message in told.slow[:5]:
        print(f"more than {LONGEST * 1000:.0f} ms, {took * 1000:.0f} ({step}): {_shown(message)}")
    print(f"raised: {len(told.raised)}")
    for reason, message in told.raised[:20]:
        print(f"  {reason}: {_shown(message)}")
    return 1 if told.raised or told.slow else 0


def _shown(message: bytes) -> str:
    return f"{message[:200].hex()} ({len(message)} bytes)"
