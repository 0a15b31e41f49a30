"""One process of a lab, named so that no other can be mistaken for it, and its end.

A pid alone is reused by the kernel; a pid with the time its process started is not.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PATIENCE = 10.0
"""Seconds that a process has to disappear after its signal."""


@dataclass(frozen=True, slots=True)
class Process:
    """A process: its pid and when it started, in clock ticks since boot (proc(5), ``/proc/PID/stat``)."""

    pid: int
    started: int


def identify(pid: int) -> Process:
    """Name the process that has this pid now. Raises ProcessLookupError when there is none."""
    started = _started(pid)
    if started is None:
        raise ProcessLookupError(pid)
    return Process(pid, started)


def alive(process: Process) -> bool:
    """Say whether it still runs; a zombie does not."""
    return _started(process.pid) == process.started


def kill(processes: Iterable[Process], by: signal.Signals = signal.SIGKILL) -> None:
    """Signal them all, then wait until they are gone. Raises TimeoutError naming one that stays.

    Killing the first process of a PID namespace ends every process in it (pid_namespaces(7)), and the
    kernel reports its end only after theirs.
    """
    ending = []
    for process in processes:
        try:
            handle = os.pidfd_open(process.pid)
        except ProcessLookupError:
            continue
        if alive(process):
            signal.pidfd_send_signal(handle, by)
            ending.append((process, handle))
        else:
            os.close(handle)
    deadline = time.monotonic() + PATIENCE
    try:
        for process, handle in ending:
            if not select.select([handle], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise TimeoutError(f"process {process.pid} does not end")
    finally:
        for _, handle in ending:
            os.close(handle)


def _started(pid: int) -> int | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command, in parentheses, may itself hold spaces and parentheses.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])
