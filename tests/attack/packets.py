"""Headers, byte by byte: every field may be given a value that is wrong, what is left out is right."""

from __future__ import annotations

import struct
from functools import lru_cache
from ipaddress import ip_address

ARP, IPV4, IPV6, EXPERIMENTAL = 0x0806, 0x0800, 0x86DD, 0x88B5
ICMP, IGMP, TCP, UDP, ROUTING, FRAGMENT, GRE, AH, ICMPV6, NONE, DESTINATION = (
    *(1, 2, 6, 17, 43, 44, 47),
    *(51, 58, 59, 60),
)
"""IP protocols and IPv6 next headers (IANA)."""
HOP_BY_HOP, MOBILITY, HIP, SHIM6 = 0, 135, 139, 140
EVERYONE = "ff:ff:ff:ff:ff:ff"


def mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


@lru_cache(maxsize=4096)
def ip(text: str) -> bytes:
    return ip_address(text).packed


def checksum(data: bytes) -> int:
    """RFC 1071."""
    words = struct.unpack(f"!{(len(data) + 1) // 2}H", data + bytes(len(data) % 2))
    total: int = sum(words)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def summed(src: str, dst: str, protocol: int, segment: bytes, at: int) -> bytes:
    """The segment with its checksum at ``at``, which covers the pseudo-header (RFC 768, RFC 8200 §8.1)."""
    pseudo = ip(src) + ip(dst) + struct.pack("!II", len(segment), protocol)
    value = checksum(pseudo + segment[:at] + b"\0\0" + segment[at + 2 :]) or 0xFFFF
    return segment[:at] + value.to_bytes(2, "big") + segment[at + 2 :]


def udp(src: str, dst: str, ports: tuple[int, int], payload: bytes) -> bytes:
    bare = struct.pack("!HHHH", *ports, 8 + len(payload), 0) + payload
    return summed(src, dst, UDP, bare, 6)


def icmpv6(src: str, dst: str, kind: int, rest: bytes, code: int = 0) -> bytes:
    """``rest``: what follows the checksum."""
    return summed(src, dst, ICMPV6, struct.pack("!BBH", kind, code, 0) + rest, 2)


def with_sum(message: bytes) -> bytes:
    """An ICMP or IGMP message with its checksum at its third byte."""
    value = checksum(message[:2] + b"\0\0" + message[4:])
    return message[:2] + value.to_bytes(2, "big") + message[4:]


def ipv4(
    src: str,
    dst: str,
    protocol: int,
    payload: bytes,
    *,
    options: bytes = b"",
    ttl: int = 64,
    identity: int = 0,
    fragment: int = 0,
    length: int | None = None,
    ihl: int | None = None,
    wrong: int = 0,
) -> bytes:
    """``fragment``: flags and offset; ``wrong``: what the header checksum is off by."""
    options += bytes(-len(options) % 4)
    size = 20 + len(options)
    head = struct.pack(
        "!BBHHHBBH4s4s",
        0x40 | (size // 4 if ihl is None else ihl),
        0,
        (size + len(payload) if length is None else length) & 0xFFFF,
        identity,
        fragment,
        ttl,
        protocol,
        0,
        ip(src),
        ip(dst),
    )
    value = checksum(head + options) ^ wrong
    return head[:10] + value.to_bytes(2, "big") + head[12:] + options + payload


def ipv6(
    src: str, dst: str, following: int, payload: bytes, *, hops: int = 64, length: int | None = None
) -> bytes:
    size = len(payload) if length is None else length
    return struct.pack("!IHBB", 6 << 28, size & 0xFFFF, following, hops) + ip(src) + ip(dst) + payload


def extension(following: int, body: bytes = b"") -> bytes:
    """An extension header of options, padded with Pad1 (RFC 8200 §4.2)."""
    body += bytes(-(len(body) + 2) % 8)
    return bytes([following, (len(body) + 2) // 8 - 1]) + body


def routing(following: int, kind: int, left: int) -> bytes:
    return bytes([following, 0, kind, left]) + bytes(4)


def authentication(following: int) -> bytes:
    """RFC 4302 §2: its length is in words of 4 bytes, less 2."""
    return bytes([following, 4]) + bytes(22)


def fragment_header(following: int, offset: int, more: bool, identity: int) -> bytes:
    """``offset``: in bytes."""
    return struct.pack("!BBHI", following, 0, offset & ~7 | more, identity)


def ethernet(
    to: str, source: str, tags: tuple[tuple[int, int], ...], ethertype: int, payload: bytes
) -> bytes:
    """``tags``: TPID and TCI of each, the outermost first."""
    stack = b"".join(struct.pack("!HH", *tag) for tag in tags)
    return mac(to) + mac(source) + stack + ethertype.to_bytes(2, "big") + payload


def group_mac(group: str) -> str:
    """RFC 1112 §6.4, RFC 2464 §7."""
    packed = ip(group)
    if len(packed) == 4:
        return bytes([1, 0, 0x5E, packed[1] & 0x7F, *packed[2:]]).hex(":")
    return (b"\x33\x33" + packed[12:]).hex(":")


def vxlan(key: int, frame: bytes) -> bytes:
    """RFC 7348 §5."""
    return struct.pack("!II", 0x08000000, key << 8 & 0xFFFFFF00) + frame


def geneve(key: int, frame: bytes) -> bytes:
    """RFC 8926 §3.4."""
    return struct.pack("!II", 0x6558, key << 8 & 0xFFFFFF00) + frame


def gre(key: int, frame: bytes) -> bytes:
    """RFC 2890 with Ethernet inside."""
    return struct.pack("!HHI", 0x2000, 0x6558, key) + frame
