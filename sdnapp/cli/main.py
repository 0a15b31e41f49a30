"""The ``sdnapp`` command: one group, the commands of each room below it."""

from __future__ import annotations

import codecs
import sys
from difflib import get_close_matches
from importlib import import_module
from io import TextIOWrapper
from typing import Any, TextIO

import click

from sdnapp.printable import printable_lines

COMMANDS = {
    "check": "sdnapp.cli.check:check",
    "controller": "sdnapp.cli.controller:controller",
    "demo": "sdnapp.cli.demo:demo",
    "diff": "sdnapp.cli.diff:diff",
    "examples": "sdnapp.cli.examples:examples",
    "flows": "sdnapp.cli.show:flows",
    "lab": "sdnapp.cli.lab:lab",
    "pki": "sdnapp.cli.pki:pki",
    "provision": "sdnapp.cli.provision:provision",
    "schema": "sdnapp.cli.check:schema",
    "show": "sdnapp.cli.show:show",
    "thaw": "sdnapp.cli.thaw:thaw",
    "token": "sdnapp.cli.token:token",
}
"""Where each command is: imported when it is called, so that none pays for the others' libraries."""


_PLAIN = {"✓": "+", "✗": "x", "·": ".", "→": "->", "…": "...", "─": "-"}
"""Our signs where a terminal has no Unicode."""


def _plainly(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    return "".join(_PLAIN.get(sign, "?") for sign in error.object[error.start : error.end]), error.end


codecs.register_error("sdnapp.plain", _plainly)


def speak_plainly(stream: TextIO) -> None:
    """Have a stream print what its encoding lacks in other signs: no command is to fail for its words."""
    if isinstance(stream, TextIOWrapper) and stream.errors == "strict":
        stream.reconfigure(errors="sdnapp.plain")


class Commands(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Name them all, without importing any."""
        return sorted(COMMANDS)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does; a name that is none gets the one that was meant."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError:
            for meant in get_close_matches(args[0], COMMANDS, 1):
                ctx.fail(f"No such command '{args[0]}'. Did you mean '{meant}'?")
            raise

    def invoke(self, ctx: click.Context) -> Any:
        """As click does; what the error of a command quotes of others is printable."""
        try:
            return super().invoke(ctx)
        except click.ClickException as error:
            vars(error)["message"] = printable_lines(error.message)  # it is declared final
            raise

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:  # noqa: ARG002
        """Import one; None when there is none of this name."""
        if name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[name].partition(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="sdnapp")
def main() -> None:
    """Multi-tenant layer-2 overlays on plain Open vSwitch, from one YAML file."""
    speak_plainly(sys.stdout)
