"""ICMP echo requests as bytes, each with a token that says which probe a frame belongs to."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from sdnapp.frames.packet import Ends, icmp, with_icmp, with_tag

BROADCAST = "ff:ff:ff:ff:ff:ff"

_MAGIC = b"sdnapp probe "
_RUN = 8
_NUMBER = struct.Struct("!I")
_REQUEST = {4: 8, 6: 128}  # RFC 792, RFC 4443 section 4.1


@dataclass(frozen=True, slots=True)
class Sighting:
    """A token seen in a frame: its number, and whether the frame was the request or an answer to it."""

    number: int
    request: bool


def request(version: int, run: bytes, number: int) -> bytes:
    """Return an echo request as a raw socket sends it; for IPv6 the kernel fills the checksum in.

    ``run`` is 8 random bytes, the same for all probes of one run; ``number`` is the probe's own.
    """
    return icmp(_REQUEST[version], 0, rest=number, payload=_token(run) + _NUMBER.pack(number))


def frame(ends: Ends, run: bytes, number: int) -> bytes:
    """Return the frame, untagged, that carries an echo request past any kernel."""
    payload = _token(run) + _NUMBER.pack(number)
    return with_icmp(ends, _REQUEST[ends.src.version], 0, rest=number, payload=payload)


def tagged(untagged: bytes, tag: int | None) -> bytes:
    """Return the frame with this VLAN tag (IEEE 802.1Q); None: as it is."""
    return untagged if tag is None else with_tag(untagged, tag)


def sighting(data: bytes, run: bytes) -> Sighting | None:
    """Find this run's token in a frame, whatever the frame is wrapped in; None where there is none."""
    token = _token(run)
    start = data.find(token)
    if start < 8 or len(data) < start + len(token) + _NUMBER.size:
        return None
    (number,) = _NUMBER.unpack_from(data, start + len(token))
    return Sighting(number, data[start - 8] in _REQUEST.values())


def _token(run: bytes) -> bytes:
    return _MAGIC + run
