"""The ``sdnapp`` command: one group, the commands of each room below it."""

from __future__ import annotations

import click


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="sdnapp")
def main() -> None:
    """Multi-tenant layer-2 overlays on plain Open vSwitch, from one YAML file."""
