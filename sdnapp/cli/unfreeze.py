"""``sdnapp unfreeze``: end what duplicate MAC detection and loop protection stopped."""

from __future__ import annotations

import json
from urllib.parse import quote

import click

from sdnapp.cli.rest_client import ask, rest_options, rest_url


@click.command()
@click.argument("network", required=False)
@click.argument("mac", required=False)
@click.option("--port", help="Release this port, which is held down because of a loop.")
@rest_options
def unfreeze(  # noqa: PLR0917  # arguments and options of a command
    network: str | None, mac: str | None, port: str | None, rest: str | None, name: str | None, as_json: bool
) -> None:
    """Let a frozen MAC of NETWORK move again, or release a port that is held down.

    NETWORK is tenant/network.
    """
    url = rest_url(rest, name)
    if port is not None and network is None:
        released = ask(url, f"/v1/ports/{quote(port, safe='')}/release", {})
        click.echo(json.dumps(released) if as_json else f"port {released['port']} is released")
    elif port is None and network is not None and mac is not None:
        unfrozen = ask(url, "/v1/locations/unfreeze", {"network": network, "mac": mac})
        click.echo(
            json.dumps(unfrozen) if as_json else f"{unfrozen['mac']} of {unfrozen['network']} may move again"
        )
    else:
        raise click.UsageError("name a network and a MAC, or --port NAME")
