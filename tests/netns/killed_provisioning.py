"""Kill provisioning at many points, and see each time whether the next run gets there all the same.

Run on a host that is bare: ``python -m tests.netns.killed_provisioning FILE POINTS``. Prints what was left
wrong, as JSON.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from sdnapp.config_file import load
from sdnapp.provision import netns
from sdnapp.provision.converge import Goal, converge, look
from sdnapp.provision.ovsdb import Database

REMOTE = "unix:/run/openvswitch/db.sock"
WATCHED = ("execute.py", "netns.py", "ingress.py", "ovsdb.py", "converge.py")
"""Only lines of these files are points: the others touch nothing."""


class Countdown:
    """Counts lines as they are executed, and kills its own process at one of them."""

    def __init__(self, left: int) -> None:
        self.left = left

    def __call__(self, frame: FrameType, event: str, _argument: Any) -> Any:
        path = frame.f_code.co_filename
        if "/sdnapp/provision/" not in path or not path.endswith(WATCHED):
            return None
        if event == "line":
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return self


def state() -> dict[str, Any]:
    """All that provisioning is about."""
    world = look(Database(REMOTE))
    devices = {name: world.devices.get(name) for name in ("eth0", "br-phy")}
    things = {f"{thing.kind} {thing.name}": thing for thing in world.things()}
    return {**devices, **things, "names": netns.names()}


def in_child(work: Callable[[], Any]) -> Any:
    """Do it in a process of its own; what it returned, None where it was killed."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        with os.fdopen(writing, "wb") as answer:
            pickle.dump(work(), answer)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answered = pipe.read()
    _, status = os.waitpid(child, 0)
    return None if os.WIFSIGNALED(status) else pickle.loads(answered)


def go(goal: Goal) -> dict[str, Any]:
    """Reach the goal undisturbed; the state in the end."""

    def work() -> dict[str, Any]:
        outcome = converge(goal, Database(REMOTE), lambda _: None)
        assert not outcome.problems, outcome.problems
        return state()

    reached: dict[str, Any] = in_child(work)
    return reached


def go_and_die(goal: Goal, at: int) -> int | None:
    """Go for the goal, but die at some line; how many lines there were, if that was not one of them."""

    def work() -> int:
        database, countdown = Database(REMOTE), Countdown(at)
        sys.settrace(countdown)
        converge(goal, database, lambda _: None)
        sys.settrace(None)
        return at - countdown.left

    lines: int | None = in_child(work)
    return lines


def main(file: str, points: int) -> None:
    """Die on the way up and on the way down, at points evenly spread, and go each time all the way again."""
    goals = Goal("host1", None), Goal("host1", load(file))
    expected = [go(goal) for goal in goals]
    wrong = []
    for way in ((0, 1), (1, 0)):
        goal, before = (goals[end] for end in way)
        lines = go_and_die(goal, 10**9) or 0
        for point in range(points):
            go(before)
            at = 1 + point * lines // points
            if go_and_die(goal, at) is not None:
                wrong.append(f"not killed at line {at} of {lines}")
            for end in way if point % 2 else reversed(way):
                found = go(goals[end])
                patience = time.monotonic() + 2
                while found != expected[end] and time.monotonic() < patience:
                    time.sleep(0.05)  # Open vSwitch may still be at what the killed run asked for
                    found = in_child(state)
                for name in found.keys() | expected[end].keys():
                    is_, was = found.get(name), expected[end].get(name)
                    if is_ != was:
                        wrong.append(f"killed at line {at} of {lines}: {name} is {is_}, not {was}")
    print(json.dumps({"points": 2 * points, "wrong": wrong}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
