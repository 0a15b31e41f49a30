"""Frames that nobody should send: sound ones of many kinds, broken in many ways, the same from each seed."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from os_ken.lib.packet import arp, dhcp, ethernet, icmp, icmpv6, igmp, ipv4, ipv6, packet, udp

BROADCAST = "ff:ff:ff:ff:ff:ff"
BROADCAST4 = "255.255.255.255"
LARGEST = 3000
"""Bytes: more than any device takes."""

_GROUPS = (BROADCAST, "01:00:5e:00:00:01", "33:33:00:00:00:01", "33:33:00:01:00:02", "01:80:c2:00:00:0e")
_ETHERTYPES = (
    0x0000,
    0x0600,
    0x05DC,
    0x0806,
    0x0800,
    0x86DD,
    0x8100,
    0x88A8,
    0x8847,
    0x8863,
    0x88CC,
    0x88E7,
    0xFFFF,
)
_TAGS = (b"\x81\x00", b"\x88\xa8", b"\x91\x00")


def frames(seed: int, count: int, stations: tuple[str, ...], addresses: tuple[str, ...]) -> Iterator[bytes]:
    """So many frames between these MAC and IPv4 addresses and others, each of 14 bytes and more."""
    random = Random(seed)
    seeds = list(_sound(addresses))
    for _ in range(count):
        whole = bytearray(random.choice(seeds))
        whole[0:6] = _mac(random, (*stations, *_GROUPS))
        whole[6:12] = _mac(random, stations)
        for _ in range(random.choice((0, 1, 1, 2, 6))):
            random.choice(_DAMAGES)(random, whole)
        yield bytes(whole[: random.choice((LARGEST, LARGEST, 1514, 64))]).ljust(14, b"\0")


def _mac(random: Random, known: tuple[str, ...]) -> bytes:
    if random.random() < 0.8:
        return bytes.fromhex(random.choice(known).replace(":", ""))
    return random.randbytes(6)


def _flip(random: Random, whole: bytearray) -> None:
    for _ in range(random.choice((1, 2, 8))):
        whole[random.randrange(len(whole))] = random.choice((0, 1, 0x7F, 0x80, 0xFF, random.randrange(256)))


def _cut(random: Random, whole: bytearray) -> None:
    del whole[random.randrange(14, len(whole) + 1) :]


def _grow(random: Random, whole: bytearray) -> None:
    whole += random.randbytes(random.choice((1, 40, 1500, LARGEST)))


def _tag(random: Random, whole: bytearray) -> None:
    for _ in range(random.choice((1, 2, 5))):
        whole[12:12] = random.choice(_TAGS) + random.randbytes(2)


def _retype(random: Random, whole: bytearray) -> None:
    whole[12:14] = random.choice((*_ETHERTYPES, random.randrange(0x10000))).to_bytes(2, "big")


def _repeat(random: Random, whole: bytearray) -> None:
    start = random.randrange(len(whole))
    piece = whole[start : start + random.randrange(64)]
    whole[start:start] = piece * random.choice((1, 3))


_DAMAGES = (_flip, _flip, _cut, _grow, _tag, _retype, _repeat)


def _sound(addresses: tuple[str, ...]) -> Iterator[bytes]:
    """ARP, ND, DHCP, DHCPv6, IGMP, MLD, ping, UDP and frames of no kind; seeds for the rest."""
    mac, (one, other) = "02:00:00:00:00:01", addresses[:2]
    for operation in (1, 2, 3, 8):
        yield _built(0x0806, arp.arp(opcode=operation, src_mac=mac, src_ip=one, dst_ip=other))
        yield _built(0x0806, arp.arp(opcode=operation, src_mac=mac, src_ip=one, dst_ip=one))
    for kind in range(1, 9):
        told = [dhcp.option(53, bytes([kind])), dhcp.option(50, bytes(4)), dhcp.option(61, b"\1abcdef")]
        asked = dhcp.dhcp(1, mac, dhcp.options(option_list=told), ciaddr=one)
        yield _built(0x0800, ipv4.ipv4(src=one, dst="255.255.255.255", proto=17), udp.udp(68, 67), asked)
        yield _built(0x0800, ipv4.ipv4(src=other, dst=one, proto=17), udp.udp(67, 68), asked)
        told += [dhcp.option(51, b"\0\0\x0e\x10")]
        given = dhcp.dhcp(2, mac, dhcp.options(option_list=told), yiaddr="10.1.1.77")
        yield _built(0x0800, ipv4.ipv4(src=other, dst=BROADCAST4, proto=17), udp.udp(67, 68), given)
    for kind in range(1, 14):
        asked6 = bytes([kind]) + b"xid\0\1\0\4duid\0\3\0\x0c" + bytes(12) + b"\0\x0e\0\0"
        yield _built(0x86DD, ipv6.ipv6(src="fe80::1", dst="ff02::1:2", nxt=17), udp.udp(546, 547), asked6)
        lease = b"\0\5\0\x18\xfd\0\0\1" + bytes(11) + b"\x77" + b"\0\0\x0e\x10" * 2
        given6 = bytes([kind]) + b"xid\0\3\0\x28" + bytes(12) + lease
        for ports in (udp.udp(546, 547), udp.udp(547, 546)):
            yield _built(0x86DD, ipv6.ipv6(src="fe80::1", dst="fe80::2", nxt=17), ports, given6)
    for message in (
        icmpv6.icmpv6(type_=133, data=icmpv6.nd_router_solicit()),
        icmpv6.icmpv6(type_=134, data=icmpv6.nd_router_advert()),
        icmpv6.icmpv6(type_=135, data=icmpv6.nd_neighbor(dst="fd00:1::1")),
        icmpv6.icmpv6(type_=136, data=icmpv6.nd_neighbor(dst="fd00:1::1")),
        icmpv6.icmpv6(type_=130, data=icmpv6.mld()),
        icmpv6.icmpv6(type_=131, data=icmpv6.mld(address="ff05::7")),
        icmpv6.icmpv6(type_=143, data=icmpv6.mldv2_report()),
        icmpv6.icmpv6(type_=128, data=icmpv6.echo()),
    ):
        yield _built(0x86DD, ipv6.ipv6(src="fe80::1", dst="ff02::1", nxt=58, hop_limit=255), message)
    for kind in (0x11, 0x12, 0x16, 0x17, 0x22):
        group = igmp.igmp(msgtype=kind, address="239.1.1.1")
        yield _built(0x0800, ipv4.ipv4(src=one, dst="239.1.1.1", proto=2, ttl=1), group)
    yield _built(0x0800, ipv4.ipv4(src=one, dst=other, proto=1), icmp.icmp(data=icmp.echo()))
    yield _built(0x0800, ipv4.ipv4(src=one, dst=other, proto=17), udp.udp(4000, 4001), bytes(1600))
    yield _built(0x0800, ipv4.ipv4(src=one, dst=other, proto=17, offset=100), bytes(100))
    for ethertype in _ETHERTYPES:
        yield _built(ethertype, bytes(64))


def _built(ethertype: int, *layers: object) -> bytes:
    whole = packet.Packet()
    for layer in (ethernet.ethernet(BROADCAST, "02:00:00:00:00:01", ethertype), *layers):
        whole.add_protocol(layer)
    whole.serialize()
    return bytes(whole.data)
