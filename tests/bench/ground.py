"""The grounds of a comparison: the overlay in a lab, and the same hosts made by hand as people make them.

Both are hosts of ``sdnapp.lab``, so that machines, Open vSwitch and underlay are the same; what differs is
who built the bridges. Labs end with the benchmark, whatever becomes of it.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdnapp.lab import lifecycle, model, services, underlay
from sdnapp.lab.errors import LabError
from sdnapp.lab.machine import Birth, Machine, environment, inside
from sdnapp.source import load

EXAMPLE = Path(__file__).parents[2] / "configs" / "two-hosts.yaml"

OURS, BY_HAND = "bench", "bench-by-hand"

NETWORK = "10.1.1"
MTU = 1446
"""Of every workload: by hand the tunnel carries the tag inside, which costs four bytes more than ours."""

# The userspace datapath wants the host's address on a bridge, the uplink to itself in packets of the MTU, and
# checksums computed by the workload. The overlay's hosts have all that too, and as many ports, as each costs
# the datapath a look whenever it looks for packets: what is compared is who forwards, and how.
_HOST = """
vtep=$1 peer=$2 address=$3 mtu=$4
alone() {
    tc qdisc add dev "$1" clsact
    tc filter add dev "$1" ingress bpf direct-action bytecode '1,6 0 0 2'
}
workload() {
    ip netns add "$1"
    ip link add "$1-port" type veth peer name eth0 netns "$1"
    alone "$1-port"
    ip link set "$1-port" mtu "$mtu" up
    ip -n "$1" link set eth0 mtu "$mtu" up
    ip -n "$1" address add "$address/24" dev eth0
    ip netns exec "$1" ethtool -K eth0 tx off
    ovs-vsctl add-port br-int "$1-port" tag="$2"
}
ovs-vsctl add-br br-phy -- set bridge br-phy datapath_type=netdev \
    other_config:hwaddr="$(cat /sys/class/net/eth0/address)" -- add-port br-phy eth0
ip address flush dev eth0
ip address add "$vtep/24" dev br-phy
ip link set br-phy up
ethtool -K eth0 gro off
alone eth0
ovs-vsctl add-br br-int -- set bridge br-int datapath_type=netdev
ovs-vsctl add-port br-int vxlan0 -- set interface vxlan0 type=vxlan options:remote_ip="$peer"
workload red 10
workload blue 20
"""

_PATIENCE = 10.0


@dataclass(frozen=True, slots=True)
class Workload:
    """Where a command runs: a namespace of a machine. ``address`` is that of the workload there."""

    machine: Machine
    namespace: str
    address: str

    def command(self, *command: str) -> list[str]:
        """Return the command line that runs ``command`` here."""
        return inside(self.machine, command, namespace=self.namespace)

    def run(self, *command: str) -> str:
        """Run a command here and return what it printed; raises LabError with its words if it fails."""
        return run(self.command(*command))


@dataclass(frozen=True, slots=True)
class Pair:
    """Two workloads of one network on two hosts, which reach each other."""

    near: Workload
    far: Workload


def free() -> None:
    """Raise LabError when a lab has one of our names: another benchmark runs, or one was killed."""
    for name in (OURS, BY_HAND):
        if name in model.names():
            raise LabError(f"a lab named '{name}' is up: sdnapp lab down --name {name}")


@contextmanager
def overlay(directory: Path) -> Iterator[model.Lab]:
    """Bring up the example over VXLAN; its file, which the lab follows, is in the directory."""
    file = directory / EXAMPLE.name
    file.write_text(EXAMPLE.read_text().replace("encapsulation: gre", f"encapsulation: vxlan, mtu: {MTU}"))
    lab = lifecycle.up(OURS, file, lambda _step: None)
    try:
        yield lab
    finally:
        lifecycle.down(OURS)


@contextmanager
def by_hand() -> Iterator[Pair]:
    """Make the hosts of the example as in the classic experiment: standalone bridges, a tag, a tunnel."""
    plan = load(EXAMPLE)
    segments = underlay.plan(plan)
    lab = model.Lab(BY_HAND, str(EXAMPLE), rest="", listen="")
    model.claim(BY_HAND)
    with ExitStack() as births:
        births.callback(model.erase, BY_HAND)
        machines = {name: _machine(lab, name, births) for name in ("underlay", "controller", *plan.hosts)}
        hosts = {name: machines[name] for name in plan.hosts}
        underlay.wire(plan, segments, machines["underlay"], machines["controller"], hosts)
        vteps = [str(host.vtep) for host in plan.hosts.values()]
        workloads = []
        for number, host in enumerate(hosts.values()):
            services.start_database(lab, host)
            services.start_switch(lab, host)
            address = f"{NETWORK}.{number + 1}"
            arguments = (vteps[number], vteps[1 - number], address, str(MTU))
            run(inside(host, ["sh", "-euc", _HOST, "sh", *arguments]))
            workloads.append(Workload(host, "red", address))
        yield reaching(Pair(*workloads))


def red(lab: model.Lab) -> Pair:
    """Return the pair red1, red2 of the example."""
    return reaching(Pair(workload(lab, "red1"), workload(lab, "red2")))


def workload(lab: model.Lab, name: str) -> Workload:
    """Return a port of the lab, by its name."""
    port = load(lab.file).ports[name]
    assert port.namespace is not None
    return Workload(lab.hosts[port.host], port.namespace, str(port.attachments[0].addresses[0].ip))


def reaching(pair: Pair) -> Pair:
    """Return the pair once one reaches the other; raises LabError if it does not."""
    ping = pair.near.command("ping", "-c", "1", "-W", "1", pair.far.address)
    until(
        lambda: not subprocess.run(ping, capture_output=True, check=False).returncode, "no ping is answered"
    )
    return pair


def run(command: list[str]) -> str:
    """Run a command and return what it printed; raises LabError with its words if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
    if done.returncode:
        raise LabError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def until(condition: Callable[[], Any], otherwise: str) -> None:
    """Wait for a condition; raises LabError when it does not come true in time."""
    deadline = time.monotonic() + _PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise LabError(f"{otherwise} after {_PATIENCE:.0f} s")
        time.sleep(0.01)


def _machine(lab: model.Lab, name: str, births: ExitStack) -> Machine:
    """Start a machine that ends with the stack, or with this process."""
    home = lab.home(name)
    for part in ("openvswitch", "etc"):
        (home / part).mkdir(parents=True)
    birth = Birth(name, home)
    births.callback(birth.close)
    return birth.machine()
