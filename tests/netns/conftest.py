"""Labs for tests: real hosts in namespaces, taken down whatever happens."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from sdnapp.config_file import load
from sdnapp.lab import lifecycle, model, services
from sdnapp.lab.machine import Machine, environment, inside
from sdnapp.lab.ping import measure
from sdnapp.lab.reachability import Cell
from sdnapp.net.model import Overlay

CONFIGS = Path(__file__).parents[2] / "configs"
SDNAPP = str(Path(sys.executable).parent / "sdnapp")

PATIENCE = 60.0
"""Seconds for what happens at once on a quiet machine: a test says what happens, and the bench how soon."""

Place = tuple[Machine, str | None]
"""A machine, and the namespace in it where that is not its own."""

_number = itertools.count(1)


@dataclass(frozen=True)
class Running:
    """A lab that is up, with what tests ask of it."""

    name: str

    @property
    def lab(self) -> model.Lab:
        """The lab as it is now."""
        return model.read(self.name)

    @property
    def overlay(self) -> Overlay:
        return load(self.lab.file)

    def command(self, where: str, *command: str) -> list[str]:
        """The command line that runs ``command`` on a host or at a port."""
        machine, namespace = self.place(where)
        return inside(machine, command, namespace=namespace)

    def place(self, where: str) -> Place:
        """Where a host or a port is."""
        if where in self.lab.hosts:
            return self.lab.hosts[where], None
        port = self.overlay.ports[where]
        return self.lab.hosts[port.host], port.namespace

    def run(self, where: str, *command: str, check: bool = True) -> str:
        """Run a command there and return what it printed."""
        return run(self.command(where, *command), check=check)

    def flows(self, host: str) -> set[str]:
        """The flows that the bridge of a host holds, each with its cookie."""
        dump = self.run(host, "ovs-ofctl", "-O", "OpenFlow13", "--no-stats", "dump-flows", "br-int")
        return {line for line in dump.splitlines() if "cookie=" in line}  # --no-stats: no line above them

    def get(self, path: str) -> Any:
        return lifecycle.get(self.lab, path, PATIENCE)

    def matrix(self) -> dict[tuple[str, str, int], Cell]:
        """Probe every pair of ports."""
        overlay = self.overlay
        return measure(self.lab, overlay, set(permutations(overlay.ports, 2)))

    def broken(self) -> dict[tuple[str, str, int], tuple[str, ...]]:
        """Return the promises that reality does not keep; there must be some to keep."""
        cells = self.matrix()
        assert any(cell.expected for cell in cells.values())
        return {pair: cell.failures for pair, cell in cells.items() if cell.failures}

    def settled(self, patience: float = PATIENCE) -> None:
        """Wait until every host is connected and in sync, with every tunnel there."""
        until(
            lambda: all(
                host["connected"] and host["in_sync"] and all(t["ofport"] for t in host["tunnels"])
                for host in self.get("/v1/hosts")
            ),
            patience,
        )

    def followed(self) -> None:
        """Wait until every switch forwards all by the flows that it has now.

        What it remembers of earlier frames follows a while after the barrier's reply, as its threads come to
        it (max-revalidator in ovs-vswitchd.conf.db(5)). Twice: a round may be under way that began before.
        """
        for host in (*self.lab.hosts, *self.lab.hosts):
            self.run(host, "ovs-appctl", "revalidator/wait")


def run(command: Sequence[str], *, check: bool = True, timeout: float = 60) -> str:
    """Run a command, wherever that leads, and return what it printed; fail with all of it if it fails."""
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment(), timeout=timeout, check=False
    )
    assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def until(condition: Callable[[], bool], patience: float = PATIENCE, otherwise: str = "not in time") -> None:
    """Wait for a condition; fail when it does not come true in time."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.02)


@contextmanager
def ahead(running: Running) -> Iterator[None]:
    """The switches of a lab, and what this thread starts, run before all else (sched(7)), if that is allowed.

    Otherwise times are those of waiting for the processor: ticks of 4 ms, and whole slices.
    """
    switches = [host.services[services.VSWITCHD].pid for host in running.lab.hosts.values()]
    threads = [0, *(int(task.name) for pid in switches for task in Path(f"/proc/{pid}/task").iterdir())]
    try:
        with suppress(PermissionError):
            for thread in threads:
                os.sched_setscheduler(thread, os.SCHED_FIFO, os.sched_param(1))
        yield
    finally:
        for thread in threads:
            with suppress(ProcessLookupError):
                os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))


def new_name() -> str:
    """A name that no other lab of this machine has."""
    return f"test-{os.getpid()}-{next(_number)}"


@pytest.fixture(name="name")
def _name() -> Iterator[str]:
    """The name of a lab that the test makes; whatever happens, it is down afterwards."""
    name = new_name()
    yield name
    lifecycle.down(name)


def sdnapp(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run our command as a user does."""
    return subprocess.run([SDNAPP, *arguments], capture_output=True, text=True, timeout=300, check=False)


def traces(name: str) -> list[str]:
    """Command lines of all processes that belong to a lab."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if any(f"{model.ROOT}/{name}/".encode() in word for word in words):
            found.append(b" ".join(words).decode())
    return found


@pytest.fixture(scope="session", autouse=True)
def _as_users_do() -> Iterator[None]:
    """As root, and with the controller on its default hub."""
    assert os.geteuid() == 0, "tests/netns make network namespaces: run them as root (sudo ./run test)"
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("OSKEN_HUB_TYPE", raising=False)
        yield


@pytest.fixture(scope="module")
def bring_up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Running]]:
    """Bring up a lab from the text of a file, or from an example of configs/ by its name."""
    names: list[str] = []

    def start(text: str, changes: Sequence[tuple[str, str]] = ()) -> Running:
        if "\n" not in text:
            text = (CONFIGS / text).read_text()
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        file = tmp_path_factory.mktemp("lab") / "overlay.yaml"
        file.write_text(text)
        names.append(new_name())
        return Running(lifecycle.up(names[-1], file, print).name)

    yield start
    for name in names:
        lifecycle.down(name)
