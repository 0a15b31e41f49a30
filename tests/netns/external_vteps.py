"""Machines beside a lab that nothing of ours touches: made by hand, as people made them before us."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field

from sdnapp.lab import services
from sdnapp.lab.machine import Machine, StartingMachine, inside
from tests.netns.conftest import Place, Running, run
from tests.netns.raw import raw
from tests.netns.wire import carried

# Of the classic experiment, and what a userspace datapath asks of devices: checksums that the workload
# computes, an uplink whose frames are for Open vSwitch alone.
_BRIDGE = """
kind=$1 remote=$2 vtep=$3
shift 3
alone() {
    tc qdisc add dev "$1" clsact
    tc filter add dev "$1" ingress bpf direct-action bytecode '1,6 0 0 2'
}
ovs-vsctl add-br br-int -- set bridge br-int datapath_type=netdev
while [ $# -gt 0 ]; do
    port=$1 tag=$2 address=$3
    shift 3
    ip netns add "$port"
    ip link add "$port" mtu 1446 type veth peer name eth0 mtu 1446 netns "$port"
    ip link set "$port" up
    ip -n "$port" address add "$address/24" dev eth0
    ip -n "$port" link set eth0 up
    ip netns exec "$port" ethtool -K eth0 tx off
    ovs-vsctl add-port br-int "$port" ${tag:+tag="$tag"}
done
ovs-vsctl add-port br-int "${kind}0" -- set interface "${kind}0" type="$kind" options:remote_ip="$remote"
ip address flush dev eth0
alone eth0
ovs-vsctl add-br br-phy -- set bridge br-phy datapath_type=netdev \
    other_config:hwaddr="$(cat /sys/class/net/eth0/address)" -- add-port br-phy eth0
ip address add "$vtep/24" dev br-phy
ip link set br-phy up
"""

_KERNEL = """
key=$1 remote=$2 vtep=$3 address=$4
ip netns add "vni$key"
ip link add "vxlan$key" mtu 1450 type vxlan id "$key" local "$vtep" remote "$remote" dstport 4789
ip link set "vxlan$key" netns "vni$key" name eth0
ip -n "vni$key" address add "$address/24" dev eth0
ip -n "vni$key" link set eth0 up
ip netns exec "vni$key" ethtool -K eth0 tx off
"""


@dataclass(frozen=True)
class Strangers:
    """The strangers of one lab; they end with the stack."""

    lab: Running
    stack: ExitStack
    places: dict[str, Place] = field(default_factory=dict)

    def bridge(
        self, name: str, kind: str, remote: str, vtep: str, ports: Mapping[str, tuple[int | None, str]]
    ) -> None:
        """A host with a bridge that learns, ports with a tag each or None, and a tunnel without a key."""
        machine = self.machine(name, vtep)
        services.start_database(self.lab.lab, machine)
        services.start_switch(self.lab.lab, machine)
        words = [word for port, (tag, address) in ports.items() for word in (port, str(tag or ""), address)]
        _script(machine, _BRIDGE, kind, remote, vtep, *words)
        self.places.update({port: (machine, port) for port in ports})

    def kernel(self, name: str, remote: str, vtep: str, keys: Mapping[int, str]) -> None:
        """A host without Open vSwitch: for each VNI a vxlan device, in a namespace of its own."""
        machine = self.machine(name, vtep)
        for key, address in keys.items():
            _script(machine, _KERNEL, str(key), remote, vtep, address)
            self.places[f"vni{key}"] = (machine, f"vni{key}")

    def run(self, place: str, *command: str, check: bool = True) -> str:
        """Run a command at a stranger's port or at one of ours, and return what it printed."""
        return run(self.command(place, *command), check=check)

    def command(self, place: str, *command: str) -> list[str]:
        """The command line that runs ``command`` there."""
        machine, namespace = self._at(place)
        return inside(machine, command, namespace=namespace)

    def transfer(self, source: str, destination: str, address: str, size: int) -> int:
        """Move bytes by TCP to the address of a place; return how many have arrived."""
        return carried(self._at(source), self._at(destination), address, size)

    def tap(self, place: str) -> socket.socket:
        """A socket on the device of a place, to send from and to see what comes out of the overlay there."""
        return raw(self._at(place), "eth0")

    def _at(self, place: str) -> Place:
        return self.places.get(place) or self.lab.place(place)

    def machine(self, name: str, vtep: str) -> Machine:
        lab = self.lab.lab
        assert lab.underlay is not None
        for part in ("openvswitch", "etc"):
            (lab.home(name) / part).mkdir(parents=True)
        birth = StartingMachine(name, lab.home(name))
        self.stack.callback(birth.close)
        machine = birth.machine()
        pid = str(machine.anchor.pid)
        cable = ["ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", pid]
        run(["nsenter", f"--target={lab.underlay.anchor.pid}", "--net", *cable])
        attach = ["ip", "link", "set", name, "master", "segment", "up"]
        run(["nsenter", f"--target={lab.underlay.anchor.pid}", "--net", *attach])
        _script(machine, 'ip address add "$1/24" dev eth0; ip link set eth0 up; ethtool -K eth0 tx off', vtep)
        return machine


def _script(machine: Machine, script: str, *arguments: str) -> None:
    run(inside(machine, ["sh", "-euc", script, "sh", *arguments]))
