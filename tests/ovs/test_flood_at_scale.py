"""500 ports of one network on one host and 100 hosts: each hears a broadcast once, out of the cache.

The tunnels are real ones, on a bridge with an address of its own; Open vSwitch counts what leaves.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.compile import compile_bridge
from flows.diff import diff
from flows.flow import EMPTY, Meter, Unit
from flows.view import BridgeView, Limits, NetworkPort, NetworkView, Peer
from tests.ovs.client import Client
from tests.ovs.switchd import PrivateOvs, private_ovs
from tests.views import BROADCAST, RED

BRIDGE, UNDERLAY = "br-int", "br-phy"
PORTS, TUNNELS = range(1, 501), range(40001, 40101)
BROADCASTS = 3


def bridge(*, tagged: bool, paced: bool) -> BridgeView:
    """Every port and every tunnel in one network; the last hundred ports have a rate where ``paced``."""
    members = tuple(NetworkPort(port, 10, tagged=tagged) for port in PORTS)
    peers = tuple(Peer(port, RED) for port in TUNNELS)
    network = NetworkView(RED, (RED,), tuple(TUNNELS), members, peers, ())
    limits = {
        port: Limits(receive=Meter(1000 + port, 10**6, 10**6, Unit.KILOBITS))
        for port in PORTS[-100:]
        if paced
    }
    return BridgeView((network,), tuple(TUNNELS), False, 300, 5000, limits=limits)


@pytest.fixture
def ovs(tmp_path: Path) -> Iterator[PrivateOvs]:
    with private_ovs(tmp_path) as ovs:
        command = ["add-br", UNDERLAY, "--", "add-port", UNDERLAY, "wire", "--", "set", "interface", "wire"]
        command += ["type=dummy", "--", "add-br", BRIDGE, "--", "set", "bridge", BRIDGE, "fail_mode=secure"]
        command += ["protocols=OpenFlow13"]
        for number in PORTS:
            name = f"p{number}"
            command += ["--", "add-port", BRIDGE, name, "--", "set", "interface", name, "type=dummy"]
            command += [f"ofport_request={number}"]
        for host, number in enumerate(TUNNELS, start=1):
            name = f"t{number}"
            command += ["--", "add-port", BRIDGE, name, "--", "set", "interface", name, "type=vxlan"]
            command += [f"ofport_request={number}", f"options:remote_ip=10.0.0.{host}"]
            command += ["options:local_ip=10.0.0.201", "options:key=flow"]
        ovs.vsctl(*command)
        ovs.appctl("netdev-dummy/ip4addr", UNDERLAY, "10.0.0.201/24")
        ovs.appctl("ovs/route/add", "10.0.0.0/24", UNDERLAY)
        for host, _ in enumerate(TUNNELS, start=1):
            ovs.appctl("tnl/arp/set", UNDERLAY, f"10.0.0.{host}", f"02:00:0a:00:00:{host:02x}")
        yield ovs


def sent(ovs: PrivateOvs) -> dict[int, int]:
    """How many frames left by each port."""
    dump = ovs.ofctl("dump-ports", BRIDGE)
    found = re.findall(r'port\s+"?(\w+)"?: rx.*\n\s+tx pkts=(\d+)', dump)
    return {int(port): int(count) for port, count in found if port.isdecimal()}


@pytest.mark.parametrize("paced", [False, True])
@pytest.mark.parametrize("tagged", [False, True])
def test_a_broadcast_arrives_once_everywhere(ovs: PrivateOvs, tagged: bool, paced: bool) -> None:
    program = compile_bridge(bridge(tagged=tagged, paced=paced))
    client = Client(ovs.directory / f"{BRIDGE}.mgmt")
    refused = client.apply(diff(EMPTY.flows.keys(), (), program))
    client.close()
    assert refused == []
    before = sent(ovs)

    tag = "vlan(vid=10,pcp=0),encap(eth_type(0x1234))" if tagged else ""
    kind = f"eth_type(0x8100),{tag}" if tagged else "eth_type(0x1234)"
    frame = f"in_port(1),eth(src=02:00:00:00:00:01,dst={BROADCAST}),{kind}"
    for _ in range(BROADCASTS):
        ovs.appctl("netdev-dummy/receive", "p1", frame)
    ovs.appctl("revalidator/wait")

    after = sent(ovs)
    expected = dict.fromkeys((*PORTS[1:], *TUNNELS), BROADCASTS) | {1: 0}
    assert {port: after[port] - before[port] for port in expected} == expected
    cached = [flow for flow in ovs.appctl("dpctl/dump-flows").splitlines() if "recirc_id(0),in_port" in flow]
    assert cached
    assert not [flow for flow in cached if "slow_path" in flow], cached
