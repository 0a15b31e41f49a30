"""Terminal, errors and options of lab commands."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import NoReturn

import click
from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderableType, RenderHook, RenderResult
from rich.markup import escape as without_markup
from rich.segment import Segment
from rich.table import Table

from sdnapp.cli.output import echo
from sdnapp.config import Invalid
from sdnapp.lab.active_config import in_force
from sdnapp.lab.errors import LabError
from sdnapp.lab.model import Lab
from sdnapp.net.model import Overlay
from sdnapp.printable import printable, printable_lines


class _Printable(RenderHook):
    """Escapes control characters in foreign text; those of rich itself pass."""

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        """Each of them, with escapes."""
        return [_Cleaned(each) for each in renderables]


@dataclass(frozen=True)
class _Cleaned:
    inner: RenderableType
    """What is printed, of which the text is cleaned."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for segment in console.render(self.inner, options):
            yield segment if segment.control else Segment(printable_lines(segment.text), segment.style)


def screen() -> Console:
    """A console for text of others."""
    made = Console(highlight=False)
    made.push_render_hook(_Printable())
    return made


def escape(text: object) -> str:
    """One line of text of others, for markup of rich."""
    return without_markup(printable(str(text)))


console = screen()
if not console.is_terminal and "COLUMNS" not in os.environ:
    console.width = 160  # for a file or a pipe nothing needs to be cut


def fits(table: Table) -> bool:
    """Whether the terminal shows this table without cutting or folding a word of it."""
    return console.measure(table, options=console.options.update(max_width=_ANY)).maximum <= console.width


def narrowed(table: Table, *dispensable: str) -> Table:
    """The table without as many of these columns, in this order, as the terminal has no room for."""
    for header in dispensable:
        if fits(table):
            break
        kept = [column for column in table.columns if column.header != header]
        fresh = Table(*kept, title=table.title, title_justify=table.title_justify)
        fresh.rows = table.rows
        table = fresh
    return table


_ANY = 100_000

name_option = click.option(
    "--name", envvar="SDNAPP_LAB", default="lab", show_default=True, show_envvar=True, help="Which lab."
)


@contextmanager
def on_labs() -> Iterator[None]:
    """Turn what can go wrong with labs into its sentence on stderr, and an exit code: 2 for a mistake of the
    caller, and not to be root is one.
    """
    if os.geteuid() != 0:
        click.echo("Error: a lab makes network namespaces, which needs root: use sudo", err=True)
        raise SystemExit(2)
    try:
        yield
    except Invalid as invalid:
        for problem in invalid.problems:
            echo(problem, err=True)
        raise SystemExit(2) from None
    except LabError as error:
        raise click.ClickException(str(error)) from None
    except BrokenPipeError:
        raise
    except OSError as error:  # no room, no right to write, a process that does not end
        where = f"{error.filename}: " if error.filename else ""
        raise click.ClickException(f"{where}{error.strerror or error}") from error


def overlay_of(lab: Lab) -> Overlay:
    """Return the overlay that a lab runs, and report if it differs from its file."""
    overlay, invalid = in_force(lab)
    if invalid is not None:
        echo(f"{invalid.problems[0]}\nThe file is broken. The last good one is in force.", err=True)
    return overlay


@contextmanager
def interrupted_by_sigterm() -> Iterator[None]:
    """Make SIGTERM clean up as Ctrl-C does."""

    def interrupt(_signal: int, _frame: object) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """Show the steps as they get done, each with the time it took; one that says "but" is no success."""
    last = time.monotonic()

    def report(step: str) -> None:
        nonlocal last
        now = time.monotonic()
        mark = "[yellow]![/]" if step.startswith("but ") else "✓"
        console.print(f"{mark} {escape(step)} [dim]({now - last:.1f} s)[/dim]")
        last = now

    with console.status("bringing it up …") if console.is_terminal else nullcontext():
        yield report
