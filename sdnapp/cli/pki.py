"""``sdnapp pki``: certificates for bridges, controllers and operators, and their expiry."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, TypeVar

import click

from sdnapp.cli.output import refusing
from sdnapp.pki.authority import AUTHORITIES, CA_DAYS, LEAF_DAYS, Kind, PkiError, make_authorities, make_leaf
from sdnapp.pki.condition import Condition, conditions

DIRECTORY = Path("/etc/sdnapp/pki")
INSTALLED = Path("/etc/sdnapp/tls")
"""Where machines have what they use: the default of ``controller.tls`` and ``controller.bridge_tls``."""
HERE = ("localhost", "127.0.0.1", "::1")
"""Names that every controller has: the CLI beside it asks by these."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_ADDRESS = re.compile(r"[A-Za-z0-9_.:-]{1,253}")


Command = TypeVar("Command", bound=Callable[..., None])


def _names(_: click.Context, __: click.Parameter, value: Any) -> Any:
    for name in value if isinstance(value, tuple) else (value,):
        if not _NAME.fullmatch(name):
            message = f"{name!r} is no name for a certificate: letters, digits, '-', '_' and '.', 64 at most"
            raise click.BadParameter(message)
    return value


def _addresses(_: click.Context, __: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    for address in value:
        if not _ADDRESS.fullmatch(address):
            raise click.BadParameter(f"{address!r} is neither an IP address nor a DNS name")
    return value


def _making(days: int) -> Callable[[Command], Command]:
    """``--directory``, ``--days`` and ``--force``."""

    def decorate(command: Command) -> Command:
        for option in (
            click.option("--force", is_flag=True, help="Replace what is there."),
            click.option(
                "--days", type=click.IntRange(1, 36500), default=days, show_default=True, help="Lifetime."
            ),
            click.option(
                "--directory",
                type=click.Path(path_type=Path),
                default=DIRECTORY,
                show_default=True,
                help="Where the authorities and what they signed are kept.",
            ),
        ):
            command = option(command)
        return command

    return decorate


@click.group()
def pki() -> None:
    """Make and inspect the certificates of bridges, controllers and operators.

    Run it on a machine that is neither host nor controller: the keys of the authorities, in the folder
    'ca', are needed only to make certificates.
    """


@pki.command()
@_making(CA_DAYS)
@refusing(PkiError)
def init(directory: Path, days: int, *, force: bool) -> None:
    """Make the authorities: one for controllers, one for bridges, one for operators."""
    folder = make_authorities(directory, now=_now(), days=days, force=force)
    click.echo(f"{folder}: {', '.join(AUTHORITIES)}, until {_now() + timedelta(days=days):%Y-%m-%d}")


@pki.command()
@click.argument("names", nargs=-1, required=True, callback=_names, metavar="NAME...")
@_making(LEAF_DAYS)
@refusing(PkiError)
def host(names: tuple[str, ...], directory: Path, days: int, *, force: bool) -> None:
    """Make a certificate for the bridge of each host NAME.

    NAME is that of 'hosts' in the file, or of the host's 'certificate' where the file gives one.
    """
    for name in names:
        _make(directory, "host", name, (), days, force=force)


@pki.command()
@click.argument("name", default="controller", callback=_names)
@click.option(
    "--address",
    "addresses",
    multiple=True,
    callback=_addresses,
    help="IP address or DNS name at which REST is asked; may be given several times.",
)
@_making(LEAF_DAYS)
@refusing(PkiError)
def controller(name: str, addresses: tuple[str, ...], directory: Path, days: int, *, force: bool) -> None:
    """Make a certificate for a controller, which serves OpenFlow and REST."""
    _make(directory, "controller", name, (*HERE, *addresses), days, force=force)


@pki.command()
@click.argument("name", callback=_names)
@_making(LEAF_DAYS)
@refusing(PkiError)
def operator(name: str, directory: Path, days: int, *, force: bool) -> None:
    """Make a certificate with which operator NAME asks the controller over REST."""
    _make(directory, "operator", name, (), days, force=force)


@pki.command()
@click.argument("places", nargs=-1, type=click.Path(path_type=Path), metavar="[PATH...]")
@click.option("--within", type=click.IntRange(0), help="Days.  [default: a third of the lifetime]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check(places: tuple[Path, ...], within: int | None, *, as_json: bool) -> None:
    """Say which certificates have ended or end soon, and what else is the matter with them.

    PATH is a certificate, or a directory of them; by default what this machine has of /etc/sdnapp/pki and
    /etc/sdnapp/tls. Exit status 0 if all are well, 1 if one is not, 2 if there are none.
    """
    found = list(conditions(places or _usual(), now=_now(), within=within))
    if as_json:
        click.echo(json.dumps([_as_json(each) for each in found], indent=2))
    else:
        for each in found:
            _show(each)
    if not found:
        asked = ", ".join(map(str, places or (DIRECTORY, INSTALLED)))
        click.echo(f"Error: no certificates in {asked}", err=True)
        sys.exit(2)
    sys.exit(int(any(each.faults for each in found)))


def _usual() -> tuple[Path, ...]:
    return tuple(place for place in (DIRECTORY, INSTALLED) if place.is_dir())


def _show(condition: Condition) -> None:
    names = ", ".join(condition.names)
    about = f": {names}, {condition.left} days left" if condition.ends else ""
    click.echo(f"{'✗' if condition.faults else '✓'} {condition.path}{about}")
    for fault in condition.faults:
        click.echo(f"  {fault}")


def _as_json(condition: Condition) -> dict[str, Any]:
    return {
        "path": str(condition.path),
        "names": condition.names,
        "ends": condition.ends.isoformat() if condition.ends else None,
        "days_left": condition.left,
        "faults": condition.faults,
    }


def _make(  # one call for each kind
    directory: Path, kind: Kind, name: str, addresses: tuple[str, ...], days: int, *, force: bool
) -> None:
    now = _now()
    folder = make_leaf(directory, kind, name, addresses=addresses, now=now, days=days, force=force)
    files = ", ".join(sorted(path.name for path in folder.iterdir()))
    click.echo(f"{folder}: {files}, until {now + timedelta(days=days):%Y-%m-%d}")


def _now() -> datetime:
    return datetime.now(timezone.utc)
