"""How hostile frames hide what they say: options, fragments, extension headers, lengths, tags."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from random import Random

from tests.attack import packets
from tests.attack.messages import Packet, mostly
from tests.attack.packets import extension, fragment_header
from tests.attack.scene import Scene

MORE, DO_NOT = 0x2000, 0x4000
ROUTER_ALERT4, ROUTER_ALERT6 = b"\x94\4\0\0", b"\5\2\0\0"
"""RFC 2113; RFC 2711."""
_OPTIONS4 = (
    ROUTER_ALERT4,
    b"\1\1\1\0",
    b"\x83\7\4\x0a\1\1\1",
    b"\7\7\4\0\0\0\0",
    b"\x44\0\0\0",
    b"\x82\xff",
    b"\1" * 40,
)
"""Router alert, no operation, source route, record route, and some that are broken."""

Wrapped = tuple[str, int, list[bytes]]
"""How it was hidden, the EtherType, and the packets, several where it is in fragments."""


def wrapped(random: Random, packet: Packet) -> Wrapped:
    """The IP packets that carry a message."""
    if ip_address(packet.src).version == 4:
        how, made = _ipv4(random, packet)
        return how, packets.IPV4, made
    how, made = _ipv6(random, packet)
    return how, packets.IPV6, made


def _ipv4(random: Random, packet: Packet) -> tuple[str, list[bytes]]:
    options = ROUTER_ALERT4 if packet.alert else b""
    how = "with router alert" if packet.alert else ""
    if random.random() < 0.12:
        options += random.choice(_OPTIONS4)
        options, how = options[:40], f"options {options[:40].hex()}"
    if random.random() < 0.35:
        name, pieces = _pieces(random, packet.segment, 8)
        identity = random.choice((0, random.randrange(1 << 16)))
        extra = random.choice((0, 0, 0, DO_NOT, 0x8000))
        made = [
            packets.ipv4(
                packet.src,
                packet.dst,
                packet.protocol,
                data,
                options=options,
                ttl=packet.hops,
                identity=identity,
                fragment=offset // 8 | (MORE if more else 0) | extra,
            )
            for offset, more, data in pieces
        ]
        return f"{how} {name}".strip(), made
    broken, fields = random.random(), {}
    if broken < 0.04:
        how, fields = f"{how} wrong checksum", {"wrong": 0x5555}
    elif broken < 0.08:
        length = random.choice((0, 20, 28, 0xFFFF))
        how, fields = f"{how} length {length}", {"length": length}
    elif broken < 0.11:
        ihl = random.choice((0, 4, 6, 15))
        how, fields = f"{how} ihl {ihl}", {"ihl": ihl}
    made = [
        packets.ipv4(
            packet.src,
            packet.dst,
            packet.protocol,
            packet.segment,
            options=options,
            ttl=packet.hops,
            **fields,
        )
    ]
    return how.strip(), made


Piece = tuple[int, bool, bytes]
"""An offset in bytes, whether more follow, and the data."""


def _pieces(random: Random, whole: bytes, smallest: int) -> tuple[str, list[Piece]]:
    """Fragments, complete or not, in order or not, that may overlap."""
    middle = max(8, min(len(whole), random.choice((8, 16, 24, 40, 64, 256, 1024))) & ~7)
    rest = whole[middle:]
    forms: dict[str, list[Piece]] = {
        "one fragment, more to come": [(0, True, whole)],
        "one fragment alone": [(0, False, whole)],
        "two fragments": [(0, True, whole[:middle]), (middle, False, rest)],
        "two fragments, last first": [(middle, False, rest), (0, True, whole[:middle])],
        "tiny first": [(0, True, whole[:smallest]), (smallest, False, whole[smallest:])],
        "headers cut": [(0, True, whole[:4]), (8, False, whole[8:])],
        "overlap, first innocent": [
            (0, True, b"\0\x09\0\x09" + whole[4:middle]),
            (0, True, whole[:middle]),
            (middle, False, rest),
        ],
        "overlap, last innocent": [
            (0, True, whole[:middle]),
            (0, True, b"\0\x09\0\x09" + whole[4:middle]),
            (middle, False, rest),
        ],
        "twice": [(0, True, whole[:middle]), (0, True, whole[:middle]), (middle, False, rest)],
        "only the last": [(middle, False, rest)],
        "only the middle": [(middle, True, rest)],
        "beyond 64 KiB": [(0, True, whole[:middle]), (0xFFF8, False, rest)],
        "many": [
            (at, at + 64 < len(whole), whole[at : at + 64]) for at in range(0, min(len(whole), 640), 64)
        ],
    }
    name = random.choice(tuple(forms))
    return name, forms[name]


def _ipv6(random: Random, packet: Packet) -> tuple[str, list[bytes]]:
    chain, how = _chain(random, packet.alert)
    if random.random() < 0.35:
        return _fragments6(random, packet, chain, how)
    following, body = packet.protocol, packet.segment
    for kind, build in reversed(chain):
        body = build(following) + body
        following = kind
    length = None
    if random.random() < 0.05:
        length = random.choice((0, 8, len(body) - 1, len(body) + 24, 0xFFFF))
        how = f"{how} length {length}"
    return how.strip(), [
        packets.ipv6(packet.src, packet.dst, following, body, hops=packet.hops, length=length)
    ]


Header = tuple[int, Callable[[int], bytes]]
"""A next header value, and the header for what follows it."""


def _chain(random: Random, alert: bool) -> tuple[list[Header], str]:
    """Extension headers, most often none."""
    chain: list[Header] = []
    names = []
    if alert:
        chain.append((packets.HOP_BY_HOP, lambda after: extension(after, ROUTER_ALERT6)))
        names.append("router alert")
    choices: Sequence[tuple[str, Header]] = (
        ("hop-by-hop", (packets.HOP_BY_HOP, extension)),
        ("destination options", (packets.DESTINATION, extension)),
        ("long options", (packets.DESTINATION, lambda after: extension(after, bytes([1, 200]) + bytes(200)))),
        ("routing", (packets.ROUTING, lambda after: packets.routing(after, 0, 0))),
        ("routing with segments left", (packets.ROUTING, lambda after: packets.routing(after, 4, 1))),
        ("ah", (packets.AH, packets.authentication)),
        ("mobility", (packets.MOBILITY, extension)),
        ("shim6", (packets.SHIM6, extension)),
        ("no next header", (packets.NONE, extension)),
        ("unknown option", (packets.DESTINATION, lambda after: extension(after, b"\xc2\4\0\0\0\0"))),
    )
    for _ in range(random.choice((0, 0, 0, 0, 1, 1, 2, 4))):
        name, header = random.choice(choices)
        names.append(name)
        chain.append(header)
    return chain, ", ".join(names)


def _fragments6(random: Random, packet: Packet, chain: list[Header], how: str) -> tuple[str, list[bytes]]:
    """Some headers before the fragment header, the others inside what is fragmented."""
    cut = random.randint(0, len(chain))
    inside, first = packet.segment, packet.protocol
    for kind, build in reversed(chain[cut:]):
        inside, first = build(first) + inside, kind
    identity = random.randrange(1 << 32)
    if random.random() < 0.35:
        name, pieces = "atomic fragment", [(0, False, inside)]
    else:
        name, pieces = _pieces(random, inside, 8)
    again = random.random() < 0.1
    lying = random.random() < 0.1
    made = []
    for offset, more, data in pieces:
        told = random.choice((packets.NONE, packets.UDP, packets.DESTINATION)) if lying and offset else first
        body, following = fragment_header(told, offset & 0xFFF8, more, identity) + data, packets.FRAGMENT
        if again:
            body = fragment_header(packets.FRAGMENT, 0, False, identity ^ 1) + body
        for kind, build in reversed(chain[:cut]):
            body, following = build(following) + body, kind
        made.append(packets.ipv6(packet.src, packet.dst, following, body, hops=packet.hops))
    notes = [how, name, "in a fragment" if again else "", "next header of later ones lies" if lying else ""]
    return ", ".join(filter(None, notes)), made


def tags(random: Random, scene: Scene) -> tuple[str, tuple[tuple[int, int], ...]]:
    """The tags of a frame: most often those that are due, else with others before, behind or instead."""
    own = () if scene.tag is None else (_tag(0x8100, scene.tag),)
    choice = random.random()
    if choice < 0.6:
        return "", own
    more = tuple(_other(random, scene) for _ in range(random.choice((1, 1, 1, 2, 2, 3))))
    stack = (*own, *more) if choice < 0.9 else random.choice((more, (*more, *own)))
    text = "/".join(f"{tpid:04x}:{tci & 0xFFF}{'+' if tci >> 12 else ''}" for tpid, tci in stack)
    return f"tags {text}", stack


def _other(random: Random, scene: Scene) -> tuple[int, int]:
    """A tag beside the one that is due.

    Not of VLAN 0 where it would be the tenant's own second tag, behind a trunk port that learns: bridges do
    not read that, and README names it as a limit.
    """
    tpid = random.choice((0x8100, 0x8100, 0x88A8, 0x9100))
    none = 0 if scene.shy or scene.tag is None else 5
    vlan = random.choice((none, none, none, scene.tag or none, random.choice(scene.vlans), 1, 4095))
    return _tag(tpid, vlan, random.choice((0, 0, 7, 15)))


def _tag(tpid: int, vlan: int, priority: int = 0) -> tuple[int, int]:
    return tpid, priority << 12 | vlan


def keys(random: Random, scene: Scene) -> tuple[str, int]:
    """The encapsulation and the key of a frame that comes by the underlay."""
    if scene.kind == "vtep":
        own = 7010
        form = mostly(random, "vxlan", "geneve", "gre", chance=0.9)
        return form, mostly(random, own, *scene.keys, 0, own ^ 1, 0xFFFFFF)
    return random.choice(("vxlan", "vxlan", "geneve", "gre")), random.choice((*scene.keys, 0, 1, 0xFFFFFF))


def outer(form: str, key: int, frame: bytes) -> bytes:
    """The payload of a UDP datagram or GRE packet."""
    build = {"vxlan": packets.vxlan, "geneve": packets.geneve, "gre": packets.gre}[form]
    return build(key, frame)


def cut(random: Random, frame: bytes) -> tuple[str, bytes]:
    """Sometimes a runt; never shorter than an Ethernet header, which the kernel would not send."""
    if random.random() < 0.03:
        size = random.randrange(14, max(15, min(len(frame), 60)))
        return f"cut to {size}", frame[:size]
    return "", frame


def trailer(run: bytes, number: int) -> bytes:
    """The mark of a frame, behind what the packet in it says of its length."""
    return run + struct.pack("!I", number)
