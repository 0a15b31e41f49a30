"""``python -m sdnapp.cli.reference docs/*.md``: renew what documents say of the code from the code."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from flows.render import describe_tables
from sdnapp.cli import bounds, command_reference
from sdnapp.config import reference
from sdnapp.shipped import UNITS


def _unit(name: str) -> str:
    """Quote a systemd unit."""
    return f"```ini\n# {name}\n{(UNITS / name).read_text(encoding='utf-8')}```"


BLOCKS: Mapping[str, Callable[[], str]] = {
    "commands": command_reference.commands,
    "configuration reference": reference.render,
    "limits": bounds.render,
    "pipeline": describe_tables,
    "routes": command_reference.routes,
    "unit of the agent": lambda: _unit("sdnapp-provision.service"),
    "unit of the controller": lambda: _unit("sdnapp-controller.service"),
}
"""Generators of the blocks between ``<!-- name: begin -->`` and ``<!-- name: end -->``, by name."""


def updated(text: str, blocks: Mapping[str, Callable[[], str]] = BLOCKS) -> str:
    """``text`` with every such block brought up to date."""
    for name, render in blocks.items():
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        before, _, rest = text.partition(begin)
        if rest:
            text = f"{before}{begin}\n{render()}\n{end}{rest.partition(end)[2]}"
    return text


if __name__ == "__main__":
    for name in sys.argv[1:]:
        document = Path(name)
        document.write_text(updated(document.read_text(encoding="utf-8")), encoding="utf-8")
