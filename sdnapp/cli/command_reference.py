"""Reference of the command line and of REST, made from the commands and routes themselves."""

from __future__ import annotations

from collections.abc import Iterator

import click

from sdnapp.cli.main import main
from sdnapp.rest.application import ROUTES

_WIDTH = 100


def commands() -> str:
    """Render the help of every command, those below a group too, as Markdown."""
    return "\n".join(
        _commands(
            main,
            click.Context(
                main, info_name="sdnapp", max_content_width=_WIDTH, help_option_names=["-h", "--help"]
            ),
        )
    ).rstrip()


def routes() -> str:
    """Render one row for each path of REST: method, path, scope, what it is."""
    rows = ["| method | path | answers |", "|---|---|---|"]
    for route in sorted(ROUTES, key=lambda route: (route.path, route.method)):
        rows.append(f"| {route.method} | `{route.path}` | {route.summary} |")
    return "\n".join(rows)


def _commands(command: click.Command, context: click.Context) -> Iterator[str]:
    yield f"## {context.command_path}\n\n```\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from _commands(below, click.Context(below, parent=context, info_name=name))
