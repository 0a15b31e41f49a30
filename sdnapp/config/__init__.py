"""Text to ``Config``: all problems at once, each with its line; behind ``parse`` nobody checks again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain, islice
from typing import Any

from pydantic import BaseModel, ValidationError

from sdnapp.config import document, entries
from sdnapp.config.meaning import Declared, findings
from sdnapp.config.problem import LIMIT, Finding, Invalid, Path, Problem
from sdnapp.config.results import Results
from sdnapp.config.schema import Config, Host, Network, Peer, Port, Tenant
from sdnapp.config.wording import finding

__all__ = ["Config", "Invalid", "Problem", "Results", "parse"]

_ENTRY = {"overlay": 2, "controller": 2, "tenants": 4, "hosts": 2, "ports": 2, "peers": 2}
"""How deep, in each section, the things lie that can be left out while the rest is checked."""

_KINDS: Mapping[Path, type[BaseModel]] = {
    ("tenants",): Tenant,
    ("hosts",): Host,
    ("ports",): Port,
    ("peers",): Peer,
}


def parse(data: bytes, source: str, results: Results | None = None) -> Config:
    """The configuration in ``data``; ``source`` is what messages call the file.

    Raises ``Invalid`` with the problems of the file, and never anything else. ``results`` change nothing but
    the time that it takes, and in messages the order in which things are named.
    """
    written = document.read(data, source) if results is None else entries.read(data, source, results)
    results = results or Results()
    values = _with_entries(written.values, results)
    broken: list[Finding] = []
    config: Config | None
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        broken = [finding(one) for one in errors[:LIMIT]]
        config = _sound_part(values, (one["loc"] for one in errors))
    declared = Declared.of(written.values)
    found = chain(broken, findings(config, declared, results) if config else ())
    problems = [*written.problems, *map(written.problem, islice(found, LIMIT))]
    if problems or config is None:
        raise Invalid(problems)
    return config


def _with_entries(values: Any, results: Results) -> Any:
    """The values of a file with every entry read that is sound by itself."""
    if not isinstance(values, dict):
        return values
    return {section: _entries((section,), body, results) for section, body in values.items()}


def _entries(path: Path, body: Any, results: Results) -> Any:
    kind = Network if path[0] == "tenants" and path[2:] == ("networks",) else _KINDS.get(path)
    if kind is None or not isinstance(body, dict):
        return body
    if kind is Tenant:
        body = {
            name: {key: _entries((*path, name, key), value, results) for key, value in tenant.items()}
            if isinstance(tenant, dict)
            else tenant
            for name, tenant in body.items()
        }
    return {name: results.of((*path, name), _entry, kind, value) for name, value in body.items()}


def _entry(kind: type[BaseModel], value: Any) -> Any:
    """The entry; the value itself if it is none, for the whole file's reading to say what is wrong."""
    try:
        return kind.model_validate(value)
    except ValidationError:
        return value


def _sound_part(values: Any, broken: Iterable[Path]) -> Config | None:
    """What remains without the broken entries, so that it can be checked too; None if too little does."""
    values = _copied(values, max(_ENTRY.values()))
    for path in broken:
        depth = _ENTRY.get(str(path[0]), 1) if path else 1
        depth = 2 if depth == 4 and len(path) < 4 else depth
        if len(path) < depth or (path[0] in Config.model_fields and depth == 1):
            return None
        _remove(values, path[:depth])
    try:
        return Config.model_validate(values)
    except ValidationError:
        return None


def _copied(values: Any, depth: int) -> Any:
    if depth == 0 or not isinstance(values, dict):
        return values
    return {key: _copied(value, depth - 1) for key, value in values.items()}


def _remove(values: Any, path: Path) -> None:
    *above, last = path
    for step in above:
        values = values.get(step, {})
    values.pop(last, None)
