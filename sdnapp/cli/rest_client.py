"""REST client of the commands."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPSHandler, ProxyHandler, Request, build_opener

import click
from click.core import ParameterSource

from sdnapp.cli import settings
from sdnapp.lab import model
from sdnapp.lab.errors import LabError
from sdnapp.tls import Unusable, client_context

DEFAULT = "http://127.0.0.1:8080"
_REMEDY = "Start it, or name another by --rest or --name"
TIMEOUT = 60.0
"""Seconds; the dump of a large bridge takes some."""

_REFUSALS = {401, 403, 426}
"""HTTP statuses of failed authentication."""
_CREDENTIALS = "sdnapp.credentials"
"""Key of the context's ``meta``: options with credentials, by name."""


class Refused(click.ClickException):
    """The certificate of the controller, or our credentials, are not accepted."""

    exit_code = 2


def rest_options(command: Callable[..., None]) -> Callable[..., None]:
    """``--rest``, ``--name``, ``--json``; ``rest_url`` makes a URL of the first two. And who we are: ``ask``
    uses that.
    """
    for option in (
        _credential("key", "Private key of --cert, if that does not hold it."),
        _credential("cert", "Our certificate, where the controller asks for one."),
        _credential("cacert", "CA of the controller's certificate.  [default: those of the system]"),
        _credential("token_file", "File that holds our token."),
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
            envvar=["SDNAPP_URL", "SDNAPP_REST"],
            show_envvar=True,
            default=lambda: settings.value("rest"),
            help=f"Where REST answers, if no lab is named.  [default: {DEFAULT}]",
        ),
    ):
        command = option(command)
    return command


def _credential(name: str, words: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """An option that names a file, and goes to ``ask`` rather than to the command."""

    def keep(context: click.Context, _: click.Parameter, value: str | None) -> None:
        context.meta.setdefault(_CREDENTIALS, {})[name] = value

    return click.option(
        f"--{name.replace('_', '-')}",
        name,
        metavar="FILE",
        envvar=f"SDNAPP_{name.upper()}",
        show_envvar=True,
        default=lambda: settings.value(name),
        help=words,
        expose_value=False,
        callback=keep,
    )


def rest_url(rest: str | None, name: str | None) -> str:
    """Where to ask: a lab's controller if a lab is named, else ``rest``, else the default.

    What was typed counts for more than what the environment says, and that for more than the settings file.
    """
    context = click.get_current_context()
    source = context.get_parameter_source
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
    named = click.get_current_context().meta.get(_CREDENTIALS, {})
    request = Request(url + path, data, _headers(url, named.get("token_file")))
    # A proxy, which the environment may name, is not for the controller next door.
    handlers = [ProxyHandler({}), *([HTTPSHandler(context=_context(named))] if _is_tls(url) else [])]
    try:
        with build_opener(*handlers).open(request, timeout=TIMEOUT) as answer:
            return json.load(answer)
    except HTTPError as error:
        kind = Refused if error.code in _REFUSALS else click.ClickException
        raise kind(_refusal(error, url)) from None
    except (OSError, HTTPException, ValueError) as error:
        reason = error if isinstance(error, ssl.SSLError) else getattr(error, "reason", None) or error
        if isinstance(reason, ssl.SSLError):
            raise Refused(_untrusted(reason, url, named)) from None
        why = getattr(reason, "strerror", None) or reason
        raise click.ClickException(f"no controller answers at {url}: {str(why).strip()}. {_REMEDY}") from None


def _is_tls(url: str) -> bool:
    return urlsplit(url).scheme == "https"


def _headers(url: str, token_file: str | None) -> dict[str, str]:
    if token_file is None:
        return {}
    if not _is_tls(url) and urlsplit(url).hostname not in {"127.0.0.1", "::1", "localhost"}:
        raise Refused(f"the token would reach {url} in clear text: use https")
    return {"Authorization": f"Bearer {settings.token(token_file)}"}


def _context(named: dict[str, str | None]) -> ssl.SSLContext:
    try:
        return client_context(ca=named.get("cacert"), key=named.get("key"), certificate=named.get("cert"))
    except Unusable as error:
        raise Refused(str(error)) from None


def _untrusted(error: ssl.SSLError, url: str, named: dict[str, str | None]) -> str:
    """Why TLS failed, and what to do about it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        words = error.verify_message.rstrip(".")
        ours = f"the CA in {named['cacert']}" if named.get("cacert") else "a CA of this system: use --cacert"
        if "issuer" in words or "self-signed" in words or "self signed" in words:
            return f"the certificate of {url} is not of {ours}"
        if "expired" in words:
            return f"the certificate of {url} has expired: 'sdnapp pki controller --force' makes another"
        return f"the certificate of {url} is refused: {words}"
    reason = (error.reason or str(error)).lower().replace("_", " ")
    if "alert" in reason:
        presented = named.get("cert") or "no certificate: use --cert"
        return f"{url} refuses {presented} ({reason})"
    return f"{url} does not use TLS ({reason}): write http://" if "version" in reason else f"{url}: {reason}"


def _refusal(error: HTTPError, url: str) -> str:
    """What the body says, with its remedy."""
    with error:
        try:
            said = json.load(error)
            return f"{said['error']} ({said['remedy']})" if "remedy" in said else str(said["error"])
        except (OSError, HTTPException, ValueError, LookupError, TypeError):
            return f"{url} is no sdnapp controller: it answers {error.code} {error.reason}"
