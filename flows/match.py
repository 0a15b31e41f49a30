"""What a flow matches: a handful of named fields, each absent or exact, two of them also masked.

The state that travels with a frame through the tables is named here, once: ``network`` is the OpenFlow
metadata (the VNI, 24 bits), ``source`` is register 0 (0: a local port, 1: a tunnel).
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

UNTAGGED = 0
"""``Match.vlan`` of frames without an 802.1Q header."""
TAGGED = -1
"""``Match.vlan`` of frames with an 802.1Q header, whatever its tag."""


class Source(IntEnum):
    """Which side of the bridge a frame came in on. Local is zero, so only tunnels need to say so."""

    LOCAL = 0
    TUNNEL = 1


class Match(NamedTuple):
    """None matches anything.

    ``in_port``: OpenFlow port number. ``vlan``: tag 1..4094, ``UNTAGGED`` or ``TAGGED``. ``key``: tunnel key.
    ``network``: VNI. MAC addresses are lower-case, ``aa:bb:cc:dd:ee:ff``, or ``value/mask``.
    """

    in_port: int | None = None
    source: Source | None = None
    key: int | None = None
    network: int | None = None
    vlan: int | None = None
    eth_src: str | None = None
    eth_dst: str | None = None

    def fields(self) -> frozenset[str]:
        """Names of the fields that are not wildcarded."""
        return frozenset(name for name in FIELDS if getattr(self, name) is not None)

    def __str__(self) -> str:
        """``in_port=3 vlan=10``; ``any`` where nothing is matched."""
        return (
            " ".join(_text(name, getattr(self, name)) for name in FIELDS if getattr(self, name) is not None)
            or "any"
        )


FIELDS: tuple[str, ...] = Match._fields


def _text(name: str, value: int | str | Source) -> str:
    if isinstance(value, Source):
        return f"{name}={value.name.lower()}"
    if name == "vlan" and value in (UNTAGGED, TAGGED):
        return "vlan=none" if value == UNTAGGED else "vlan=any"
    return f"{name}={value}"
