"""The README says what the code says."""

from __future__ import annotations

import re
from pathlib import Path

from sdnapp.cli.main import COMMANDS
from sdnapp.cli.reference import BLOCKS, updated
from sdnapp.config import parse
from tests.bench import quote

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def test_what_is_written_by_the_code_is_up_to_date() -> None:
    """If not: ``python -m sdnapp.cli.reference README.md``."""
    for name in BLOCKS:
        assert f"<!-- {name}: begin -->" in README
    assert updated(README) == README


def test_figures_are_those_that_the_benchmark_printed() -> None:
    """If not: ``python -m tests.bench.quote README.md``."""
    assert "<!-- figures: begin -->" in README
    assert updated(README, quote.BLOCKS) == README


def test_the_example_is_a_good_file() -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", README, flags=re.DOTALL)

    parse(example.encode(), "README.md")


def test_commands_that_it_names_exist() -> None:
    named = set(re.findall(r"(?:`|[$#] |bin/)sdnapp ([a-z]+)", README))

    assert named
    assert named <= set(COMMANDS)


def test_links_lead_somewhere() -> None:
    root = Path(__file__).parents[2]

    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (root / target).exists(), target
