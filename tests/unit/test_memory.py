"""What a burst needed is given back to the system."""

from __future__ import annotations

import subprocess
import sys

BURST = """
from pathlib import Path
from sdnapp.memory import give_back

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

kept, pieces = [], []
for number in range(100_000):
    (kept if number % 1000 == 0 else pieces).append(bytearray(1000))
before = resident()
del pieces
give_back()
print(before - resident())
"""


def test_memory_between_pieces_in_use_is_given_back() -> None:
    """In a process of its own: what another test left in this one does not matter."""
    told = subprocess.run([sys.executable, "-c", BURST], capture_output=True, text=True, check=True).stdout

    assert int(told) > 50_000_000
