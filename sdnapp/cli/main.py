"""The ``sdnapp`` command group."""

from __future__ import annotations

import codecs
import sys
from difflib import get_close_matches
from importlib import import_module
from io import TextIOWrapper
from typing import Any, TextIO

import click
from click.shell_completion import CompletionItem

from sdnapp.printable import printable_lines

COMMANDS = {
    "check": ("sdnapp.cli.check:check", "Say what is wrong with each FILE, and what would be right."),
    "controller": ("sdnapp.cli.controller:controller", "Run the controller on FILE."),
    "demo": ("sdnapp.cli.demo:demo", "Watch two tenants talk over GRE, then VXLAN."),
    "diff": ("sdnapp.cli.diff:diff", "Show what FILE would change, before anything happens."),
    "examples": (
        "sdnapp.cli.examples:examples",
        "List the example files, or print the one that is called NAME.",
    ),
    "flows": ("sdnapp.cli.show:flows", "Show the flows of a HOST's bridge, with their counters."),
    "lab": ("sdnapp.cli.lab:lab", "Run real hosts on this machine."),
    "pki": ("sdnapp.cli.pki:pki", "Make and inspect the certificates of bridges, controllers and operators."),
    "provision": ("sdnapp.cli.provision:provision", "Make this machine what FILE says of one of its hosts."),
    "schema": ("sdnapp.cli.check:schema", "Print the JSON Schema of the file, for editors."),
    "show": ("sdnapp.cli.show:show", "Show what the controller knows: hosts, networks, ports."),
    "token": (
        "sdnapp.cli.token:token",
        "Say which clients REST answers, by tokens and by names of certificates.",
    ),
    "unfreeze": (
        "sdnapp.cli.unfreeze:unfreeze",
        "Let a frozen MAC of NETWORK move again, or release a port that is held down.",
    ),
}
"""Where each command is, and its short help: imported when it is called, so that none pays for the others'
libraries, and neither ``--help`` nor completion for any.
"""


_PLAIN = {"✓": "+", "✗": "x", "·": ".", "→": "->", "…": "...", "─": "-"}
"""Replacements of symbols for terminals without Unicode."""


def _plainly(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    return "".join(_PLAIN.get(sign, "?") for sign in error.object[error.start : error.end]), error.end


codecs.register_error("sdnapp.plain", _plainly)


def replace_unencodable(stream: TextIO) -> None:
    """Have a stream replace characters that its encoding lacks, instead of failing."""
    if isinstance(stream, TextIOWrapper) and stream.errors == "strict":
        stream.reconfigure(errors="sdnapp.plain")


class Commands(click.Group):
    """Click group that imports its commands on use."""

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

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the list of commands."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, words) for name, (_, words) in sorted(COMMANDS.items())])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the name of a command; options as click does."""
        if incomplete and not incomplete[0].isalnum():
            return super().shell_complete(ctx, incomplete)
        found = sorted(COMMANDS.items())
        return [CompletionItem(name, help=words) for name, (_, words) in found if name.startswith(incomplete)]

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
        module, _, attribute = COMMANDS[name][0].partition(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="sdnapp")
def main() -> None:
    """Multi-tenant layer-2 overlays on plain Open vSwitch, from one YAML file."""
    replace_unencodable(sys.stdout)
