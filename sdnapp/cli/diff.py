"""``sdnapp diff``: what a file would change, before anything happens."""

from __future__ import annotations

import json
from dataclasses import asdict

import click
from pydantic import TypeAdapter, ValidationError

from sdnapp.cli.output import echo
from sdnapp.cli.rest_client import ask, rest_options, rest_url
from sdnapp.config import Invalid
from sdnapp.config_file import load
from sdnapp.net.model import Overlay
from sdnapp.net.overlay_diff import Difference, FlowDifference, differences, flow_differences

TROUBLE = 2
"""The exit status when nothing can be compared, as that of diff(1)."""


@click.command()
@click.argument("files", nargs=-1, metavar="[OLD] FILE")
@click.option("--flows", "with_flows", is_flag=True, help="Flow by flow too, for each host.")
@rest_options
def diff(
    files: tuple[str, ...], rest: str | None, name: str | None, *, with_flows: bool, as_json: bool
) -> None:
    """Show what FILE would change, before anything happens.

    Against OLD, or against what the controller has in force.

    Exit status 0 if nothing would change, 1 if something would.
    """
    if not 1 <= len(files) <= 2:
        raise click.UsageError("give one file, to compare with what is in force, or two")
    try:
        new = load(files[-1])
        old = load(files[0]) if len(files) == 2 else _in_force(rest_url(rest, name))
    except Invalid as invalid:
        echo(invalid, err=True)
        raise SystemExit(TROUBLE) from None
    except click.ClickException as error:
        error.show()
        raise SystemExit(TROUBLE) from None
    found = differences(old, new)
    flows = flow_differences(old, new) if with_flows else ()
    if as_json:
        click.echo(json.dumps(_as_json(found, flows), indent=2))
    else:
        for difference in found:
            echo(difference)
        for of_host in flows:
            _show_flows(of_host)
    raise SystemExit(bool(found or flows))


def _in_force(url: str) -> Overlay:
    try:
        return TypeAdapter(Overlay).validate_python(ask(url, "/v1/config"))
    except ValidationError:
        raise click.ClickException(f"the controller at {url} is of another version of sdnapp") from None


def _show_flows(of_host: FlowDifference) -> None:
    click.echo(f"\n{of_host.host}: {len(of_host.add)} flows added, {len(of_host.remove)} removed")
    for sign, flows in (("-", of_host.remove), ("+", of_host.add)):
        for flow in flows:
            echo(f"{sign} {flow}")


def _as_json(found: tuple[Difference, ...], flows: tuple[FlowDifference, ...]) -> dict[str, object]:
    return {
        "differences": [asdict(difference) for difference in found],
        "flows": {
            of_host.host: {"add": list(map(str, of_host.add)), "remove": list(map(str, of_host.remove))}
            for of_host in flows
        },
    }
