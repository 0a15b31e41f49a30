"""A minute of ``./run chaos``; what it leaves behind when it is interrupted; and a small soak."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sdnapp.lab import model
from tests.chaos import soak
from tests.netns.conftest import traces

MACS, AGE = 3_000, 15
"""As many as are learned long before the first of them is forgotten."""


def chaos(*arguments: str) -> subprocess.Popen[str]:
    """Start a run as a user does, with its output in a pipe."""
    command = [sys.executable, "-m", "tests.chaos", *arguments]
    root = Path(__file__).parents[2]
    return subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.alone
@pytest.mark.parametrize("seed", [7, 8], ids=["a controller for all hosts", "a controller on every host"])
def test_a_run_violates_nothing(seed: int, tmp_path: Path) -> None:
    run = chaos("--seed", str(seed), "--minutes", "0.5", "--evidence", str(tmp_path))
    told, _ = run.communicate(timeout=240)

    assert run.returncode == 0, told
    assert "0 of them with violations" in told


def test_an_interrupted_run_tells_its_steps_at_once_and_leaves_nothing_behind() -> None:
    run = chaos("--seed", "9", "--minutes", "5", "--faults", "controller killed,veth deleted")
    assert run.stdout is not None
    assert any(" … " in line for line in run.stdout)  # the first step, as soon as it begins
    run.send_signal(signal.SIGINT)
    rest, _ = run.communicate(timeout=60)

    assert run.returncode == 1
    assert "steps in" in rest
    name = f"chaos-9-{run.pid}"
    assert traces(name) == []
    assert name not in model.names()


def test_memory_stays_where_it_was_when_macs_are_learned_and_forgotten_again() -> None:
    found = list(soak.rounds(MACS, AGE))

    assert abs(soak.drift(found)) <= soak.TOLERANCE, found
    assert found[-1].files <= found[0].files
