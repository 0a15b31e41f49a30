"""Asking the controller over REST, for the commands that show what it knows."""

from __future__ import annotations

import json
from collections.abc import Callable
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, Request, build_opener

import click
from click.core import ParameterSource

from sdnapp.lab import model
from sdnapp.lab.errors import LabError

DEFAULT = "http://127.0.0.1:8080"
_REMEDY = "Start it, or name another by --rest or --name"
TIMEOUT = 60.0
"""Seconds; the dump of a large bridge takes some."""

# A proxy, which the environment may name, is not for the controller next door.
_open = build_opener(ProxyHandler({})).open


def rest_options(command: Callable[..., None]) -> Callable[..., None]:
    """``--rest``, ``--name`` and ``--json``; ``rest_url`` makes a URL of the first two."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
        click.option(
            "--name",
            metavar="LAB",
            envvar="SDNAPP_LAB",
            show_envvar=True,
            help="Ask the controller of this lab.",
        ),
        click.option(
            "--rest",
            metavar="URL",
            envvar="SDNAPP_REST",
            show_envvar=True,
            help=f"Where REST answers, if no lab is named.  [default: {DEFAULT}]",
        ),
    ):
        command = option(command)
    return command


def rest_url(rest: str | None, name: str | None) -> str:
    """Where to ask: a lab's controller if a lab is named, else ``rest``, else the default.

    What was typed counts for more than what the environment says.
    """
    source = click.get_current_context().get_parameter_source
    only_rest = source("rest") is ParameterSource.COMMANDLINE is not source("name")
    if name is not None and not only_rest:
        try:
            return model.read(name).rest
        except LabError as error:
            raise click.ClickException(str(error)) from None
    url = rest or DEFAULT
    if urlsplit(url).scheme not in {"http", "https"}:
        raise click.BadParameter(f"{url!r} is no URL such as {DEFAULT}", param_hint="--rest")
    return url.rstrip("/")


def ask(url: str, path: str, body: Any = None) -> Any:
    """The JSON that answers a GET, or a POST where there is a body.

    ``ClickException`` with one sentence when there is no answer, or one that says no.
    """
    data = None if body is None else json.dumps(body).encode()
    try:
        with _open(Request(url + path, data), timeout=TIMEOUT) as answer:
            return json.load(answer)
    except HTTPError as error:
        raise click.ClickException(_refusal(error, url)) from None
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        why = getattr(reason, "strerror", None) or reason
        raise click.ClickException(f"no controller answers at {url}: {str(why).strip()}. {_REMEDY}") from None


def _refusal(error: HTTPError, url: str) -> str:
    """What the body says, with its remedy."""
    with error:
        try:
            said = json.load(error)
            return f"{said['error']} ({said['remedy']})" if "remedy" in said else str(said["error"])
        except (OSError, HTTPException, ValueError, LookupError, TypeError):
            return f"{url} is no sdnapp controller: it answers {error.code} {error.reason}"
