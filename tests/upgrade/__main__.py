"""``./run upgrade COMMIT``: another version and this one take over from each other, while packets run.

``./run upgrade --keep``: write down what a lab of this version holds, for ``tests/netns/test_upgrade.py``.

A lab starts with all of the other version: its database rows, its flows, its state directory. Then controller
and agents change to this version, one after the other, and back, in both orders, so that each runs beside the
other's counterpart. In between, the file changes. Lost packets, or a bridge that does not come in sync, fail.
"""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from sdnapp.cli.terminal import console, interrupted_by_sigterm, on_labs
from sdnapp.lab import faults, lifecycle, model, services
from tests.netns.conftest import Running, new_name
from tests.netns.test_loss import witness
from tests.overlays import TWO_HOSTS

ROOT = Path(__file__).parents[2]
STATE = Path(__file__).with_name("state")
"""What a lab of the last release held: its file, databases, flows, and the file that was in force."""
IN_FORCE = "in-force.yaml"
DRAINED = 4.0
"""Seconds without a line of the controller after which a change of keys or encapsulations is over."""
PAIRS = (("red1", "red2"), ("red2", "red1"), ("blue1", "blue2"), ("blue2", "blue1"))

Text = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Step:
    """What changes: the ``version`` of the controller or of all agents, or the file."""

    words: str
    version: str | None = None
    change: Text | None = None


def _new_key(text: str) -> str:
    return text.replace("vni: 5010", "vni: 5011") if "vni: 5010" in text else text.replace("5011", "5010")


def _new_encapsulation(text: str) -> str:
    return text.replace("gre}", "vxlan}") if "gre}" in text else text.replace("vxlan}", "gre}")


CONTROLLER, AGENTS = "the controller is", "the agents are"
STEPS = (
    Step(CONTROLLER, "new"),
    Step("another key, with a new controller and old agents", change=_new_key),
    Step(AGENTS, "new"),
    Step("another encapsulation, all new", change=_new_encapsulation),
    Step(CONTROLLER, "old"),
    Step("another key, with an old controller and new agents", change=_new_key),
    Step(AGENTS, "old"),
    Step(AGENTS, "new"),
    Step("another encapsulation, with an old controller and new agents", change=_new_encapsulation),
    Step(CONTROLLER, "new"),
)


@click.command()
@click.argument("commit", required=False)
@click.option("--keep", is_flag=True, help="Instead: write down the state of this version, for ./run test.")
def upgrade(commit: str | None, *, keep: bool) -> None:
    """Have the version at COMMIT and this one take over from each other while packets run.

    Exits with 1 if a packet was lost or a bridge did not come in sync.
    """
    if keep == (commit is not None):
        raise click.UsageError("either COMMIT, any that git log lists, or --keep")
    good = True
    with on_labs(), interrupted_by_sigterm(), tempfile.TemporaryDirectory() as directory:
        services.require("ovs-vswitchd", "ovs-vsctl", "nsenter")
        if commit is None:
            _keep(Path(directory))
        else:
            versions = {"old": _commands(commit, Path(directory)), "new": services.script}
            good = _exchange(versions, Path(directory))
    sys.exit(0 if good else 1)


def _keep(directory: Path) -> None:
    """Write down the file, the databases, the flows and the controller's state of a lab of this version."""
    STATE.mkdir(exist_ok=True)
    with _lab(directory, services.script) as running:
        running.settled()
        (STATE / "overlay.yaml").write_text(Path(running.lab.file).read_text())
        in_force = model.directory(running.name) / IN_FORCE
        (STATE / IN_FORCE).write_bytes(in_force.read_bytes())
        for host in running.lab.hosts:
            running.run(host, "ovs-appctl", "-t", "ovsdb-server", "ovsdb-server/compact")
            database = running.lab.home(host) / "etc/conf.db"
            (STATE / f"{host}.db").write_bytes(database.read_bytes())
            (STATE / f"{host}.flows").write_text("".join(f"{flow}\n" for flow in sorted(running.flows(host))))
    console.print(f"written: {STATE.relative_to(ROOT)}")


def _commands(commit: str, directory: Path) -> Text:
    """Return where that version's commands are: its code runs in this version's environment."""
    tree = directory / "tree"
    tree.mkdir()
    original = services.script  # of this version, before it is replaced
    packed = subprocess.run(["git", "-C", str(ROOT), "archive", commit], capture_output=True, check=False)
    if packed.returncode:
        raise click.BadParameter(f"{packed.stderr.decode().strip()} (COMMIT: any that git log lists)")
    subprocess.run(["tar", "-x", "-C", str(tree)], input=packed.stdout, check=True)

    def command(name: str) -> str:
        path = directory / name
        if not path.exists():
            path.write_text(f'#!/bin/sh\nPYTHONPATH={tree} exec {original(name)} "$@"\n')
            path.chmod(0o755)
        return str(path)

    return command


def _exchange(versions: dict[str, Text], directory: Path) -> bool:
    good = True
    with _lab(directory, versions["old"]) as running:
        for step in STEPS:
            began = time.monotonic()
            with contextlib.redirect_stdout(io.StringIO()), witness(running, *PAIRS, quiet=DRAINED) as seen:
                _carry_out(step, running, versions)
                running.settled()
            seconds = time.monotonic() - began
            sent, lost = sum(count.sent for count in seen.counts), seen.lost(*PAIRS)
            flows = ", ".join(f"{number} on {host}" for host, number in sorted(seen.sent.items())) or "none"
            words = f"{step.words} {step.version or ''}".strip()
            console.print(f"{words}: {seconds:.1f} s, changed flows: {flows}, lost {lost} of {sent}")
            if broken := running.broken():
                console.print(f"  not as the file says: {broken}")
            good = good and not lost and not broken
    return good


@contextmanager
def _lab(directory: Path, commands: Text) -> Iterator[Running]:
    """Bring up a lab with two tenants on two hosts; it is down afterwards."""
    file, running = directory / "overlay.yaml", Running(new_name())
    file.write_text(TWO_HOSTS)
    try:
        with _version(commands):
            lifecycle.up(running.name, file, console.print)
        yield running
    finally:
        lifecycle.down(running.name)


def _carry_out(step: Step, running: Running, versions: dict[str, Text]) -> None:
    if step.change is not None:
        file = Path(running.lab.file)
        file.write_text(step.change(file.read_text()))
        return
    assert step.version is not None
    with _version(versions[step.version]):
        if step.words == CONTROLLER:
            faults.start_controller(faults.stop_controller(running.lab))
            return
        for host in running.lab.hosts:
            faults.start_agent(faults.kill_agent(running.lab, host), host)


@contextmanager
def _version(commands: Text) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(services, "script", commands)
        yield


if __name__ == "__main__":
    upgrade(prog_name="./run upgrade")
