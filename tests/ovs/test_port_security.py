"""Three hundred ports that all ask for each other, on two real bridges; and what the datapath makes of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.compile import compile_bridge
from flows.diff import diff
from sdnapp.net.events import BridgeFound
from sdnapp.net.model import Host, Port
from sdnapp.net.state import State
from sdnapp.net.step import step
from tests.overlays import numbers, overlay, view_of
from tests.ovs.client import Client
from tests.ovs.switchd import PrivateOvs, private_ovs

PORTS = [n for n in range(1, 302) if n & 255]
QUEUE = 75
"""Frames that a dummy device surely holds until the switch takes them."""
MANY = "\n".join(
    [
        "tenants: {red: {networks: {web: {vlan: 10, vni: 5010, subnet: 10.1.0.0/16}}}}",
        "hosts: {host1: {vtep: 192.168.4.201}, host2: {vtep: 192.168.4.202}}",
        "ports:",
        *(
            f"  p{n}: {{host: host{1 + n % 2}, network: red/web, address: 10.1.{n >> 8}.{n & 255}}}"
            for n in PORTS
        ),
    ]
)


@pytest.fixture(scope="module")
def ovs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateOvs]:
    """Two bridges with all ports, each tunnel a port that counts what it is given."""
    state = State.of(overlay(MANY))
    for host in state.overlay.hosts.values():
        state = step(state, BridgeFound(host.name, numbers(host)))
    with private_ovs(Path(tmp_path_factory.mktemp("ovs"))) as ovs:
        for host in state.overlay.hosts.values():
            add_bridge(ovs, host)
            program = compile_bridge(view_of(state, host.name))
            client = Client(ovs.directory / f"br-{host.name}.mgmt")
            assert client.apply(diff(set(), (), program), {}) == []
            client.close()
        yield ovs


def add_bridge(ovs: PrivateOvs, host: Host) -> None:
    name = f"br-{host.name}"
    command = ["add-br", name, "--", "set", "bridge", name, "fail_mode=secure", "protocols=OpenFlow13"]
    for interface, number in numbers(host).items():
        command += ["--", "add-port", name, device(host, interface), "--", "set", "interface"]
        command += [device(host, interface), "type=dummy", f"ofport_request={number}"]
    ovs.vsctl(*command)


def device(host: Host, interface: str) -> str:
    """One Open vSwitch has both bridges: their tunnels need names of their own."""
    return f"{interface}.{host.name[-1]}" if interface.startswith("vxlan") else interface


def sent(ovs: PrivateOvs, bridge: str, number: int) -> int:
    """Frames that left by this port."""
    found = re.search(r"tx pkts=(\d+)", ovs.ofctl("dump-ports", bridge, str(number)))
    assert found is not None
    return int(found[1])


def question(asker: Port, other: Port) -> str:
    own, target = (port.attachments[0].addresses[0].ip for port in (asker, other))
    ends = f"sip={own},tip={target},op=1,sha={asker.mac},tha=00:00:00:00:00:00"
    return f"in_port(1),eth(src={asker.mac},dst=ff:ff:ff:ff:ff:ff),eth_type(0x0806),arp({ends})"


def test_all_ask_for_all_and_nothing_crosses_the_tunnel(ovs: PrivateOvs) -> None:
    red = overlay(MANY)
    ports = list(red.ports.values())
    for some in (ports[at : at + QUEUE] for at in range(0, len(ports), QUEUE)):
        for asker in ports:
            asked = [question(asker, other) for other in some if other is not asker]
            ovs.appctl("netdev-dummy/receive", asker.interface, *asked)

    assert len(ports) == 300
    for host in red.hosts.values():
        assert sent(ovs, f"br-{host.name}", host.tunnels[0].ofport) == 0
        for port in host.ports:
            assert sent(ovs, f"br-{host.name}", port.ofport) == len(ports) - 1
