"""The program of every host of every example, as a person reads it, beside the file it comes from.

After an intended change: ``python -m tests.golden.test_golden`` writes them anew; read the difference.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.compile import compile_bridge
from flows.flow import Program
from flows.render import render
from flows.verify import check
from sdnapp.config_file import load
from sdnapp.net.events import BridgeFound
from sdnapp.net.model import Overlay
from sdnapp.net.state import State
from sdnapp.net.step import step
from tests.overlays import numbers, plugged, view_of

HERE = Path(__file__).parent
CONFIGS = HERE.parents[1] / "configs"


def everything_up(overlay: Overlay) -> State:
    """Every bridge has every port of the file, with the number that the file asks for.

    Ports that may be on any host are on the first one.
    """
    state = State.of(overlay)
    first = next(iter(overlay.hosts))
    for host in overlay.hosts.values():
        ports = dict(numbers(host))
        for ofport, bound in enumerate(overlay.bound.values(), start=1):
            if host.name == (bound.host or first):
                ports |= plugged(f"tap{ofport}", ofport, bound.iface_id)
        state = step(state, BridgeFound(host.name, ports))
    return state


def programs() -> Iterator[tuple[str, Program]]:
    """The name of the golden file and the program that belongs there."""
    for path in sorted(CONFIGS.glob("*.yaml")):
        state = everything_up(load(path))
        for host in state.overlay.hosts:
            yield f"{path.stem}.{host}.txt", compile_bridge(view_of(state, host))


PROGRAMS = dict(programs())


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_program_is_the_golden_one(name: str) -> None:
    program = PROGRAMS[name]

    assert render(program) == (HERE / name).read_text(encoding="utf-8")
    for flow in program.flows.values():
        check(flow)


def test_there_is_no_golden_file_without_its_program() -> None:
    assert {path.name for path in HERE.glob("*.txt")} == set(PROGRAMS)


if __name__ == "__main__":
    for stale in HERE.glob("*.txt"):
        stale.unlink()
    for written, program in PROGRAMS.items():
        (HERE / written).write_text(render(program), encoding="utf-8")
