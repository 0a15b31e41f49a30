"""The house, floor by floor: imports only run down, neighbours do not know each other, the core is pure."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

FLOORS = (
    {"sdnapp.memory", "sdnapp.printable", "sdnapp.throttle"},
    {
        *("flows", "sdnapp.config", "sdnapp.files", "sdnapp.frames", "sdnapp.inbox", "sdnapp.log"),
        *("sdnapp.shipped", "sdnapp.signals", "sdnapp.supervisor"),
    },
    {"sdnapp.net"},
    {"sdnapp.config_file", "sdnapp.tls", "sdnapp.pki"},
    {"sdnapp.provision", "sdnapp.engine", "sdnapp.openflow", "sdnapp.renewal"},
    {"sdnapp.lab", "sdnapp.rest", "sdnapp.manager", "sdnapp.watchdog"},
    {"sdnapp.translation"},
    {"sdnapp.bridges"},
    {"sdnapp.cli", "sdnapp.overlay"},
    {"sdnapp.__main__"},
)
FLOOR_OF = {room: height for height, rooms in enumerate(FLOORS) for room in rooms}

PURE = {"flows", "sdnapp.config", "sdnapp.frames", "sdnapp.net", "sdnapp.throttle"}
WORLD = {
    *("os_ken", "pyroute2", "ovs", "eventlet", "socket", "select", "threading", "asyncio", "subprocess"),
    *("time", "datetime", "random", "logging", "os", "sys", "pathlib", "shutil", "tempfile", "signal"),
}
STANDARD_ONLY = {"flows"}
"""Needs nothing that is not Python's own."""

FILES = sorted([*(ROOT / "sdnapp").rglob("*.py"), *(ROOT / "flows").rglob("*.py")])


def module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def room(name: str) -> str | None:
    """The room that a module is in; None for the porch, ``sdnapp`` itself, and for other people's modules."""
    parts = name.split(".")
    return "flows" if parts[0] == "flows" else ".".join(parts[:2]) if name.startswith("sdnapp.") else None


def imports(path: Path) -> Iterator[str]:
    """Every module that the file imports, at whatever depth, by its absolute name."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=module)
def test_imports_only_run_down(path: Path) -> None:
    here = room(module(path))
    for name in imports(path):
        there = room(name)
        if there is None or there == here:
            continue
        assert here is not None, f"{module(path)} imports {name}"
        assert here in FLOOR_OF, f"{here} has no floor"
        assert there in FLOOR_OF, f"{there} has no floor"
        assert FLOOR_OF[there] < FLOOR_OF[here], f"{here} imports {name}"


@pytest.mark.parametrize("path", [p for p in FILES if room(module(p)) in PURE], ids=module)
def test_the_core_does_not_know_the_world(path: Path) -> None:
    assert not {name.split(".")[0] for name in imports(path)} & WORLD


@pytest.mark.parametrize("path", [p for p in FILES if room(module(p)) in STANDARD_ONLY], ids=module)
def test_flows_needs_nothing_but_python(path: Path) -> None:
    roots = {name.split(".")[0] for name in imports(path)}
    assert roots <= {"flows", *sys.stdlib_module_names}
