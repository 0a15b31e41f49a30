"""``./run bench``: measure, print one table, and say by the exit status whether every bar is met."""

from __future__ import annotations

import json
import os
import platform
import re
import sys
import time
from collections.abc import Callable, Iterator
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
    ports,
    programming,
    programs,
    provision,
    scale,
    tls,
    traffic,
)
from tests.bench.figure import Curve, Effort, Figure, flat, table

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
    "ports": ports.figures,
    "tls": tls.figures,
}
"""Figures that are measured together."""

SLOW = {"features", "tls"}
"""Families that are no part of a quick run, unless they are named."""

PEERS: dict[str, Family] = {"learning": faucet.learning_beside, "ports": ports.beside_ovn}
"""The same, with what a peer takes for it."""

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
        for name in dict.fromkeys(names or (name for name in FAMILIES if not (quick and name in SLOW))):
            with console.status(f"measuring {name} …"):
                try:
                    found.extend(families[name](QUICK if quick else THOROUGH))
                except LabError as error:
                    failures.append(f"{name}: {error}")
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
