"""Keys and values of earlier versions: errors name the present ones, and snapshots are still read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sdnapp.config.scalars import FORMER_ADDRESSING, FORMER_SECURITY

_DETECTION = "duplicate_mac_detection"

_KEYS: Mapping[str, Mapping[str, str]] = {
    "overlay": {"flap": _DETECTION},
    _DETECTION: {"moves": "max_moves", "seconds": "period"},
    "ports": {
        "may": "roles",
        "security": "port_security",
        "assign": "addressing",
        "broadcast_rate": "storm_control",
    },
    "peers": {"may": "roles"},
}
"""By section: former keys, each with the present one."""

_VALUES: Mapping[str, Mapping[str, str]] = {"port_security": FORMER_SECURITY, "addressing": FORMER_ADDRESSING}
"""By present key: former values, each with the present one."""


def present(section: str, key: str, value: Any) -> tuple[str, Any]:
    """The present key and value for a key of ``section``, which may be a former one."""
    key = _KEYS.get(section, {}).get(key, key)
    if key == _DETECTION:
        return key, _renamed(key, value)
    return key, _VALUES.get(key, {}).get(value, value) if isinstance(value, str) else value


def updated(values: Any) -> Any:
    """The values of a whole file with present keys in place of former ones."""
    if not isinstance(values, dict):
        return values
    return {
        section: _renamed(section, body)
        if section == "overlay" or not isinstance(body, dict)
        else {name: _renamed(section, entry) for name, entry in body.items()}
        for section, body in values.items()
    }


def _renamed(section: str, body: Any) -> Any:
    if not isinstance(body, dict):
        return body
    return dict(present(section, key, value) for key, value in body.items())
