"""The shape of instructions and actions, OpenFlow 1.3.5 §7.2.4 and §7.2.5, with those of Open vSwitch.

Those of Open vSwitch are in its include/openflow/nicira-ext.h and lib/ofp-actions.c (ovs-actions(7)).
os-ken's parsers loop or raise where a length is not what they expect, and copy what is left with each nested
element. What passes here, they parse, and soon.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from struct import Struct

from sdnapp.openflow import matchshape
from sdnapp.openflow.matchshape import Buffer, Malformed, Unreadable

_u16, _u32, _pair = Struct("!H").unpack_from, Struct("!I").unpack_from, Struct("!HH").unpack_from

_SET_FIELD, _EXPERIMENTER, _NICIRA, _CT = 25, 0xFFFF, 0x2320, 35
_FIXED: Mapping[int, int] = {0: 16, **dict.fromkeys({11, 12, *range(15, 25), 26, 27}, 8)}
"""Bytes of each action but ``set_field`` and experimenters'; 0 is ``output``."""
_INSTRUCTIONS: Mapping[int, int] = {1: 8, 2: 24, 6: 8}
"""Bytes of ``goto_table``, ``write_metadata`` and ``meter``."""
_OF_ACTIONS = (3, 4, 5)
"""``write_actions``, ``apply_actions`` and ``clear_actions``."""
_DEEPEST = 4
"""Actions within actions; those of Open vSwitch have two levels."""
_FIELDS = 16 * 1024
"""Bytes of ``set_field`` and ``ct`` in a flow or group: a thousand, which os-ken parses in 10 to 30 ms."""
_LARGEST = 4096
"""Bytes of an action that os-ken parses in a time that grows with the square of its length."""


def instructions(buffer: Buffer, at: int, end: int) -> None:
    """Check a list of instructions that fills the bytes from ``at`` to ``end``."""
    fields = 0
    while at < end:
        if end - at < 8:
            raise Malformed("an instruction cut short")
        kind, length = _pair(buffer, at)
        if length < 8 or length % 8 or at + length > end:
            raise Malformed(f"an instruction of {length} bytes")
        if kind in _OF_ACTIONS:
            fields += actions(buffer, at + 8, at + length)
        elif kind not in _INSTRUCTIONS:
            raise Unreadable(f"an instruction of type {kind}")
        elif length != _INSTRUCTIONS[kind]:
            raise Malformed(f"an instruction of type {kind} with {length} bytes")
        at += length
    few(fields)


def few(fields: int) -> None:
    """``Unreadable`` if one flow or group has more bytes of ``set_field`` than os-ken parses in a moment."""
    if fields > _FIELDS:
        raise Unreadable(f"{fields} bytes of set_field")


def actions(buffer: Buffer, at: int, end: int, depth: int = 0) -> int:
    """Check a list of actions that fills the bytes from ``at`` to ``end``.

    Returned: how many of them are ``set_field`` and ``ct``.
    """
    fields = 0
    while at < end:
        if end - at < 8:
            raise Malformed("an action cut short")
        kind, length = _pair(buffer, at)
        if length < 8 or length % 8 or at + length > end:
            raise Malformed(f"an action of {length} bytes")
        if kind == _EXPERIMENTER:
            fields += length if _experimenter(buffer, at, at + length, depth) == _CT else 0
        elif kind == _SET_FIELD:
            _, masked, _ = matchshape.field(buffer, at + 4, at + length)
            if masked:
                raise Unreadable("set_field with a mask")
            fields += length
        elif kind not in _FIXED:
            raise Unreadable(f"an action of type {kind}")
        elif length != _FIXED[kind]:
            raise Malformed(f"an action of type {kind} with {length} bytes")
        at += length
    return fields


def _experimenter(buffer: Buffer, at: int, end: int, depth: int) -> int:
    """The subtype of an action of Open vSwitch; 0 for others."""
    if _u32(buffer, at + 4)[0] != _NICIRA:
        return 0
    if end - at < 16:
        raise Malformed("an action of Open vSwitch without its subtype")
    subtype: int = _u16(buffer, at + 8)[0]
    least, deeper = _OF_OVS.get(subtype, (0, None))
    if end - at - 10 < least:
        raise Malformed(f"action {subtype} of Open vSwitch with {end - at} bytes")
    if deeper is not None:
        deeper(buffer, at + 10, end, depth)
    return subtype


def _names(*offsets: int) -> Callable[[Buffer, int, int, int], None]:
    """Fields named at these offsets."""

    def deeper(buffer: Buffer, at: int, end: int, _: int) -> None:
        for offset in offsets:
            matchshape.name(buffer, at + offset, end)

    return deeper


def _load(buffer: Buffer, at: int, end: int, _: int) -> None:
    matchshape.field(buffer, at, end)


def _bundle(buffer: Buffer, at: int, end: int, _: int) -> None:
    (members,) = _u16(buffer, at + 10)
    if at + 22 + 2 * members > end:
        raise Malformed(f"a bundle action for {members} ports that names fewer")
    if any(buffer[at + 14 : at + 18]):
        matchshape.name(buffer, at + 14, end)


def _controllers(buffer: Buffer, at: int, end: int, _: int) -> None:
    (controllers,) = _u16(buffer, at)
    if at + 6 + 2 * controllers > end:
        raise Malformed(f"dec_ttl for {controllers} controllers that names fewer")


_RANGES = (4, 4, 16, 16, 2, 2)
"""Bytes of each end of a range for ``nat``, in the order of the bits that say that it is there."""


def _nat(buffer: Buffer, at: int, end: int, _: int) -> None:
    (there,) = _u16(buffer, at + 4)
    if at + 6 + sum(size for bit, size in enumerate(_RANGES) if there >> bit & 1) > end:
        raise Malformed("nat without the ranges that it says it has")


def _connection(buffer: Buffer, at: int, end: int, depth: int) -> None:
    if depth == _DEEPEST or end - at > _LARGEST:
        raise Unreadable(f"ct of {end - at} bytes")
    if any(buffer[at + 2 : at + 6]):
        matchshape.name(buffer, at + 2, end)
    actions(buffer, at + 14, end, depth + 1)


_CONTROLLER_PROPERTIES = {0: 8, 1: 8, 2: 8, 4: 8}
"""Bytes of properties of ``controller``, with padding; user data are as long as they are."""
_USER_DATA = 3


def _controller(buffer: Buffer, at: int, end: int, _: int) -> None:
    at += 6
    while at < end:
        if end - at < 8:
            raise Malformed("a property of the controller action cut short")
        kind, length = _pair(buffer, at)
        padded = (length + 7) // 8 * 8
        if length < 4 or at + padded > end:
            raise Malformed(f"a property of the controller action with {length} bytes")
        if kind == _USER_DATA:
            # os-ken goes on behind the padding for these lengths only
            if length == 4 or at + _taken(length) != at + padded:
                raise Unreadable(f"controller action with {length - 4} bytes of user data")
        elif _CONTROLLER_PROPERTIES.get(kind) != padded:
            raise Unreadable(f"property {kind} of the controller action with {length} bytes")
        at += padded


def _taken(length: int) -> int:
    """How far os-ken goes on behind user data with this length (``NXActionController2PropUserData``)."""
    data = (length - 4 + 3) // 4 * 4
    return 4 + (data + 4 if data > 4 and data % 8 == 0 else data)


def _learn(buffer: Buffer, at: int, end: int, _: int) -> None:
    if end - at > _LARGEST:
        raise Unreadable(f"learn of {end - at} bytes")
    at += 22
    while end - at >= 2:
        (header,) = _u16(buffer, at)
        if not header:
            break
        at += 2
        source_is_value, purpose = header >> 13 & 1, header >> 11 & 3
        if purpose == 3:
            raise Malformed("learn for a purpose that there is not")
        if source_is_value:
            at += ((header & 0x3FF) + 15) // 16 * 2
        else:
            at = matchshape.name(buffer, at, end - 2) + 2
        if purpose != 2:
            at = matchshape.name(buffer, at, end - 2) + 2
    if at > end or end - at >= 8 or any(buffer[at:end]) or (end - at) % 2:
        raise Malformed("learn with a specification cut short")


def _move(buffer: Buffer, at: int, end: int, _: int) -> None:
    matchshape.name(buffer, matchshape.name(buffer, at + 6, end), end)


_OF_OVS: Mapping[int, tuple[int, Callable[[Buffer, int, int, int], None] | None]] = {
    **dict.fromkeys((1, 2, 4, 14, 19, 20, 23, 24, 25, 30, 31, 34, 39), (6, None)),
    **dict.fromkeys((5, 8, 17, 18, 26, 43, 46, 48), (0, None)),
    **dict.fromkeys((7, 9, 29), (14, None)),
    6: (14, _move),
    10: (22, _names(18)),
    12: (22, _bundle),
    13: (22, _bundle),
    15: (14, _names(2)),
    16: (22, _learn),
    21: (6, _controllers),
    27: (8, _names(2)),
    28: (8, _names(2)),
    32: (8, _names(4)),
    33: (4, _load),
    _CT: (14, _connection),
    36: (6, _nat),
    37: (6, _controller),
    38: (22, None),
}
"""By the subtype of an action of Open vSwitch that os-ken parses: how many bytes it has at least behind the
subtype, and what else is to be checked there. Others, os-ken takes as bytes.
"""
