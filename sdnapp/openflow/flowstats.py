"""Flow-stats replies without parsing: what makes a dump of 50,000 flows harmless to OpenFlow.

os-ken builds a dozen objects for each entry of a flow-stats reply, inside its receive loop, which does not
yield while the switch keeps sending: at 10,000 entries a second a large dump silences every switch for
seconds. ``install`` has it take all entries of a message for one, ``Entries``, whose numbers are read where
they lie. Whoever asks for more than those gets a ``FlowStats``, and from that os-ken's full parse, so that
other applications in the process notice nothing. And it gives the hub a turn with each message. Offsets are
those of ``ofp_flow_stats``, OpenFlow 1.3.5 §7.3.5.2.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from struct import Struct
from typing import Any, overload

from os_ken.lib import hub
from os_ken.ofproto import ofproto_v1_3_parser as parser

_FIXED = 48
"""Bytes before the match."""
_SHORTEST = 56
"""An entry with an empty match and no instruction."""
_u16 = Struct("!H")
_head = Struct("!HB21xQ")
"""The length of an entry, its table and its cookie."""
_Parsed: Any = parser.OFPFlowStats


class _Number:
    """A fixed number of an entry, read when asked for."""

    def __init__(self, form: str, at: int) -> None:
        self._read = Struct(form).unpack_from
        self._at = at

    def __get__(self, entry: FlowStats, owner: type[FlowStats]) -> int:
        number: int = self._read(entry.buffer, entry.offset + self._at)[0]
        return number


class FlowStats:
    """One entry of a flow-stats reply, where it lies in the message; quacks like ``OFPFlowStats``."""

    __slots__ = ("_parsed", "buffer", "length", "offset")

    table_id = _Number("!B", 2)
    duration_sec = _Number("!I", 4)
    duration_nsec = _Number("!I", 8)
    priority = _Number("!H", 12)
    idle_timeout = _Number("!H", 14)
    hard_timeout = _Number("!H", 16)
    flags = _Number("!H", 18)
    cookie = _Number("!Q", 24)
    packet_count = _Number("!Q", 32)
    byte_count = _Number("!Q", 40)

    def __init__(self, buffer: bytes, offset: int = 0) -> None:
        self.buffer = buffer
        self.offset = offset
        (self.length,) = _u16.unpack_from(buffer, offset)
        self._parsed: Any = None

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

    def parse(self) -> Any:
        """The entry as os-ken's own ``OFPFlowStats``."""
        if self._parsed is None:
            self._parsed = _Parsed.parser(self.buffer, self.offset)
        return self._parsed

    def __getattr__(self, name: str) -> Any:
        return getattr(self.parse(), name)

    def __repr__(self) -> str:
        return repr(self.parse())


class Entries(Sequence[FlowStats]):
    """All entries of a flow-stats reply, where they lie in the message, from ``offset`` on."""

    def __init__(self, buffer: bytes, offset: int) -> None:
        self.buffer = buffer
        self.offset = offset
        self.length = len(buffer) - offset

    @classmethod
    def parser(cls, buffer: bytes, offset: int) -> Entries:
        """What os-ken calls for an entry, and from which it goes on to the next: there is none."""
        hub.sleep(0)
        return cls(buffer, offset)

    def heads(self) -> Iterator[tuple[int, int, int]]:
        """Of each entry, where it lies, its table and its cookie.

        ``ValueError`` for a length that no entry can have.
        """
        buffer, at, read = self.buffer, self.offset, _head.unpack_from
        last = len(buffer) - _SHORTEST
        while at <= last:
            length, table, cookie = read(buffer, at)
            if length < _SHORTEST:
                raise ValueError(f"a flow-stats entry of {length} bytes")
            yield at, table, cookie
            at += length
        if at != len(buffer):
            raise ValueError(f"a flow-stats reply that ends {at - len(buffer)} bytes too early")

    def __iter__(self) -> Iterator[FlowStats]:
        return (FlowStats(self.buffer, at) for at, _, _ in self.heads())

    def __len__(self) -> int:
        return sum(1 for _ in self.heads())

    @overload
    def __getitem__(self, index: int) -> FlowStats: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[FlowStats]: ...
    def __getitem__(self, index: int | slice) -> FlowStats | Sequence[FlowStats]:
        return list(self)[index]


def _body(reply: Any) -> Any:
    return reply.__dict__["body"]


def _keep(reply: Any, body: Any) -> None:
    """What os-ken takes for a list of one entry, or of none, is the entries."""
    reply.__dict__["body"] = body[0] if body and isinstance(body[0], Entries) else body or Entries(b"", 0)


def install() -> None:
    """Make os-ken hand out ``Entries`` as the body of flow-stats replies, process-wide; again is harmless."""
    parser.OFPFlowStatsReply.cls_stats_body_cls = Entries
    parser.OFPFlowStatsReply.body = property(_body, _keep)
