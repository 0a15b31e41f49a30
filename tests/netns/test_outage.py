"""Open vSwitch restarts, or loses its database.

The userspace datapath lives in ovs-vswitchd and ends with it: no program on top can prevent that, so it is
compared with bare bridges, made by hand, in one run. While it has no OVSDB, OVS 3.1 forwards nothing there
either (``bridge_run`` in vswitchd/bridge.c), but what comes in waits. The kernel's datapath knows neither.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from statistics import median

import pytest

from sdnapp.lab import model, services, underlay
from sdnapp.lab.machine import Machine, StartingMachine, environment, inside
from sdnapp.lab.packet_loss import Count
from sdnapp.lab.stream import streaming
from tests.netns.conftest import Running, new_name

pytestmark = pytest.mark.alone

RED = ("red1", "red2")
ROUNDS = 3

MORE = 100.0
"""Milliseconds that ours may be away longer than bare bridges."""

_END = """
pid=$(cat "/run/openvswitch/$2.pid")
kill "-$1" "$pid"
while [ -e "/proc/$pid/fd/0" ]; do sleep 0.01; done
"""

# As people do it by hand; then what a userspace datapath asks of devices.
_BARE = """
vtep=$1 peer=$2 port=$3 address=$4
alone() {
    tc qdisc add dev "$1" clsact
    tc filter add dev "$1" ingress bpf direct-action bytecode '1,6 0 0 2'
}
ip netns add "$port"
ip link add "$port" mtu 1400 type veth peer name eth0 mtu 1400 netns "$port"
ip link set "$port" up
ip -n "$port" address add "$address" dev eth0
ip -n "$port" link set eth0 up
ovs-vsctl add-br br-int -- set bridge br-int datapath_type=netdev -- add-port br-int "$port" tag=10 \
    -- add-port br-int tunnel -- set interface tunnel type=vxlan options:remote_ip="$peer" \
    -- add-br br-phy -- set bridge br-phy datapath_type=netdev \
        other_config:hwaddr="$(cat /sys/class/net/eth0/address)" -- add-port br-phy eth0
ip address flush dev eth0
ip address add "$vtep/24" dev br-phy
ip link set br-phy up
ip netns exec "$port" ethtool -K eth0 tx off > /dev/null
ethtool -K eth0 gro off
alone eth0
alone "$port"
"""


@pytest.fixture(scope="module")
def ours(bring_up: Callable[..., Running]) -> Running:
    return bring_up("two-hosts.yaml", [("encapsulation: gre}", "encapsulation: vxlan, mtu: 1400}")])


@pytest.fixture(scope="module")
def bare(ours: Running) -> Iterator[model.Lab]:
    """The same hosts once more, with the same workloads, on bridges that learn by themselves."""
    overlay = ours.overlay
    lab = model.Lab(new_name(), ours.lab.file, rest="", listen="")
    model.claim(lab.name)
    with ExitStack() as births:
        births.callback(model.erase, lab.name)
        machines = {name: _machine(lab, name, births) for name in ("underlay", "controller", *overlay.hosts)}
        lab = replace(lab, hosts={name: machines[name] for name in overlay.hosts})
        segments = underlay.plan(overlay)
        underlay.wire(overlay, segments, machines["underlay"], machines["controller"], lab.hosts)
        for host in overlay.hosts.values():
            services.start_database(lab, lab.hosts[host.name])
            services.start_switch(lab, lab.hosts[host.name])
            (tunnel,) = host.tunnels
            red = next(port for port in host.ports if port.name in RED)
            (address,) = red.attachments[0].addresses
            arguments = (str(host.vtep), str(tunnel.remote_ip), red.name, str(address))
            run(lab.hosts[host.name], _BARE, *arguments)
        yield lab


def _machine(lab: model.Lab, name: str, births: ExitStack) -> Machine:
    """Start a machine that ends with the stack, or with this process."""
    for part in ("openvswitch", "etc"):
        (lab.home(name) / part).mkdir(parents=True)
    birth = StartingMachine(name, lab.home(name))
    births.callback(birth.close)
    return birth.machine()


def restart_switch(lab: model.Lab, host: Machine) -> None:
    run(host, _END, "KILL", services.VSWITCHD)
    services.start_switch(lab, host)


def test_an_outage_of_open_vswitch_is_hardly_longer_than_that_of_bare_bridges(
    ours: Running, bare: model.Lab
) -> None:
    gaps: dict[str, list[float]] = {"ours": [], "bare": []}
    for _ in range(ROUNDS):
        for name, lab in (("bare", bare), ("ours", ours.lab)):
            counts = disturbed(lab, restart_switch)
            gaps[name].append(max(count.gap_ms for count in counts))
        ours.settled()
    print(gaps)

    assert median(gaps["ours"]) <= median(gaps["bare"]) + MORE
    assert ours.broken() == {}


def restart_database(lab: model.Lab, host: Machine) -> None:
    run(host, _END, "TERM", services.OVSDB)
    services.start_database(lab, host)


def test_a_restart_of_the_database_loses_nothing(ours: Running) -> None:
    for _ in range(ROUNDS):
        # ovs-vswitchd waits twice as long to redial a database that told it nothing for a second after it
        # dialled it (reconnect_disconnected in lib/reconnect.c): restarts one after another cost ever more.
        said = str(time.monotonic_ns())
        run(ours.lab.hosts["host1"], "ovs-vsctl set open_vswitch . external_ids:restarted=$1", said)
        counts = disturbed(ours.lab, restart_database)
        print(counts)

        assert [(count.lost, count.duplicates) for count in counts] == [(0, 0), (0, 0)]
    assert ours.broken() == {}


def disturbed(lab: model.Lab, restart: Callable[[model.Lab, Machine], None]) -> tuple[Count, ...]:
    """What became of 1,000 packets a second in each direction while something of host1 restarted."""
    with streaming(lab, [RED, RED[::-1]]) as stream:
        time.sleep(0.3)
        restart(lab, lab.hosts["host1"])
        time.sleep(1.8)
    return stream.counts()


def run(host: Machine, script: str, *arguments: str) -> None:
    """Run a shell script on a host."""
    command = inside(host, ["sh", "-euc", script, "sh", *arguments])
    subprocess.run(command, env=environment(), check=True)
