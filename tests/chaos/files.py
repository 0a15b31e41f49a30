"""Faults of the configuration file, of the state directory, and of the clock."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random

from sdnapp.config import Invalid, parse
from sdnapp.lab import services
from sdnapp.lab.errors import LabError
from sdnapp.lab.machine import inside
from sdnapp.net.build import build
from tests.chaos.fault import fault
from tests.chaos.scope import Scope
from tests.chaos.subject import Subject, variables
from tests.netns.conftest import run

FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
"""libfaketime(1), where it is installed: tells a process another time of day."""

_SHARED_MEMORY = Path("/dev/shm")


def write(file: Path, content: bytes, random: Random) -> str:
    """Write the file as an editor, a copy or a deployment tool does; return how."""
    how = random.choice(["in place", "in pieces", "renamed", "deleted first", "by link"])
    beside = file.with_suffix(f".{random.getrandbits(32):08x}")
    if how == "in place":
        file.write_bytes(content)
    elif how == "in pieces":
        with file.open("wb", buffering=0) as out:
            for start in range(0, len(content), 1 + len(content) // 5):
                out.write(content[start : start + 1 + len(content) // 5])
                time.sleep(0.03)
    elif how == "deleted first":
        file.unlink(missing_ok=True)
        time.sleep(random.uniform(0, 0.2))
        file.write_bytes(content)
    else:
        beside.write_bytes(content)
        if how == "by link":
            link = beside.with_suffix(".link")
            link.symlink_to(beside)
            beside = link
        os.replace(beside, file)
    for stale in file.parent.iterdir():
        if stale != file and stale != file.resolve():
            stale.unlink()
    return how


def _invalid(content: bytes) -> bool:
    try:
        build(parse(content, "chaos"))
    except Invalid:
        return True
    return False


def _spoiled(good: bytes, random: Random) -> tuple[str, bytes]:
    kind = random.choice(["no bytes", "half of it", "noise", "another key", "a host that is not", "not YAML"])
    while True:
        bad = {
            "no bytes": b"",
            "half of it": good[: random.randrange(1, len(good))],
            "noise": random.randbytes(random.choice([1, 100, 100_000])),
            "another key": good + b"\nnonsense: 1\n",
            "a host that is not": good.replace(b"host: host1", b"host: hots1", 1),
            "not YAML": good + b"\n\t{[:\n",
        }[kind]
        if _invalid(bad):
            return kind, bad
        kind = "half of it"  # cut where the rest means something else by chance: cut elsewhere


@fault("file", loses="nothing")
def bad_file(subject: Subject, random: Random) -> Iterator[Scope]:
    good = subject.file.read_bytes()
    kind, bad = _spoiled(good, random)
    how = write(subject.file, bad, random)
    yield Scope(f"a bad file: {kind}, written {how}")
    write(subject.file, good, random)


@fault("file", loses="nothing")
def file_deleted(subject: Subject, random: Random) -> Iterator[Scope]:
    good = subject.file.read_bytes()
    subject.file.unlink()
    if random.random() < 0.3:
        subject.file.mkdir()
    yield Scope("the file deleted" + (", a directory in its place" if subject.file.is_dir() else ""))
    with suppress(OSError):
        subject.file.rmdir()
    write(subject.file, good, random)


@fault("file", loses="nothing")
def half_written_file(subject: Subject, random: Random) -> Iterator[Scope]:
    """Somebody writes it slowly, and has not closed it yet."""
    good = subject.file.read_bytes()
    where = random.randrange(len(good))
    with subject.file.open("wb", buffering=0) as out:
        out.write(good[:where])
        if random.random() < 0.5:
            for machine in subject.controllers:
                subject.signal(machine, services.CONTROLLER, signal.SIGHUP)
        yield Scope(
            f"the file half written, {where} of {len(good)} bytes", everything=not _invalid(good[:where])
        )
        out.write(good[where:])


@fault("file", loses="nothing")
def file_written_again_and_again(subject: Subject, random: Random) -> Iterator[Scope]:
    good, times = subject.file.read_bytes(), random.randrange(5, 60)
    for number in range(times):
        write(subject.file, good + b"# %d\n" % number, random)
    yield Scope(f"the file written {times} times, all the same")
    write(subject.file, good, random)


@fault("hangup", loses="nothing")
def hangup_storm(subject: Subject, random: Random) -> Iterator[Scope]:
    """SIGHUP to controllers and agents, hundreds of times."""
    times = random.choice([3, 300])
    for _ in range(times):
        for machine, service in subject.processes():
            if service in (services.CONTROLLER, services.AGENT):
                subject.signal(machine, service, signal.SIGHUP)
        time.sleep(0.005)
    yield Scope(f"SIGHUP {times} times")


@fault("controller", loses="nothing")
def disk_full(subject: Subject, random: Random) -> Iterator[Scope]:
    """The file system of the state directory is full; sometimes the controller starts just then."""
    where = random.choice(subject.controllers)
    state, machine = subject.state_directory(where), subject.machine(where)
    run(inside(machine, ["mkdir", "-p", state]))
    run(inside(machine, ["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", state]))
    run(inside(machine, ["dd", "if=/dev/zero", f"of={state}/full", "bs=1k", "count=99"]), check=False)
    restarted = random.random() < 0.3
    if restarted:
        subject.end(where, services.CONTROLLER)
        subject.start(where, services.CONTROLLER)
    words = f"state directory full ({where}{', controller restarted' if restarted else ''})"
    yield Scope(words, forgets=restarted)
    run(inside(machine, ["umount", "--lazy", state]))


@fault("controller", loses="nothing")
def clock_jumps(subject: Subject, random: Random) -> Iterator[Scope]:
    """The time of day of a controller jumps; so it does when the controller starts with another one.

    Without libfaketime a restart is all that happens.
    """
    where = random.choice(subject.controllers)
    jumps = [random.choice(["+86400", "-3600", "+31536000", "-315360000"]) for _ in range(2)]
    clock = subject.file.parent.parent / f"clock-{where}"
    clock.write_text("+0")
    preloaded = {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    shared = set(_SHARED_MEMORY.glob("*faketime_*"))
    subject.end(where, services.CONTROLLER)
    with variables(preloaded if FAKETIME else {}):
        _start(subject, where)
    time.sleep(random.uniform(0.5, 3.0))
    for jump in jumps:
        clock.write_text(jump)
        time.sleep(random.uniform(0.2, 2.0))
    yield Scope(f"clock jumps {', '.join(jumps)} s ({where})")
    clock.write_text("+0")
    subject.end(where, services.CONTROLLER)
    subject.start(where, services.CONTROLLER)
    clock.unlink()
    for left in set(_SHARED_MEMORY.glob("*faketime_*")) - shared:
        left.unlink(missing_ok=True)


def _start(subject: Subject, where: str) -> None:
    """Start a controller under libfaketime, which may find what a process of this number has left behind."""
    for _ in range(4):
        with suppress(LabError):
            subject.start(where, services.CONTROLLER)
            return
    subject.start(where, services.CONTROLLER)
