"""Parser and validator of configuration files: all problems at once, each with its line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain, islice
from typing import Any

from pydantic import TypeAdapter, ValidationError

from sdnapp.config import document, fast_parse
from sdnapp.config.cache import ResultCache
from sdnapp.config.error_messages import finding
from sdnapp.config.former import updated
from sdnapp.config.problem import LIMIT, Finding, Invalid, Path, Problem
from sdnapp.config.scalars import Name
from sdnapp.config.schema import Config, Host, Peer, Port, Tenant
from sdnapp.config.validate import Declared, findings, validate_incremental

__all__ = ["Config", "Invalid", "Problem", "ResultCache", "parse"]

_ENTRY = {"overlay": 2, "controller": 2, "tenants": 4, "hosts": 2, "ports": 2, "peers": 2}
"""By section: depth of the entries that can be skipped while the rest is validated."""

_CONTENT: Mapping[str, TypeAdapter[Any]] = {
    "tenants": TypeAdapter(dict[Name, Tenant]),
    "hosts": TypeAdapter(dict[Name, Host]),
    "ports": TypeAdapter(dict[Name, Port]),
    "peers": TypeAdapter(dict[Name, Peer]),
}
"""Validators of the sections whose entries are named."""


def parse(data: bytes, source: str, results: ResultCache | None = None, *, former: bool = False) -> Config:
    """Parse and validate ``data``; ``source`` is the name of the file in messages.

    Raises ``Invalid`` with the problems of the file, and never anything else. ``results`` changes nothing but
    the time that it takes. ``former``: accept keys of earlier versions.
    """
    text = document.decode(data, source)
    if results is not None and (config := _plain(text, results)) is not None:
        return config
    written = document.read(text, source)
    values = updated(written.values) if former else written.values
    broken: list[Finding] = []
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        broken = [finding(one) for one in errors[:LIMIT]]
        config = _sound_part(values, (one["loc"] for one in errors))
    declared = Declared.of(values)
    found = chain(broken, findings(config, declared) if config else ())
    problems = [*written.problems, *map(written.problem, islice(found, LIMIT))]
    if problems or config is None:
        raise Invalid(problems)
    return config


def _plain(text: str, results: ResultCache) -> Config | None:
    """Fast path: the configuration of a valid file without anchors; None if the full parser is needed."""
    try:
        values = fast_parse.read(text, _understood, results)
        if values is None or values.get("ports") is None:
            return None
        ports = values.pop("ports")
        rest = results.of("rest", _without_ports, values)
    except ValidationError:
        return None
    return validate_incremental(rest, ports, results)


def _understood(path: tuple[str, ...], name: str, value: Any) -> Any:
    """Validate an entry of a section, or a whole section. Raises ``ValidationError``."""
    if path:
        return _CONTENT[path[0]].validate_python({name: value})[name] if path[0] in _CONTENT else value
    return _CONTENT[name].validate_python(value) if name in _CONTENT and value is not None else value


def _without_ports(values: dict[str, Any]) -> Config:
    return Config.model_validate({**values, "ports": {}})


def _sound_part(values: Any, broken: Iterable[Path]) -> Config | None:
    """The configuration without its invalid entries, for further checks; None if too little remains."""
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
