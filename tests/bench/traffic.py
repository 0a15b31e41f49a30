"""What a packet notices: round-trip time and throughput, against the same two hosts made by hand."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import median

from sdnapp.lab.errors import LabError
from tests.bench import by_hand, ground
from tests.bench.figure import Effort, Figure, as_good, interleaved
from tests.bench.ground import Pair

PINGS, BURSTS = 300, 16
"""Echo requests in a burst, back to back; bursts of each side in a round."""

TRANSFERS, SIZE = 6, "50M"
"""TCP transfers of each side in a round, and how many bytes each carries: many short ones by turns, as what
else the machine does comes and goes within a second."""


def figures(effort: Effort) -> Iterator[Figure]:
    """Compare red1 and red2 of the example, over VXLAN, with two namespaces on standalone bridges."""
    with (
        tempfile.TemporaryDirectory() as directory,
        ground.overlay(Path(directory)) as lab,
        by_hand.like(lab) as reference,
    ):
        yield from compared(ground.red(lab), reference, effort)


def compared(ours: Pair, reference: Pair, effort: Effort, having: str = "") -> Iterator[Figure]:
    """Compare two pairs; ``having`` tells what ours has that is not always there."""
    trips = interleaved(partial(round_trip, ours), partial(round_trip, reference), effort.few * BURSTS)
    yield as_good(f"round-trip time{having}", trips, "ms", at_least=0.95, less_is_better=True)
    rates = interleaved(partial(rate, ours), partial(rate, reference), effort.few * TRANSFERS)
    yield as_good(f"TCP throughput{having}", rates, "Gbit/s", at_least=0.95)


def round_trip(pair: Pair) -> float:
    """Return the median round-trip time of a burst of pings, in milliseconds."""
    answers = pair.near.run("ping", "-n", "-A", "-c", str(PINGS), pair.far.address)
    return median(float(time) for time in re.findall(r" time=([\d.]+) ms", answers))


def rate(pair: Pair) -> float:
    """Return what arrives of one TCP stream by iperf3, in Gbit/s."""
    listen = pair.far.command("iperf3", "--server", "--one-off", "--forceflush")
    with subprocess.Popen(listen, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        if not any("listening" in line for line in server.stdout):
            raise LabError("iperf3 does not start: is another one running?")
        try:
            report = pair.near.run("iperf3", "--client", pair.far.address, "--bytes", SIZE, "--json")
            server.stdout.read()
        finally:
            server.kill()
    return float(json.loads(report)["end"]["sum_received"]["bits_per_second"]) / 1e9
