"""State of a lab: machines and processes, in ``lab.json`` of its directory.

The file is all that survives from one command to the next. It is written before a machine may outlive
the command that made it, so that ``down`` finds everything, whatever became of ``up``.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from sdnapp.lab import sockets
from sdnapp.lab.errors import LabError
from sdnapp.lab.machine import Machine
from sdnapp.lab.process import alive

ROOT = Path("/run/sdnapp/lab")

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")


@dataclass(frozen=True, slots=True)
class Lab:
    """A lab: ``file`` is the configuration it follows, ``rest`` the URL where its controller answers.

    ``listen`` is the address where the controller waits for bridges, ``targets`` where those of each host
    connect; None and ``{}``: as the file says. ``uplinks`` is the underlay device of each host.
    """

    name: str
    file: str
    rest: str
    listen: str | None
    targets: Mapping[str, str] = field(default_factory=dict)
    uplinks: Mapping[str, str] = field(default_factory=dict)
    underlay: Machine | None = None
    controller: Machine | None = None
    hosts: Mapping[str, Machine] = field(default_factory=dict)

    @property
    def machines(self) -> tuple[Machine, ...]:
        """Every machine that has been started."""
        return tuple(m for m in (self.underlay, self.controller, *self.hosts.values()) if m is not None)

    def log(self, machine: str, service: str) -> Path:
        """Return where the output of a service goes."""
        return directory(self.name) / "log" / f"{machine}.{service}.log"

    def home(self, host: str) -> Path:
        """Return the directory of a host's Open vSwitch: its ``openvswitch/`` and ``etc/``."""
        return directory(self.name) / "hosts" / host

    def database(self, host: str) -> str:
        """Return where the OVSDB of a host listens, reachable from the machine."""
        return f"unix:{self.home(host)}/openvswitch/db.sock"


_FORMAT = TypeAdapter(Lab)


def directory(name: str) -> Path:
    """Return the directory of a lab. Raises LabError for what cannot be a name."""
    if not _NAME.fullmatch(name):
        raise LabError(f"'{name}' cannot name a lab: use a-z, 0-9 and -, at most 32 of them")
    return ROOT / name


def claim(name: str) -> None:
    """Make the directory of a lab. Raises LabError when it is taken."""
    path = directory(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.mkdir()
    except FileExistsError:
        raise LabError(
            f"a lab named '{name}' exists: sdnapp lab down --name {name}, or use another name"
        ) from None
    (path / "log").mkdir()
    sockets.raise_rmem(names)


def save(lab: Lab) -> None:
    """Save a lab atomically."""
    path = directory(lab.name) / "lab.json"
    draft = path.with_suffix(".new")
    draft.write_bytes(_FORMAT.dump_json(lab, indent=2))
    os.replace(draft, path)


def read(name: str) -> Lab:
    """Read a lab. Raises LabError when there is none, or when it is only half there."""
    path = directory(name)
    try:
        return _FORMAT.validate_json((path / "lab.json").read_bytes())
    except FileNotFoundError:
        if path.exists():
            raise LabError(f"lab '{name}' is not complete: sdnapp lab down --name {name}") from None
        known = ", ".join(names())
        raise LabError(f"no lab named '{name}' is up" + (f"; there is {known}" if known else "")) from None
    except ValidationError:
        raise LabError(
            f"{path}/lab.json is of another version of sdnapp: take the lab down with that one"
        ) from None


def names() -> tuple[str, ...]:
    """Return the names of all labs of this machine."""
    return tuple(sorted(path.name for path in ROOT.iterdir())) if ROOT.is_dir() else ()


def running(lab: Lab) -> bool:
    """Say whether every machine of it runs."""
    return bool(lab.machines) and all(alive(machine.anchor) for machine in lab.machines)


def erase(name: str) -> None:
    """Remove the directory of a lab."""
    shutil.rmtree(directory(name), ignore_errors=True)
    sockets.raise_rmem(names)
