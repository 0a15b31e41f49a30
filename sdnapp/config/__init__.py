"""Text to ``Config``: all problems at once, each with its line; behind ``parse`` nobody checks again."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain, islice
from typing import Any

from pydantic import ValidationError

from sdnapp.config import document
from sdnapp.config.meaning import Declared, findings
from sdnapp.config.problem import LIMIT, Finding, Invalid, Path, Problem
from sdnapp.config.schema import Config
from sdnapp.config.wording import finding

__all__ = ["Config", "Invalid", "Problem", "parse"]

_ENTRY = {"overlay": 2, "controller": 2, "tenants": 4, "hosts": 2, "ports": 2, "peers": 2}
"""How deep, in each section, the things lie that can be left out while the rest is checked."""


def parse(data: bytes, source: str) -> Config:
    """The configuration in ``data``; ``source`` is what messages call the file.

    Raises ``Invalid`` with the problems of the file, and never anything else.
    """
    written = document.read(data, source)
    values = written.plain()
    declared = Declared.of(values)
    broken: list[Finding] = []
    config: Config | None
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        broken = [finding(one) for one in errors[:LIMIT]]
        config = _sound_part(values, (one["loc"] for one in errors))
    found = chain(broken, findings(config, declared) if config else ())
    problems = [*written.problems, *map(written.problem, islice(found, LIMIT))]
    if problems or config is None:
        raise Invalid(problems)
    return config


def _sound_part(values: Any, broken: Iterable[Path]) -> Config | None:
    """What remains without the broken entries, so that it can be checked too; None if too little does."""
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


def _remove(values: Any, path: Path) -> None:
    *above, last = path
    for step in above:
        values = values.get(step, {})
    values.pop(last, None)
