"""How fast this machine is at plain Python, now: what bars in seconds are multiplied with.

The work is of the kind that the controller does: tuples are hashed, sets compared, bytes packed.
"""

from __future__ import annotations

import struct
import time
from statistics import median

TAKEN = 0.18
"""Seconds that the work took on the machine on which the bars were set."""
_RECORD = struct.Struct("!IHQ")


def work() -> int:
    """Do the same each time; what comes out is the same, too."""
    keys = [(number % 97, number * 7919 % 100_003) for number in range(100_000)]
    held = {key: index for index, key in enumerate(keys)}
    other = {key for key in keys if key[0] % 3}
    packed = b"".join(_RECORD.pack(index, *key) for key, index in held.items())
    found = sorted(held.keys() - other, key=lambda key: (key[1], key[0]))
    return len(packed) + len(found)


def pace() -> float:
    """How many times as long plain Python takes here as there; more than 1 on a slower or busier machine."""
    took = []
    for _ in range(5):
        began = time.perf_counter()
        work()
        took.append(time.perf_counter() - began)
    return median(took) / TAKEN
