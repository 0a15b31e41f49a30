"""What hostile frames say: each function composes one message of its protocol from fields picked at random.

A message is an ARP or other payload behind an EtherType, or an IP packet that ``tests.attack.hiding`` then
wraps. Most fields are right in most messages: one that is wrong everywhere is dropped at the first look.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from tests.attack import packets
from tests.attack.ground import Station
from tests.attack.packets import ARP, ICMP, ICMPV6, IGMP, TCP, UDP, ip, mac
from tests.attack.scene import FOREIGN4, GROUPS4, GROUPS6, LISTENED4, LISTENED6, Scene

T = TypeVar("T")


@dataclass(frozen=True)
class Plain:
    """A message that is no IP packet. ``to``: the destination MAC that suits it."""

    name: str
    ethertype: int
    payload: bytes
    to: str


@dataclass(frozen=True)
class Packet:
    """An IP packet: of which version, follows from its addresses. ``alert``: it asks for the router alert."""

    name: str
    src: str
    dst: str
    protocol: int
    segment: bytes
    to: str
    hops: int = 64
    alert: bool = False


def mostly(random: Random, right: T, *wrong: T, chance: float = 0.8) -> T:
    """The right value, or one of the wrong ones."""
    return right if random.random() < chance else random.choice(wrong)


def arp(random: Random, scene: Scene) -> Plain:
    """RFC 826; Linux also takes hardware type 6."""
    victim = scene.victim(random)
    op = random.choice((1, 1, 2, 2, 2, 3, 4, 8, 9, 0, 25, 0xFFFF))
    hrd = random.choice((1, 1, 1, 6, 6, 7, 0, 15, 256, 0xFFFF))
    protocol = mostly(random, packets.IPV4, 0x86DD, 0, 0x0806)
    hln, pln = mostly(random, 6, 0, 7, 8, 255), mostly(random, 4, 0, 16, 255)
    sha = mac(mostly(random, scene.mac, scene.any_mac(random), chance=0.6))
    spa = ip(scene.ip4(random))
    tha = mac(random.choice((victim.mac, "00:00:00:00:00:00", packets.EVERYONE)))
    tpa = random.choice((ip(scene.ip4(random, victim.mac)), spa))
    body = struct.pack("!HHBBH", hrd, protocol, hln, pln, op) + sha + spa + tha + tpa
    to = random.choice((victim.mac, packets.EVERYONE, scene.target_mac(random)))
    return Plain(f"arp op {op} hrd {hrd} hln {hln} pln {pln}", ARP, body, to)


def neighbour(random: Random, scene: Scene) -> Packet:
    """Solicitations and advertisements (RFC 4861 §4.3, §4.4) with options that repeat, lie or are broken."""
    kind, victim = random.choice((135, 136, 136)), scene.victim(random)
    target = scene.ip6(random)
    flags = random.choice((0, 0x20, 0x60, 0xA0, 0xE0)) << 24 if kind == 136 else 0
    pieces = [
        _option(random, scene, 1 if kind == 135 else 2) for _ in range(random.choice((0, 1, 1, 2, 2, 3)))
    ]
    rest = struct.pack("!I", flags) + ip(target) + b"".join(pieces)
    src, dst, to = _nd_ends(random, scene, victim.mac)
    code = mostly(random, 0, 1, 255, chance=0.9)
    segment = packets.icmpv6(src, dst, kind, rest, code)
    name = f"{'ns' if kind == 135 else 'na'} with {len(pieces)} options"
    return Packet(name, src, dst, ICMPV6, _damaged(random, segment), to, _nd_hops(random))


def _option(random: Random, scene: Scene, kind: int) -> bytes:
    kind = mostly(random, kind, 1, 2, 3, 5, 14, 24, 31, 0)
    length = mostly(random, 1, 0, 2, 31, chance=0.9)
    address = mac(random.choice((scene.mac, scene.any_mac(random))))
    return bytes([kind, length]) + address + bytes(8 if length == 2 else 0)


def _nd_ends(random: Random, scene: Scene, victim: str) -> tuple[str, str, str]:
    if random.random() < 0.4:
        return scene.ip6(random), "ff02::1", packets.group_mac("ff02::1")
    dst = scene.ip6(random, victim)
    return scene.ip6(random), dst, packets.group_mac(dst) if dst.startswith("ff") else victim


def _nd_hops(random: Random) -> int:
    return mostly(random, 255, 64, 1, 0)


def router(random: Random, scene: Scene) -> Packet:
    """Router advertisements, redirects and solicitations (RFC 4861 §4.1, §4.2, §4.5)."""
    kind, victim = random.choice((134, 134, 137, 133)), scene.victim(random)
    src, dst, to = _nd_ends(random, scene, victim.mac)
    options = b"".join(_option(random, scene, 1) for _ in range(random.choice((0, 1, 2))))
    if kind == 134:
        prefix = struct.pack("!BBBBIII", 3, 4, 64, 0xC0, 3600, 3600, 0) + ip("2001:db8:bad::")
        rest = struct.pack("!BBHII", 64, random.choice((0, 0xC0, 8)), 1800, 0, 0) + prefix + options
    elif kind == 137:
        rest = bytes(4) + ip(scene.ip6(random)) + ip(scene.ip6(random)) + options
    else:
        rest = bytes(4) + options
    src = mostly(random, src, "fe80::bad", scene.own6, chance=0.3)
    segment = packets.icmpv6(src, dst, kind, rest, mostly(random, 0, 1, chance=0.95))
    name = {133: "router solicitation", 134: "router advertisement", 137: "redirect"}[kind]
    return Packet(name, src, dst, ICMPV6, _damaged(random, segment), to, _nd_hops(random))


def _damaged(random: Random, segment: bytes) -> bytes:
    """Sometimes with a wrong checksum, cut, or longer than it says."""
    choice = random.random()
    if choice < 0.05:
        return segment[:2] + bytes([segment[2] ^ 0x55]) + segment[3:]
    if choice < 0.08:
        return segment[: random.randrange(len(segment))]
    return segment + random.randbytes(random.choice((1, 8))) if choice < 0.1 else segment


def dhcp_message(client: str, identity: int, kind: int, server: str, yours: str) -> bytes:
    """An answer of a DHCP server (RFC 2131 §2) with itself as router and name server."""
    options = bytes([53, 1, kind, 54, 4]) + ip(server) + b"\x33\4\0\0\x0e\x10\1\4\xff\xff\xff\0"
    options += b"\3\4" + ip(server) + b"\6\4" + ip(server) + b"\xff"
    head = struct.pack("!BBBBIHH", 2, 1, 6, 0, identity, 0, 0x8000) + bytes(4) + ip(yours) + ip(server)
    return head + bytes(4) + mac(client) + bytes(202) + b"\x63\x82\x53\x63" + options


def dhcp_answer(client: Station, identity: int, kind: int, random: Random, scene: Scene) -> Packet:
    """A server's message that answers what this client has just asked."""
    message = dhcp_message(client.mac, identity, kind, scene.own4, scene.own4)
    return dhcp_packet(random, scene, client.mac, message, f"dhcp server {kind}")


def queries(random: Random, scene: Scene) -> Packet:
    """Questions for listeners that leave them hardly any time to answer."""
    while True:
        asked = (igmp if random.random() < 0.6 else mld)(random, scene)
        if asked.segment[:1] in {b"\x11", b"\x82"}:
            return asked


def dhcp(random: Random, scene: Scene) -> Packet:
    """Both ways: as a server to clients, and as a client in the name of others."""
    victim = scene.victim(random)
    identity, server = random.randrange(1 << 32), scene.own4
    if random.random() < 0.7:
        kind = random.choice((2, 5, 5, 6, 9))
        message = dhcp_message(victim.mac, identity, kind, server, scene.ip4(random))
        return dhcp_packet(random, scene, victim.mac, message, f"dhcp server {kind}")
    kind = random.choice((1, 3, 4, 7, 8))
    asked = struct.pack("!BBBBIHH", 1, 1, 6, 0, identity, 0, 0) + ip(scene.ip4(random)) + bytes(8)
    asked += ip(random.choice((scene.own4, "0.0.0.0"))) + mac(victim.mac) + bytes(202) + b"\x63\x82\x53\x63"
    asked += (
        bytes([53, 1, kind, 50, 4]) + ip(scene.ip4(random)) + bytes([61, 7, 1]) + mac(victim.mac) + b"\xff"
    )
    src = random.choice(("0.0.0.0", scene.ip4(random)))
    ports = mostly(random, (68, 67), (67, 67), (9, 67))
    segment = packets.udp(src, "255.255.255.255", ports, asked)
    return Packet(f"dhcp client {kind}", src, "255.255.255.255", UDP, segment, packets.EVERYONE)


def dhcp_packet(random: Random, scene: Scene, client: str, message: bytes, name: str) -> Packet:
    """A server's message on its way to a client."""
    src = mostly(random, scene.own4, scene.ip4(random))
    dst = random.choice(("255.255.255.255", scene.ip4(random, client)))
    ports = mostly(random, (67, 68), (68, 68), (9, 68), (0, 68))
    to = random.choice((client, packets.EVERYONE))
    return Packet(name, src, dst, UDP, _udp_damaged(random, packets.udp(src, dst, ports, message)), to)


def _udp_damaged(random: Random, segment: bytes) -> bytes:
    """Sometimes without a checksum, or with a length that is not its own."""
    choice = random.random()
    if choice < 0.2:
        return segment[:6] + b"\0\0" + segment[8:]
    if choice < 0.25:
        return segment[:4] + random.choice((b"\0\0", b"\0\7", b"\0\x08", b"\xff\xff")) + segment[6:]
    return segment


def dhcp6(random: Random, scene: Scene) -> Packet:
    """Answers, reconfigurations, relayed answers; clients' messages in the name of others (RFC 8415 §7)."""
    victim = scene.victim(random)
    src = random.choice((scene.own6, scene.ip6(random)))
    duid = b"\0\3\0\1" + mac(victim.mac)
    lease = b"\0\3\0\x28" + bytes(12) + b"\0\5\0\x18" + ip("fd00:1::bad") + struct.pack("!II", 3600, 3600)
    body = b"\0\1" + struct.pack("!H", len(duid)) + duid + b"\0\2\0\6server" + lease
    if random.random() < 0.7:
        kind, dst, ports = random.choice((2, 7, 7, 10, 13)), scene.ip6(random, victim.mac), (547, 546)
        to = random.choice((victim.mac, packets.group_mac("ff02::1")))
    else:
        kind, dst, ports = random.choice((1, 3, 4, 8, 9)), "ff02::1:2", (546, 547)
        to = packets.group_mac(dst)
    segment = packets.udp(
        src, dst, mostly(random, ports, (9, ports[1])), bytes([kind]) + random.randbytes(3) + body
    )
    return Packet(f"dhcp6 {kind}", src, dst, UDP, _udp_damaged(random, segment), to)


def igmp(random: Random, scene: Scene) -> Packet:
    """Queries of all versions, reports and leaves (RFC 1112, 2236, 3376), with timers up to 31,744 s."""
    kind = random.choice((0x11, 0x11, 0x11, 0x12, 0x16, 0x17, 0x22, 0x13, 0x1F))
    group = random.choice(("0.0.0.0", "0.0.0.0", *GROUPS4))
    code = random.choice((0, 1, 1, 10, 100, 127, 128, 255))
    message = bytes([kind, code, 0, 0]) + ip(group)
    if kind == 0x11 and random.random() < 0.7:
        sources = random.choice((0, 0, 0, 1, 0xFFFF))
        message += struct.pack(
            "!BBH", random.choice((0, 2, 7, 15)), random.choice((0, 10, 125, 255)), sources
        )
        message += bytes(4 * min(sources, 1))
    elif kind == 0x22:
        record = struct.pack("!BBH", random.choice((1, 2, 3, 4, 6, 99)), 0, random.choice((0, 1, 0xFFFF)))
        message = bytes([kind, 0, 0, 0, 0, 0]) + random.choice((b"\0\1", b"\xff\xff")) + record
        message += ip(random.choice(GROUPS4))
    message = packets.with_sum(message)
    if random.random() < 0.15:
        message = message[:2] + b"\xde\xad" + message[4:]
    suits = {0x11: "224.0.0.1", 0x22: "224.0.0.22", 0x17: "224.0.0.2"}.get(kind, group)
    dst = mostly(random, suits, LISTENED4, "224.0.0.1", scene.ip4(random), chance=0.7)
    src = mostly(random, scene.own4, scene.ip4(random), "0.0.0.0")
    to = packets.group_mac(dst) if ip(dst)[0] >> 4 == 14 else scene.target_mac(random)
    name = f"igmp {kind:#x} code {code}"
    return Packet(name, src, dst, IGMP, message, to, mostly(random, 1, 64, 0), random.random() < 0.6)


def mld(random: Random, scene: Scene) -> Packet:
    """The same for IPv6 (RFC 2710, RFC 3810)."""
    kind = random.choice((130, 130, 130, 131, 132, 143))
    group = random.choice(("::", "::", *GROUPS6))
    rest = struct.pack("!HH", random.choice((0, 1, 100, 10_000, 0x8000, 0xFFFF)), 0) + ip(group)
    if kind == 130 and random.random() < 0.7:
        rest += struct.pack("!BBH", random.choice((0, 2, 7)), random.choice((0, 10, 125, 255)), 0)
    elif kind == 143:
        rest = struct.pack(
            "!HHBBH", 0, 1, random.choice((1, 2, 3, 4, 6)), 0, random.choice((0, 0xFFFF))
        ) + ip(random.choice(GROUPS6))
    dst = mostly(random, {130: "ff02::1", 143: "ff02::16"}.get(kind, group), LISTENED6, "ff02::1", chance=0.7)
    dst = "ff02::1" if dst == "::" else dst
    src = mostly(random, random.choice((scene.own6, "fe80::bad")), scene.ip6(random), "::", chance=0.7)
    segment = _damaged(random, packets.icmpv6(src, dst, kind, rest))
    to = packets.group_mac(dst)
    return Packet(
        f"mld {kind}", src, dst, ICMPV6, segment, to, mostly(random, 1, 255, 0), random.random() < 0.6
    )


def ordinary(random: Random, scene: Scene) -> Packet:
    """Echo requests, ICMP redirects, UDP, TCP, and protocols that nothing here knows."""
    victim = scene.victim(random)
    what = random.choice(("echo", "redirect", "udp", "tcp", "other", "too big"))
    if random.random() < 0.5:
        src, dst = scene.ip4(random), scene.ip4(random, victim.mac)
        told = bytes([5, 1, 0, 0]) + ip(random.choice(FOREIGN4)) + packets.ipv4(dst, src, UDP, bytes(8))
        made = {"echo": packets.with_sum(bytes([8, 0, 0, 0, 0, 1, 0, 1]) + bytes(16))}
        made |= {
            "redirect": packets.with_sum(told),
            "too big": packets.with_sum(b"\3\4\0\0\0\0\2\x40" + told[8:]),
        }
        icmp = ICMP
    else:
        src, dst = scene.ip6(random), scene.ip6(random, victim.mac)
        made = {"echo": packets.icmpv6(src, dst, 128, b"\0\1\0\1" + bytes(16))}
        made |= {
            what: packets.icmpv6(src, dst, 2, struct.pack("!I", 1280) + bytes(48)) for what in ("too big",)
        }
        icmp = ICMPV6
    if what in made:
        return Packet(what, src, dst, icmp, made[what], victim.mac)
    ports = (random.choice((9, 53, 67, 547, 4789)), random.choice((9, 53, 80, 6653)))
    if what == "tcp":
        segment = packets.summed(
            src, dst, TCP, struct.pack("!HHIIBBHHH", *ports, 1, 0, 0x50, 2, 512, 0, 0), 16
        )
        return Packet("tcp", src, dst, TCP, segment, victim.mac)
    if what == "other":
        protocol = random.choice((0, 4, 41, 47, 50, 89, 103, 112, 132, 255))
        return Packet(f"protocol {protocol}", src, dst, protocol, random.randbytes(32), victim.mac)
    size = random.choice((4, 64, 600, 1300))
    return Packet("udp", src, dst, UDP, packets.udp(src, dst, ports, random.randbytes(size)), victim.mac)


def tunnelled(random: Random, scene: Scene, inner: Callable[[], bytes]) -> Packet:
    """An encapsulated frame from inside the overlay, aimed at an end of a tunnel."""
    key, dst = random.choice((*scene.keys, 0, 0xFFFFFF)), random.choice(scene.vteps)
    src = random.choice((scene.own4, *scene.vteps))
    form = random.choice(("vxlan", "geneve", "gre"))
    to = scene.target_mac(random)
    if form == "gre":
        return Packet("gre inside", src, dst, packets.GRE, packets.gre(key, inner()), to)
    made = packets.vxlan if form == "vxlan" else packets.geneve
    port = {"vxlan": 4789, "geneve": 6081}[form]
    return Packet(
        f"{form} inside", src, dst, UDP, packets.udp(src, dst, (port, port), made(key, inner())), to
    )


def link_control(random: Random, scene: Scene) -> Plain:
    """Slow protocols, pause, LLDP, EAPOL, and bridge protocol data units behind LLC."""
    name, ethertype, head = random.choice(
        (
            ("lacp", 0x8809, b"\1\1\1\x14"),
            ("pause", 0x8808, b"\0\1\xff\xff"),
            ("lldp", 0x88CC, b"\2\7\4" + bytes(6) + b"\4\3\7a\0"),
            ("eapol", 0x888E, b"\1\1\0\0"),
            ("stp", 38, b"\x42\x42\3\0\0\0\0\0"),
            ("macsec", 0x88E5, b"\x20\0"),
        )
    )
    to = random.choice(("01:80:c2:00:00:00", "01:80:c2:00:00:01", "01:80:c2:00:00:02", "01:80:c2:00:00:0e"))
    return Plain(name, ethertype, head + bytes(46), mostly(random, to, scene.target_mac(random)))


def snap(random: Random, scene: Scene) -> Plain:
    """ARP or IP behind LLC and SNAP (RFC 1042): a length where an EtherType belongs."""
    inner = arp(random, scene)
    ethertype = random.choice((ARP, packets.IPV4, packets.IPV6, 0x8100))
    body = random.choice((b"\xaa\xaa\3\0\0\0", b"\xaa\xaa\3\0\0\xf8", b"\x06\x06\3", b"\xff\xff"))
    payload = body + ethertype.to_bytes(2, "big") + inner.payload
    return Plain("snap " + inner.name, mostly(random, len(payload), 0, 1500, 0x05FF), payload, inner.to)


def noise(random: Random, scene: Scene) -> Plain:
    """Random bytes behind an EtherType, from none at all to more than a device takes."""
    ethertype = random.choice(
        (ARP, packets.IPV4, packets.IPV6, 0x8847, 0x8848, 0x8863, 0x8864, 0x894F, 0x88E7, 0xFFFF, 0)
    )
    size = random.choice((0, 0, 1, 4, 20, 28, 46, 100, 1000, 1446, 1486, 1500, 2000))
    return Plain(
        f"{size} random bytes, {ethertype:#06x}", ethertype, random.randbytes(size), scene.target_mac(random)
    )


Message = Callable[[Random, Scene], Plain | Packet]
COMMON: Sequence[tuple[int, Message]] = (
    (20, arp),
    (18, neighbour),
    (10, router),
    (14, dhcp),
    (6, dhcp6),
    (10, igmp),
    (8, mld),
    (6, ordinary),
    (3, link_control),
    (3, snap),
    (5, noise),
)
"""Weights of messages."""
