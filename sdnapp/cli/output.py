"""Plain output of commands."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from sdnapp.printable import printable_lines


def echo(text: object, *, err: bool = False) -> None:
    """Print text of others, line by line, as ``click.echo`` does, with escapes for what is not printable."""
    click.echo(printable_lines(str(text)), err=err)


@contextmanager
def refusing(*errors: type[Exception]) -> Iterator[None]:
    """Turn an error of these types into its sentence on stderr, and exit status 2; a decorator, too."""
    try:
        yield
    except errors as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(2)
