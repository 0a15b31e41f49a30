"""Our bytes are os-ken's bytes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from os_ken.ofproto import ofproto_v1_3 as ofproto
from os_ken.ofproto import ofproto_v1_3_parser as parser
from os_ken.ofproto.ofproto_protocol import ProtocolDesc

from flows.actions import Action, Goto, Output, PopVlan, Punt, PushVlan, SetKey, SetNetwork, SetSource
from flows.compile import compile_bridge
from flows.flow import CONTROLLER_METER, Flow, Meter
from flows.match import TAGGED, UNTAGGED, Match
from flows.view import BridgeView
from sdnapp.openflow import encode
from tests.views import two_tenants, views

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
        "reg0": match.source,
    }
    if match.vlan is not None:
        special = {UNTAGGED: ofproto.OFPVID_NONE, TAGGED: (ofproto.OFPVID_PRESENT, ofproto.OFPVID_PRESENT)}
        fields["vlan_vid"] = special.get(match.vlan, ofproto.OFPVID_PRESENT | match.vlan)
    return parser.OFPMatch(**{name: value for name, value in fields.items() if value is not None})


def _masked(mac: str | None) -> str | tuple[str, ...] | None:
    return tuple(mac.split("/")) if mac and "/" in mac else mac


def os_ken_instructions(actions: tuple[Action, ...]) -> list[Any]:
    applied: list[Any] = []
    onward: list[Any] = []
    for action in actions:
        match action:
            case Output(port):
                applied.append(parser.OFPActionOutput(port, 0))
            case Punt(max_len):
                applied.append(parser.OFPActionOutput(ofproto.OFPP_CONTROLLER, max_len))
            case PushVlan(vlan):
                applied.append(parser.OFPActionPushVlan(0x8100))
                applied.append(parser.OFPActionSetField(vlan_vid=ofproto.OFPVID_PRESENT | vlan))
            case PopVlan():
                applied.append(parser.OFPActionPopVlan())
            case SetKey(key):
                applied.append(parser.OFPActionSetField(tunnel_id=key))
            case SetSource(source):
                applied.append(parser.OFPActionSetField(reg0=source))
            case SetNetwork(network):
                onward.append(parser.OFPInstructionWriteMetadata(network, 0xFFFFFFFFFFFFFFFF))
            case Goto(table):
                onward.append(parser.OFPInstructionGotoTable(table))
    apply = [parser.OFPInstructionActions(ofproto.OFPIT_APPLY_ACTIONS, applied)] if applied else []
    return apply + onward


def os_ken_flow(flow: Flow) -> Any:
    return parser.OFPFlowMod(
        DATAPATH,
        cookie=flow.cookie,
        table_id=flow.table,
        priority=flow.priority,
        idle_timeout=flow.idle,
        out_port=ofproto.OFPP_ANY,
        out_group=ofproto.OFPG_ANY,
        flags=ofproto.OFPFF_SEND_FLOW_REM if flow.idle else 0,
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
def test_meter(exists: bool) -> None:
    flags = ofproto.OFPMF_PKTPS | ofproto.OFPMF_BURST | ofproto.OFPMF_STATS
    command = ofproto.OFPMC_MODIFY if exists else ofproto.OFPMC_ADD
    bands = [parser.OFPMeterBandDrop(rate=5000, burst_size=6000)]
    expected = parser.OFPMeterMod(DATAPATH, command, flags, CONTROLLER_METER, bands)

    encoded = encode.set_meter(Meter(CONTROLLER_METER, 5000, 6000), XID, exists=exists)

    assert encoded == serialised(expected)


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
