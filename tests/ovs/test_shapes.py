"""Whatever a real Open vSwitch says passes the check of shapes, and is parsed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from struct import pack, unpack_from
from types import SimpleNamespace
from typing import Any

import os_ken.base.app_manager  # noqa: F401  # the connection's module wants to be imported after it
import pytest
from os_ken.ofproto import ofproto_v1_3 as ofproto
from os_ken.ofproto import ofproto_v1_3_parser as parser

from sdnapp.openflow import flowstats, monitor, ondemand, shapes
from sdnapp.openflow.connection import parse
from sdnapp.openflow.matchshape import Unreadable
from tests.ovs.client import Client
from tests.ovs.switchd import PrivateOvs, private_ovs

DATAPATH: Any = SimpleNamespace(ofproto=ofproto, ofproto_parser=parser, xid=1)
ACTIONS = """
* output:1,output:controller,group:1,set_queue:3,pop_queue
ip push_vlan:0x8100,set_field:4106->vlan_vid,pop_vlan,dec_ttl
ip push_mpls:0x8847,set_mpls_label:7,set_mpls_tc:1,set_mpls_ttl:9,dec_mpls_ttl,pop_mpls:0x0800
* set_field:02:00:00:00:00:01->eth_src,set_field:0x1/0x3->reg0,set_field:5010->tun_id,set_field:9->metadata
ipv6 set_field:fe80::1->ipv6_src,set_field:1->ip_ecn
* load:7->NXM_NX_REG0[0..15],move:NXM_NX_REG0[]->NXM_NX_REG1[]
* push:NXM_NX_REG0[],pop:NXM_NX_REG1[]
* note:00.01.02.03.04.05.06.07.08,resubmit(1,2),resubmit(,3),exit
* learn(table=9,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],load:7->NXM_NX_REG0[],output:NXM_OF_IN_PORT[])
udp learn(table=9,limit=4,delete_learned,eth_type=0x800,nw_proto=17,NXM_OF_UDP_DST[]=NXM_OF_UDP_SRC[])
* controller(max_len=100,reason=action,id=7),controller(userdata=01.02.03.04.05,pause)
* controller(userdata=01.02.03.04.05.06.07.08.09.0a.0b.0c)
* controller(meter_id=1)
ip dec_ttl(1,2,3),multipath(eth_src,50,modulo_n,4,0,NXM_NX_REG0[0..3])
* bundle(eth_src,50,active_backup,ofport,members:1,2,3)
* bundle_load(eth_src,50,hrw,ofport,NXM_NX_REG0[],members:1,2)
* sample(probability=3,collector_set_id=1),sample(probability=3,collector_set_id=1,sampling_port=1,egress)
tcp fin_timeout(idle_timeout=5,hard_timeout=6)
* conjunction(7,1/2)
ip ct(commit,zone=5,exec(set_field:7->ct_mark),nat(src=10.0.0.1-10.0.0.9:1000-2000)),ct_clear
tcp ct(table=44,zone=NXM_NX_REG0[0..15],alg=ftp,nat)
ipv6 ct(commit,nat(dst=[fd00::1]-[fd00::9]))
* output(port=1,max_len=100),clone(output:1,set_field:1->reg0),check_pkt_larger(1400)->NXM_NX_REG0[0]
* encap(nsh(md_type=1)),set_field:7->nsh_ttl,dec_nsh_ttl,encap(ethernet),decap(),decap()
* write_actions(output:1,set_field:1->reg1),write_metadata:7/0xff,goto_table:55
* meter:1,clear_actions,goto_table:55
* output:NXM_NX_REG0[],output:NXM_OF_IN_PORT[],in_port,local,all,flood
""".strip().splitlines()
"""A match, and actions."""
MATCHES = """
in_port=1,dl_vlan=10,dl_vlan_pcp=3
dl_vlan=0xffff
vlan_tci=0x1000/0x1000
metadata=5010,tun_id=7,tun_src=192.0.2.1,tun_dst=192.0.2.2,tun_flags=+oam
tcp,tcp_flags=+syn-ack,tcp_dst=80,nw_src=10.0.0.0/8,nw_frag=no
ct_state=+trk+est,ct_zone=5,ct_mark=7,ct_label=9
icmp6,icmpv6_type=135,nd_target=fe80::1,nd_sll=02:00:00:00:00:01
arp,arp_op=1,arp_spa=10.0.0.1,arp_sha=02:00:00:00:00:01
ipv6,ipv6_label=7,ipv6_src=fd00::/64
mpls,mpls_label=7,mpls_tc=1,mpls_bos=1
reg0=1,reg15=7,xreg1=3,xxreg1=9
packet_type=(1,0x800)
conj_id=7,pkt_mark=3
""".strip().splitlines()


@pytest.fixture(scope="module")
def ovs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateOvs]:
    with private_ovs(tmp_path_factory.mktemp("shapes")) as ovs:
        command = ["add-br", "br", "--", "set", "bridge", "br", "fail_mode=secure", "protocols=OpenFlow13"]
        command += ["--", "set", "bridge", "br", "other_config:dp-desc=Zürich"]
        for number in (1, 2, 3):
            command += [
                "--",
                "add-port",
                "br",
                f"p{number}",
                "--",
                "set",
                "interface",
                f"p{number}",
                "type=dummy",
            ]
        ovs.vsctl(*command)
        yield ovs


def requests() -> Iterator[Any]:
    """One of each that a controller may make."""
    match = parser.OFPMatch()
    any_flow = (ofproto.OFPTT_ALL, ofproto.OFPP_ANY, ofproto.OFPG_ANY, 0, 0, match)
    yield parser.OFPFeaturesRequest(DATAPATH)
    yield parser.OFPGetConfigRequest(DATAPATH)
    yield parser.OFPGetAsyncRequest(DATAPATH)
    yield parser.OFPRoleRequest(DATAPATH, ofproto.OFPCR_ROLE_EQUAL, 0)
    yield parser.OFPQueueGetConfigRequest(DATAPATH, ofproto.OFPP_ANY)
    yield parser.OFPEchoRequest(DATAPATH, b"there?")
    yield parser.OFPDescStatsRequest(DATAPATH)
    yield parser.OFPFlowStatsRequest(DATAPATH, 0, *any_flow)
    yield parser.OFPAggregateStatsRequest(DATAPATH, 0, *any_flow)
    yield parser.OFPTableStatsRequest(DATAPATH)
    yield parser.OFPPortStatsRequest(DATAPATH)
    yield parser.OFPQueueStatsRequest(DATAPATH)
    yield parser.OFPGroupStatsRequest(DATAPATH)
    yield parser.OFPGroupDescStatsRequest(DATAPATH)
    yield parser.OFPGroupFeaturesStatsRequest(DATAPATH)
    yield parser.OFPMeterStatsRequest(DATAPATH)
    yield parser.OFPMeterConfigStatsRequest(DATAPATH)
    yield parser.OFPMeterFeaturesStatsRequest(DATAPATH)
    yield parser.OFPTableFeaturesStatsRequest(DATAPATH)
    yield parser.OFPPortDescStatsRequest(DATAPATH)
    yield monitor.request(DATAPATH)
    yield monitor.forward(DATAPATH)
    yield parser.ONFBundleCtrlMsg(DATAPATH, 1, ofproto.ONF_BCT_OPEN_REQUEST, 0, [])
    yield parser.ONFBundleCtrlMsg(DATAPATH, 9, ofproto.ONF_BCT_COMMIT_REQUEST, 0, [])
    yield parser.OFPGetConfigRequest(DATAPATH)
    yield parser.OFPBarrierRequest(DATAPATH)


def said(ovs: PrivateOvs, *asked: Any) -> Iterator[bytearray]:
    """Everything that a bridge says to these requests, in OpenFlow 1.3, until the barrier at their end."""
    client = Client(Path(ovs.directory) / "br.mgmt")
    for xid, request in enumerate(asked, 10):
        request.xid = xid
        request.serialize()
        client._socket.sendall(request.buf)
    for kind, body in client._messages():
        yield bytearray(pack("!BBHI", 4, kind, 8 + len(body), 1) + body)
        if kind == ofproto.OFPT_BARRIER_REPLY:
            break
    client.close()


def test_every_message_passes_and_is_parsed(ovs: PrivateOvs) -> None:
    """Flows with every action and field of Open vSwitch among them; of those, os-ken cannot read some."""
    flowstats.install()
    ondemand.install()
    ovs.ofctl(
        "add-group",
        "br",
        "group_id=1,type=select,bucket=weight:1,output:1,bucket=weight:2,set_queue:1,output:2",
    )
    ovs.ofctl(
        "add-group", "br", "group_id=2,type=all,bucket=push_vlan:0x8100,output:1,bucket=ct(commit),output:3"
    )
    ovs.ofctl("add-meter", "br", "meter=1,kbps,burst,stats,bands=type=drop,rate=1000,burst_size=100")
    for number, line in enumerate(ACTIONS):
        match, _, actions = line.partition(" ")
        with suppress(RuntimeError):  # not every version of Open vSwitch has every action
            ovs.ofctl(
                "add-flow", "br", f"table={number},{match.replace('*', 'priority=7')},actions={actions}"
            )
    for number, match in enumerate(MATCHES):
        with suppress(RuntimeError):
            ovs.ofctl("add-flow", "br", f"table=100,priority={number},{match},actions=drop")
    kinds: Counter[int] = Counter()
    parts: Counter[int] = Counter()
    flows, unread = 0, []
    for message in said(ovs, *requests()):
        shapes.check(message)
        parsed = parse(DATAPATH, message)
        assert parsed is not None, message.hex()
        kinds[message[1]] += 1
        if message[1] == ofproto.OFPT_MULTIPART_REPLY:
            parts[unpack_from("!H", message, 8)[0]] += 1
            for part in parsed.body if isinstance(parsed.body, ondemand.Parts) else ():
                flows += isinstance(part, flowstats.FlowStats)
                try:
                    part.parse()
                except Unreadable as error:
                    unread.append(str(error))

    answers = {0, 1, 3, 4, 6, 8, 19, 21, 23, 25, 27}
    assert set(kinds) >= answers
    assert set(parts) >= set(range(14))
    assert flows >= len(ACTIONS + MATCHES) - 4
    assert len(unread) <= 4, unread


def test_features_of_all_tables_are_read(ovs: PrivateOvs) -> None:
    ondemand.install()
    tables = [
        part
        for message in said(
            ovs, parser.OFPTableFeaturesStatsRequest(DATAPATH), parser.OFPBarrierRequest(DATAPATH)
        )
        if message[1] == ofproto.OFPT_MULTIPART_REPLY
        for part in parse(DATAPATH, message).body
    ]

    assert len(tables) > 200
    assert all(part.properties for part in tables)
    assert tables[7].table_id == 7
