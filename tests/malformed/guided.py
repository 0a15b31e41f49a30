"""``./run fuzz --guided``: atheris looks for bytes that take a new way through check and parsers.

Each input is a message, with the right length in its header. The first are sound ones of ``messages``. What
raises, or takes too long, ends it, with the input (libFuzzer's ``crash-…``) beside temporary files.
"""

from __future__ import annotations

import logging
import sys
import tempfile
from pathlib import Path
from random import Random
from struct import pack_into

import atheris

with atheris.instrument_imports(include=["sdnapp.openflow", "sdnapp.net", "sdnapp.frames", "os_ken.ofproto"]):
    import os_ken.base.app_manager  # noqa: F401  # the controller's module wants to be imported after it

    from tests.malformed import judge
    from tests.malformed.messages import TYPES

SLOW = 1.0
"""Seconds of the processor for a message; instrumented code takes several times as long."""


def _try(data: bytes) -> None:
    raw = bytearray(data[:0xFFFF].ljust(8, b"\0"))
    raw[0] = 4
    pack_into("!H", raw, 2, len(raw))
    told = judge.judge([bytes(raw)])
    if told.raised or told.worst[0] > SLOW:
        raise AssertionError(told.raised or told.worst)


def run(runs: int, seed: int) -> int:
    """Try so many inputs. libFuzzer ends the process itself when one fails."""
    logging.disable(logging.CRITICAL)
    random = Random(seed)
    with tempfile.TemporaryDirectory() as corpus:
        for number in range(400):
            kind = list(TYPES)[number % len(TYPES)]
            (Path(corpus) / str(number)).write_bytes(TYPES[kind](random).data[:4096])
        options = [
            f"-runs={runs}",
            f"-seed={seed}",
            "-max_len=4096",
            "-len_control=0",
            "-print_final_stats=1",
        ]
        options.append(f"-artifact_prefix={tempfile.gettempdir()}/")
        atheris.Setup([sys.argv[0], *options, corpus], _try)
        atheris.Fuzz()
    return 0
