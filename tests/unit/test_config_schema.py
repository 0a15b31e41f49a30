"""What the schema says of itself to editors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from sdnapp.config.schema import json_schema

ROOT = Path(__file__).parents[2]
FORMAL = ["encapsulation", "key-missing", "key-unknown", "mac", "name", "not-a-number", "scalar-for-mapping"]
"""Broken files whose fault an editor can see."""


def document(path: Path) -> Any:
    """A file as editors read it, with YAML's own numbers."""
    return yaml.load(path.read_text(), Loader=yaml.SafeLoader)


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.stem)
def test_examples_satisfy_it(path: Path) -> None:
    jsonschema.Draft202012Validator(json_schema()).validate(document(path))


@pytest.mark.parametrize("name", FORMAL)
def test_formal_faults_do_not(name: str) -> None:
    broken = document(ROOT / "configs" / "broken" / f"{name}.yaml")

    assert list(jsonschema.Draft202012Validator(json_schema()).iter_errors(broken))


def test_every_key_is_described() -> None:
    schema = json_schema()
    for part in schema["$defs"].values():
        assert part["description"]
        for field in part["properties"].values():
            assert field["description"]
