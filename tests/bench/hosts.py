"""Hosts like those of a lab, with nobody to program them yet: the ground that references stand on.

Machines, Open vSwitch and underlay are those of ``sdnapp.lab``, and end with the block that made them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from ipaddress import IPv4Interface
from typing import TYPE_CHECKING

from sdnapp.config_file import load
from sdnapp.lab import model, services, underlay
from sdnapp.lab.machine import Machine, StartingMachine, inside
from tests.bench.ground import run

if TYPE_CHECKING:
    from sdnapp.net.model import Host, Port

# What a userspace datapath asks of devices: checksums that the workload computes, an uplink that joins no
# packets, both for Open vSwitch alone. The overlay's hosts have the same.
_ALONE = """
alone() {
    tc qdisc add dev "$1" clsact
    tc filter add dev "$1" ingress bpf direct-action bytecode '1,6 0 0 2'
}
"""

_UPLINK = (
    _ALONE
    + """
ip address flush dev eth0
ethtool -K eth0 gro off
alone eth0
"""
)

_WORKLOAD = (
    _ALONE
    + """
port=$1 namespace=$2 mac=$3 address=$4 mtu=$5
ip netns add "$namespace"
ip link add "$port" mtu "$mtu" type veth peer name eth0 address "$mac" mtu "$mtu" netns "$namespace"
alone "$port"
ip link set "$port" up
ip -n "$namespace" address add "$address" dev eth0
ip -n "$namespace" link set lo up
ip -n "$namespace" link set eth0 up
ip netns exec "$namespace" ethtool -K eth0 tx off
"""
)

_ADDRESS = """
ip address add "$1/24" dev br-phy
ip link set br-phy up
"""


@contextmanager
def like(ours: model.Lab, name: str, mtu: int) -> Iterator[model.Lab]:
    """Make the machines of a lab once more, each host with Open vSwitch, its uplink and its workloads."""
    plan = load(ours.file)
    lab = model.Lab(name, ours.file, rest="", listen="")
    model.claim(lab.name)
    with ExitStack() as births:
        births.callback(model.erase, lab.name)
        machines = {name: _machine(lab, name, births) for name in ("underlay", "controller", *plan.hosts)}
        hosts = {name: _switched(lab, machines[name]) for name in plan.hosts}
        lab = replace(lab, underlay=machines["underlay"], controller=machines["controller"], hosts=hosts)
        underlay.wire(plan, underlay.plan(plan), machines["underlay"], machines["controller"], hosts)
        for host in plan.hosts.values():
            script(hosts[host.name], _UPLINK)
            for port in host.ports:
                if port.namespace is not None:
                    workload(hosts[host.name], port, port.namespace, mtu)
        yield lab


def workload(machine: Machine, port: Port, namespace: str, mtu: int) -> None:
    """Make the veth of a port, with its address in a namespace; it is on no bridge yet."""
    address = port.attachments[0].addresses[0]
    assert isinstance(address, IPv4Interface)
    assert port.mac is not None
    script(machine, _WORKLOAD, port.interface, namespace, port.mac, str(address), str(mtu))


def address_underlay(machine: Machine, host: Host) -> None:
    """Give ``br-phy`` the address of the host; both outlive the switch."""
    script(machine, _ADDRESS, str(host.vtep))


def numbers(machine: Machine) -> Mapping[str, int]:
    """Return the number of each port in the datapath."""
    shown = run(inside(machine, ["ovs-appctl", "dpif/show"]))
    return {name: int(number) for name, number in re.findall(r"^ +(\S+) \d+/(\d+):", shown, re.MULTILINE)}


def script(machine: Machine, text: str, *arguments: str) -> str:
    """Run a shell script on a machine; raises LabError with its words if it fails."""
    return run(inside(machine, ["sh", "-euc", text, "sh", *arguments]))


def _machine(lab: model.Lab, name: str, births: ExitStack) -> Machine:
    """Start a machine that ends with the stack, or with this process."""
    home = lab.home(name)
    for part in ("openvswitch", "etc"):
        (home / part).mkdir(parents=True)
    birth = StartingMachine(name, home)
    births.callback(birth.close)
    return birth.machine()


def _switched(lab: model.Lab, machine: Machine) -> Machine:
    database = services.start_database(lab, machine)
    switch = services.start_switch(lab, machine)
    return replace(machine, services={services.OVSDB: database, services.VSWITCHD: switch})
