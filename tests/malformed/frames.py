"""Frames that a bridge hands up: what the overlay reads, with right checksums, and broken; floods, too."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from random import Random
from struct import pack, pack_into

from sdnapp.frames import dhcp6, packet
from sdnapp.frames.packet import Ends
from tests.fuzz import frames

_MACS = ("02:00:00:00:00:01", "ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:16")
_FOUR = ("10.1.1.1", "0.0.0.0", "224.0.0.22", "255.255.255.255")
_SIX = ("fe80::1", "::", "ff02::16", "fd00::77")


def made(seed: int, count: int) -> Iterator[bytes]:
    """So many frames, the same from each seed."""
    random = Random(seed)
    for plain in frames(seed, count, _MACS[:1], _FOUR[:2]):
        yield plain if random.random() < 0.3 else _broken(random, random.choice(_MAKES)(random))


def _ends(random: Random, addresses: tuple[str, ...]) -> Ends:
    src, dst = (ip_address(random.choice(addresses)) for _ in range(2))
    return Ends(random.choice(_MACS), random.choice(_MACS), src, dst)


def _listed(random: Random, head: str, sizes: tuple[int, ...], kinds: tuple[int, ...]) -> bytes:
    """Options of a type and a length, right or wrong; now and then as many as go in."""
    flood = random.random() < 0.05
    said = b""
    for _ in range(1 if flood else random.randrange(12)):
        value = random.randbytes(random.choice(sizes))
        length = len(value) if random.random() < 0.9 else random.choice((0, 1, 255))
        said += pack(head, random.choice(kinds), length) + value
    return said * (packet.LONGEST // max(len(said), 1)) if flood else said


def _dhcp(random: Random) -> bytes:
    fixed = bytearray(random.randbytes(236))
    fixed[0:3] = bytes((random.choice((1, 2)), 1, 6))
    fixed[28:34] = b"\2\0\0\0\0\1"
    if random.random() < 0.8:
        fixed[24:28] = bytes(4)
    options = bytes((53, 1, random.randrange(10)))
    options += _listed(random, "!BB", (0, 1, 4, 200, 255), (12, 50, 51, 53, 54, 61, 61))
    ports = random.choice(((68, 67), (67, 68)))
    return packet.with_udp(
        _ends(random, _FOUR), *ports, bytes(fixed) + b"\x63\x82\x53\x63" + options + b"\xff"
    )


def _dhcp6(random: Random) -> bytes:
    def association() -> bytes:
        inner = _listed(random, "!HH", (24, 24, 0, 30), (5, 5, 13))
        return pack("!HH", 3, 12 + len(inner) & 0xFFFF) + random.randbytes(12) + inner

    body = bytes([random.randrange(13)]) + b"xid" + pack("!HH4s", 1, 4, b"duid")
    if random.random() < 0.5:
        body += pack("!HH", 2, 10) + b"\0\x03\0\x01\2\x73\x64\x6e\x61\x70"
    body += b"".join(association() for _ in range(random.choice((0, 1, 2, 300))))
    body += _listed(random, "!HH", (0, 4, 12, 2000), (1, 2, 3, 14, 99))
    ports = random.choice(((dhcp6.CLIENT_PORT, dhcp6.SERVER_PORT), (dhcp6.SERVER_PORT, dhcp6.CLIENT_PORT)))
    return packet.with_udp(_ends(random, _SIX), *ports, body[:60_000])


def _icmpv6(random: Random) -> bytes:
    """Neighbour discovery, router solicitations, MLD."""
    kind = random.choice((128, 130, 131, 132, 133, 134, 135, 136, 137, 143))
    if kind == 143:
        body = _records(random, 16)
        return packet.with_icmp(
            _ends(random, _SIX), kind, 0, rest=random.choice((1, 7, 0xFFFF)), payload=body
        )
    options = b"".join(
        bytes((random.choice((1, 2)), random.choice((0, 1, 1, 2)))) + b"\2\0\0\0\0\7"
        for _ in range(random.randrange(4))
    )
    options *= random.choice((1, 1, 1, 300))
    return packet.with_icmp(
        _ends(random, _SIX), kind, 0, payload=random.randbytes(random.choice((0, 16, 20))) + options
    )


def _igmp(random: Random) -> bytes:
    kind = random.choice((0x11, 0x12, 0x16, 0x17, 0x22))
    body = _records(random, 4) if kind == 0x22 else random.randbytes(random.choice((0, 4)))
    rest = random.choice((0, 1, 7, 0xFFFF, 0xEF010101))
    message = packet.icmp(kind, random.randrange(256), rest=rest, payload=body)
    return packet._frame(_ends(random, _FOUR), 2, message, 1)


def _records(random: Random, width: int) -> bytes:
    said = b""
    for _ in range(random.randrange(8)):
        sources = random.choice((0, 0, 1, 0xFFFF))
        group = b"\xef\1" + random.randbytes(2) if width == 4 else b"\xff\5" + random.randbytes(14)
        said += pack("!BBH", random.randrange(8), random.choice((0, 0, 9)), sources) + group
    return said * random.choice((1, 1, 200))


def _arp(random: Random) -> bytes:
    head = pack("!HHBBH", 1, 0x800, 6, 4, random.randrange(4))
    return b"\xff" * 6 + b"\2\0\0\0\0\1" + b"\x08\x06" + head + random.randbytes(random.choice((20, 20, 46)))


_MAKES = (_dhcp, _dhcp6, _icmpv6, _igmp, _arp)


def _broken(random: Random, frame: bytes) -> bytes:
    """Cut, or with some bytes that are others; mostly left as it is."""
    raw = bytearray(frame)
    for _ in range(random.choice((0, 0, 1, 2))):
        if random.random() < 0.3:
            del raw[random.randrange(len(raw)) :]
        elif len(raw) > 16:
            pack_into("B", raw, random.randrange(12, len(raw)), random.randrange(256))
    return bytes(raw)
