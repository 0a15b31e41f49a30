"""The reference: the hosts of the example as people make them by hand, after the classic experiment.

Standalone bridges that learn, a port with a tag for each tenant, a VXLAN port that carries the tags.
Machines, Open vSwitch and underlay are those of ``sdnapp.lab``; they end with the benchmark.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from sdnapp.lab import model, services, underlay
from sdnapp.lab.errors import LabError
from sdnapp.lab.machine import Birth, Machine, inside
from sdnapp.net.model import Host
from sdnapp.source import load
from tests.bench import ground
from tests.bench.ground import MTU, Pair, Workload, run

# What a userspace datapath asks of devices: checksums that the workload computes, an uplink that joins no
# packets, both for Open vSwitch alone. The overlay's hosts have the same, and as many ports.
_DEVICES = """
address=$1 mtu=$2
alone() {
    tc qdisc add dev "$1" clsact
    tc filter add dev "$1" ingress bpf direct-action bytecode '1,6 0 0 2'
}
ip address flush dev eth0
ethtool -K eth0 gro off
alone eth0
shift 2
for port; do
    ip netns add "$port"
    ip link add "$port" mtu "$mtu" type veth peer name eth0 mtu "$mtu" netns "$port"
    alone "$port"
    ip link set "$port" up
    ip -n "$port" address add "$address/24" dev eth0
    ip -n "$port" link set eth0 up
    ip netns exec "$port" ethtool -K eth0 tx off
done
"""

_BRIDGES = """
tunnel=$1 peer=$2 red=$3 blue=$4
ovs-vsctl --if-exists del-br br-int -- --if-exists del-br br-phy
ovs-vsctl add-br br-int -- set bridge br-int datapath_type=netdev \
    -- add-port br-int "$red" tag=10 -- set interface "$red" ofport_request=1 \
    -- add-port br-int "$blue" tag=20 -- set interface "$blue" ofport_request=2 \
    -- add-port br-int "$tunnel" -- set interface "$tunnel" ofport_request=3 \
        type=vxlan options:remote_ip="$peer" \
    -- add-br br-phy -- set bridge br-phy datapath_type=netdev \
        other_config:hwaddr="$(cat /sys/class/net/eth0/address)" -- add-port br-phy eth0
"""

_ADDRESS = """
ip address add "$1/24" dev br-phy
ip link set br-phy up
"""

_ATTEMPTS = 100


@contextmanager
def like(ours: model.Lab) -> Iterator[Pair]:
    """Make the hosts of ours once more, by hand, and return the pair that corresponds to its red1 and red2.

    The userspace datapath polls its ports in an order that follows from their numbers, and these from the
    UUIDs of their rows: where a workload is polled after the uplink, its answer leaves in the same pass, and
    a third of the round-trip time is saved. That is nobody's merit: both sides get the same numbers.
    """
    plan = load(ours.file)
    lab = model.Lab(name_of(ours), ours.file, rest="", listen="")
    model.claim(lab.name)
    with ExitStack() as births:
        births.callback(model.erase, lab.name)
        machines = {name: _machine(lab, name, births) for name in ("underlay", "controller", *plan.hosts)}
        hosts = {name: machines[name] for name in plan.hosts}
        underlay.wire(plan, underlay.plan(plan), machines["underlay"], machines["controller"], hosts)
        workloads = [
            _host(lab, machines[h.name], h, _numbers(ours.hosts[h.name])) for h in plan.hosts.values()
        ]
        yield ground.reaching(Pair(*workloads))


def name_of(ours: model.Lab) -> str:
    """Return the name of the lab that is like ours."""
    return f"{ours.name}-by-hand"


def _machine(lab: model.Lab, name: str, births: ExitStack) -> Machine:
    """Start a machine that ends with the stack, or with this process."""
    home = lab.home(name)
    for part in ("openvswitch", "etc"):
        (home / part).mkdir(parents=True)
    birth = Birth(name, home)
    births.callback(birth.close)
    return birth.machine()


def _host(lab: model.Lab, machine: Machine, host: Host, numbers: dict[str, int]) -> Workload:
    """Make one host; return the workload that corresponds to its red port."""
    services.start_database(lab, machine)
    services.start_switch(lab, machine)
    (tunnel,) = host.tunnels
    blue, red = sorted(host.ports, key=lambda port: port.name)
    address = str(red.attachments[0].addresses[0].ip)
    _script(machine, _DEVICES, address, str(MTU), red.interface, blue.interface)
    for _ in range(_ATTEMPTS):
        _script(machine, _BRIDGES, tunnel.interface, str(tunnel.remote_ip), red.interface, blue.interface)
        if _numbers(machine) == numbers:
            _script(machine, _ADDRESS, str(host.vtep))
            return Workload(machine, red.interface, address)
    raise LabError(f"Open vSwitch of {host.name}, by hand, does not number its ports as ours: {numbers}")


def _numbers(machine: Machine) -> dict[str, int]:
    """Return the number of each port in the datapath."""
    shown = run(inside(machine, ["ovs-appctl", "dpif/show"]))
    return {name: int(number) for name, number in re.findall(r"^ +(\S+) \d+/(\d+):", shown, re.MULTILINE)}


def _script(machine: Machine, script: str, *arguments: str) -> None:
    run(inside(machine, ["sh", "-euc", script, "sh", *arguments]))
