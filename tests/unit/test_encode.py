"""Our bytes are os-ken's bytes."""

from __future__ import annotations

from base64 import b64encode
from struct import pack
from typing import Any

import pytest
from hypothesis import given, settings
from os_ken.ofproto import ofproto_v1_3 as ofproto
from os_ken.ofproto import ofproto_v1_3_parser as parser
from os_ken.ofproto.ofproto_protocol import ProtocolDesc

from flows.actions import (
    Action,
    ApplyMeter,
    CheckPacketLarger,
    Goto,
    Learn,
    Move,
    NoteNumber,
    Output,
    OutputInPort,
    OutputMetered,
    PopVlan,
    Punt,
    PushVlan,
    SetField,
    SetIngress,
    SetNetwork,
    SetTunnelKey,
)
from flows.compile import compile_bridge
from flows.flow import CONTROLLER_METER, Flow, Meter, Unit, learn_cookie
from flows.match import FRAGMENTS, REGISTER_DEFAULTS, TAGGED, UNTAGGED, Header, Ingress, Match, to_wire
from flows.tables import Table
from flows.view import BridgeView
from sdnapp.openflow import encode, oxm
from tests.views import RED, RED_FAR, RED_MAC, two_tenants, views

DATAPATH = ProtocolDesc(ofproto.OFP_VERSION)
XID = 0x01020304


def serialised(message: Any, xid: int = XID) -> bytes:
    message.set_xid(xid)
    message.serialize()
    return bytes(message.buf)


def os_ken_match(match: Match) -> Any:
    fields: dict[str, Any] = {
        "in_port": match.in_port,
        "metadata": match.network,
        "eth_src": _masked(match.eth_src),
        "eth_dst": _masked(match.eth_dst),
        "tunnel_id": match.key,
        "reg0": match.ingress,
    }
    if match.vlan is not None:
        special = {UNTAGGED: ofproto.OFPVID_NONE, TAGGED: (ofproto.OFPVID_PRESENT, ofproto.OFPVID_PRESENT)}
        fields["vlan_vid"] = special.get(match.vlan, ofproto.OFPVID_PRESENT | match.vlan)
    if match.header is not None:
        fields |= {OS_KEN_NAMES.get(name, name): _noted(name, value) for name, value in match.header.said()}
    made = parser.OFPMatch(**{name: value for name, value in fields.items() if value is not None})
    made._fields2.sort(key=lambda field: field[0] == "ip_frag")  # os-ken puts it before what it presupposes
    return made


IP_FRAG = {"no": 0, "yes": (1, 1), "first": 1, "later": 3, "not_later": (0, 2)}


OS_KEN_NAMES = {
    "nd_target": "ipv6_nd_target",
    "nd_sll": "ipv6_nd_sll",
    "nd_tll": "ipv6_nd_tll",
    "mac_forbidden_bits": "xreg1",
    "ip_forbidden_bits": "reg1",
    "ip6_forbidden_bits": "xxreg2",
    "mac_spoofed": "reg4",
    "arp_spoofed": "reg5",
    "ip6_spoofed": "reg6",
    "nd_target_spoofed": "reg7",
    "nested": "reg12",
    "nd_reserved": f"field_{0x1000 << 7 | 1}",
    "nd_options_type": f"field_{0x1000 << 7 | 2}",
}
"""The last two are fields of Open vSwitch that os-ken does not know (ovs-fields(7)): class and number."""
LENGTHS = {"nd_reserved": 4, "nd_options_type": 1}


def _noted(name: str, value: int | str) -> Any:
    """What os-ken has as a number, in a register or in ``ip_frag``, is an address or a word to us."""
    if name == "ip_frag":
        return IP_FRAG[str(value)]
    if name not in REGISTER_DEFAULTS or isinstance(value, int):
        return _masked(value)
    numbers = tuple(int.from_bytes(to_wire(part), "big") for part in value.split("/"))
    return numbers if len(numbers) > 1 else numbers[0]


def _masked(value: int | str | None) -> int | str | tuple[str, ...] | None:
    return tuple(value.split("/")) if isinstance(value, str) and "/" in value else value


def os_ken_instructions(actions: tuple[Action, ...]) -> list[Any]:
    limits = [
        parser.OFPInstructionMeter(action.meter) for action in actions if isinstance(action, ApplyMeter)
    ]
    applied = [done for action in actions for done in os_ken_actions(action)]
    apply = [parser.OFPInstructionActions(ofproto.OFPIT_APPLY_ACTIONS, applied)] if applied else []
    onward: list[Any] = []
    for action in actions:
        if isinstance(action, SetNetwork):
            onward.append(parser.OFPInstructionWriteMetadata(action.network, 0xFFFFFFFFFFFFFFFF))
        elif isinstance(action, Goto):
            onward.append(parser.OFPInstructionGotoTable(action.table))
    return [*limits, *apply, *onward]


def os_ken_actions(action: Action) -> list[Any]:
    match action:
        case Output(port):
            return [parser.OFPActionOutput(port, 0)]
        case OutputInPort():
            return [parser.OFPActionOutput(ofproto.OFPP_IN_PORT, 0)]
        case Punt(max_len):
            return [parser.OFPActionOutput(ofproto.OFPP_CONTROLLER, max_len)]
        case PushVlan(vlan):
            tag = parser.OFPActionSetField(vlan_vid=ofproto.OFPVID_PRESENT | vlan)
            return [parser.OFPActionPushVlan(0x8100), tag]
        case PopVlan():
            return [parser.OFPActionPopVlan()]
        case SetTunnelKey(key):
            return [parser.OFPActionSetField(tunnel_id=key)]
        case SetIngress(source):
            return [parser.OFPActionSetField(reg0=source)]
        case SetField(name, value):
            unknown = name in LENGTHS
            plain = (
                b64encode(int(value).to_bytes(LENGTHS[name], "big")).decode()
                if unknown
                else _noted(name, value)
            )
            return [parser.OFPActionSetField(**{OS_KEN_NAMES.get(name, name): plain})]
        case _:
            return nicira_actions(action)


def nicira_actions(action: Action) -> list[Any]:
    match action:
        case OutputMetered(port):
            again = _bytes_of(parser.NXActionResubmitTable(port, Table.EGRESS_POLICER))
            return [parser.NXActionUnknown(42, bytes(6) + again)]
        case NoteNumber(number):
            return [parser.NXActionNote(list(number.to_bytes(6, "big")))]
        case CheckPacketLarger(size):
            target_bit = (1).to_bytes(2, "big") + bytes.fromhex("00010004") + bytes(6)
            return [parser.NXActionUnknown(49, size.to_bytes(2, "big") + target_bit)]
        case Learn():
            return [os_ken_learn(action)]
        case Move(source, target):
            width = {"arp_tpa": 32, "ipv6_dst": 128}.get(target, 48)
            return [parser.NXActionRegMove(source, OS_KEN_NAMES.get(target, target), n_bits=width)]
        case _:
            return []


def os_ken_learn(action: Learn) -> Any:
    """os-ken knows the action without the most that it may learn, which stands behind 32 bytes."""
    match, load = parser.NXFlowSpecMatch, parser.NXFlowSpecLoad
    tag = [] if action.vlan is None else [load(src=0x1000 | action.vlan, dst=("vlan_tci", 0), n_bits=13)]
    older = parser.NXActionLearn(
        table_id=Table.FORWARD,
        specs=[
            match(src=action.network, dst=("metadata", 0), n_bits=64),
            match(src=("eth_src", 0), dst=("eth_dst", 0), n_bits=48),
            match(src=0, dst=("vlan_tci", 12), n_bits=1),
            load(src=action.key, dst=("tunnel_id", 0), n_bits=64),
            *tag,
            parser.NXFlowSpecOutput(src=("in_port_nxm", 0), dst="", n_bits=16),
        ],
        hard_timeout=action.age,
        priority=action.priority,
        cookie=learn_cookie(action),
        flags=2,  # NX_LEARN_F_DELETE_LEARNED
    )
    known = _bytes_of(older)
    return parser.NXActionUnknown(45, known[10:32] + action.most.to_bytes(4, "big") + bytes(4) + known[32:])


def _bytes_of(action: Any) -> bytes:
    buffer = bytearray()
    action.serialize(buffer, 0)
    return bytes(buffer)


def os_ken_flow(flow: Flow) -> Any:
    return parser.OFPFlowMod(
        DATAPATH,
        cookie=flow.cookie,
        table_id=flow.table,
        priority=flow.priority,
        idle_timeout=flow.idle,
        hard_timeout=flow.hard,
        out_port=ofproto.OFPP_ANY,
        out_group=ofproto.OFPG_ANY,
        flags=ofproto.OFPFF_SEND_FLOW_REM if flow.idle or flow.hard else 0,
        match=os_ken_match(flow.match),
        instructions=os_ken_instructions(flow.actions),
    )


def assert_same_bytes(view: BridgeView) -> None:
    for flow in compile_bridge(view).flows.values():
        assert encode.add_flow(flow, XID) == serialised(os_ken_flow(flow)), str(flow)


def test_flows_of_two_tenants() -> None:
    assert_same_bytes(two_tenants())


@given(views())
@settings(max_examples=40)
def test_flows_of_any_view(view: BridgeView) -> None:
    assert_same_bytes(view)


@pytest.mark.parametrize(
    "header",
    [
        Header(eth_type=0x0806, arp_op=1, arp_spa="10.1.1.1", arp_tpa="10.1.0.0/255.255.0.0"),
        Header(eth_type=0x0806, arp_sha="02:00:00:00:00:01", arp_tha="00:00:00:00:00:00"),
        Header(eth_type=0x0800, ip_proto=17, ipv4_src="0.0.0.0", udp_src=68, udp_dst=67),
        Header(eth_type=0x0800, ipv4_dst="224.0.0.0/240.0.0.0"),
        Header(eth_type=0x86DD, ip_proto=58, icmpv6_type=135, icmpv6_code=0, nd_target="fd00::1"),
        Header(eth_type=0x86DD, ipv6_src="fe80::/ffc0::", ipv6_dst="ff02::1"),
        Header(eth_type=0x86DD, ip_proto=58, icmpv6_type=136, nd_tll="02:00:00:00:00:01"),
        Header(eth_type=0x86DD, ip_proto=58, icmpv6_type=135, nd_sll="02:00:00:00:00:01"),
        *(
            Header(eth_type=0x0800, ip_proto=17, udp_dst=68, ip_frag=word, mac_spoofed=0)
            for word in FRAGMENTS
        ),
    ],
)
def test_fields_behind_the_ethernet_header(header: Header) -> None:
    match = Match(
        in_port=1, ingress=Ingress.LOCAL, network=RED, vlan=UNTAGGED, eth_src=RED_MAC, header=header
    )
    flow = Flow(Table.PORT_SECURITY_L2, 100, match, (Goto(Table.MAC_LEARNING),))

    assert encode.add_flow(flow, XID) == serialised(os_ken_flow(flow))


def test_an_answer_to_whoever_asks() -> None:
    asked = Match(network=RED, header=Header(eth_type=0x0806, arp_op=1, arp_tpa="10.1.1.2"))
    turned = (
        *(ApplyMeter(7), Move("eth_src", "eth_dst"), SetField("eth_src", RED_FAR), SetField("arp_op", 2)),
        *(Move("arp_sha", "arp_tha"), SetField("arp_sha", RED_FAR)),
        *(Move("arp_spa", "arp_tpa"), SetField("arp_spa", "10.1.1.2"), OutputInPort()),
    )
    flow = Flow(Table.FORWARD, 100, asked, turned)

    assert encode.add_flow(flow, XID) == serialised(os_ken_flow(flow))


def test_deletion_by_cookie() -> None:
    expected = parser.OFPFlowMod(
        DATAPATH,
        cookie=0x5D0123456789ABCD,
        cookie_mask=0xFFFFFFFFFFFFFFFF,
        table_id=40,
        command=ofproto.OFPFC_DELETE,
        priority=0,
        out_port=ofproto.OFPP_ANY,
        out_group=ofproto.OFPG_ANY,
    )

    assert encode.delete_flow((40, 0x5D0123456789ABCD), XID) == serialised(expected)


@pytest.mark.parametrize("exists", [False, True])
@pytest.mark.parametrize(
    ("unit", "flag"), [(Unit.FRAMES, ofproto.OFPMF_PKTPS), (Unit.KILOBITS, ofproto.OFPMF_KBPS)]
)
def test_meter(unit: Unit, flag: int, exists: bool) -> None:
    flags = flag | ofproto.OFPMF_BURST | ofproto.OFPMF_STATS
    command = ofproto.OFPMC_MODIFY if exists else ofproto.OFPMC_ADD
    bands = [parser.OFPMeterBandDrop(rate=5000, burst_size=6000)]
    expected = parser.OFPMeterMod(DATAPATH, command, flags, CONTROLLER_METER, bands)

    encoded = encode.set_meter(Meter(CONTROLLER_METER, 5000, 6000, unit), XID, exists=exists)

    assert encoded == serialised(expected)


def test_deletion_of_a_meter() -> None:
    expected = parser.OFPMeterMod(DATAPATH, ofproto.OFPMC_DELETE, 0, 7, [])

    assert encode.delete_meter(7, XID) == serialised(expected)


def test_deletion_of_a_group() -> None:
    expected = parser.OFPGroupMod(DATAPATH, ofproto.OFPGC_DELETE, ofproto.OFPGT_ALL, 7, [])

    assert encode.delete_group(7, XID) == serialised(expected)


def test_barrier() -> None:
    assert encode.barrier(XID) == serialised(parser.OFPBarrierRequest(DATAPATH))


def test_bundle_of_a_flow() -> None:
    both = ofproto.ONF_BF_ATOMIC | ofproto.ONF_BF_ORDERED
    flow = next(iter(compile_bridge(two_tenants()).flows.values()))
    inner = os_ken_flow(flow)
    inner.set_xid(XID)

    def control(kind: int) -> bytes:
        return serialised(parser.ONFBundleCtrlMsg(DATAPATH, 9, kind, both, []))

    assert encode.open_bundle(9, XID) == control(ofproto.ONF_BCT_OPEN_REQUEST)
    assert encode.commit_bundle(9, XID) == control(ofproto.ONF_BCT_COMMIT_REQUEST)
    added = encode.in_bundle(9, encode.add_flow(flow, XID), XID)
    assert added == serialised(parser.ONFBundleAddMsg(DATAPATH, 9, both, inner, []))


def test_fields_are_read_as_they_are_written() -> None:
    fields = oxm.field("in_port", 7) + oxm.field("eth_src", "02:00:00:00:00:01/ff:00:00:00:00:00")
    fields += oxm.field("metadata", 5010) + oxm.field("ingress", 0)

    found = {
        name: oxm.value(fields, name) for name in ("in_port", "metadata", "ingress", "eth_src", "eth_dst")
    }

    assert found == {
        "in_port": pack("!I", 7),
        "metadata": pack("!Q", 5010),
        "ingress": bytes(4),
        "eth_src": None,
        "eth_dst": None,
    }
