"""``sdnapp thaw``: a station that moved too often may move again."""

from __future__ import annotations

import json

import click

from sdnapp.cli.ask import ask, rest_options, rest_url


@click.command()
@click.argument("network")
@click.argument("mac")
@rest_options
def thaw(network: str, mac: str, rest: str | None, name: str | None, as_json: bool) -> None:
    """Let a frozen MAC of NETWORK move again before its time.

    NETWORK is tenant/network.
    """
    thawed = ask(rest_url(rest, name), "/v1/thaw", {"network": network, "mac": mac})
    click.echo(json.dumps(thawed) if as_json else f"{thawed['mac']} of {thawed['network']} may move again")
