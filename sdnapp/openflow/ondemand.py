"""Parts of multipart replies that are parsed when one is read: what makes large replies harmless.

os-ken builds a dozen objects for each flow of a reply, inside its receive loop, which does not yield while
the switch keeps sending: at 10,000 flows a second a large dump silences every switch for seconds. Groups with
many actions and features of tables are no better. ``install`` has os-ken take all parts of a message for one,
``Parts``. A program that reads more of a part than its numbers gets os-ken's own parse of it, once its shape
is checked, so that other applications in the process notice nothing. And the hub gets a turn with each
message.

An experimenter's reply is one part as well, but os-ken makes a part of each 16 bytes, with all that follows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from struct import Struct
from typing import Any, ClassVar, overload

from os_ken.lib import hub
from os_ken.ofproto import ofproto_v1_3_parser as parser

from sdnapp.openflow import partshape

_u16 = Struct("!H").unpack_from


class Number:
    """A fixed number of a part, read when asked for."""

    def __init__(self, form: str, at: int) -> None:
        self._read = Struct(form).unpack_from
        self._at = at

    def __get__(self, part: Part, owner: type[Part]) -> int:
        number: int = self._read(part.buffer, part.offset + self._at)[0]
        return number


class Part(ABC):
    """One structure of a reply, in place in the message, with the attributes of os-ken's class."""

    __slots__ = ("_parsed", "buffer", "length", "offset")

    theirs: ClassVar[Any]
    """os-ken's class, as it was before anything was installed."""

    def __init__(self, buffer: bytes, offset: int = 0) -> None:
        self.buffer = buffer
        self.offset = offset
        (self.length,) = _u16(buffer, offset)
        self._parsed: Any = None

    @abstractmethod
    def check(self) -> None:
        """Check all that os-ken parses. ``Malformed`` or ``Unreadable`` if it cannot."""

    def parse(self) -> Any:
        """The part as os-ken's own object. ``Malformed`` or ``Unreadable`` if its shape is not right."""
        if self._parsed is None:
            self.check()
            self._parsed = self.theirs.parser(self.buffer, self.offset)
        return self._parsed

    def __getattr__(self, name: str) -> Any:
        return getattr(self.parse(), name)

    def __repr__(self) -> str:
        return repr(self.parse())


class Group(Part):
    """One group of a description of all; quacks like ``OFPGroupDescStats``."""

    __slots__ = ()

    theirs = parser.OFPGroupDescStats
    type = Number("!B", 2)
    group_id = Number("!I", 4)

    def check(self) -> None:
        """Buckets and their actions."""
        partshape.group(self.buffer, self.offset, self.offset + self.length)


class Features(Part):
    """The features of one table; quacks like ``OFPTableFeaturesStats``."""

    __slots__ = ()

    theirs = parser.OFPTableFeaturesStats
    table_id = Number("!B", 2)

    def check(self) -> None:
        """Properties."""
        partshape.features(self.buffer, self.offset, self.offset + self.length)


class Parts(Sequence[Any]):
    """All parts of a reply, where they lie in the message, from ``offset`` on; their lengths were checked."""

    of: ClassVar[type[Part]]

    def __init__(self, buffer: bytes, offset: int) -> None:
        self.buffer = buffer
        self.offset = offset
        self.length = len(buffer) - offset

    @classmethod
    def parser(cls, buffer: bytes, offset: int) -> Parts:
        """What os-ken calls for a part, and from which it goes on to the next: there is none."""
        hub.sleep(0)
        return cls(buffer, offset)

    def __iter__(self) -> Iterator[Any]:
        at = self.offset
        while at < len(self.buffer):
            part = self.of(self.buffer, at)
            yield part
            at += part.length

    def __len__(self) -> int:
        return sum(1 for _ in self)

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Any]: ...
    def __getitem__(self, index: int | slice) -> Any | Sequence[Any]:
        return list(self)[index]


class Groups(Parts):
    """All groups of a reply."""

    of = Group


class Tables(Parts):
    """The features of all tables of a reply."""

    of = Features


class _Experimenter(parser.OFPExperimenterMultipart):  # type: ignore[misc]  # os-ken has no types
    """An experimenter's body, which is all of the reply."""

    @classmethod
    def parser(cls, buffer: bytes, offset: int) -> Any:
        body = super().parser(buffer, offset)
        body.length = len(buffer) - offset
        return body


class _Description(parser.OFPDescStats):  # type: ignore[misc]
    """What describes a bridge: any text (``dp-desc`` in ovs-vswitchd.conf.db(5)); os-ken wants ASCII."""

    _TYPE: ClassVar[Any] = {"utf-8": parser.OFPDescStats._fields}

    @classmethod
    def parser(cls, buffer: bytes, offset: int) -> Any:
        theirs = super().parser(buffer, offset)
        body = cls(*(text.decode("utf-8", "replace").encode() for text in theirs))
        body.length = theirs.length
        return body


def _body(reply: Any) -> Any:
    return reply.__dict__["body"]


def put(reply: Any, parts: type[Parts]) -> None:
    """Have os-ken take the parts of this class of replies for one."""

    def keep(message: Any, body: Any) -> None:
        """What os-ken takes for a list of one part, or of none, is the parts."""
        one = body and isinstance(body[0], Parts)
        message.__dict__["body"] = body[0] if one else body or parts(b"", 0)

    reply.cls_stats_body_cls = parts
    reply.body = property(_body, keep)


def install() -> None:
    """Make os-ken parse groups and features of tables on demand, process-wide; again is harmless.

    And take any description of a bridge.
    """
    put(parser.OFPGroupDescStatsReply, Groups)
    put(parser.OFPTableFeaturesStatsReply, Tables)
    parser.OFPExperimenterStatsReply.cls_stats_body_cls = _Experimenter
    parser.OFPDescStatsReply.cls_stats_body_cls = _Description
