"""``./run chaos``: faults in a seeded order on a real lab, judged after every step."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import dropwhile
from pathlib import Path

import click
from rich.table import Table

from sdnapp.cli.terminal import console, interrupted_by_sigterm, on_labs
from sdnapp.lab import model, services
from tests.chaos import devices, files, intruders, processes  # noqa: F401  # each enters its faults
from tests.chaos.document import text
from tests.chaos.fault import FAULTS
from tests.chaos.plan import Step, steps, variant
from tests.chaos.resources import Ledger
from tests.chaos.run import Outcome, Run, keep_evidence
from tests.chaos.subject import Subject, brought_up
from tests.netns.conftest import traces


@click.command()
@click.option("--seed", type=int, default=1, show_default=True, help="What the run does follows from it.")
@click.option("--minutes", type=float, default=1.0, show_default=True, help="How long.")
@click.option("--from-step", type=int, default=1, help="Begin with this step of the seed, on a fresh lab.")
@click.option("--only", type=int, help="Do this step alone.")
@click.option("--faults", help="Only these, by name, separated by commas: another run than without.")
@click.option("--without", default="", help="Not these, by name, separated by commas.")
@click.option("--keep", is_flag=True, help="Stop at a violation and leave the lab up.")
@click.option("--evidence", type=click.Path(path_type=Path), help="Where logs and states of violations go.")
@click.option("--list", "listed", is_flag=True, help="Name the faults.")
def chaos(
    seed: int,
    minutes: float,
    from_step: int,
    only: int | None,
    faults: str | None,
    without: str,
    keep: bool,
    evidence: Path | None,
    listed: bool,
) -> None:
    """Disturb a lab of three hosts and two tenants at random, while packets run, and judge every step.

    Exits with 1 if anything was not as it must be.
    """
    if listed:
        for name, one in sorted(FAULTS.items()):
            click.echo(f"{name} ({one.part})")
        return
    wanted = tuple(filter(None, (faults or "").split(",")))
    barred = tuple(filter(None, without.split(",")))
    for name in (*wanted, *barred):
        if name not in FAULTS:
            raise click.BadParameter(f"there is no fault '{name}': --list names them")
    parts = {name: one.part for name, one in FAULTS.items() if name not in barred}
    first = only or from_step
    planned = dropwhile(lambda step: step.number < first, steps(seed, parts, wanted))
    evidence = evidence or Path(tempfile.gettempdir()) / f"sdnapp-chaos-{seed}"
    ledger, outcomes = Ledger(), list[Outcome]()
    name = f"chaos-{seed}-{os.getpid()}"
    began = time.monotonic()
    os.environ["OSKEN_HUB_TYPE"] = variant(seed).hub
    made = variant(seed)
    console.print(
        f"seed {seed}: a controller {'for all hosts' if made.central else 'on every host'}, hub {made.hub}"
        + ("" if files.FAKETIME else "; without libfaketime, clocks do not jump")
    )
    with on_labs(), interrupted_by_sigterm():
        services.require("ovs-vswitchd", "ovs-vsctl", "ping", "nsenter")
        step = next(planned)
        while step is not None:
            step = _on_one_lab(
                name, seed, step, planned, ledger, outcomes, evidence, keep, only, began + 60 * minutes
            )
    left = [] if keep and any(o.violations for o in outcomes) else _left(name)
    console.print(_table(outcomes))
    console.print(_resources(ledger))
    for words in left:
        console.print(words, style="red", markup=False)
    bad = [outcome for outcome in outcomes if outcome.violations]
    for outcome in bad:
        number = outcome.step.number
        console.print(
            f"step {number}: ./run chaos --seed {seed} --only {number}   evidence: {evidence}/{number}"
        )
    seconds = time.monotonic() - began
    console.print(f"{len(outcomes)} steps in {seconds:.0f} s, {len(bad)} with violations")
    sys.exit(1 if bad or left else 0)


def _on_one_lab(
    name: str,
    seed: int,
    step: Step,
    planned: Iterator[Step],
    ledger: Ledger,
    outcomes: list[Outcome],
    evidence: Path,
    keep: bool,
    only: int | None,
    deadline: float,
) -> Step | None:
    """Bring a lab up for this step and go on until a violation, or the end; the step to go on with."""
    kept = False
    with ExitStack() as stack:
        directory = Path(tempfile.mkdtemp(prefix="chaos-")) / "etc"
        directory.mkdir()
        file = directory / "overlay.yaml"
        file.write_text(text(step.before))
        subject = stack.enter_context(
            brought_up(name, file, central=variant(seed).central, keep=lambda: kept)
        )
        run = Run(subject, stack, ledger)
        if complaints := run.begin():
            outcomes.append(Outcome(step, "the lab comes up", violations=complaints))
            _report(outcomes[-1], 0.0)
            keep_evidence(subject, outcomes[-1], evidence / "begin")
            return None
        while True:
            console.print(f"[dim]{step.number:4} {', '.join(step.faults)}[/]", soft_wrap=True)
            outcome = run.step(step, seed)
            outcomes.append(outcome)
            _report(outcome, 0.0)
            following = next(planned)
            if only is not None or time.monotonic() > deadline:
                following = None
            if outcome.violations:
                keep_evidence(subject, outcome, evidence / str(step.number))
                kept = keep
                return None if keep else following
            if following is None:
                return None
            step = following


def _report(outcome: Outcome, _: float) -> None:
    colour = "red" if outcome.violations else "green"
    lost = f", {outcome.lost} lost where they may be (gap {outcome.gap_ms:.0f} ms)" if outcome.lost else ""
    words = f"{outcome.step.number:4} {outcome.words}: right after {outcome.seconds:.1f} s{lost}"
    console.print(words, style=colour, markup=False, soft_wrap=True)
    for violation in outcome.violations[:20]:
        console.print(f"     {violation}", style="red", markup=False, soft_wrap=True)


def _table(outcomes: list[Outcome]) -> Table:
    table = Table("fault", "steps", "lost", "longest gap (ms)", "right after (s), at most", "violations")
    by_name: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        for name in outcome.step.faults:
            by_name.setdefault(name, []).append(outcome)
        if outcome.step.change is not None:
            by_name.setdefault("change of the file", []).append(outcome)
    for name, some in sorted(by_name.items()):
        table.add_row(
            name,
            str(len(some)),
            str(sum(o.lost for o in some)),
            f"{max(o.gap_ms for o in some):.0f}",
            f"{max(o.seconds for o in some):.1f}",
            str(sum(bool(o.violations) for o in some)),
        )
    return table


def _resources(ledger: Ledger) -> Table:
    table = Table("process", "steps", "MB at first", "MB at last", "files at first", "files at last")
    for name, looks, first, last, files_first, files_last in ledger.rows():
        if looks > 4:
            table.add_row(name, str(looks), f"{first:.1f}", f"{last:.1f}", str(files_first), str(files_last))
    return table


def _left(name: str) -> list[str]:
    """Return what is still there of a lab that was taken down."""
    found = [f"left behind: {command}" for command in traces(name)]
    return found + ([f"left behind: {model.directory(name)}"] if model.directory(name).exists() else [])


if __name__ == "__main__":
    chaos(prog_name="./run chaos")
