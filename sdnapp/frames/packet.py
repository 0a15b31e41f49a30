"""Ethernet, IP, UDP and ICMP: taken apart and put together.

Input is untrusted: a frame that is not complete and valid gives None, never an exception.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from struct import Struct

Address = IPv4Address | IPv6Address

IPV4, IPV6 = 0x0800, 0x86DD
ICMP, UDP, ICMPV6 = 1, 17, 58
LONGEST = 9216
"""Bytes of a frame that are looked at: a jumbo frame; what a network answers is much shorter."""
TTL = 64
ND_HOPS = 255
"""Hop limit of neighbour discovery: no router has forwarded it (RFC 4861 section 6.1)."""

_ETHERNET = Struct("!6s6sH")
_IPV4_HEADER = Struct("!BBHHHBBH4s4s")
_IPV6_HEADER = Struct("!IHBB16s16s")
_UDP_HEADER = Struct("!HHHH")
_ICMP_HEADER = Struct("!BBHI")
_NOT_FIRST = 0x1FFF
_MORE = 0x2000


@dataclass(frozen=True, slots=True)
class Packet:
    """An IP packet in its frame. ``data``: from the IP header on; ``payload``: what that carries; ``length``:
    the bytes that all of it had.

    ``first``: not a later fragment, so that the payload begins with the header of ``protocol``; ``whole``:
    no fragment at all, and all of it there. IPv6 extension headers count as payload.
    """

    eth_src: str
    eth_dst: str
    src: Address
    dst: Address
    protocol: int
    data: bytes
    payload: bytes
    length: int
    first: bool
    whole: bool


@dataclass(frozen=True, slots=True)
class Datagram:
    """What UDP carries."""

    src_port: int
    dst_port: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Ends:
    """Source and destination: MAC addresses, and IP addresses of one version."""

    eth_src: str
    eth_dst: str
    src: Address
    dst: Address


def read(frame: bytes) -> Packet | None:
    """The untagged IP packet in a frame, which may lack its end; None if it is something else."""
    if len(frame) < _ETHERNET.size:
        return None
    eth_dst, eth_src, ethertype = _ETHERNET.unpack_from(frame)
    data = frame[_ETHERNET.size :]
    macs = (eth_src.hex(":"), eth_dst.hex(":"))
    if ethertype == IPV4 and len(data) >= _IPV4_HEADER.size and data[0] >> 4 == 4:
        return _ipv4(macs, data)
    if ethertype == IPV6 and len(data) >= _IPV6_HEADER.size and data[0] >> 4 == 6:
        return _ipv6(macs, data)
    return None


def _ipv4(macs: tuple[str, str], data: bytes) -> Packet | None:
    version, _, length, _, fragment, _, protocol, _, src, dst = _IPV4_HEADER.unpack_from(data)
    start = (version & 0xF) * 4
    if start < _IPV4_HEADER.size or not start <= length or len(data) < start or _sum(data[:start]):
        return None
    first = not fragment & _NOT_FIRST
    whole = first and not fragment & _MORE and length <= len(data)
    ends = (IPv4Address(src), IPv4Address(dst))
    return Packet(*macs, *ends, protocol, data[:length], data[start:length], length, first, whole)


def _ipv6(macs: tuple[str, str], data: bytes) -> Packet:
    _, length, protocol, _, src, dst = _IPV6_HEADER.unpack_from(data)
    end = _IPV6_HEADER.size + length
    ends = (IPv6Address(src), IPv6Address(dst))
    payload, whole = data[_IPV6_HEADER.size : end], end <= len(data)
    return Packet(*macs, *ends, protocol, data[:end], payload, end, first=True, whole=whole)


def datagram(packet: Packet) -> Datagram | None:
    """What a whole packet carries by UDP; None where that is broken.

    Its checksum is not looked at: on a virtual cable it is often left to hardware that is not there.
    """
    if packet.protocol != UDP or not packet.whole or len(packet.payload) < _UDP_HEADER.size:
        return None
    src_port, dst_port, length, _ = _UDP_HEADER.unpack_from(packet.payload)
    segment = packet.payload[:length]
    if not _UDP_HEADER.size <= length <= len(packet.payload):
        return None
    return Datagram(src_port, dst_port, segment[_UDP_HEADER.size :])


def icmpv6(packet: Packet) -> bytes | None:
    """The ICMPv6 message of a whole packet; None where its checksum is wrong."""
    if packet.protocol != ICMPV6 or not packet.whole or len(packet.payload) < 4:
        return None
    return None if _sum(_pseudo(packet.src, packet.dst, ICMPV6, packet.payload)) else packet.payload


def with_udp(ends: Ends, src_port: int, dst_port: int, payload: bytes) -> bytes:
    """A frame that carries the payload by UDP."""
    length = _UDP_HEADER.size + len(payload)
    bare = _UDP_HEADER.pack(src_port, dst_port, length, 0) + payload
    checksum = _sum(_pseudo(ends.src, ends.dst, UDP, bare)) or 0xFFFF  # 0 would mean that there is none
    return _frame(ends, UDP, bare[:6] + checksum.to_bytes(2, "big") + payload, TTL)


def with_icmp(ends: Ends, kind: int, code: int, *, rest: int = 0, payload: bytes = b"") -> bytes:
    """A frame with an ICMP or ICMPv6 message: type, code, four bytes behind the checksum, the rest."""
    between = (ends.src, ends.dst) if ends.src.version == 6 else None
    message = icmp(kind, code, rest=rest, payload=payload, between=between)
    return _frame(ends, ICMPV6 if between else ICMP, message, ND_HOPS)


def icmp(
    kind: int,
    code: int,
    *,
    rest: int = 0,
    payload: bytes = b"",
    between: tuple[Address, Address] | None = None,
) -> bytes:
    """The message alone. ``between``: of ICMPv6, whose checksum covers source and destination."""
    bare = _ICMP_HEADER.pack(kind, code, 0, rest) + payload
    checksum = _sum(_pseudo(*between, ICMPV6, bare) if between else bare)
    return bare[:2] + checksum.to_bytes(2, "big") + bare[4:]


def with_tag(frame: bytes, vlan: int) -> bytes:
    """The frame with an 802.1Q header."""
    return frame[:12] + b"\x81\x00" + vlan.to_bytes(2, "big") + frame[12:]


def link_local(mac: str) -> IPv6Address:
    """The address that a MAC address gives (RFC 4291, appendix A)."""
    bare = octets(mac)
    identifier = bytes([bare[0] ^ 2]) + bare[1:3] + b"\xff\xfe" + bare[3:]
    return IPv6Address(b"\xfe\x80" + bytes(6) + identifier)


@lru_cache(maxsize=65536)
def link_local_text(mac: str) -> str:
    """The same as text: ``str`` of an ``IPv6Address`` takes long, and every strict port has one."""
    return str(link_local(mac))


def octets(mac: str) -> bytes:
    """The six bytes of a MAC address."""
    return bytes.fromhex(mac.replace(":", ""))


def _frame(ends: Ends, protocol: int, payload: bytes, hops: int) -> bytes:
    src, dst = ends.src.packed, ends.dst.packed
    if ends.src.version == 4:
        words = (0x45, 0, _IPV4_HEADER.size + len(payload), 0, 0, hops, protocol)
        checksum = _sum(_IPV4_HEADER.pack(*words, 0, src, dst))
        ethertype, header = IPV4, _IPV4_HEADER.pack(*words, checksum, src, dst)
    else:
        ethertype, header = IPV6, _IPV6_HEADER.pack(6 << 28, len(payload), protocol, hops, src, dst)
    return _ETHERNET.pack(octets(ends.eth_dst), octets(ends.eth_src), ethertype) + header + payload


def _pseudo(src: Address, dst: Address, protocol: int, segment: bytes) -> bytes:
    """What a checksum covers besides the segment itself (RFC 768, RFC 8200 §8.1)."""
    return src.packed + dst.packed + len(segment).to_bytes(4, "big") + bytes([0, 0, 0, protocol]) + segment


def _sum(data: bytes) -> int:
    """The internet checksum (RFC 1071); 0 over what carries its right one."""
    total = int.from_bytes(data + bytes(len(data) % 2), "big") % 0xFFFF
    return 0xFFFF - total if total or not any(data) else 0
