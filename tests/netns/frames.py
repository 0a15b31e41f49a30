"""Frames for tests, put together field by field so that they can lie, and told from others."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address

from sdnapp.frames.packet import Ends, octets, with_icmp, with_udp

EVERYONE = "ff:ff:ff:ff:ff:ff"
ARP, IPV4 = 0x0806, 0x0800


def frame(source: str, to: str, kind: int, payload: bytes) -> bytes:
    return octets(to) + octets(source) + kind.to_bytes(2, "big") + payload


def arp(source: str, sha: str, spa: str, tpa: str, *, op: int = 1, to: str = EVERYONE) -> bytes:
    addresses = ip_address(spa).packed, octets("00:00:00:00:00:00") + ip_address(tpa).packed
    body = struct.pack("!HHBBH", 1, IPV4, 6, 4, op) + octets(sha) + addresses[0] + addresses[1]
    return frame(source, to, ARP, body)


def udp(source: str, to: str, src: str, dst: str, ports: tuple[int, int] = (9, 9)) -> bytes:
    return with_udp(Ends(source, to, ip_address(src), ip_address(dst)), *ports, b"mark")


def icmpv6(source: str, to: str, src: str, dst: str, message: bytes) -> bytes:
    ends, rest = Ends(source, to, ip_address(src), ip_address(dst)), int.from_bytes(message[4:8], "big")
    return with_icmp(ends, message[0], 0, rest=rest, payload=message[8:])


def advertisement(target: str, tll: str) -> bytes:
    return struct.pack("!BBHI", 136, 0, 0, 1 << 29) + IPv6Address(target).packed + b"\2\1" + octets(tll)


def questions(frames: Iterable[bytes]) -> list[bytes]:
    """The requests and solicitations to everybody among these frames."""
    return [
        data
        for data in frames
        if (data[12:14] == b"\x08\x06" and data[:6] == octets(EVERYONE))
        or (data[12:14] == b"\x86\xdd" and data[20] == 58 and data[54] == 135 and data[0] == 0x33)
    ]


def answers(frames: Iterable[bytes]) -> list[bytes]:
    """The answers of ARP among these frames."""
    return [data for data in frames if data[12:14] == b"\x08\x06" and data[21] == 2]
