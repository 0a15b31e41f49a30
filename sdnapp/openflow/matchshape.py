"""The shape of OXM fields and of matches, OpenFlow 1.3.5 §7.2.3, as far as os-ken's parsers depend on it.

os-ken's ``OFPMatch.parser`` raises, or reads what follows a field, where a length is not what it expects.
What passes here, it parses.
"""

from __future__ import annotations

from struct import Struct

from os_ken.ofproto import ofproto_v1_3 as ofproto

Buffer = bytes | bytearray

LONGEST = 4096
"""Bytes of a match. One of every field that Open vSwitch has, masked, needs about half."""
_ONF, _EXPERIMENTER = 0x4F4E4600, 0xFFFF
_u16, _u32, _match = Struct("!H").unpack_from, Struct("!I").unpack_from, Struct("!HH").unpack_from
_OXM = 1

SIZES: dict[int | tuple[int, int], int] = {
    field.num: field.type.size for field in ofproto.oxm_types if hasattr(field.type, "size")
}
"""Bytes of the value of each field that os-ken knows, by what os-ken takes for its number."""


class Malformed(ValueError):
    """Bytes that are no OpenFlow 1.3: the reason, and the type of the message if it is known."""

    message = ""


class Unreadable(ValueError):
    """Bytes that may be OpenFlow 1.3, but that os-ken's parsers cannot take: the same."""

    message = ""


def match(buffer: Buffer, at: int, end: int) -> int:
    """Check an ``ofp_match`` that may reach to ``end``; where its padding ends."""
    if end - at < 4:
        raise Malformed("no room for a match")
    kind, length = _match(buffer, at)
    if kind != _OXM:
        raise Malformed(f"a match of type {kind}")
    after: int = at + (length + 7) // 8 * 8
    if length < 4 or after > end:
        raise Malformed(f"a match of {length} bytes")
    if length > LONGEST:
        raise Unreadable(f"a match of {length} bytes")
    fields(buffer, at + 4, at + length)
    return after


def fields(buffer: Buffer, at: int, end: int) -> None:
    """Check the OXM fields of a match: each of them once."""
    seen: set[int | tuple[int, int]] = set()
    while at < end:
        number, _, at = field(buffer, at, end)
        if number in seen:
            raise Malformed(f"a match with field {_named(number)} twice")
        seen.add(number)


def field(buffer: Buffer, at: int, end: int) -> tuple[int | tuple[int, int], bool, int]:
    """Check one OXM field; its number as os-ken has it, whether it has a mask, and where it ends."""
    if end - at < 4:
        raise Malformed("an OXM header cut short")
    (header,) = _u32(buffer, at)
    length, masked = header & 0xFF, bool(header & 0x100)
    after = at + 4 + length
    if after > end:
        raise Malformed("an OXM field that is longer than what holds it")
    number: int | tuple[int, int] = header >> 9
    if header >> 16 == _EXPERIMENTER:
        number, at = _experimenter(buffer, at + 4, header, length)
        length = after - at
    size = SIZES.get(number)
    if size is None:
        if isinstance(number, tuple):
            raise Unreadable(f"OXM field {_named(number)}")
        size = length >> masked
    if size < 1 or length != size << masked:
        raise Malformed(f"OXM field {_named(number)} with {length} bytes")
    return number, masked, after


def _experimenter(buffer: Buffer, at: int, header: int, length: int) -> tuple[tuple[int, int], int]:
    """The number of an experimenter's field, and where its value begins; ``at`` is behind the OXM header."""
    if length < 4:
        raise Malformed("an experimenter's OXM field without the experimenter")
    (experimenter,) = _u32(buffer, at)
    if experimenter != _ONF or header >> 9 & 0x7F:
        return (experimenter, header >> 9), at + 4
    if length < 6:
        raise Malformed("an experimenter's OXM field without its type")
    return (experimenter, _u16(buffer, at + 4)[0]), at + 6


def name(buffer: Buffer, at: int, end: int) -> int:
    """Check an OXM header of 4 bytes that names a field without a value, as actions do; where it ends."""
    if end - at < 4:
        raise Malformed("an OXM header cut short")
    (header,) = _u32(buffer, at)
    if header >> 16 == _EXPERIMENTER:
        raise Unreadable("an action on an experimenter's field")
    if not header & 0xFF or header & 0x100:
        raise Malformed(f"the name of OXM field {_named(header >> 9)} with length {header & 0xFF}")
    return at + 4


def _named(number: int | tuple[int, int]) -> str:
    if isinstance(number, tuple):
        return f"{number[1] & 0x7F} of experimenter {number[0]:#x}"
    return f"{number & 0x7F} of class {number >> 7:#x}"
