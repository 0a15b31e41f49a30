"""Messages about multicast groups: IGMP (v1 to v3) and MLD (v1, v2).

A query that hosts ignore must not count, as no listener answers it: ``decode`` demands of one all that
RFC 3376, RFC 3810 and Linux demand. A report changes only what its own port receives. Times are in seconds;
``decode`` never raises.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from struct import error, iter_unpack, unpack_from
from typing import Literal

from sdnapp.frames import packet
from sdnapp.frames.packet import Packet

Family = Literal[4, 6]

ROBUSTNESS = 2
QUERY_INTERVAL = 125.0
"""Defaults where a query does not say (RFC 3376 §8.1 and §8.2, RFC 3810 §9.1 and §9.2)."""

LONGEST = 4 * (ROBUSTNESS * QUERY_INTERVAL + 10.0)
"""A querier and the reports to it count no longer than this, whatever it says: four times the Group
Membership Interval with its defaults (RFC 3376 section 8.4). The fields allow 2.6 days.
"""

_IGMP, _ICMPV6, _HOP_BY_HOP = 2, 58, 0
_ALERT = bytes.fromhex("94040000")
"""The router alert option of IPv4 (RFC 2113 section 2.1)."""
_ALERT_OF_MLD = bytes.fromhex("05020000")
_ALERTS = frozenset(
    before + _ALERT_OF_MLD + behind
    for before, behind in [(b"", b"\1\0"), (b"", bytes(2)), (b"\1\0", b""), (bytes(2), b""), (b"\0", b"\0")]
)
"""Options of a hop-by-hop header of 8 bytes with the router alert of MLD (RFC 2711) and padding. Others may
have hosts drop the packet (RFC 8200 section 4.2).
"""
_ALL_HOSTS, _ALL_NODES = IPv4Address("224.0.0.1"), IPv6Address("ff02::1")


@dataclass(frozen=True, slots=True)
class Query:
    """A query. ``source``: the querier's MAC; ``address``: its IP address. ``general``: about all groups.

    ``response``: seconds that hosts have to answer; ``interval``: seconds between general queries;
    ``robustness``: how many of them may be lost.
    """

    family: Family
    source: str
    address: str
    general: bool
    response: float
    interval: float = QUERY_INTERVAL
    robustness: int = ROBUSTNESS

    @property
    def membership(self) -> float:
        """So long after its last report a host counts as a listener (RFC 3376 §8.4, RFC 3810 §9.4)."""
        return min(self.robustness * self.interval + self.response, LONGEST)

    @property
    def presence(self) -> float:
        """So long after its last query a querier counts as there (RFC 3376 §8.5, RFC 3810 §9.5)."""
        return min(self.robustness * self.interval + self.response / 2, LONGEST)


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
    found = packet.read(frame)
    if found is None or not found.whole:
        return None
    if found.src.version == 4:
        message = found.payload
        return _igmp(found, message) if found.protocol == _IGMP and not _sum(message) else None
    return _behind_alert(found)


def _behind_alert(found: Packet) -> Query | Report | None:
    """MLD is sent with hop limit 1, behind a router alert, from a link-local address or, of hosts, from none
    (RFC 3810 sections 5, 6.2 and 7.4).
    """
    header, message = found.payload[:8], found.payload[8:]
    pseudo_header = found.data[8:40] + len(message).to_bytes(4, "big") + bytes([0, 0, 0, _ICMPV6])
    sound = (
        found.protocol == _HOP_BY_HOP
        and header[:2] == bytes([_ICMPV6, 0])
        and header[2:] in _ALERTS
        and found.data[7] == 1
        and (found.src.is_link_local or found.src.is_unspecified)
    )
    return _mld(found, message) if sound and not _sum(pseudo_header + message) else None


def _reaches_hosts(query: Packet, group: bytes) -> bool:
    """Whether hosts receive the query: its IP and MAC address are those of all, or of the group."""
    all_hosts = _ALL_HOSTS if query.src.version == 4 else _ALL_NODES
    to = ip_address(group) if any(group) else all_hosts
    return query.dst == to and query.eth_dst == mac_of(str(to))


def _is_sound(query: Packet, code: int) -> bool:
    """RFC 3376 section 4: TTL 1 and, but for version 1, which has no code, the router alert. From an address
    that a host may have, or from none, as a proxy's (RFC 4541 section 2.1.1).
    """
    options, source = query.data[20 : len(query.data) - len(query.payload)], query.src
    foreign = source.is_multicast or source.is_loopback or source.is_reserved
    return query.data[8] == 1 and (options == _ALERT or (not options and not code)) and not foreign


def _sum(data: bytes) -> int:
    """The Internet checksum (RFC 1071) of data that holds its own: zero if that is right."""
    total: int = sum(word for (word,) in iter_unpack("!H", data + bytes(len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def _igmp(found: Packet, message: bytes) -> Query | Report | None:
    """RFC 1112 appendix I, RFC 2236 section 2, RFC 3376 section 4."""
    kind, code = message[0], message[1]
    group = str(IPv4Address(message[4:8])) if len(message) >= 8 else ""
    if kind == 0x11:
        sound = _is_sound(found, code) and _reaches_hosts(found, message[4:8])
        return _query(found, message[4:], code / 10 if code else 10.0, _float(code) / 10) if sound else None
    if kind in {0x12, 0x16}:
        return _report(4, [(group, True)])
    if kind == 0x17:
        return _report(4, [(group, False)])
    if kind == 0x22:
        return _report(4, _records(message, 4))
    return None


def _mld(found: Packet, message: bytes) -> Query | Report | None:
    """RFC 2710 section 3, RFC 3810 section 5."""
    kind = message[0]
    group = str(IPv6Address(message[8:24])) if len(message) >= 24 else ""
    if kind == 130:
        (code,) = unpack_from("!H", message, 4)
        longer = code if code < 0x8000 else (code & 0xFFF | 0x1000) << ((code >> 12 & 7) + 3)
        sound = found.src.is_link_local and _reaches_hosts(found, message[8:24])
        return _query(found, message[8:], code / 1000, longer / 1000) if sound else None
    if kind == 131:
        return _report(6, [(group, True)])
    if kind == 132:
        return _report(6, [(group, False)])
    if kind == 143:
        return _report(6, _records(message, 16))
    return None


def _query(found: Packet, asked: bytes, older: float, newer: float) -> Query | None:
    """The query with this group, and what the newer version has behind it; response times of both versions.

    Other lengths are neither, and a general query is about no sources (RFC 3376 sections 7.1 and 4.1.8).
    """
    family: Family = 4 if found.src.version == 4 else 6
    width = len(found.src.packed)
    general = not any(asked[:width])
    head = (family, found.eth_src, str(found.src), general)
    if len(asked) == width:
        return Query(*head, older)
    flags, code, sources = unpack_from("!BBH", asked, width)
    if (sources and general) or len(asked) < width + 4 + width * sources:
        return None
    return Query(*head, newer, *_rhythm(flags, code))


def _float(code: int) -> int:
    """Eight bits, of which the larger half are floating-point (RFC 3376 §4.1.1)."""
    return code if code < 128 else (code & 0xF | 0x10) << ((code >> 4 & 7) + 3)


def _rhythm(flags: int, code: int) -> tuple[float, int]:
    """The querier's interval and robustness; zero says that it does not say."""
    return float(_float(code) or QUERY_INTERVAL), flags & 7 or ROBUSTNESS


def _records(message: bytes, width: int) -> Iterator[tuple[str, bool]]:
    """Yield each group of a report, and whether it has a listener (RFC 3376 section 4.2, RFC 3810 section
    5.2).

    Source lists do not matter here: a group without any source is a group left.
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


def mac_of(group: str) -> str:
    """The MAC of frames to a group (RFC 1112 section 6.4, RFC 2464 section 7); a MAC is its own.

    >>> mac_of("239.129.2.3"), mac_of("ff05::1:3")
    ('01:00:5e:01:02:03', '33:33:00:01:00:03')
    """
    if group.count(":") == 5 and len(group) == 17:
        return group
    packed = ip_address(group).packed
    if len(packed) == 4:
        return bytes([1, 0, 0x5E, packed[1] & 0x7F, *packed[2:]]).hex(":")
    return (b"\x33\x33" + packed[12:]).hex(":")


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
