"""All steps of a seed, one after the other: on one lab until something is violated, then on a fresh one."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import dropwhile
from pathlib import Path

from sdnapp.cli.terminal import console
from sdnapp.lab import model
from tests.chaos.catalogue import FAULTS
from tests.chaos.document import text, without_ghost
from tests.chaos.plan import Step, steps, variant
from tests.chaos.resources import Ledger
from tests.chaos.run import Outcome, Run, keep_evidence
from tests.chaos.subject import brought_up
from tests.netns.conftest import traces


@dataclass(frozen=True, slots=True)
class Options:
    """What to do: the ``seed`` from this step on, or this one ``only``, until ``deadline`` (monotonic clock).

    ``faults``: only these, ``without``: none of these; no names mean all. ``keep``: stop at a violation and
    leave the lab up. ``evidence``: the directory for what an analysis needs.
    """

    name: str
    seed: int
    from_step: int
    only: bool
    deadline: float
    faults: frozenset[str]
    without: frozenset[str]
    keep: bool
    evidence: Path

    def planned(self) -> Iterator[Step]:
        """Yield the steps that are to be done, if there is time."""
        parts = {name: one.part for name, one in FAULTS.items() if name not in self.without}
        after = dropwhile(lambda step: step.number < self.from_step, steps(self.seed, parts, self.faults))
        for step in after:
            yield step
            if self.only or time.monotonic() > self.deadline:
                return


@dataclass
class Campaign:
    """What came of the steps so far."""

    options: Options
    ledger: Ledger = field(default_factory=Ledger)
    outcomes: list[Outcome] = field(default_factory=list)
    kept: bool = False

    def go(self) -> None:
        """Do all steps; whatever ends this early takes the lab down."""
        planned = self.options.planned()
        step = next(planned, None)
        while step is not None and not self.kept:
            step = self._on_one_lab(step, planned)

    def _on_one_lab(self, step: Step, planned: Iterator[Step]) -> Step | None:
        """Bring a lab up for this step, and go on until a violation; return the step to go on with."""
        options = self.options
        with ExitStack() as stack:
            directory = Path(tempfile.mkdtemp(prefix="sdnapp-chaos-"))
            stack.callback(lambda: None if self.kept else shutil.rmtree(directory))
            file = directory / "etc" / "overlay.yaml"
            file.parent.mkdir()
            file.write_text(text(without_ghost(step.before)))
            central = variant(options.seed).central
            subject = stack.enter_context(
                brought_up(options.name, file, central=central, keep=lambda: self.kept)
            )
            subject.put(text(step.before))
            run = Run(subject, stack, self.ledger)
            if complaints := run.begin():
                self._note(Outcome(step, "the lab comes up", violations=complaints), run)
                return next(planned, None)
            following: Step | None = step
            while following is not None:
                announce(following)
                outcome = run.step(following, options.seed)
                self._note(outcome, run)
                following = next(planned, None)
                if outcome.violations:
                    return following
            return None

    def _note(self, outcome: Outcome, run: Run) -> None:
        self.outcomes.append(outcome)
        report(outcome)
        if outcome.violations:
            self.kept = self.options.keep
            keep_evidence(run.subject, outcome, self.options.evidence / str(outcome.step.number))

    def left_behind(self) -> list[str]:
        """Return what is still there of a lab that was taken down."""
        if self.kept:
            return []
        name = self.options.name
        directory = model.directory(name)
        return [*traces(name), *([str(directory)] if directory.exists() else [])]


def announce(step: Step) -> None:
    """Say what is about to be done."""
    words = ", ".join([*step.faults, *(["change of the file"] if step.change else [])])
    console.print(f"{step.number:4} … {words}", style="dim", markup=False, soft_wrap=True)


def report(outcome: Outcome) -> None:
    """Say what was done, and what came of it."""
    verdict = "violated" if outcome.violations else f"right after {outcome.seconds:.1f} s"
    lost = f", {outcome.lost} packets lost where some may be" if outcome.lost else ""
    waited = f" (the last thing: {outcome.waited})" if outcome.seconds > SLOW else ""
    words = f"{outcome.step.number:4} {outcome.words}: {verdict}{waited}{lost}"
    console.print(words, style="red" if outcome.violations else "green", markup=False, soft_wrap=True)
    for violation in outcome.violations[:SHOWN]:
        console.print(f"       {violation}", style="red", markup=False, soft_wrap=True)
    if len(outcome.violations) > SHOWN:
        console.print(f"       and {len(outcome.violations) - SHOWN} more", style="red")


SLOW = 5.0
"""Seconds until all is right that are worth a word about why."""
SHOWN = 12
"""Violations of a step that are shown; all of them are kept with the evidence."""
