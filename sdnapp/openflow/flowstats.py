"""Flows of a reply, parsed on demand (``ondemand``), with their numbers and bytes read where they lie.

Offsets are those of ``ofp_flow_stats``, OpenFlow 1.3.5 §7.3.5.2.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct

from os_ken.ofproto import ofproto_v1_3_parser as parser

from sdnapp.openflow import ondemand, partshape
from sdnapp.openflow.matchshape import Malformed
from sdnapp.openflow.ondemand import Number, Part, Parts

_FIXED = 48
"""Bytes before the match."""
_SHORTEST = 56
"""A flow with an empty match and no instruction."""
_u16 = Struct("!H")
_head = Struct("!HB21xQ")
"""The length of an entry, its table and its cookie."""


class FlowStats(Part):
    """One flow of a reply, in place in the message, with the attributes of ``OFPFlowStats``."""

    __slots__ = ()

    theirs = parser.OFPFlowStats
    table_id = Number("!B", 2)
    duration_sec = Number("!I", 4)
    duration_nsec = Number("!I", 8)
    priority = Number("!H", 12)
    idle_timeout = Number("!H", 14)
    hard_timeout = Number("!H", 16)
    flags = Number("!H", 18)
    cookie = Number("!Q", 24)
    packet_count = Number("!Q", 32)
    byte_count = Number("!Q", 40)

    def check(self) -> None:
        """Match and instructions."""
        partshape.flow(self.buffer, self.offset, self.offset + self.length)

    @property
    def match_bytes(self) -> bytes:
        """The match's OXM fields, without header and padding."""
        start = self.offset + _FIXED
        (length,) = _u16.unpack_from(self.buffer, start + 2)
        return self.buffer[start + 4 : start + length]

    @property
    def instruction_bytes(self) -> bytes:
        """The instructions as the switch sent them; equal bytes mean equal instructions."""
        start = self.offset + _FIXED
        (length,) = _u16.unpack_from(self.buffer, start + 2)
        return self.buffer[start + (length + 7) // 8 * 8 : self.offset + self.length]


class Entries(Parts):
    """All flows of a reply, where they lie in the message."""

    of = FlowStats

    def heads(self) -> Iterator[tuple[int, int, int]]:
        """Of each flow, where it lies, its table and its cookie.

        ``Malformed`` for a length that no flow can have: to go through them twice would take too long.
        """
        buffer, at, read = self.buffer, self.offset, _head.unpack_from
        last = len(buffer) - _SHORTEST
        while at <= last:
            length, table, cookie = read(buffer, at)
            if length < _SHORTEST:
                raise _malformed(f"a flow of {length} bytes")
            yield at, table, cookie
            at += length
        if at != len(buffer):
            raise _malformed(f"flows that end {len(buffer) - at} bytes before their reply")

    def __iter__(self) -> Iterator[FlowStats]:
        return (FlowStats(self.buffer, at) for at, _, _ in self.heads())


def _malformed(reason: str) -> Malformed:
    error = Malformed(reason)
    error.message = "MULTIPART_REPLY"
    return error


def install() -> None:
    """Make os-ken hand out ``Entries`` as the body of flow-stats replies, process-wide; again is harmless."""
    ondemand.put(parser.OFPFlowStatsReply, Entries)
