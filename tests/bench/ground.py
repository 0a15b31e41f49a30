"""Where it is measured: the example of two hosts as a lab of ``sdnapp``, and commands that run in it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdnapp.config_file import load
from sdnapp.lab import lifecycle, model
from sdnapp.lab.errors import LabError
from sdnapp.lab.machine import Machine, environment, inside

EXAMPLE = Path(__file__).parents[2] / "configs" / "two-hosts.yaml"

OURS = "bench"
"""What our lab is named."""

NETWORK = "10.1.1"
MTU = 1446
"""Of every workload: by hand the tunnel carries the tag inside, four bytes more than ours does."""

PATIENCE = 10.0


@dataclass(frozen=True, slots=True)
class Workload:
    """Where a command runs: a namespace of a machine. ``address`` is that of the workload there."""

    machine: Machine
    namespace: str
    address: str

    def command(self, *command: str) -> list[str]:
        """Return the command line that runs ``command`` here."""
        return inside(self.machine, command, namespace=self.namespace)

    def run(self, *command: str) -> str:
        """Run a command here and return what it printed; raises LabError with its words if it fails."""
        return run(self.command(*command))


@dataclass(frozen=True, slots=True)
class Pair:
    """Two workloads of one network on two hosts, which reach each other."""

    near: Workload
    far: Workload


def free() -> None:
    """Raise LabError when a lab has our name: another benchmark runs, or one was killed."""
    if OURS in model.names():
        raise LabError(f"a lab named '{OURS}' is up: sdnapp lab down --name {OURS}")


@contextmanager
def overlay(directory: Path) -> Iterator[model.Lab]:
    """Bring up the example over VXLAN; its file, which the lab follows, is in the directory."""
    text = EXAMPLE.read_text().replace("encapsulation: gre", f"encapsulation: vxlan, mtu: {MTU}")
    with laboratory(directory / EXAMPLE.name, text) as lab:
        yield lab


@contextmanager
def laboratory(file: Path, text: str) -> Iterator[model.Lab]:
    """Bring up what the text says, and write it to the file, which the lab follows."""
    file.write_text(text)
    lab = lifecycle.up(OURS, file, lambda _step: None)
    try:
        yield lab
    finally:
        lifecycle.down(OURS)


def red(lab: model.Lab) -> Pair:
    """Return the pair red1, red2 of the example."""
    return reaching(Pair(workload(lab, "red1"), workload(lab, "red2")))


def workload(lab: model.Lab, name: str) -> Workload:
    """Return a port of the lab, by its name."""
    port = load(lab.file).ports[name]
    assert port.namespace is not None
    return Workload(lab.hosts[port.host], port.namespace, str(port.attachments[0].addresses[0].ip))


def reaching(pair: Pair) -> Pair:
    """Return the pair once one reaches the other; raises LabError if it does not."""
    ping = pair.near.command("ping", "-c", "1", "-W", "1", pair.far.address)
    until(
        lambda: not subprocess.run(ping, capture_output=True, check=False).returncode, "no ping is answered"
    )
    return pair


def run(command: list[str]) -> str:
    """Run a command and return what it printed; raises LabError with its words if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
    if done.returncode:
        raise LabError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def until(condition: Callable[[], Any], otherwise: str, patience: float = PATIENCE) -> None:
    """Wait for a condition; raises LabError when it does not come true in time."""
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            raise LabError(f"{otherwise} after {patience:.0f} s")
        time.sleep(0.01)
