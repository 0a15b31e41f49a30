"""Files that come with the package and are no modules: the examples and the systemd units."""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).parent

UNITS = _HERE / "systemd"
"""The directory of the systemd units."""


def examples() -> dict[str, Path]:
    """Map each example's name to its file: in ``examples/`` once installed, in ``configs/`` of a checkout."""
    for directory in (_HERE / "examples", _HERE.parent / "configs"):
        if found := sorted(directory.glob("*.yaml")):
            return {path.stem: path for path in found}
    raise FileNotFoundError(f"{_HERE / 'examples'} is missing: install sdnapp again")
