"""``sdnapp controller``: ``osken-manager sdnapp.overlay`` by a shorter name."""

from __future__ import annotations

import os
import sys

import click


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("file", type=click.Path())
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def controller(file: str, options: tuple[str, ...]) -> None:
    """Run the controller on FILE. Further OPTIONS are those of osken-manager.

    The process becomes osken-manager, which must patch the hub before anything else is imported.
    """
    command = [sys.executable, "-m", "sdnapp.manager", "sdnapp.overlay", "--overlay-config", file, *options]
    sys.stdout.flush()
    os.execv(sys.executable, command)
