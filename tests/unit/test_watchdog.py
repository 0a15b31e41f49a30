"""The watchdog ends a process whose event loop does not turn, and no other."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from sdnapp.supervisor import Presence, tell
from sdnapp.watchdog import LATE, PATIENCE, STATUS, Watchdog

HANGS = """
import os
os.environ["OSKEN_HUB_TYPE"] = "{hub}"
from os_ken.lib import hub
hub.patch(thread=False)
import time
from sdnapp import watchdog
watchdog.PATIENCE = 2
dog = watchdog.Watchdog()
dog.start()

def turning():
    for _ in range({turns}):
        dog.turns += 1
        hub.sleep(0.1)
    waits_for_ever()

def waits_for_ever():
    while True:
        pass

hub.joinall([hub.spawn(turning)])
"""


class Seen:
    """What a watchdog does."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.ended = 0
        self.dog = Watchdog(self.told.append, self._end)

    def _end(self) -> None:
        self.ended += 1

    def looks(self, number: int, *, turning: bool) -> None:
        for _ in range(number):
            self.dog.turns += turning
            self.dog.look()


def test_a_loop_that_turns_is_told_and_left_alone() -> None:
    seen = Seen()
    seen.looks(3 * PATIENCE, turning=True)

    assert seen.told == ["WATCHDOG=1"] * 3 * PATIENCE
    assert (seen.ended, seen.dog.late) == (0, False)


def test_a_loop_that_does_not_turn_is_late_and_then_ended_once() -> None:
    seen = Seen()
    seen.looks(1, turning=True)
    seen.looks(LATE, turning=False)
    assert (seen.dog.late, seen.ended) == (True, 0)

    seen.looks(PATIENCE, turning=False)
    assert (seen.told, seen.ended) == (["WATCHDOG=1"], 1)


def test_one_turn_in_time_is_enough() -> None:
    seen = Seen()
    for _ in range(5):
        seen.looks(PATIENCE - 1, turning=False)
        seen.looks(1, turning=True)

    assert (seen.ended, seen.dog.late) == (0, False)


@pytest.mark.parametrize("hub", ["eventlet", "native"])
def test_a_process_that_hangs_says_where_and_ends_with_an_error(hub: str) -> None:
    command = [sys.executable, "-W", "ignore", "-c", HANGS.format(hub=hub, turns=25)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    assert done.returncode == STATUS
    assert re.search(r"in waits_for_ever$", done.stderr, re.MULTILINE)


def test_a_process_that_was_stopped_and_continued_lives_on() -> None:
    script = HANGS.format(hub="eventlet", turns=10**6)
    script = script.replace("dog.start()", 'dog.start(); print("up", flush=True)')
    command = [sys.executable, "-W", "ignore", "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGSTOP)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(4)
        process.send_signal(signal.SIGCONT)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(4)
        process.kill()


@pytest.mark.parametrize("abstract", [False, True])
def test_systemd_is_told_at_its_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, abstract: bool
) -> None:
    address = f"\0sdnapp-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(address)
        monkeypatch.setenv("NOTIFY_SOCKET", address.replace("\0", "@"))
        tell("READY=1")

        assert listening.recv(100) == b"READY=1"


def test_without_a_service_manager_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere/at/all")
    tell("READY=1")
    monkeypatch.delenv("NOTIFY_SOCKET")
    tell("READY=1")


def test_a_process_beats_for_its_own_watchdog_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "3000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    told: list[str] = []
    presence = Presence(told.append)
    presence.ready("well")
    presence.beat()
    assert (presence.pause, told) == (1.5, ["READY=1\nSTATUS=well", "WATCHDOG=1"])

    monkeypatch.setenv("WATCHDOG_PID", "1")
    presence = Presence(told.append)
    presence.beat()
    assert (presence.pause, told[2:]) == (None, [])
