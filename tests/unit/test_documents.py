"""Documents say what the code says, and their links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sdnapp.cli.main import COMMANDS
from sdnapp.cli.reference import BLOCKS, updated
from sdnapp.config import parse
from tests.bench import quote

ROOT = Path(__file__).parents[2]
DOCUMENTS = (ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md")))
TEXTS = {document: document.read_text(encoding="utf-8") for document in DOCUMENTS}
README = TEXTS[ROOT / "README.md"]


def test_what_is_written_by_the_code_is_up_to_date() -> None:
    """If not: ``python -m sdnapp.cli.reference docs/*.md``."""
    for name in BLOCKS:
        assert any(f"<!-- {name}: begin -->" in text for text in TEXTS.values()), name
    assert [document for document, text in TEXTS.items() if updated(text) != text] == []


def test_figures_are_those_that_the_benchmark_printed() -> None:
    """If not: ``python -m tests.bench.quote docs/benchmarks.md``."""
    figures = TEXTS[ROOT / "docs/benchmarks.md"]
    assert "<!-- figures: begin -->" in figures
    assert updated(figures, quote.BLOCKS) == figures


@pytest.mark.parametrize("document", ["README.md", "docs/configuration.md"])
def test_the_example_is_a_good_file(document: str) -> None:
    example = re.findall(r"```yaml\n(.*?)```", TEXTS[ROOT / document], flags=re.DOTALL)[0]

    parse(example.encode(), document)


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 120


def test_commands_that_documents_name_exist() -> None:
    named = {name for text in TEXTS.values() for name in re.findall(r"(?:`|[$#] |bin/)sdnapp ([a-z]+)", text)}

    assert named
    assert named <= set(COMMANDS)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\((?!http|#)([^)#]+)\)", TEXTS[document]):
        assert (document.parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_links_to_sections_lead_to_one(document: Path) -> None:
    for target, section in re.findall(r"\]\((?!http)([^)#]*)#([^)]+)\)", TEXTS[document]):
        of = document.parent / target if target else document
        assert section in set(_anchors(of.read_text(encoding="utf-8"))), f"{target}#{section}"


def _anchors(text: str) -> list[str]:
    """Return the names under which headings can be linked to."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"(?ms)^```.*?^```", "", text), flags=re.MULTILINE)
    return [re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-") for heading in headings]
