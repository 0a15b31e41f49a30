"""ICMP echo requests as bytes, each with a token that says which probe a frame belongs to."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from sdnapp.net.model import Address

BROADCAST = "ff:ff:ff:ff:ff:ff"

_MAGIC = b"sdnapp probe "
_RUN = 8
_NUMBER = struct.Struct("!I")
_REQUEST = {4: 8, 6: 128}  # RFC 792, RFC 4443 section 4.1
_ICMPV6 = 58


@dataclass(frozen=True, slots=True)
class Sighting:
    """A token seen in a frame: its number, and whether the frame was the request or an answer to it."""

    number: int
    request: bool


def request(version: int, run: bytes, number: int) -> bytes:
    """Return an echo request as a raw socket sends it; for IPv6 the kernel adds the checksum.

    ``run`` is 8 random bytes, the same for all probes of one run; ``number`` is the probe's own.
    """
    payload = _MAGIC + run + _NUMBER.pack(number)
    head = struct.pack("!BBHHH", _REQUEST[version], 0, 0, number >> 16, number & 0xFFFF)
    return checked(head + payload, 2, b"") if version == 4 else head + payload


def frame(source_mac: str, destination_mac: str, source: Address, destination: Address, echo: bytes) -> bytes:
    """Return the Ethernet frame, untagged, that carries an echo request past any kernel."""
    ethernet = octets(destination_mac) + octets(source_mac)
    if source.version == 4:
        length = 20 + len(echo)
        header = struct.pack("!BBHHHBBH", 0x45, 0, length, 0, 0, 64, 1, 0)
        header = checked(header + source.packed + destination.packed, 10, b"")
        return ethernet + b"\x08\x00" + header + echo
    header = struct.pack("!IHBB", 6 << 28, len(echo), _ICMPV6, 64) + source.packed + destination.packed
    pseudo = source.packed + destination.packed + struct.pack("!II", len(echo), _ICMPV6)
    return ethernet + b"\x86\xdd" + header + checked(echo, 2, pseudo)


def tagged(untagged: bytes, tag: int | None) -> bytes:
    """Return the frame with this VLAN tag (IEEE 802.1Q); None: as it is."""
    return untagged if tag is None else untagged[:12] + struct.pack("!HH", 0x8100, tag) + untagged[12:]


def sighting(data: bytes, run: bytes) -> Sighting | None:
    """Find this run's token in a frame, whatever the frame is wrapped in; None where there is none."""
    token = _MAGIC + run
    start = data.find(token)
    if start < 8 or len(data) < start + len(token) + _NUMBER.size:
        return None
    (number,) = _NUMBER.unpack_from(data, start + len(token))
    return Sighting(number, data[start - 8] in _REQUEST.values())


def checked(data: bytes, at: int, pseudo: bytes) -> bytes:
    """Return ``data`` with its Internet checksum (RFC 1071), over ``pseudo`` too, filled in at ``at``."""
    whole = pseudo + data + b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(whole) // 2}H", whole))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return data[:at] + struct.pack("!H", ~total & 0xFFFF) + data[at + 2 :]


def octets(mac: str) -> bytes:
    """Return the six bytes of a MAC."""
    return bytes.fromhex(mac.replace(":", ""))
