"""Packets, ports and bridges are not persons: code and documents use no pronouns of persons for them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXTS = (
    *sorted((ROOT / "flows").rglob("*.py")),
    *sorted((ROOT / "sdnapp").rglob("*.py")),
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "README.md",
    ROOT / "SECURITY.md",
)
PERSONS = re.compile(r"\b(nobody|somebody|anybody|everybody|whoever|whom)\b", re.IGNORECASE)


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_pronoun_of_a_person_stands_for_a_thing(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()

    assert [f"{number}: {line}" for number, line in enumerate(lines, start=1) if PERSONS.search(line)] == []
