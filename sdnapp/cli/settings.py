"""User settings of commands that use REST: ``~/.config/sdnapp/config.yaml``.

Its keys are the options of these commands. An option counts for more than the environment, and that for more
than the file.
"""

from __future__ import annotations

import os
import stat
from functools import cache
from pathlib import Path
from typing import Any

import click
import yaml

KEYS = ("rest", "token_file", "cacert", "cert", "key")


class Unreadable(click.ClickException):
    """The file, or one that it names, cannot be used."""

    exit_code = 2


def path() -> Path:
    """Where the file is (XDG Base Directory Specification)."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "sdnapp" / "config.yaml"


def value(key: str) -> str | None:
    """What the file says; None where it says nothing, or is not there."""
    text: str | None = _read(path()).get(key)
    return os.path.expanduser(text) if text and key != "rest" else text


def token(file: str) -> str:
    """The token that a file holds."""
    try:
        mode, text = os.stat(file).st_mode, Path(file).read_text(encoding="ascii").strip()
    except OSError as error:
        raise Unreadable(f"cannot read the token in {file}: {(error.strerror or '').lower()}") from None
    except UnicodeDecodeError:
        text = ""
    if not text or len(text.split()) != 1:
        raise Unreadable(f"{file} holds no token: it should hold what 'sdnapp token new' printed")
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        click.echo(f"warning: others may read the token in {file}: chmod 600 {file}", err=True)
    return text


@cache
def _read(file: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(file.read_bytes()) or {}
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise Unreadable(f"cannot read {file}: {(error.strerror or '').lower()}") from None
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", 0) + 1
        raise Unreadable(f"{file}:{line}: this is not YAML") from None
    if not isinstance(values, dict) or not all(isinstance(each, str) for each in values.values()):
        raise Unreadable(f"{file} holds something else than keys with text")
    if unknown := sorted(map(str, values.keys() - set(KEYS))):
        raise Unreadable(f"{file}: unknown key {unknown[0]!r}. Known here: {', '.join(KEYS)}.")
    return values
