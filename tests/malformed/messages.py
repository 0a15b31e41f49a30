"""Messages of every type that a switch sends, made at random of what os-ken and Open vSwitch put in them."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from struct import pack
from typing import Any

from os_ken.ofproto import ofproto_v1_3 as ofproto
from os_ken.ofproto import ofproto_v1_3_parser as parser

from flows.flow import Flow, Origin
from flows.match import Match
from flows.tables import TABLES, Table
from tests.malformed import frames
from tests.malformed.built import Built, joined, message, sized, tlv

ONF, NICIRA = 0x4F4E4600, 0x2320
_FRAMES = list(frames.made(1, 4000))
_FIELDS = [field for field in ofproto.oxm_types if hasattr(field.type, "size")]
_COOKIES = [Flow(Table.MAC_LEARNING, 1, Match(), kind=kind).cookie for kind in Origin]

Make = Callable[[Random], Built]


def some(random: Random, make: Make, most: int = 6) -> Built:
    """A few of these; now and then very many, which are all the same."""
    if random.random() < 0.02:
        one = make(random)
        return Built(one.data * min(60_000 // max(len(one.data), 1), 16_000), one.lengths, one.kinds)
    return joined(make(random) for _ in range(random.choice((0, 1, 1, 2, 3, most))))


def oxm(random: Random) -> Built:
    """A field that os-ken knows, or another, with a value and perhaps a mask."""
    field, masked = random.choice(_FIELDS), random.random() < 0.2
    number, size, head = field.num, field.type.size, b""
    if isinstance(number, tuple):
        experimenter, kind = number
        head = pack("!I", experimenter) if kind > 0xFFFF else pack("!IH", experimenter, kind)
        number = kind if kind > 0xFFFF else 0xFFFF << 7
    elif random.random() < 0.05:
        number, size = random.choice((0x8000, 0, 1, 0x8001, 0x1000)) << 7 | random.randrange(128), 4
    value = head + random.randbytes(size << masked)
    return Built(pack("!I", number << 9 | masked << 8 | len(value))) + value


def chosen(name: str, value: bytes, mask: bytes = b"") -> Built:
    """A field that the overlay's flows have."""
    number = next(field.num for field in _FIELDS if field.name == name)
    return Built(pack("!I", number << 9 | bool(mask) << 8 | len(value + mask)) + value + mask)


def fields(random: Random) -> Built:
    if random.random() < 0.5:
        return some(random, oxm)
    ours = [
        chosen("metadata", pack("!Q", random.choice((5010, 5020)))),
        chosen("in_port", pack("!I", random.choice((1, 2, 32768)))),
        chosen("eth_src", random.choice((b"\2\0\0\0\0\1", b"\2\0\0\0\0\2"))),
        chosen("eth_dst", b"\2\0\0\0\0\1", random.choice((b"", b"", b"\1\0\0\0\0\0"))),
        chosen("reg0", pack("!I", random.choice((0, 1, 2)))),
        chosen("eth_type", random.choice((b"\x08\0", b"\x86\xdd"))),
        chosen("arp_spa", bytes(4), random.choice((b"", bytes(4)))),
        chosen("arp_sha", bytes(6)),
        chosen("arp_tpa", bytes(4)),
        chosen("ipv6_nd_target", bytes(16)),
    ]
    return joined(random.sample(ours, random.randrange(len(ours))))


def match(random: Random) -> Built:
    return tlv(1, fields(random), pad=True, counted=False)


def _serialized(random: Random) -> list[Any]:
    """Actions that os-ken can write itself."""
    port = random.randrange(1 << 16)
    spec = parser.NXFlowSpecMatch(src=("eth_src", 0), dst=("eth_dst", 0), n_bits=48)
    load = parser.NXFlowSpecLoad(src=port, dst=("reg0", 0), n_bits=16)
    output = parser.NXFlowSpecOutput(src=("in_port", 0), dst="", n_bits=16)
    nat = parser.NXActionNAT(flags=1, range_ipv4_min="10.0.0.1", range_ipv4_max="10.0.0.9", range_proto_min=4)
    nat6 = parser.NXActionNAT(flags=1, range_ipv6_min="::1", range_ipv6_max="::9", range_proto_max=4)
    return [
        parser.OFPActionOutput(port, 0),
        parser.OFPActionGroup(port),
        parser.OFPActionSetQueue(port),
        parser.OFPActionSetMplsTtl(3),
        parser.OFPActionDecMplsTtl(),
        parser.OFPActionSetNwTtl(3),
        parser.OFPActionDecNwTtl(),
        parser.OFPActionCopyTtlOut(),
        parser.OFPActionCopyTtlIn(),
        parser.OFPActionPushVlan(),
        parser.OFPActionPushMpls(),
        parser.OFPActionPopVlan(),
        parser.OFPActionPopMpls(),
        parser.OFPActionPushPbb(0x88E7),
        parser.OFPActionPopPbb(),
        parser.OFPActionSetField(eth_src="02:00:00:00:00:01"),
        parser.OFPActionSetField(tunnel_id=port),
        parser.OFPActionSetField(ipv6_src="fe80::1"),
        parser.OFPActionSetField(tcp_flags=3),
        parser.OFPActionExperimenterUnknown(7, bytes(8)),
        parser.NXActionSetQueue(1),
        parser.NXActionPopQueue(),
        parser.NXActionRegLoad(31, "reg0", port),
        parser.NXActionRegLoad2("reg0", port, 0xFFFF),
        parser.NXActionNote([1, 2, 3, 4, 5, 6]),
        parser.NXActionSetTunnel(port),
        parser.NXActionSetTunnel64(port),
        parser.NXActionRegMove("reg0", "reg1", 16),
        parser.NXActionResubmit(port),
        parser.NXActionResubmitTable(port, 3),
        parser.NXActionOutputReg(31, "reg0", 100),
        parser.NXActionOutputReg2(31, "reg0", 100),
        parser.NXActionLearn(3, [spec, load, output], 1, 2, 3, 4, 5, 6, 7),
        parser.NXActionExit(),
        parser.NXActionDecTtl(),
        parser.NXActionController(100, 1, 0),
        parser.NXActionController2(max_len=100, controller_id=1, reason=0, userdata=[1, 2, 3, 4], pause=True),
        parser.NXActionDecTtlCntIds([1, 2, 3, 4, 5]),
        parser.NXActionPushMpls(0x8847),
        parser.NXActionPopMpls(0x0800),
        parser.NXActionSetMplsTtl(3),
        parser.NXActionDecMplsTtl(),
        parser.NXActionSetMplsLabel(9),
        parser.NXActionSetMplsTc(1),
        parser.NXActionStackPush("reg0", 0, 31),
        parser.NXActionStackPop("reg0", 0, 31),
        parser.NXActionSample(1, 2, 3, 4),
        parser.NXActionSample2(1, 2, 3, 4, 5),
        parser.NXActionFinTimeout(1, 2),
        parser.NXActionConjunction(0, 2, 7),
        parser.NXActionMultipath(0, 1, 0, 3, 4, 31, "reg0"),
        parser.NXActionBundle(0, 0, 1, 2, 3, 0, 0, [1, 2, 3]),
        parser.NXActionBundleLoad(0, 0, 1, 2, 3, 31, "reg0", [1, 2, 3]),
        parser.NXActionCT(1, "reg0", 31, 4, 0, [nat, parser.OFPActionSetField(eth_src="02:00:00:00:00:01")]),
        parser.NXActionCT(0, "", 7, 255, 0, [nat6]),
        parser.NXActionCTClear(),
        parser.NXActionOutputTrunc(1, 100),
        parser.NXActionEncapEther(),
        parser.NXActionDecNshTtl(),
    ]


def _written(action: Any) -> Built:
    buffer = bytearray()
    action.serialize(buffer, 0)
    return Built(bytes(buffer), (2,), (0, 8) if len(buffer) >= 16 else (0,))


_ACTIONS = [_written(action) for action in _serialized(Random(1))]
_CLONE = tlv(0xFFFF, pack("!IH6xHHIHHB3x", NICIRA, 42, 0xFFFF, 16, NICIRA, 14, 9, 3))


def action(random: Random) -> Built:
    """One of os-ken's, or of Open vSwitch and unknown to os-ken, or a ``ct`` in a ``ct``."""
    draw = random.random()
    if draw < 0.9:
        return random.choice(_ACTIONS)
    if draw < 0.93:
        return _CLONE
    if draw < 0.96:
        body = Built(pack("!IHH4sHB3xH", NICIRA, 35, 0, bytes(4), 0, 0, 0)) + some(random, action, most=2)
        return tlv(0xFFFF, Built(body.data[:4000], body.lengths), pad=True)
    return tlv(
        0xFFFF, pack("!IH", NICIRA, random.randrange(60)) + random.randbytes(8 * random.randrange(4) + 6)
    )


def instruction(random: Random) -> Built:
    draw = random.random()
    if draw < 0.2:
        return tlv(1, pack("!B3x", 20))
    if draw < 0.3:
        return tlv(2, pack("!4xQQ", 1, 2))
    if draw < 0.4:
        return tlv(6, pack("!I", 1))
    return tlv(random.choice((3, 4, 5)), some(random, action), head=bytes(4))


def flow(random: Random) -> Built:
    body = match(random) + joined(instruction(random) for _ in range(random.randrange(4)))
    table = random.choice(list(TABLES))
    return sized("!HBxIIHHHH4xQQQ", 0, table, 1, 2, 3, 4, 5, 6, cookie(random), 8, 9, body=body)


def cookie(random: Random) -> int:
    """That of one of the overlay's flows, or of another."""
    return random.choice((*_COOKIES, random.randrange(1 << 64)))


def bucket(random: Random) -> Built:
    return sized("!HHII4x", 0, 1, 2, 3, body=some(random, action))


def group(random: Random) -> Built:
    return sized("!HBxI", 0, 1, random.randrange(9), body=some(random, bucket))


def counted_group(random: Random) -> Built:
    return sized("!H2xII4xQQII", 0, 1, 2, 3, 4, 5, 6, body=some(random, lambda r: Built(r.randbytes(16))))


def meter(random: Random) -> Built:
    return sized("!IH6xIQQII", 1, 0, 2, 3, 4, 5, 6, body=some(random, lambda r: Built(r.randbytes(16))), at=4)


def band(random: Random) -> Built:
    return tlv(random.choice((1, 2, 0xFFFF)), random.randbytes(12))


def metered(random: Random) -> Built:
    return sized("!HHI", 0, 1, 2, body=some(random, band))


def feature(random: Random) -> Built:
    kind = random.choice((0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 13, 14, 15, 0xFFFE, 0xFFFF, 99))
    if kind in {2, 3}:
        body = Built(random.randbytes(random.randrange(40)))
    elif kind < 8:
        body = some(random, lambda r: tlv(r.randrange(30), b""))
    elif kind < 16:
        body = some(random, lambda r: Built(random.choice((oxm(r).data[:4], b"\xff\xff\x54\0" + bytes(4)))))
    else:
        body = Built(random.randbytes(8 + 4 * random.randrange(4)))
    return tlv(kind, body, pad=True, counted=False)


def table(random: Random) -> Built:
    name = random.choice((b"table", b"\xff\x1b[31m"))
    head = pack("!B5x32sQQII", 7, name, 1, 2, 3, 4)
    return sized("!H", 0, body=Built(head) + some(random, feature, most=14))


def change(random: Random) -> Built:
    if random.random() < 0.3:
        return sized("!HHI", 0, 3, 7)
    event = random.choice((0, 1, 2, 4))
    return sized("!HHHHHHHBxQ", 0, event, 1, 2, 3, 4, 5, 6, cookie(random), body=match(random))


def port(random: Random) -> Built:
    name = random.choice((b"ours", b"\x1b[2J\n\xc2\x9b", b"\xff\xfe", b"vxlan-host2"))
    return Built(pack("!I4x6s2x16sIIIIIIII", random.randrange(9), random.randbytes(6), name, *range(8)))


def part(random: Random) -> Built:
    """A multipart reply."""
    bodies: dict[int, Make] = {
        0: lambda r: Built(r.randbytes(1056)),
        1: lambda r: some(r, flow, most=20),
        2: lambda r: Built(r.randbytes(24)),
        3: lambda r: some(r, lambda s: Built(s.randbytes(24))),
        4: lambda r: some(r, lambda s: Built(s.randbytes(112))),
        5: lambda r: some(r, lambda s: Built(s.randbytes(40))),
        6: lambda r: some(r, counted_group),
        7: lambda r: some(r, group),
        8: lambda r: Built(r.randbytes(40)),
        9: lambda r: some(r, meter),
        10: lambda r: some(r, metered),
        11: lambda r: Built(r.randbytes(16)),
        12: lambda r: some(r, table),
        13: lambda r: some(r, port),
        0xFFFF: lambda r: Built(pack("!II", *r.choice(((ONF, 1870), (NICIRA, 2), (7, 7))))) + some(r, change),
    }
    kind = random.choice((*bodies, 1, 7, 12))
    return message(19, Built(pack("!HH4x", kind, random.randrange(2)), (), (0,)) + bodies[kind](random))


def packet_in(random: Random) -> Built:
    frame = random.choice(_FRAMES)[:65_000]
    head = pack("!IHBBQ", 0xFFFFFFFF, len(frame), 0, random.choice(list(TABLES)), 7)
    return message(10, Built(head) + match(random) + bytes(2) + frame)


def queue(random: Random) -> Built:
    def rate(r: Random) -> Built:
        return tlv(r.choice((1, 2, 1, 2, 0xFFFF)), pack("!4xH6x", 7))

    return sized("!IIH6x", 1, 2, 0, body=some(random, rate), at=8)


def experimenter(random: Random) -> Built:
    draw = random.random()
    if draw < 0.3:
        properties = some(
            random, lambda r: tlv(r.randrange(4), r.randbytes(r.randrange(20)), pad=True, counted=False)
        )
        return message(4, Built(pack("!IIIHH", ONF, 2300, 1, 2, 3)) + properties)
    if draw < 0.7:
        sizes = (60, 4, 4, 1, 8, 1, 20, 9, 30)

        def told(r: Random) -> Built:
            kind = r.randrange(9)
            return tlv(kind, r.randbytes(sizes[kind]), pad=True, counted=False)

        return message(4, Built(pack("!II", NICIRA, 30)) + some(random, told))
    return message(
        4, Built(pack("!II", *random.choice(((ONF, 2350), (NICIRA, 16), (7, 7))))) + random.randbytes(24)
    )


def hello(random: Random) -> Built:
    elements = some(random, lambda r: tlv(r.choice((1, 1, 2)), r.randbytes(4 * r.randrange(4)), pad=True))
    return message(0, elements, version=random.choice((1, 4, 4, 6)))


def error(random: Random) -> Built:
    kind = random.choice((0, 1, 5, 13, 0xFFFF, 99))
    return message(
        1, pack("!HH", kind, random.randrange(20)) + random.randbytes(random.choice((0, 4, 8, 64)))
    )


def fixed(kind: int, size: int) -> Make:
    return lambda random: message(kind, random.randbytes(size))


TYPES: dict[int, Make] = {
    0: hello,
    1: error,
    2: lambda random: message(2, random.randbytes(random.choice((0, 4, 60000)))),
    3: lambda random: message(3, random.randbytes(random.choice((0, 4, 60000)))),
    4: experimenter,
    6: fixed(6, 24),
    8: fixed(8, 4),
    10: packet_in,
    11: lambda random: message(11, Built(random.randbytes(40)) + match(random)),
    12: lambda random: message(12, Built(bytes([random.randrange(3)]) + bytes(7)) + port(random)),
    14: lambda random: message(14, Built(random.randbytes(40)) + match(random) + instruction(random)),
    19: part,
    21: fixed(21, 0),
    23: lambda random: message(23, Built(pack("!I4x", 1)) + some(random, queue)),
    25: fixed(25, 16),
    27: fixed(27, 24),
}
"""What makes messages of each type; FLOW_MOD, which no switch sends, because os-ken parses that, too."""
