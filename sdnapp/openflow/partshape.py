"""The shape of multipart replies of OpenFlow 1.3, and of what is in them, such as flows, groups and meters.

os-ken parses most of them whole. Flows, groups and features of tables are parsed when one is read
(``ondemand``): until then only their lengths matter, and ``flow``, ``group`` and ``features`` check the rest.
Sections are those of OpenFlow 1.3.5.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from struct import Struct

from os_ken.ofproto import ofproto_v1_3 as ofproto

from sdnapp.openflow import actionshape, matchshape
from sdnapp.openflow.matchshape import Buffer, Malformed, Unreadable

Check = Callable[[Buffer, int, int], None]
"""Check what lies between two offsets. ``Malformed`` or ``Unreadable`` if it cannot be parsed."""
_ONF, _FLOW_MONITOR, _ANY_EXPERIMENTER = 0x4F4E4600, 1870, 0xFFFF
_u16, _pair, _words = Struct("!H").unpack_from, Struct("!HH").unpack_from, Struct("!II").unpack_from


def reply(buffer: Buffer, at: int, end: int) -> None:
    """Check type, flags and body of a reply, §7.3.5."""
    (kind,) = _u16(buffer, at)
    body = PARTS.get(kind)
    if body is None:
        raise Malformed(f"a reply of type {kind}")
    body(buffer, at + 8, end)


def _one(size: int) -> Check:
    """A single structure."""

    def one(_: Buffer, at: int, end: int) -> None:
        if end - at != size:
            raise Malformed(f"a body of {end - at} bytes")

    return one


def _each(size: int) -> Check:
    """Any number of structures of one size."""

    def each(_: Buffer, at: int, end: int) -> None:
        if (end - at) % size:
            raise Malformed(f"a body of {end - at} bytes")

    return each


def _listed(what: str, least: int, length_at: int = 0, unit: int = 8, entry: Check | None = None) -> Check:
    """Any number of structures that say how long they are: ``least`` bytes, and some units."""

    def listed(buffer: Buffer, at: int, end: int) -> None:
        while at < end:
            if end - at < least:
                raise Malformed(f"a {what} cut short")
            (length,) = _u16(buffer, at + length_at)
            after = at + length
            if length < least or after > end or (length - least) % unit:
                raise Malformed(f"a {what} of {length} bytes")
            if entry is not None:
                entry(buffer, at, after)
            at = after

    return listed


def _bands(buffer: Buffer, at: int, end: int) -> None:
    """§7.3.4.4: bands of 16 bytes, of kinds that os-ken knows."""
    for start in range(at + 8, end, 16):
        kind, length = _pair(buffer, start)
        if kind not in {ofproto.OFPMBT_DROP, ofproto.OFPMBT_DSCP_REMARK, ofproto.OFPMBT_EXPERIMENTER}:
            raise Unreadable(f"a band of type {kind}")
        if length != 16:
            raise Malformed(f"a band of {length} bytes")


def _of_experimenter(buffer: Buffer, at: int, end: int) -> None:
    """§7.3.5.16; of those, what others change (``monitor``) says how long its parts are."""
    if end - at < 8:
        raise Malformed("an experimenter's reply without the experimenter")
    if _words(buffer, at) == (_ONF, _FLOW_MONITOR):
        _changes(buffer, at + 8, end)


def _change(buffer: Buffer, at: int, end: int) -> None:
    if _u16(buffer, at + 2)[0] in {0, 1, 2} and end - at < 24:
        raise Malformed(f"a change of a flow with {end - at} bytes")


_changes = _listed("change of a flow", least=8, entry=_change)


def flow(buffer: Buffer, at: int, end: int) -> None:
    """Check one flow of a reply, §7.3.5.2, before it is parsed: match and instructions."""
    if end > len(buffer):
        raise Malformed(f"a flow of {end - at} bytes")
    actionshape.instructions(buffer, matchshape.match(buffer, at + 48, end), end)


def group(buffer: Buffer, at: int, end: int) -> None:
    """Check one group of a reply, §7.3.5.9, before it is parsed: buckets, §7.3.4.2, and their actions."""
    fields = 0

    def bucket(_: Buffer, start: int, after: int) -> None:
        nonlocal fields
        fields += actionshape.actions(buffer, start + 16, after)

    _listed("bucket", least=16, entry=bucket)(buffer, at + 8, end)
    actionshape.few(fields)


_NEXT_TABLES = {ofproto.OFPTFPT_NEXT_TABLES, ofproto.OFPTFPT_NEXT_TABLES_MISS}
_OF_IDS = {
    ofproto.OFPTFPT_INSTRUCTIONS,
    ofproto.OFPTFPT_INSTRUCTIONS_MISS,
    ofproto.OFPTFPT_WRITE_ACTIONS,
    ofproto.OFPTFPT_WRITE_ACTIONS_MISS,
    ofproto.OFPTFPT_APPLY_ACTIONS,
    ofproto.OFPTFPT_APPLY_ACTIONS_MISS,
}
_OF_FIELDS = {
    ofproto.OFPTFPT_MATCH,
    ofproto.OFPTFPT_WILDCARDS,
    ofproto.OFPTFPT_WRITE_SETFIELD,
    ofproto.OFPTFPT_WRITE_SETFIELD_MISS,
    ofproto.OFPTFPT_APPLY_SETFIELD,
    ofproto.OFPTFPT_APPLY_SETFIELD_MISS,
}
_OF_EXPERIMENTERS = {ofproto.OFPTFPT_EXPERIMENTER, ofproto.OFPTFPT_EXPERIMENTER_MISS}
_TABLES = 256
_MOST = 64
"""Properties of a table; OpenFlow 1.3 has sixteen."""
_FEATURE = 4096
"""Bytes of a property of a table that os-ken parses in a time that grows with their square."""


def features(buffer: Buffer, at: int, end: int) -> None:
    """Check the features of one table, §7.3.5.5, before they are parsed."""
    at += 64
    for _ in range(_MOST):
        if at >= end:
            return
        kind, length = _pair(buffer, at)
        after = at + (length + 7) // 8 * 8
        if length < 4 or after > end:
            raise Malformed(f"a property of a table with {length} bytes")
        if length > _FEATURE:
            raise Unreadable(f"a property of a table with {length} bytes")
        _feature(kind, buffer, at + 4, at + length)
        at = after
    if at < end:
        raise Malformed(f"more than {_MOST} properties of a table")


def _feature(kind: int, buffer: Buffer, at: int, end: int) -> None:
    if kind in _NEXT_TABLES and end - at > _TABLES:
        raise Malformed(f"{end - at} next tables")
    if kind in _OF_EXPERIMENTERS and (end - at < 8 or end % 4 != at % 4):
        raise Malformed(f"an experimenter's property of a table with {end - at + 4} bytes")
    if kind in _OF_IDS:
        _ids(buffer, at, end)
    elif kind in _OF_FIELDS:
        _field_ids(buffer, at, end)


def _ids(buffer: Buffer, at: int, end: int) -> None:
    """Instructions or actions without their bodies."""
    while at < end:
        length = _u16(buffer, at + 2)[0] if end - at >= 4 else 0
        if length < 4 or at + length > end:
            raise Malformed(f"the name of an instruction or action with {length} bytes")
        at += length


def _field_ids(buffer: Buffer, at: int, end: int) -> None:
    """OXM headers, of experimenters' fields with the experimenter."""
    while at < end:
        if end - at < 4:
            raise Malformed("the name of a field cut short")
        at += 8 if _u16(buffer, at)[0] == _ANY_EXPERIMENTER else 4
    if at > end:
        raise Malformed("the name of an experimenter's field without the experimenter")


PARTS: Mapping[int, Check] = {
    ofproto.OFPMP_DESC: _one(1056),
    ofproto.OFPMP_FLOW: lambda *_: None,  # ``flowstats`` checks the lengths when it goes from one to the next
    ofproto.OFPMP_AGGREGATE: _one(24),
    ofproto.OFPMP_TABLE: _each(24),
    ofproto.OFPMP_PORT_STATS: _each(112),
    ofproto.OFPMP_QUEUE: _each(40),
    ofproto.OFPMP_GROUP: _listed("group", least=40, unit=16),
    ofproto.OFPMP_GROUP_DESC: _listed("group", least=8),
    ofproto.OFPMP_GROUP_FEATURES: _one(40),
    ofproto.OFPMP_METER: _listed("meter", least=40, length_at=4, unit=16),
    ofproto.OFPMP_METER_CONFIG: _listed("meter", least=8, unit=16, entry=_bands),
    ofproto.OFPMP_METER_FEATURES: _each(16),
    ofproto.OFPMP_TABLE_FEATURES: _listed("table", least=64),
    ofproto.OFPMP_PORT_DESC: _each(64),
    ofproto.OFPMP_EXPERIMENTER: _of_experimenter,
}
"""The body of each kind of multipart reply, §7.3.5."""
