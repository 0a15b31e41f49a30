"""Flow-stats entries that are not parsed, and flows as JSON: always what os-ken would have said."""

from __future__ import annotations

import json
from struct import pack
from time import process_time
from types import SimpleNamespace
from typing import Any

import pytest
from os_ken.lib import ofctl_utils, ofctl_v1_3
from os_ken.ofproto import ofproto_v1_3 as ofproto
from os_ken.ofproto import ofproto_v1_3_parser as parser

from sdnapp.openflow import flowstats
from sdnapp.openflow.matchshape import Malformed
from sdnapp.rest import flowdump

APPLY, WRITE, CLEAR = ofproto.OFPIT_APPLY_ACTIONS, ofproto.OFPIT_WRITE_ACTIONS, ofproto.OFPIT_CLEAR_ACTIONS

MATCHES = [
    {},
    {"in_port": 3},
    {"in_port": ofproto.OFPP_LOCAL, "metadata": 5010},
    {"metadata": (5010, 0xFFFFFF), "eth_dst": "02:00:00:00:00:01"},
    {"eth_dst": ("01:00:00:00:00:00", "01:00:00:00:00:00"), "vlan_vid": 10 | ofproto.OFPVID_PRESENT},
    {"vlan_vid": (ofproto.OFPVID_PRESENT, ofproto.OFPVID_PRESENT), "reg0": 1},
    {"eth_type": 0x0800, "ip_proto": 6, "ipv4_src": ("10.0.0.0", "255.0.0.0"), "tcp_dst": 80},
    {"eth_type": 0x86DD, "ip_proto": 58, "icmpv6_type": 135, "ipv6_nd_target": "fe80::1"},
    {"tunnel_id": 5010, "tun_ipv4_src": "192.0.2.1"},
]
INSTRUCTIONS = [
    [],
    [parser.OFPInstructionGotoTable(60)],
    [
        parser.OFPInstructionActions(
            APPLY, [parser.OFPActionOutput(4), parser.OFPActionOutput(ofproto.OFPP_ALL)]
        )
    ],
    [
        parser.OFPInstructionMeter(1),
        parser.OFPInstructionActions(
            APPLY,
            [
                parser.OFPActionPushVlan(),
                parser.OFPActionSetField(vlan_vid=4106),
                parser.OFPActionSetField(tunnel_id=5010),
                parser.NXActionRegLoad(ofs_nbits=31, dst="reg0", value=1),
                parser.OFPActionGroup(7),
            ],
        ),
        parser.OFPInstructionWriteMetadata(5010, 0xFFFFFF),
        parser.OFPInstructionGotoTable(30),
    ],
    [
        parser.OFPInstructionActions(CLEAR, []),
        parser.OFPInstructionActions(WRITE, [parser.OFPActionPopVlan()]),
    ],
]


def entry(match: dict[str, Any], instructions: list[Any], table: int = 60) -> bytes:
    """One ``ofp_flow_stats``."""
    matched, instructed = bytearray(), bytearray()
    parser.OFPMatch(**match).serialize(matched, 0)
    for instruction in instructions:
        instruction.serialize(instructed, len(instructed))
    body = bytes(matched + instructed)
    head = (48 + len(body), table, 11, 12, 100, 13, 14, 1, 0xABCDEF0123456789, 15, 2**63)
    return pack("!HBxIIHHHHxxxxQQQ", *head) + body


def reply(*entries: bytes) -> Any:
    """The message that os-ken makes of these entries."""
    body = pack("!HHI", ofproto.OFPMP_FLOW, 0, 0) + b"".join(entries)
    message = pack("!BBHI", 4, ofproto.OFPT_MULTIPART_REPLY, 8 + len(body), 1) + body
    datapath = SimpleNamespace(ofproto=ofproto, ofproto_parser=parser)
    return parser.msg_parser(datapath, 4, ofproto.OFPT_MULTIPART_REPLY, len(message), 1, message)


@pytest.fixture
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parser.OFPFlowStatsReply, "cls_stats_body_cls", parser.OFPFlowStats)
    monkeypatch.setattr(parser.OFPFlowStatsReply, "body", None, raising=False)
    flowstats.install()


@pytest.mark.parametrize("prefix", ["OFPP_", "OFPG_", "OFPM_", "OFPQ_", "OFPTT_", "OFPMBT_"])
def test_numbers_have_os_kens_names(prefix: str) -> None:
    theirs = ofctl_utils.OFCtlUtil(ofproto)

    for number in (0, 1, 2, 0xFF, 0xFFFF, *range(0xFFFFFF00, 0x100000000)):
        expected = theirs._reserved_num_to_user(number, prefix)
        assert ofctl_v1_3.UTIL._reserved_num_to_user(number, prefix) == expected


def test_a_flow_with_thousands_of_ports_is_words_in_a_moment() -> None:
    """As those that flood on a large host: it keeps every switch waiting."""
    out = parser.OFPInstructionActions(APPLY, [parser.OFPActionOutput(port) for port in range(4000)])
    flood = flowstats.FlowStats(entry({}, [out]))

    seconds = []
    for _ in range(3):
        start = process_time()
        flowdump.flow(flood)
        seconds.append(process_time() - start)

    assert min(seconds) < 0.1


ENTRIES = [entry(match, instructions) for match in MATCHES for instructions in INSTRUCTIONS]


@pytest.mark.usefixtures("_installed")
def test_entries_are_found_without_being_parsed() -> None:
    body = reply(*ENTRIES).body

    assert [e.length for e in body] == [len(raw) for raw in ENTRIES]
    assert all(type(e) is flowstats.FlowStats for e in body)
    assert [(table, cookie) for _, table, cookie in body.heads()] == [(e.table_id, e.cookie) for e in body]
    assert (len(body), body[1].buffer[body[1].offset :]) == (len(ENTRIES), b"".join(ENTRIES[1:]))


@pytest.mark.usefixtures("_installed")
def test_a_bridge_without_flows_has_no_entries() -> None:
    assert list(reply().body) == list(reply().body.heads()) == []


@pytest.mark.parametrize("raw", ENTRIES)
def test_an_entry_has_every_attribute_of_os_kens_own(raw: bytes) -> None:
    ours = flowstats.FlowStats(b"\0" * 16 + raw, 16)
    theirs = parser.OFPFlowStats.parser(raw, 0)

    for name in vars(theirs):
        assert repr(getattr(ours, name)) == repr(getattr(theirs, name)), name
    assert repr(ours) == repr(theirs)
    assert ours.to_jsondict() == theirs.to_jsondict()


@pytest.mark.usefixtures("_installed")
@pytest.mark.parametrize("length", [0, 55, 57, 65535])
def test_an_entry_of_an_impossible_length_is_refused(length: int) -> None:
    raw = pack("!H", length) + entry({}, [])[2:]

    with pytest.raises(Malformed, match="flow"):
        list(reply(*ENTRIES, raw).body)


@pytest.mark.usefixtures("_installed")
def test_flows_read_as_ofctl_rest_has_them() -> None:
    datapath = SimpleNamespace(id=5, ofproto=ofproto, ofproto_parser=parser)
    answer = reply(*ENTRIES, entry({}, [], table=254))

    def send(message: Any) -> None:
        done, messages = waiters[5][message.xid]
        messages.append(answer)
        done.set()

    waiters: dict[int, Any] = {}
    datapath.set_xid = lambda message: message.set_xid(1)
    datapath.send_msg = send
    expected = ofctl_v1_3.get_flow_stats(datapath, waiters)

    assert json.loads(b"".join(flowdump.dump(5, [answer]))) == expected


@pytest.mark.usefixtures("_installed")
def test_a_large_dump_comes_in_small_pieces() -> None:
    replies = [reply(*ENTRIES)] * 50

    pieces = list(flowdump.dump(5, replies))

    assert max(map(len, pieces)) < 20_000
    assert len(json.loads(b"".join(pieces))["5"]) == 50 * len(ENTRIES)


@pytest.mark.usefixtures("_installed")
def test_a_dump_may_choose_by_priority() -> None:
    other = bytearray(entry({}, []))
    other[12:14] = pack("!H", 7)

    (chosen,) = json.loads(b"".join(flowdump.dump(5, [reply(*ENTRIES, bytes(other))], priority=7)))["5"]

    assert chosen["priority"] == 7
