"""``sdnapp check`` and ``sdnapp schema``: validation of files, and their JSON Schema."""

from __future__ import annotations

import json
import sys

import click

from sdnapp.cli.output import echo
from sdnapp.config import Invalid, parse
from sdnapp.config.document import MAX_BYTES
from sdnapp.config.schema import json_schema
from sdnapp.config_file import read, unreadable
from sdnapp.net.build import build
from sdnapp.net.config_warnings import remarks
from sdnapp.printable import printable_lines


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
def check(files: tuple[str, ...]) -> None:
    """Say what is wrong with each FILE, and what would be right.

    '-' is standard input. Exit status 0 if nothing is wrong, otherwise 2.
    """
    found = sum([_check(file) for file in files])
    if found:
        click.echo(_count(found, "problem"))
        sys.exit(2)


def _check(file: str) -> int:
    """Print one file's problems, or what is in it; the number of problems."""
    try:
        source = "<stdin>" if file == "-" else click.format_filename(file)
        config = parse(_standard_input(source) if file == "-" else read(file), source)
    except Invalid as error:
        click.echo(printable_lines(str(error)).encode())  # whatever the locale can show
        return len(error.problems)
    counts = {
        "tenant": len(config.tenants),
        "network": len(config.networks),
        "host": len(config.hosts),
        "port": len(config.ports),
    }
    echo(f"{source}: " + ", ".join(_count(number, word) for word, number in counts.items()))
    for remark in remarks(build(config)):
        echo(f"{source}: remark: {remark}")
    return 0


def _standard_input(source: str) -> bytes:
    try:
        with open(0, "rb", closefd=False) as stream:
            return stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise unreadable(source, error) from None


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


@click.command()
def schema() -> None:
    """Print the JSON Schema of the file, for editors."""
    click.echo(json.dumps(json_schema(), indent=2))
