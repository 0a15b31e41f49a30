"""``python -m tests.bench.quote README.md``: quote in a document what ``./run bench`` printed last.

It printed it with ``--json tests/bench/figures.json``. Only figures with a bar are quoted, met or not.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from sdnapp.cli.reference import updated
from tests.bench.figure import number

PRINTED = Path(__file__).with_name("figures.json")


def figures() -> str:
    """Lay out the figures as a table of Markdown."""
    rows = ["| figure | sdnapp | beside | must reach | met? |", "|---|---|---|---|---|"]
    for figure in json.loads(PRINTED.read_text()):
        if figure["bar"]:
            unit, beside = figure["unit"], figure["reference"]
            sides = ("" if value is None else f"{number(value)} {unit}" for value in (figure["ours"], beside))
            cells = (figure["figure"], *sides, figure["bar"], "yes" if figure["met"] else "no")
            rows.append(f"| {' | '.join(cell.strip() for cell in cells)} |")
    return "\n".join(rows)


BLOCKS = {"figures": figures}


if __name__ == "__main__":
    for name in sys.argv[1:]:
        document = Path(name)
        document.write_text(updated(document.read_text(encoding="utf-8"), BLOCKS), encoding="utf-8")
