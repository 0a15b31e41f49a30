"""The reference: the hosts of a lab as people make them by hand, after the classic experiment.

Standalone bridges that learn, a port with a tag for each network, a tunnel port that carries the tags.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from sdnapp.config_file import load
from sdnapp.lab import model
from sdnapp.lab.errors import LabError
from sdnapp.lab.machine import Machine
from sdnapp.net.model import Host, Overlay
from tests.bench import ground, hosts
from tests.bench.ground import MTU, Pair

# PORT TAG NUMBER triples follow the first four.
_BRIDGES = """
tunnel=$1 type=$2 peer=$3 number=$4
shift 4
ovs-vsctl --if-exists del-br br-int -- --if-exists del-br br-phy
set -- "$@" end
while [ "$1" != end ]; do
    set -- "$@" -- add-port br-int "$1" "tag=$2" -- set interface "$1" "ofport_request=$3"
    shift 3
done
shift
ovs-vsctl add-br br-int -- set bridge br-int datapath_type=netdev "$@" \
    -- add-port br-int "$tunnel" -- set interface "$tunnel" ofport_request="$number" \
        type="$type" options:remote_ip="$peer" \
    -- add-br br-phy -- set bridge br-phy datapath_type=netdev \
        other_config:hwaddr="$(cat /sys/class/net/eth0/address)" -- add-port br-phy eth0
"""

_ATTEMPTS = 100


@contextmanager
def like(ours: model.Lab) -> Iterator[Pair]:
    """Make the hosts of ours once more, by hand, and return the pair that is like its red1 and red2."""
    with hosts.like(ours, name_of(ours), MTU) as lab:
        bridge(lab, ours)
        yield ground.red(lab)


def name_of(ours: model.Lab) -> str:
    """Return the name of the lab that is like ours."""
    return f"{ours.name}-by-hand"


def bridge(lab: model.Lab, ours: model.Lab) -> None:
    """Make the bridges of hosts that have none.

    The userspace datapath polls its ports in an order that follows from their numbers, and these from the
    UUIDs of their rows: where a workload is polled after the uplink, its answer leaves in the same pass, and
    a third of the round-trip time is saved. That is nobody's merit: both sides get the same numbers.
    """
    plan = load(ours.file)
    for host in plan.hosts.values():
        _bridge(lab.hosts[host.name], host, plan, hosts.numbers(ours.hosts[host.name]))


def tag(plan: Overlay, network: str) -> int:
    """Return the tag that a network has here, on every host and in the tunnel."""
    return 10 * (sorted(plan.networks).index(network) + 1)


def _bridge(machine: Machine, host: Host, plan: Overlay, numbers: Mapping[str, int]) -> None:
    (tunnel,) = host.tunnels
    arguments = [tunnel.interface, tunnel.encapsulation, str(tunnel.remote_ip), str(tunnel.ofport)]
    for port in host.ports:
        if port.namespace is not None:
            arguments += [port.interface, str(tag(plan, port.attachments[0].network)), str(port.ofport)]
    for _ in range(_ATTEMPTS):
        hosts.script(machine, _BRIDGES, *arguments)
        if hosts.numbers(machine) == numbers:
            hosts.address_underlay(machine, host)
            return
    raise LabError(f"Open vSwitch of {host.name}, by hand, does not number its ports as ours: {numbers}")
