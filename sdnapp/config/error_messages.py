"""Messages of validation errors: key, error and remedy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from sdnapp.config.former import present
from sdnapp.config.problem import Finding, Path, nearest, shown
from sdnapp.config.schema import (
    BridgeTls,
    Config,
    Controller,
    ControllerTls,
    Dhcp,
    DuplicateMacDetection,
    Host,
    Network,
    Peer,
    Port,
    Settings,
    Tenant,
)

_WITHIN: Mapping[Path, type[BaseModel]] = {
    ("overlay", "duplicate_mac_detection"): DuplicateMacDetection,
    ("controller", "tls"): ControllerTls,
    ("controller", "bridge_tls"): BridgeTls,
}
"""Nested sections by path."""

_SHORT = 100
"""Characters of a key and value that a remedy quotes."""

_SECTIONS: Mapping[str, type[BaseModel]] = {
    "overlay": Settings,
    "controller": Controller,
    "tenants": Tenant,
    "hosts": Host,
    "ports": Port,
    "peers": Peer,
}


def finding(error: ErrorDetails) -> Finding:
    """Finding with message and remedy for an error of pydantic."""
    path, wrong = error["loc"], error["input"]
    bad_key = path[-1] == "[key]" if path else False
    if bad_key:
        path = path[:-1]
    match error["type"]:
        case "missing":
            *above, key = path
            field = _section(path).model_fields[str(key)]
            example = f"{key}: {_flow((field.examples or ['...'])[0])}"
            message, remedy, path, bad_key = f"{str(key)!r} is missing", f"Add {example}.", tuple(above), True
        case "extra_forbidden":
            (message, remedy), bad_key = _unknown(path, wrong), True
        case "wrong":
            message, remedy = error["ctx"]["message"], error["ctx"]["remedy"]
        case _:  # every other type in the schema is a mapping
            message, remedy = f"{shown(wrong)} instead of a mapping", "Write keys and values, or {} for none."
    return Finding(path, message, remedy, key=bad_key)


def _section(path: Path) -> type[BaseModel]:
    """The model that holds, or should hold, the key at ``path``."""
    if len(path) == 1:
        return Config
    if path[:2] in _WITHIN and len(path) == 3:
        return _WITHIN[path[:2]]
    if path[0] == "tenants" and len(path) >= 5:
        return Network if len(path) == 5 else Dhcp
    return _SECTIONS[str(path[0])]


def _unknown(path: Path, value: Any) -> tuple[str, str]:
    """Message and remedy for an unknown key, which may be one that was renamed."""
    old = str(path[-1])
    section = str(path[0] if path[:-1] not in _WITHIN else path[-2])
    key, now = present(section, old, value)
    if key == old or len(path) == 1:
        return f"unknown key {shown(path[-1])}", _keys(path)
    text = f"{key}: {_flow(now)}"
    return f"{old!r} is now {key!r}", f"Write {text}." if len(
        text
    ) <= _SHORT and text.isprintable() else f"Write {key} instead."


def _keys(path: Path) -> str:
    known = _section(path).model_fields
    close = nearest(str(path[-1]).lower().replace("-", "_"), known)
    return f"Did you mean {close!r}?" if close else f"Known here: {', '.join(known)}."


def _flow(value: Any) -> str:
    """Format a value as YAML on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return str(value)
