"""Completion scripts of the shells, as click writes them; where Debian's shells look for them."""

from __future__ import annotations

from collections.abc import Mapping

import click
from click.shell_completion import get_completion_class

PLACES = {
    "bash": "usr/share/bash-completion/completions/sdnapp",
    "zsh": "usr/share/zsh/vendor-completions/_sdnapp",
    "fish": "usr/share/fish/vendor_completions.d/sdnapp.fish",
}


def scripts(main: click.Command) -> Mapping[str, str]:
    """Return the script of each shell, by its place in the package."""
    made = {}
    for shell, place in PLACES.items():
        kind = get_completion_class(shell)
        assert kind is not None, shell
        completion = kind(main, {}, "sdnapp", "_SDNAPP_COMPLETE")
        # Not source(): that of bash asks the bash of this machine for its version.
        made[place] = completion.source_template % completion.source_vars()
    return made
