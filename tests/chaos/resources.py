"""Memory and open files of our processes, looked at whenever all is calm, compared over their lives."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sdnapp.lab import services
from sdnapp.lab.process import Process
from tests.chaos.subject import Subject

LIFE = 12
"""Looks at a process after which its memory may be compared: at fewer it still fills its caches."""
FEW = 4
"""Looks at a process that are not worth a row."""
GROWTH, SLACK = 0.10, 4.0
"""Of its memory half-way, how much more there may be in the end; and MB beyond that."""
FILES = 6
"""Open files that a process may have beyond those that it had when it was first looked at: REST connections
that are kept, a file that is read just now."""


@dataclass(frozen=True, slots=True)
class Look:
    """Memory in MB (resident set, proc(5)) and open files of a process."""

    step: int
    megabytes: float
    files: int


@dataclass
class Ledger:
    """All looks at controllers and agents, by process."""

    looks: dict[tuple[str, str, Process], list[Look]] = field(default_factory=dict)

    def take(self, subject: Subject, step: int) -> None:
        """Look at all that run."""
        for (machine, service), process in subject.processes().items():
            if service in (services.CONTROLLER, services.AGENT) and (look := _look(process, step)):
                self.looks.setdefault((machine, service, process), []).append(look)

    def files(self, subject: Subject) -> Iterator[str]:
        """Yield which processes have more files open than at first."""
        for (machine, service), process in subject.processes().items():
            looks = self.looks.get((machine, service, process))
            now = _look(process, 0)
            if looks and now and now.files > looks[0].files + FILES:
                yield f"{service} of {machine} has {now.files} files open, {looks[0].files} at first"

    def growth(self, subject: Subject) -> Iterator[str]:
        """Yield which processes have grown."""
        for (machine, service), process in subject.processes().items():
            looks = self.looks.get((machine, service, process), ())
            if len(looks) >= LIFE:
                half = max(look.megabytes for look in looks[len(looks) // 4 : len(looks) // 2])
                now = min(look.megabytes for look in looks[-3:])
                if now > half * (1 + GROWTH) + SLACK:
                    yield f"{service} of {machine} grew from {half:.0f} to {now:.0f} MB in {len(looks)} steps"

    def rows(self) -> Iterator[tuple[str, Look, Look, int]]:
        """Yield each process that was looked at often: its name, the first look, the last, how many."""
        for (machine, service, _), looks in self.looks.items():
            if len(looks) > FEW:
                yield f"{service} of {machine}", looks[0], looks[-1], len(looks)


def _look(process: Process, step: int) -> Look | None:
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
        files = len(os.listdir(f"/proc/{process.pid}/fd"))
    except OSError:
        return None
    found = re.search(r"^VmRSS:\s*(\d+) kB", status, re.MULTILINE)
    return Look(step, int(found[1]) * 1024 / 1e6, files) if found else None
