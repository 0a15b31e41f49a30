"""``sdnapp token``: clients of REST."""

from __future__ import annotations

import sys

import click

from sdnapp.cli.output import refusing
from sdnapp.rest.access import SCOPES, Entry, Scope, add, digest_of, new_token, read
from sdnapp.rest.access import remove as remove_from
from sdnapp.tls import Unusable

FILE = "/etc/sdnapp/access"


_file = click.option(
    "--file", default=FILE, show_default=True, help="What 'controller.rest_access' of the overlay names."
)
_scopes = click.option(
    "--scope", "scopes", multiple=True, type=click.Choice(SCOPES), default=["read"], show_default=True
)


@click.group()
def token() -> None:
    """Say which clients REST answers, by tokens and by names of certificates.

    The controller follows the file. It holds no token, only digests of them. Scope 'read' sees all, 'operate'
    also changes what can be changed, such as 'unfreeze'.
    """


@token.command()
@click.argument("name")
@_scopes
@_file
@refusing(Unusable)
def new(name: str, scopes: tuple[Scope, ...], file: str) -> None:
    """Make a token for client NAME, and print it, once: keep it in a file of mode 0600."""
    made = new_token()
    add(file, Entry(name, frozenset(scopes), digest_of(made)))
    click.echo(made)


@token.command()
@click.argument("name")
@_scopes
@_file
@refusing(Unusable)
def allow(name: str, scopes: tuple[Scope, ...], file: str) -> None:
    """Answer the client with a certificate of this NAME, signed by 'controller.rest_client_ca'."""
    add(file, Entry(name, frozenset(scopes), None))
    click.echo(f"{file}: the certificate {name} may {' and '.join(sorted(scopes))}")


@token.command(name="list")
@_file
@refusing(Unusable)
def list_(file: str) -> None:
    """List the clients, with their scopes."""
    for entry in read(file).entries:
        kind = "certificate" if entry.digest is None else f"token {entry.digest[:8]}"
        click.echo(f"{entry.name}: {', '.join(sorted(entry.scopes))} ({kind})")


@token.command()
@click.argument("name")
@_file
@refusing(Unusable)
def remove(name: str, file: str) -> None:
    """Answer client NAME no more."""
    if not remove_from(file, name):
        known = ", ".join(entry.name for entry in read(file).entries) or "none"
        click.echo(f"Error: {file} has no {name}: there are {known}", err=True)
        sys.exit(2)
    click.echo(f"{file}: {name} is removed")
