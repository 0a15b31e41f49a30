"""What the Debian package has beside the environment: manual pages, completion, scripts."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import click
import pytest

from pack import complete, man
from sdnapp.cli.main import COMMANDS, main
from sdnapp.shipped import UNITS

SCRIPTS = sorted(path for path in (Path(man.__file__).parent / "deb").glob("p*") if path.suffix == "")


def test_every_command_has_a_manual_page_that_names_its_options() -> None:
    pages = man.pages(main, "1.2")

    assert set(pages) == {"sdnapp.1", "osken-manager.1", *(f"sdnapp-{name}.1" for name in COMMANDS)}
    assert "\\-\\-dry\\-run" in pages["sdnapp-provision.1"]
    assert "sdnapp lab controller kill" in pages["sdnapp-lab.1"]


def test_units_name_manual_pages_that_exist() -> None:
    pages = man.pages(main, "1.2")
    named = [
        page
        for unit in UNITS.glob("*.service")
        for page in re.findall(r"Documentation=man:(\S+)\((\d)\)", unit.read_text())
    ]

    assert len(named) == len(list(UNITS.glob("*.service")))
    assert {f"{name}.{section}" for name, section in named} <= set(pages)


def test_words_of_a_command_are_no_requests_of_groff() -> None:
    @click.command(help=".hidden is a word, and so is \\fB.")
    @click.option("--option", help="'quoted' first")
    def main(option: str) -> None:
        """Not called."""

    page = man.pages(main, "1.2")["sdnapp.1"]

    assert "\n\\&.hidden is a word, and so is \\efB." in page
    assert "\n\\&'quoted' first" in page


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_asks_the_command(shell: str) -> None:
    script = complete.scripts(main)[complete.PLACES[shell]]

    assert f"_SDNAPP_COMPLETE={shell}_complete" in script


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_of_the_package_are_shell_and_know_both_units(script: Path) -> None:
    subprocess.run(["sh", "-n", str(script)], check=True)
    text = script.read_text()

    assert text.startswith("#!/bin/sh\n")
    assert "\nset -e\n" in text
    for unit in UNITS.glob("*.service"):
        assert unit.name in text
