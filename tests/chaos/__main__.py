"""``./run chaos``: faults in a seeded order on a real lab, judged after every step."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from sdnapp.cli.terminal import console, interrupted_by_sigterm, on_labs
from sdnapp.lab import services
from tests.chaos import files, soak
from tests.chaos.campaign import Campaign, Options
from tests.chaos.catalogue import FAULTS
from tests.chaos.plan import variant
from tests.chaos.resources import Ledger
from tests.chaos.run import Outcome


@click.command()
@click.option("--seed", type=int, default=1, show_default=True, help="All that is done follows from it.")
@click.option("--minutes", type=float, default=1.0, show_default=True, help="How long.")
@click.option("--from-step", type=click.IntRange(1), default=1, help="Begin with this step, on a fresh lab.")
@click.option("--only", type=click.IntRange(1), help="Do this one step.")
@click.option("--faults", callback=lambda _, __, value: _names(value), help="Draw from these alone: A,B,C.")
@click.option("--without", callback=lambda _, __, value: _names(value), help="Draw from all but these.")
@click.option("--list", "listed", is_flag=True, help="Name the faults, and end.")
@click.option("--keep", is_flag=True, help="Stop at a violation, and leave the lab up.")
@click.option("--evidence", type=click.Path(path_type=Path), help="Where logs of violations go.")
@click.option("--soak", "soaked", is_flag=True, help="Instead: 64,000 MACs, learned and forgotten thrice.")
def chaos(**given: Any) -> None:
    """Disturb a lab of three hosts and two tenants while packets run, and judge it after every step.

    Exits with 1 if anything was not as it must be. --seed N --only STEP does one step again; with --faults or
    --without a seed means something else, so say them again.
    """
    if given["listed"]:
        for name, one in sorted(FAULTS.items()):
            click.echo(f"{name}: may lose {one.loses}")
        return
    with on_labs(), interrupted_by_sigterm():
        services.require("ovs-vswitchd", "ovs-vsctl", "ping", "nsenter")
        good = _soaked() if given["soaked"] else _disturbed(given)
    sys.exit(0 if good else 1)


def _names(value: str | None) -> frozenset[str]:
    names = frozenset(filter(None, (value or "").split(",")))
    if unknown := names - FAULTS.keys():
        raise click.BadParameter(f"no fault is called '{min(unknown)}': --list names them all")
    return names


def _disturbed(given: dict[str, Any]) -> bool:
    seed: int = given["seed"]
    made = variant(seed)
    os.environ["OSKEN_HUB_TYPE"] = made.hub
    where = "for all hosts" if made.central else "on every host"
    console.print(f"seed {seed}: a controller {where}, os-ken's hub {made.hub}")
    if files.FAKETIME is None:
        console.print("libfaketime is not installed: clocks do not jump, controllers start again instead")
    campaign = Campaign(
        Options(
            name=f"chaos-{seed}-{os.getpid()}",
            seed=seed,
            from_step=given["only"] or given["from_step"],
            only=given["only"] is not None,
            deadline=time.monotonic() + 60 * given["minutes"],
            faults=given["faults"],
            without=given["without"],
            keep=given["keep"],
            evidence=given["evidence"] or Path(tempfile.gettempdir()) / f"sdnapp-chaos-evidence-{seed}",
        )
    )
    began, ended = time.monotonic(), False
    with suppress(KeyboardInterrupt):
        campaign.go()
        ended = True
    left = campaign.left_behind()
    bad = [outcome for outcome in campaign.outcomes if outcome.violations]
    console.print(_faults(campaign.outcomes), _processes(campaign.ledger))
    for words in left:
        console.print(f"left behind: {words}", style="red", markup=False)
    for outcome in bad:
        number, seen = outcome.step.number, campaign.options.evidence
        console.print(f"again: ./run chaos --seed {seed} --only {number}; see {seen}/{number}")
    if campaign.kept:
        console.print(f"the lab is up: sdnapp lab down --name {campaign.options.name}")
    steps, seconds = len(campaign.outcomes), time.monotonic() - began
    console.print(f"{steps} steps in {seconds:.0f} s, {len(bad)} of them with violations")
    return ended and not bad and not left


def _faults(outcomes: list[Outcome]) -> Table:
    """Return what came of each kind of fault; a step of several counts for each of them."""
    table = Table(
        "fault", "steps", "may lose", "packets lost", "longest gap (ms)", "right after (s)", "violated"
    )
    by_name: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        for name in (*outcome.step.faults, *(["change of the file"] if outcome.step.change else [])):
            by_name.setdefault(name, []).append(outcome)
    for name, some in sorted(by_name.items()):
        lost, gap = sum(o.lost for o in some), max(o.gap_ms for o in some)
        slowest, violated = max(o.seconds for o in some), sum(bool(o.violations) for o in some)
        may = FAULTS[name].loses if name in FAULTS else "streams of moved ports"
        table.add_row(name, str(len(some)), may, str(lost), f"{gap:.0f}", f"{slowest:.1f}", str(violated))
    return table


def _processes(ledger: Ledger) -> Table:
    """Return memory and files of the processes that lived through some steps."""
    table = Table("process", "steps", "MB, first", "MB, last", "files, first", "files, last")
    for name, first, last, looks in ledger.rows():
        memory = (f"{look.megabytes:.1f}" for look in (first, last))
        table.add_row(name, str(looks), *memory, str(first.files), str(last.files))
    return table


def _soaked() -> bool:
    """Soak, show each round as it is over, and return whether memory stayed."""
    found: list[soak.Round] = []
    console.print(f"{soak.MACS:,} MACs, learned and forgotten {soak.ROUNDS} times")
    for number, one in enumerate(soak.rounds(soak.MACS, soak.AGE), start=1):
        found.append(one)
        console.print(
            f"round {number}: {one.known:.1f} MB in use when all are known, {one.after:.1f} MB when none is "
            f"({one.resident:.1f} MB resident), "
            f"{one.files} files; learned in {one.learned:.0f} s, forgotten after {one.forgotten:.0f} s",
            soft_wrap=True,
        )
    console.print(f"after round {len(found)}: {soak.drift(found):+.1%} ({soak.TOLERANCE:.0%} are allowed)")
    return abs(soak.drift(found)) <= soak.TOLERANCE


if __name__ == "__main__":
    chaos(prog_name="./run chaos")
