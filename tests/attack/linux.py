"""What a Linux receiver makes of a frame: tags of VLAN 0 are taken off, fragments put together, extension
headers walked, messages with wrong checksums or hop limits ignored.

Sources: ``net/core/dev.c`` (priority tags), ``net/ipv4/arp.c`` (hardware type 6 counts as Ethernet),
``net/ipv6/ndisc.c`` (the first of repeated options counts), ``net/ipv4/ip_fragment.c``. It is more gullible
than Linux where other receivers are: fragmented neighbour discovery counts (RFC 6980 forbids it), and so does
what the first fragment says alone, which is all that a DHCP client on a packet socket looks at.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Literal

from tests.attack.packets import checksum

What = Literal["claim", "source", "dhcp-server", "router", "query"]
_TPIDS = {b"\x81\x00", b"\x88\xa8"}
_HOP_BY_HOP, _ROUTING, _FRAGMENT, _DESTINATION = 0, 43, 44, 60
_DEEPEST = 16
_MOST_PADDING = 7
"""Of more than these in a row Linux drops the packet (``ip6_parse_tlv``)."""


@dataclass(frozen=True)
class Fact:
    """``claim``: this IP address has this MAC. ``source``: a packet with this IP source. The others: what
    only servers and routers say; of an IGMP query, ``ip`` is where it goes. ``how``: in which message.
    """

    what: What
    how: str
    ip: str = ""
    mac: str = ""


@dataclass
class Receiver:
    """A receiver, with the fragments that it waits for. ``mac``: frames to other stations are not for it.

    ``inside``: it has VLAN devices or guests that have them, so that any tag is taken off.
    """

    mac: str
    inside: bool = False
    _waiting: dict[tuple[bytes, ...], dict[int, bytes]] = field(default_factory=dict)
    _ends: dict[tuple[bytes, ...], int] = field(default_factory=dict)
    _first: dict[tuple[bytes, ...], int] = field(default_factory=dict)
    """The next header that the first fragment names: that of others does not count (RFC 8200 §4.5)."""

    def facts(self, frame: bytes) -> set[Fact]:
        """What this frame says, with the fragments before it."""
        to = frame[:6]
        if not to[0] & 1 and to.hex(":") != self.mac:
            return set()
        at = 12
        while frame[at : at + 2] in _TPIDS:
            if len(frame) < at + 6 or ((frame[at + 2] & 0xF or frame[at + 3]) and not self.inside):
                return set()
            at += 4
        ethertype, payload = frame[at : at + 2], frame[at + 2 :]
        try:
            if ethertype == b"\x08\x06":
                return set(_arp(payload))
            if ethertype == b"\x08\x00":
                return set(self._ipv4(payload))
            if ethertype == b"\x86\xdd":
                return set(self._ipv6(payload))
        except (struct.error, IndexError, ValueError):
            pass
        return set()

    def _ipv4(self, data: bytes) -> Iterator[Fact]:
        size, total = (data[0] & 0xF) * 4, int.from_bytes(data[2:4], "big")
        if data[0] >> 4 != 4 or size < 20 or total < size or len(data) < total or checksum(data[:size]):
            return
        flags, protocol = int.from_bytes(data[6:8], "big"), data[9]
        src, dst = data[12:16], data[16:20]
        yield Fact("source", f"ipv4 protocol {protocol}{_port(protocol, data[size:], flags)}", _text(src))
        offset, more, piece = (flags & 0x1FFF) * 8, bool(flags & 0x2000), data[size:total]
        for segment in self._together((src, dst, data[4:6], data[9:10]), offset, more, piece):
            yield from _upper4(protocol, segment, _text(dst))

    def _together(self, key: tuple[bytes, ...], offset: int, more: bool, piece: bytes) -> Iterator[bytes]:
        """What a receiver may take to be the whole: what is first, and all of it once it is there.

        Of overlapping fragments that at the same offset replaces an earlier one or not: both are tried.
        """
        if not offset:
            yield piece
            if not more:
                return
        waiting = self._waiting.setdefault(key, {})
        before = waiting.get(offset)
        waiting[offset] = piece
        if not more:
            self._ends[key] = offset + len(piece)
        yield from self._whole(key)
        if before is not None:
            waiting[offset] = before
            yield from self._whole(key)
        if len(self._waiting) > 4096:
            self._waiting.clear()
            self._ends.clear()
            self._first.clear()

    def _whole(self, key: tuple[bytes, ...]) -> Iterator[bytes]:
        whole = bytearray()
        for offset, piece in sorted(self._waiting[key].items()):
            if offset > len(whole):
                return
            whole[offset:] = piece + bytes(whole[offset + len(piece) :])
        if key in self._ends and len(whole) >= self._ends[key]:
            yield bytes(whole[: self._ends[key]])

    def _ipv6(self, data: bytes) -> Iterator[Fact]:
        length, following, hops = int.from_bytes(data[4:6], "big"), data[6], data[7]
        if data[0] >> 4 != 6 or len(data) < 40 + length:
            return
        src, dst, body = data[8:24], data[24:40], data[40 : 40 + length]
        alerted = not following and b"\5\2\0\0" in body[2 : (body[1] + 1) * 8]
        read = list(self._walked(following, body, (src, dst), 0))
        for protocol, segment in read:
            how = f"ipv6 protocol {protocol}{_type6(protocol, segment)}"
            yield Fact("source", how, _text(src))
            yield from _upper6(protocol, segment, src, dst, hops)
            if alerted and hops == 1 and protocol == 58:
                yield from _mld(segment, src, dst)
        if not read:
            yield Fact("source", "ipv6 fragment", _text(src))

    def _walked(
        self, following: int, body: bytes, ends: tuple[bytes, bytes], depth: int
    ) -> Iterator[tuple[int, bytes]]:
        """The upper layers of a packet; what is no first fragment and completes nothing has none."""
        while depth < _DEEPEST:
            depth += 1
            if following in {_HOP_BY_HOP, _ROUTING, _DESTINATION}:
                size = (body[1] + 1) * 8
                if len(body) < size or not _passes(following, body[:size], depth):
                    return
                following, body = body[0], body[size:]
            elif following == _FRAGMENT:
                after, word, identity = body[0], int.from_bytes(body[2:4], "big"), body[4:8]
                if not word & ~6:  # RFC 6946: alone
                    following, body = after, body[8:]
                    continue
                key = (*ends, identity)
                if not word & ~7:
                    self._first[key] = after
                for whole in self._together(key, word & ~7, bool(word & 1), body[8:]):
                    yield from self._walked(self._first.get(key, after), whole, ends, depth)
                return
            else:
                yield following, body
                return


def _passes(kind: int, header: bytes, depth: int) -> bool:
    """Whether Linux goes on behind an extension header (``net/ipv6/exthdrs.c``)."""
    if kind == _ROUTING:
        return not header[3]
    if kind == _HOP_BY_HOP and depth > 1:
        return False
    at, padding = 2, 0
    while at < len(header):
        size = 1 if header[at] == 0 else header[at + 1] + 2
        padding = padding + size if header[at] in {0, 1} else 0
        unknown = header[at] not in {0, 1, 5}
        if padding > _MOST_PADDING or at + size > len(header) or (unknown and header[at] >> 6):
            return False
        at += size
    return True


def _arp(body: bytes) -> Iterator[Fact]:
    hrd, protocol, hln, pln, op = struct.unpack_from("!HHBBH", body)
    if (protocol, hln, pln) == (0x0800, 6, 4) and hrd in {1, 6} and op in {1, 2} and len(body) >= 28:
        yield Fact("claim", f"arp {op}", _text(body[14:18]), body[8:14].hex(":"))


def _port(protocol: int, segment: bytes, flags: int) -> str:
    known = protocol == 17 and not flags & 0x1FFF and len(segment) >= 4
    return f" port {int.from_bytes(segment[2:4], 'big')}" if known else ""


def _type6(protocol: int, segment: bytes) -> str:
    return f" type {segment[0]}" if protocol == 58 and segment else ""


def _upper4(protocol: int, segment: bytes, to: str) -> Iterator[Fact]:
    if protocol == 17 and len(segment) >= 8 and segment[2:4] == b"\0\x44":
        yield Fact("dhcp-server", "udp to port 68")
    if protocol == 2 and segment[0] == 0x11 and not checksum(segment):
        wanted = 8 if len(segment) < 12 else 12 + 4 * int.from_bytes(segment[10:12], "big")
        if len(segment) == 8 or len(segment) >= max(wanted, 12):
            yield Fact("query", "igmp", to)


def _upper6(protocol: int, segment: bytes, src: bytes, dst: bytes, hops: int) -> Iterator[Fact]:
    if protocol == 17 and len(segment) >= 8 and segment[2:4] == b"\x02\x22":
        yield Fact("dhcp-server", "udp to port 546")
    if protocol != 58 or len(segment) < 8:
        return
    if checksum(src + dst + struct.pack("!II", len(segment), 58) + segment):
        return
    kind, code = segment[0], segment[1]
    if hops != 255 or code:
        return
    if kind in {134, 137}:
        yield Fact("router", {134: "router advertisement", 137: "redirect"}[kind])
    yield from _neighbour(kind, segment, _text(src))


def _mld(segment: bytes, src: bytes, dst: bytes) -> Iterator[Fact]:
    """A query that a Linux host answers (RFC 3810 §6.2)."""
    pseudo = src + dst + struct.pack("!II", len(segment), 58)
    sized = len(segment) == 24 or len(segment) >= 28
    group = segment[8:24]
    asks = segment[0] == 130 and sized and (not any(group) or group[0] == 0xFF)
    if asks and src[:2] == b"\xfe\x80" and not checksum(pseudo + segment):
        yield Fact("query", "mld")


def _neighbour(kind: int, segment: bytes, src: str) -> Iterator[Fact]:
    """The address that a message is about, and the MAC that it gives it (RFC 4861 §4.1 to §4.4), if any."""
    start = {133: 8, 134: 16, 135: 24, 136: 24}.get(kind)
    if start is None or len(segment) < start:
        return
    options = dict(reversed(list(_options(segment[start:]))))
    if kind == 136:
        if ip_address(segment[8:24]).is_multicast:
            return
        yield Fact("claim", "na", _text(segment[8:24]), options.get(2, b"").hex(":"))
    elif src != "::" and 1 in options:
        yield Fact("claim", {133: "rs", 134: "ra", 135: "ns"}[kind], src, options[1].hex(":"))


def _options(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Those with a MAC address. Raises ValueError where one is broken: the message is then ignored whole."""
    while data:
        size = data[1] * 8 if len(data) > 1 else 0
        if not 0 < size <= len(data):
            raise ValueError("option")
        if data[0] in {1, 2} and size == 8:
            yield data[0], data[2:8]
        data = data[size:]


def _text(packed: bytes) -> str:
    return str(ip_address(packed))
