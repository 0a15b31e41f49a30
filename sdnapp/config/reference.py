"""Configuration reference for the README, generated from the schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sdnapp.config.schema import json_schema

_SECTIONS = {
    "overlay": "Settings",
    "overlay.duplicate_mac_detection": "DuplicateMacDetection",
    "controller": "Controller",
    "controller.tls": "ControllerTls",
    "controller.bridge_tls": "BridgeTls",
    "tenants.*": "Tenant",
    "tenants.*.networks.*": "Network",
    "tenants.*.networks.*.dhcp": "Dhcp",
    "hosts.*": "Host",
    "ports.*": "Port",
    "peers.*": "Peer",
}


def render() -> str:
    """A Markdown table for each part of a file: key, type, default and meaning."""
    schema = json_schema()
    parts = schema["$defs"]
    return "\n\n".join(_table(path, parts[name]) for path, name in _SECTIONS.items())


def _table(path: str, part: Mapping[str, Any]) -> str:
    title = f"**`{path}`**: {part['description']}"
    rows = [_row(key, field, key in part.get("required", ())) for key, field in part["properties"].items()]
    return "\n".join([title, "", "| key | value | default | meaning |", "|---|---|---|---|", *rows])


def _row(key: str, field: Mapping[str, Any], required: bool) -> str:
    default = field.get("default")
    if required:
        standard = "required"
    elif default in (None, [], {}) or isinstance(default, dict):
        standard = ""
    else:
        standard = f"`{default}`"
    return f"| `{key}` | {_kind(field)} | {standard} | {field['description']} |"


def _kind(field: Mapping[str, Any]) -> str:
    """Description of the values of a field."""
    match field:
        case {"enum": words}:
            return ", ".join(f"`{word}`" for word in words)
        case {"type": "integer", "minimum": low, "maximum": high}:
            return f"{low} to {high}"
        case {"type": "boolean"}:
            return "`true`, `false`"
        case {"anyOf": [{"type": "boolean"}, _]}:
            return "`true`, `false`, or a mapping"
        case {"anyOf": [item, {"type": "array"}]}:
            return f"{_kind(item)}, or a list"
        case {"anyOf": [item, {"propertyNames": {"$comment": what}}]}:
            return f"{_kind(item)}, or a mapping by {what}"
        case {"$ref": _}:
            return "a mapping, below"
        case {"$comment": what}:
            return str(what)
        case {"propertyNames": {"$comment": what}}:
            return f"mapping by {what}"
        case _:
            return "text"
