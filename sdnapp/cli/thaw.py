"""``sdnapp thaw``: what loop protection and duplicate MAC detection stopped may go on."""

from __future__ import annotations

import json

import click

from sdnapp.cli.ask import ask, rest_options, rest_url


@click.command()
@click.argument("network", required=False)
@click.argument("mac", required=False)
@click.option("--port", help="Release this port, which is held down because of a loop.")
@rest_options
def thaw(  # noqa: PLR0917  # arguments and options of a command
    network: str | None, mac: str | None, port: str | None, rest: str | None, name: str | None, as_json: bool
) -> None:
    """Let a frozen MAC of NETWORK move again, or release a port that is held down.

    NETWORK is tenant/network.
    """
    url = rest_url(rest, name)
    if port is not None and network is None:
        released = ask(url, "/v1/release", {"port": port})
        click.echo(json.dumps(released) if as_json else f"port {released['port']} is released")
    elif port is None and network is not None and mac is not None:
        thawed = ask(url, "/v1/thaw", {"network": network, "mac": mac})
        click.echo(
            json.dumps(thawed) if as_json else f"{thawed['mac']} of {thawed['network']} may move again"
        )
    else:
        raise click.UsageError("name a network and a MAC, or --port NAME")
