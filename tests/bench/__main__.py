"""``./run bench``: measure, print one table, and say by the exit status whether every bar is met."""

from __future__ import annotations

import json
import os
import platform
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import click

from sdnapp.cli.terminal import console, interrupted_by_sigterm, on_labs
from sdnapp.lab import services
from sdnapp.lab.errors import LabError
from tests.bench import (
    charts,
    controller,
    faucet,
    features,
    ground,
    lab,
    learning,
    load,
    ports,
    programming,
    programs,
    provision,
    scale,
    tls,
    traffic,
)
from tests.bench.figure import Curve, Effort, Figure, flat, line, table
from tests.bench.pace import pace

Family = Callable[[Effort], Iterator[Figure | Curve]]

FAMILIES: dict[str, Family] = {
    "traffic": traffic.figures,
    "features": features.figures,
    "lab": lab.figures,
    "provision": provision.figures,
    "controller": controller.figures,
    "programming": programming.figures,
    "programs": programs.figures,
    "scale": scale.figures,
    "learning": learning.figures,
    "load": load.figures,
    "ports": ports.figures,
    "tls": tls.figures,
}
"""Figures that are measured together."""

SLOW = {"features", "load", "tls"}
"""Families that are no part of a quick run, unless they are named."""

PEERS: dict[str, Family] = {"learning": faucet.learning_beside, "ports": ports.beside_ovn}
"""The same, with what a peer takes for it."""

_SECONDS = {
    "traffic": 120,
    "features": 330,
    "lab": 20,
    "provision": 60,
    "controller": 30,
    "programming": 90,
    "programs": 20,
    "scale": 240,
    "learning": 60,
    "load": 340,
    "ports": 200,
    "tls": 60,
}
_QUICK_SECONDS = 9
"""What each takes where the bars were set; in a quick run about the same each."""

THOROUGH, QUICK = Effort(5, few=5, quick=False), Effort(2, few=1, quick=True)


@click.command(epilog=f"NAME is one of {', '.join(FAMILIES)}; all of them by default.")
@click.argument("names", metavar="[NAME]...", nargs=-1, type=click.Choice(list(FAMILIES)))
@click.option("--quick", is_flag=True, help="Fewer rounds and sizes, without features: less than 90 s.")
@click.option("--peers", is_flag=True, help="Measure OVN and Faucet, too.")
@click.option("--json", "file", type=click.Path(path_type=Path), help="Write the figures to this file, too.")
@click.option(
    "--charts", "directory", type=click.Path(path_type=Path), help="Draw how costs grow, as PNG, there."
)
def bench(
    names: tuple[str, ...], quick: bool, peers: bool, file: Path | None, directory: Path | None
) -> None:
    """Measure how fast it is, beside what it is compared with, and print one table."""
    found: list[Figure | Curve] = []
    failures: list[str] = []
    families = FAMILIES | (PEERS if peers else {})
    with on_labs(), interrupted_by_sigterm():
        services.require("ovs-vswitchd", "ovs-vsctl", "iperf3", "ping", "nsenter")
        ground.free()
        machine, began = _machine(), time.monotonic()
        console.print(machine)
        chosen = list(dict.fromkeys(names or (n for n in FAMILIES if not (quick and n in SLOW))))
        console.print(f"measuring {', '.join(chosen)}: {_expected(chosen, quick=quick)}")
        for name in chosen:
            at, then = pace(), time.monotonic()
            try:
                for one in families[name](QUICK if quick else THOROUGH):
                    found.append(one.at_pace(at))
                    for figure in flat(found[-1:]):
                        console.print(f"  {line(figure)}", markup=False)
            except LabError as error:
                failures.append(f"{name}: {error}")
            took = f"{time.monotonic() - then:.0f} s, plain Python takes {at:.2f} times as long here"
            console.print(f"{name}: {took}", style="dim")
    figures = list(flat(found))
    console.print(table(figures))
    console.print(f"measured in {time.monotonic() - began:.0f} s")
    for failure in failures:
        console.print(failure, style="red", markup=False)
    if file is not None:
        file.write_text(json.dumps([figure.as_json() for figure in figures], indent=2) + "\n")
    if directory is not None:
        charts.draw([one for one in found if isinstance(one, Curve)], directory, machine)
    sys.exit(1 if failures or any(figure.met is False for figure in figures) else 0)


def _expected(names: Sequence[str], *, quick: bool) -> str:
    """How long that will take, as far as it is known."""
    usual = sum(_QUICK_SECONDS if quick else _SECONDS[name] for name in names) * pace()
    return f"about {max(1, round(usual / 60))} min on this machine as busy as it is now"


def _machine() -> str:
    """Say what all this is measured on."""
    processor = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    switch = ground.run([services.VSWITCHD, "--version"]).splitlines()[0].rpartition(" ")[2]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return (
        f"{os.cpu_count()} processors: {processor.group(1) if processor else platform.machine()}, "
        f"{memory:.0f} GB, Linux {platform.release()}, Open vSwitch {switch} (userspace datapath), "
        f"Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}"
    )


if __name__ == "__main__":
    bench(prog_name="./run bench")
