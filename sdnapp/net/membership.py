"""What a frame says about multicast groups: IGMP (v1 to v3) and MLD (v1, v2).

Times are in seconds. What is malformed says nothing: ``decode`` never raises.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from struct import error, iter_unpack, unpack_from
from typing import Literal

Family = Literal[4, 6]

ROBUSTNESS = 2
QUERY_INTERVAL = 125.0
"""Defaults where a query does not say (RFC 3376 §8.1 and §8.2, RFC 3810 §9.1 and §9.2)."""

_ETHERNET = 14
_IGMP, _ICMPV6, _HOP_BY_HOP = 2, 58, 0


@dataclass(frozen=True, slots=True)
class Query:
    """A router asks who listens. ``source``: its MAC. ``general``: it asks about all groups.

    ``response``: how long hosts may take to answer; ``interval``: how long it waits between general queries;
    ``robustness``: how many of them may be lost.
    """

    family: Family
    source: str
    general: bool
    response: float
    interval: float = QUERY_INTERVAL
    robustness: int = ROBUSTNESS

    @property
    def membership(self) -> float:
        """So long after its last report a host counts as a listener (RFC 3376 §8.4, RFC 3810 §9.4)."""
        return self.robustness * self.interval + self.response

    @property
    def presence(self) -> float:
        """So long after its last query a querier counts as there (RFC 3376 §8.5, RFC 3810 §9.5)."""
        return self.robustness * self.interval + self.response / 2


@dataclass(frozen=True, slots=True)
class Report:
    """A host says which groups it listens to, and to which no more. Link-local groups are left out: they go
    everywhere (RFC 4541 §2.1.2 and §3).
    """

    family: Family
    joins: frozenset[str]
    leaves: frozenset[str]


def decode(frame: bytes) -> Query | Report | None:
    """What the frame, which carries no tag, says about groups; None: nothing."""
    try:
        return _decode(frame)
    except (error, IndexError):
        return None


def _decode(frame: bytes) -> Query | Report | None:
    source, ethertype = frame[6:12].hex(":"), frame[12:14]
    if ethertype == b"\x08\x00":
        length = 4 * (frame[_ETHERNET] & 0xF)
        (total,) = unpack_from("!H", frame, _ETHERNET + 2)
        message = frame[_ETHERNET + length : _ETHERNET + total]
        if frame[_ETHERNET] >> 4 == 4 and frame[_ETHERNET + 9] == _IGMP and not _sum(message):
            return _igmp(source, message)
    elif ethertype == b"\x86\xdd":
        (payload,) = unpack_from("!H", frame, _ETHERNET + 4)
        end, at, following = _ETHERNET + 40 + payload, _ETHERNET + 40, frame[_ETHERNET + 6]
        if following == _HOP_BY_HOP:  # it carries the router alert (RFC 3810 §5)
            following, at = frame[at], at + 8 * (frame[at + 1] + 1)
        message = frame[at:end]
        addresses = frame[_ETHERNET + 8 : _ETHERNET + 40]
        pseudo_header = addresses + len(message).to_bytes(4, "big") + bytes([0, 0, 0, _ICMPV6])
        if following == _ICMPV6 and not _sum(pseudo_header + message):
            return _mld(source, message)
    return None


def _sum(data: bytes) -> int:
    """The Internet checksum (RFC 1071) of data that holds its own: zero if that is right."""
    total: int = sum(word for (word,) in iter_unpack("!H", data + bytes(len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def _igmp(source: str, message: bytes) -> Query | Report | None:
    """RFC 1112 appendix I, RFC 2236 §2, RFC 3376 §4."""
    kind, code = message[0], message[1]
    group = str(IPv4Address(message[4:8])) if len(message) >= 8 else ""
    if kind == 0x11:
        general = message[4:8] == bytes(4)
        if len(message) < 12:
            return Query(4, source, general, code / 10 if code else 10.0)
        return Query(4, source, general, _float(code) / 10, *_rhythm(message[8], message[9]))
    if kind in {0x12, 0x16}:
        return _report(4, [(group, True)])
    if kind == 0x17:
        return _report(4, [(group, False)])
    if kind == 0x22:
        return _report(4, _records(message, 4))
    return None


def _mld(source: str, message: bytes) -> Query | Report | None:
    """RFC 2710 §3, RFC 3810 §5."""
    kind = message[0]
    group = str(IPv6Address(message[8:24])) if len(message) >= 24 else ""
    if kind == 130:
        (code,) = unpack_from("!H", message, 4)
        general = message[8:24] == bytes(16)
        if len(message) < 28:
            return Query(6, source, general, code / 1000)
        response = code if code < 0x8000 else (code & 0xFFF | 0x1000) << ((code >> 12 & 7) + 3)
        return Query(6, source, general, response / 1000, *_rhythm(message[24], message[25]))
    if kind == 131:
        return _report(6, [(group, True)])
    if kind == 132:
        return _report(6, [(group, False)])
    if kind == 143:
        return _report(6, _records(message, 16))
    return None


def _float(code: int) -> int:
    """Eight bits, of which the larger half are floating-point (RFC 3376 §4.1.1)."""
    return code if code < 128 else (code & 0xF | 0x10) << ((code >> 4 & 7) + 3)


def _rhythm(flags: int, code: int) -> tuple[float, int]:
    """The querier's interval and robustness; zero says that it does not say."""
    return float(_float(code) or QUERY_INTERVAL), flags & 7 or ROBUSTNESS


def _records(message: bytes, width: int) -> Iterator[tuple[str, bool]]:
    """Each group of a report, and whether it is listened to (RFC 3376 §4.2, RFC 3810 §5.2).

    Which sources it is heard from does not matter here: a group without any is a group left.
    """
    (count,) = unpack_from("!H", message, 6)
    at = 8
    for _ in range(count):
        kind, auxiliary, sources = unpack_from("!BBH", message, at)
        group = message[at + 4 : at + 4 + width]
        if len(group) < width:
            return
        at += 4 + width * (1 + sources) + 4 * auxiliary
        if kind in {2, 4, 5}:  # excluding some sources, or more of them
            yield _address(group), True
        elif kind in {1, 3}:  # including only these
            yield _address(group), sources > 0


def _address(group: bytes) -> str:
    return str(IPv4Address(group) if len(group) == 4 else IPv6Address(group))


def _report(family: Family, said: Iterable[tuple[str, bool]]) -> Report | None:
    joins: set[str] = set()
    leaves: set[str] = set()
    for group, listened in said:
        if _travels(group):
            (joins if listened else leaves).add(group)
    return Report(family, frozenset(joins), frozenset(leaves)) if joins or leaves else None


def _travels(group: str) -> bool:
    """Whether it is a group outside 224.0.0.0/24 (RFC 5771 §4) or of more than the link (RFC 4291 §2.7)."""
    if not group:
        return False
    address = ip_address(group)
    if address.version == 4:
        return address.is_multicast and address.packed[:3] != b"\xe0\0\0"
    return address.is_multicast and address.packed[1] & 0xF > 2
