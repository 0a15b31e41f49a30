"""Plain output of commands."""

from __future__ import annotations

import click

from sdnapp.printable import printable_lines


def echo(text: object, *, err: bool = False) -> None:
    """Print text of others, line by line, as ``click.echo`` does, with escapes for what is not printable."""
    click.echo(printable_lines(str(text)), err=err)
