"""The shape of every OpenFlow 1.3 message that a switch sends: its length, and every length within.

``check`` comes before os-ken's parsers. They loop where an element has length 0, read on where one is longer
than what holds it, and raise at what they do not know. What passes here, they parse, and soon: one message
costs less than 50 ms, whatever is in it. Sections are those of OpenFlow 1.3.5.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from struct import Struct

from os_ken.ofproto import ofproto_v1_3 as ofproto

from sdnapp.openflow import matchshape, partshape
from sdnapp.openflow.matchshape import Buffer, Malformed, Unreadable
from sdnapp.openflow.partshape import Check

HEADER = ofproto.OFP_HEADER_SIZE
LONGEST = 0xFFFF
_header = Struct(ofproto.OFP_HEADER_PACK_STR).unpack_from
_u16, _pair, _words = Struct("!H").unpack_from, Struct("!HH").unpack_from, Struct("!II").unpack_from

_ONF, _NICIRA = 0x4F4E4600, 0x2320
_BUNDLE_CONTROL, _SET_PACKET_IN_FORMAT, _PACKET_IN2 = 2300, 16, 30
_VERSIONS = 32
"""Bytes of a bitmap in HELLO: 256 versions, of which there are six."""
_PROPERTIES = 64
"""Properties in an experimenter's message; os-ken copies what is left of the message with each."""
_QUEUE_DATA = 1024
"""Bytes of an experimenter's queue property, which os-ken copies once for each of them."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A kind of message: the least and the largest length, and what to check behind the header."""

    least: int
    most: int = LONGEST
    body: Check | None = None


def check(message: Buffer) -> None:
    """Check one message, from its header to its end.

    Raises ``Malformed`` for what no switch sends, ``Unreadable`` for what os-ken's parsers do not know; both
    with the type of the message.
    """
    if len(message) < HEADER:
        raise Malformed("a message without a header")
    kind, length = begins(message)
    try:
        if length != len(message):
            raise Malformed(f"{length} bytes, it says, in {len(message)}")
        body = MESSAGES[kind].body
        if body is not None:
            body(message, HEADER, length)
    except (Malformed, Unreadable) as error:
        error.message = name(kind)
        raise


def begins(buffer: Buffer, at: int = 0) -> tuple[int, int]:
    """Check the header of a message of which more may be to come; its type and its length."""
    version, kind, length, _ = _header(buffer, at)
    shape = MESSAGES.get(kind)
    if shape is None:
        reason = "no message that a switch sends"
    elif version != ofproto.OFP_VERSION and kind not in _OF_ANY_VERSION:
        reason = f"version {version:#x}"
    elif not shape.least <= length <= shape.most:
        reason = f"{length} bytes"
    else:
        return kind, length
    error = Malformed(reason)
    error.message = name(kind)
    raise error


def name(kind: int) -> str:
    """A type of message as OpenFlow names it, such as ``PACKET_IN``."""
    return NAMES.get(kind, f"type {kind}")


def _hello(buffer: Buffer, at: int, end: int) -> None:
    """Elements, §7.5.1. os-ken reads the padding behind one as the next: only a last one may have some."""
    while at < end:
        if end - at < 4:
            raise Malformed("an element cut short")
        kind, length = _pair(buffer, at)
        if length < 4 or at + length > end:
            raise Malformed(f"an element of {length} bytes")
        if kind == ofproto.OFPHET_VERSIONBITMAP and length - 4 > _VERSIONS:
            raise Malformed(f"a bitmap of {length - 4} bytes for versions")
        at += length


def _error(buffer: Buffer, at: int, end: int) -> None:
    """§7.4.4."""
    (kind,) = _u16(buffer, at)
    if kind == ofproto.OFPET_EXPERIMENTER and end - at < 8:
        raise Malformed("an experimenter's error without the experimenter")


def _packet_in(buffer: Buffer, at: int, end: int) -> None:
    """§7.4.1: a match and two bytes come before the frame."""
    if matchshape.match(buffer, at + 16, end) + 2 > end:
        raise Malformed("no room for the padding before the frame")


def _flow_removed(buffer: Buffer, at: int, end: int) -> None:
    """§7.4.2."""
    if matchshape.match(buffer, at + 40, end) != end:
        raise Malformed("more than a match at the end")


def _experimenter(buffer: Buffer, at: int, end: int) -> None:
    """§7.5.4. What os-ken parses of these: control of bundles, and packet-ins of Open vSwitch."""
    experimenter, kind = _words(buffer, at)
    if (experimenter, kind) == (_ONF, _BUNDLE_CONTROL):
        if end - at < 16:
            raise Malformed("control of a bundle cut short")
        _properties(buffer, at + 16, end, lambda *_: None)
    elif (experimenter, kind) == (_NICIRA, _PACKET_IN2):
        _properties(buffer, at + 8, end, _packet_in2)
    elif (experimenter, kind) == (_NICIRA, _SET_PACKET_IN_FORMAT):
        raise Malformed("a request that only controllers make")


def _properties(buffer: Buffer, at: int, end: int, each: Callable[[int, int], None]) -> None:
    """A list of properties, each padded to 8 bytes; the padding of the last may lack."""
    for _ in range(_PROPERTIES):
        if at >= end:
            return
        if end - at < 4:
            raise Malformed("a property cut short")
        kind, length = _pair(buffer, at)
        if length < 4 or at + length > end:
            raise Malformed(f"a property of {length} bytes")
        each(kind, length)
        at += (length + 7) // 8 * 8
    if at < end:
        raise Malformed(f"more than {_PROPERTIES} properties")


_PACKET_IN2_PROPERTIES = {0: 4, 1: 8, 2: 8, 3: 5, 4: 12, 5: 5, 6: 4, 7: 4, 8: 4}
"""Bytes that a property of a packet-in of Open vSwitch has at least (nicira-ext.h, ``NXPINT_*``)."""


def _packet_in2(kind: int, length: int) -> None:
    if kind not in _PACKET_IN2_PROPERTIES:
        raise Unreadable(f"a packet-in with property {kind}")
    if length < _PACKET_IN2_PROPERTIES[kind]:
        raise Malformed(f"property {kind} of a packet-in with {length} bytes")


def _queues(buffer: Buffer, at: int, end: int) -> None:
    """§7.3.6: queues, each with properties."""
    at += 8
    while at < end:
        if end - at < 16:
            raise Malformed("a queue cut short")
        (length,) = _u16(buffer, at + 8)
        if length < 16 or at + length > end:
            raise Malformed(f"a queue of {length} bytes")
        _queue_properties(buffer, at + 16, at + length)
        at += length


def _queue_properties(buffer: Buffer, at: int, end: int) -> None:
    while at < end:
        if end - at < 16:
            raise Malformed("a property of a queue cut short")
        kind, length = _pair(buffer, at)
        if kind == ofproto.OFPQT_EXPERIMENTER:
            if not 16 <= length <= _QUEUE_DATA or at + length > end:
                raise Malformed(f"an experimenter's property of a queue with {length} bytes")
        elif kind not in {ofproto.OFPQT_MIN_RATE, ofproto.OFPQT_MAX_RATE}:
            raise Unreadable(f"a queue with property {kind}")
        elif length != 16:
            raise Malformed(f"a property of a queue with {length} bytes")
        at += length


MESSAGES: Mapping[int, Shape] = {
    ofproto.OFPT_HELLO: Shape(8, 1024, _hello),
    ofproto.OFPT_ERROR: Shape(12, body=_error),
    ofproto.OFPT_ECHO_REQUEST: Shape(8),
    ofproto.OFPT_ECHO_REPLY: Shape(8),
    ofproto.OFPT_EXPERIMENTER: Shape(16, body=_experimenter),
    ofproto.OFPT_FEATURES_REPLY: Shape(32, 32),
    ofproto.OFPT_GET_CONFIG_REPLY: Shape(12, 12),
    ofproto.OFPT_PACKET_IN: Shape(34, body=_packet_in),
    ofproto.OFPT_FLOW_REMOVED: Shape(56, body=_flow_removed),
    ofproto.OFPT_PORT_STATUS: Shape(80, 80),
    ofproto.OFPT_MULTIPART_REPLY: Shape(16, body=partshape.reply),
    ofproto.OFPT_BARRIER_REPLY: Shape(8, 8),
    ofproto.OFPT_QUEUE_GET_CONFIG_REPLY: Shape(16, body=_queues),
    ofproto.OFPT_ROLE_REPLY: Shape(24, 24),
    ofproto.OFPT_GET_ASYNC_REPLY: Shape(32, 32),
}
"""Every kind of message that a switch sends, §7.1; others are for it."""
NAMES: Mapping[int, str] = {
    number: kind.removeprefix("OFPT_") for kind, number in vars(ofproto).items() if kind.startswith("OFPT_")
}
_OF_ANY_VERSION = {ofproto.OFPT_HELLO, ofproto.OFPT_ERROR}
"""What a switch may send in its own version: HELLO, and that it cannot take ours, §6.3.1."""
