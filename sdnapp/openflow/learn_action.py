"""``Learn`` as bytes: the ``learn`` action of Open vSwitch (ovs-actions(7)).

The format is NXAST_LEARN2 of lib/ofp-actions.c, which Open vSwitch has since 2.8: a header, and a sequence of
specifications, each a field to match or to load, and where its value comes from.
"""

from __future__ import annotations

from struct import Struct

from flows.actions import Learn
from flows.flow import learn_cookie
from flows.tables import Table
from sdnapp.openflow.oxm import header

_NICIRA, _LEARN2 = 0x2320, 45
_DELETE_LEARNED = 2
_FIELD, _IMMEDIATE = 0, 1 << 13
_MATCH, _LOAD, _OUTPUT = 0, 1 << 11, 2 << 11
_IN_PORT, _VLAN_TCI = 0x00000002, 0x00000802  # NXM fields of 16 bits, ovs-fields(7)
_PRESENT = 0x1000

_learn = Struct("!HHIHHHHQHBxHHIHxx")
_spec = Struct("!H")
_end = Struct("!IH")


def teach(action: Learn) -> bytes:
    """Learn a flow for the frame's source as a destination: out of the port that it came in on.

    Only frames without a tag meet it: to load a tag into one that has another would replace that one.
    """
    specs = b"".join(
        [
            _constant(_MATCH, header("metadata"), 0, 64, action.network),
            _copied(_MATCH, header("eth_dst"), 48, header("eth_src")),
            _constant(_MATCH, _VLAN_TCI, 12, 1, 0),
            _constant(_LOAD, header("tunnel_id"), 0, 64, action.key),
            b"" if action.vlan is None else _constant(_LOAD, _VLAN_TCI, 0, 13, _PRESENT | action.vlan),
            _spec.pack(_FIELD | _OUTPUT | 16) + _end.pack(_IN_PORT, 0),
        ]
    )
    length = (_learn.size + len(specs) + 7) // 8 * 8
    head = _learn.pack(
        *(0xFFFF, length, _NICIRA, _LEARN2),
        *(0, action.age, action.priority, learn_cookie(action), _DELETE_LEARNED, Table.FORWARD),
        *(0, 0, action.most, 0),
    )
    return (head + specs).ljust(length, b"\0")


def _constant(purpose: int, field: int, offset: int, width: int, value: int) -> bytes:
    return _spec.pack(_IMMEDIATE | purpose | width) + _words(value, width) + _end.pack(field, offset)


def _copied(purpose: int, field: int, width: int, source: int) -> bytes:
    return _spec.pack(_FIELD | purpose | width) + _end.pack(source, 0) + _end.pack(field, 0)


def _words(value: int, width: int) -> bytes:
    """In as many 16-bit words as it takes."""
    return value.to_bytes((width + 15) // 16 * 2, "big")
