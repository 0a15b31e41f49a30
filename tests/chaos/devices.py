"""Faults of devices, of Open vSwitch's ports and flows by hand, and of the underlay."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from flows.tables import Table
from sdnapp.lab.machine import inside
from tests.chaos.document import GUEST
from tests.chaos.fault import fault
from tests.chaos.scope import Scope, of_host
from tests.chaos.subject import Subject
from tests.netns.conftest import run

_RANDOM_LOSS = "4,32 0 0 4294963256,37 0 1 {share},6 0 0 0,6 0 0 2"
"""BPF, as tc-bpf(8) takes it: drop a frame (TC_ACT_SHOT) unless a random number is above ``share``.

It stands in for tc-netem(8), which many kernels come without.
"""
_OFCTL = ("ovs-ofctl", "-O", "OpenFlow14")


def _port(subject: Subject, random: Random) -> tuple[str, str]:
    """Choose a port that has a namespace: its name and its host."""
    ports = [port for port in subject.overlay.ports.values() if port.namespace is not None]
    port = random.choice(sorted(ports, key=lambda port: port.name))
    return port.name, port.host


@fault("openvswitch", loses="streams of its port")
def veth_deleted(subject: Subject, random: Random) -> Iterator[Scope]:
    name, host = _port(subject, random)
    subject.run(host, "ip", "link", "del", subject.overlay.ports[name].interface, check=False)
    yield Scope(f"veth of {name} deleted", ports=frozenset([name]), blips=frozenset([host]))


@fault("openvswitch", loses="streams of its port")
def namespace_deleted(subject: Subject, random: Random) -> Iterator[Scope]:
    name, host = _port(subject, random)
    subject.run(host, "ip", "netns", "del", str(subject.overlay.ports[name].namespace), check=False)
    yield Scope(f"namespace of {name} deleted", ports=frozenset([name]), blips=frozenset([host]))


@fault("openvswitch", loses="streams of its port")
def port_deleted(subject: Subject, random: Random) -> Iterator[Scope]:
    name, host = _port(subject, random)
    interface = subject.overlay.ports[name].interface
    subject.run(host, "ovs-vsctl", "--if-exists", "--timeout=5", "del-port", "br-int", interface)
    yield Scope(f"port {name} deleted from br-int", ports=frozenset([name]), blips=frozenset([host]))


@fault("openvswitch", loses="streams of its host")
def tunnel_deleted(subject: Subject, random: Random) -> Iterator[Scope]:
    host = random.choice(subject.hosts)
    tunnels = subject.overlay.hosts[host].tunnels
    tunnel = random.choice(sorted(t.interface for t in tunnels if t.peer in subject.hosts))
    subject.run(host, "ovs-vsctl", "--if-exists", "--timeout=5", "del-port", "br-int", tunnel)
    yield of_host(f"{tunnel} deleted ({host})", host)


@fault("openvswitch", loses="streams of its host")
def bridge_deleted(subject: Subject, random: Random) -> Iterator[Scope]:
    host, bridge = random.choice(subject.hosts), random.choice(["br-int", "br-int", "br-phy"])
    subject.run(host, "ovs-vsctl", "--if-exists", "--timeout=5", "del-br", bridge)
    yield of_host(f"{bridge} deleted ({host})", host)


@fault("openvswitch", loses="streams of its port")
def device_down(subject: Subject, random: Random) -> Iterator[Scope]:
    """Somebody sets the bridge's end of a veth down; the agent sets it up."""
    name, host = _port(subject, random)
    subject.run(host, "ip", "link", "set", subject.overlay.ports[name].interface, "down", check=False)
    yield Scope(f"veth of {name} set down", ports=frozenset([name]), blips=frozenset([host]))


@fault("openvswitch", loses="streams of its port")
def guest_replugged(subject: Subject, _random: Random) -> Iterator[Scope]:
    """An external port leaves the bridge, and is put back by the agent."""
    host = subject.overlay.ports[GUEST].host
    interface = subject.overlay.ports[GUEST].interface
    subject.run(host, "ovs-vsctl", "--if-exists", "--timeout=5", "del-port", "br-int", interface)
    yield Scope(f"port {GUEST} deleted from br-int", ports=frozenset([GUEST]), blips=frozenset([host]))


@fault("openvswitch", loses="streams of its host")
def flows_by_hand(subject: Subject, random: Random) -> Iterator[Scope]:
    """Flows deleted, added, altered by somebody else."""
    host, table = (
        random.choice(subject.hosts),
        random.choice([0, int(Table.FORWARD), int(Table.MAC_LEARNING)]),
    )
    hand = random.choice(
        [
            ("del-flows", "br-int", f"table={table}"),
            ("del-flows", "br-int"),
            ("add-flow", "br-int", f"table={table},priority=999,actions=drop"),
            ("add-flow", "br-int", f"table={table},priority=1,cookie=0x5d00000000000001,actions=drop"),
            ("mod-flows", "br-int", f"table={table},actions=drop"),
        ]
    )
    subject.run(host, *_OFCTL, *hand)
    yield of_host(f"{' '.join(hand)} ({host})", host)


@fault("openvswitch", loses="streams of its host")
def groups_and_meters_by_hand(subject: Subject, random: Random) -> Iterator[Scope]:
    host = random.choice(subject.hosts)
    hand = random.choice(
        [
            ("add-group", "br-int", "group_id=77,type=all,bucket=actions=drop"),
            ("del-groups", "br-int"),
            ("add-meter", "br-int", "meter=77,pktps,band=type=drop,rate=1"),
            ("del-meters", "br-int"),
        ]
    )
    subject.run(host, *_OFCTL, *hand, check=False)
    yield of_host(f"{' '.join(hand)} ({host})", host)


def _cable(subject: Subject, host: str) -> tuple[list[str], str]:
    """The way into the machine that holds the underlay, and its end of a host's cable there."""
    lab = subject.lab
    assert lab.underlay is not None
    return inside(lab.underlay, []), f"host.{1 + sorted(lab.hosts).index(host)}"


@fault("underlay", loses="streams of its host")
def underlay_down(subject: Subject, random: Random) -> Iterator[Scope]:
    host = random.choice(subject.hosts)
    enter, cable = _cable(subject, host)
    run([*enter, "ip", "link", "set", cable, "down"])
    yield of_host(f"underlay of {host} down", host)
    run([*enter, "ip", "link", "set", cable, "up"])


@fault("underlay", loses="streams of its host")
def uplink_down(subject: Subject, random: Random) -> Iterator[Scope]:
    """The host's own end of the cable is set down, and up again."""
    host = random.choice(subject.hosts)
    subject.run(host, "ip", "link", "set", "eth0", "down")
    yield of_host(f"eth0 of {host} down", host)
    subject.run(host, "ip", "link", "set", "eth0", "up")


@fault("underlay", loses="streams of its host")
def underlay_flaps(subject: Subject, random: Random) -> Iterator[Scope]:
    host, times = random.choice(subject.hosts), random.randrange(3, 12)
    enter, cable = _cable(subject, host)
    for _ in range(times):
        run([*enter, "sh", "-c", f"ip link set {cable} down; sleep 0.1; ip link set {cable} up; sleep 0.1"])
    yield of_host(f"underlay of {host} flaps {times} times", host)


@fault("underlay", loses="streams of its host")
def underlay_lossy(subject: Subject, random: Random) -> Iterator[Scope]:
    """Frames to a host are lost at random, OpenFlow's and the tunnels'."""
    host, share = random.choice(subject.hosts), random.choice([0.02, 0.1, 0.3])
    enter, cable = _cable(subject, host)
    code = _RANDOM_LOSS.format(share=round(share * 2**32))
    run([*enter, "tc", "qdisc", "add", "dev", cable, "clsact"])
    run([*enter, "tc", "filter", "add", "dev", cable, "egress", "bpf", "direct-action", "bytecode", code])
    yield of_host(f"{share:.0%} of what goes to {host} is lost", host)
    run([*enter, "tc", "qdisc", "del", "dev", cable, "clsact"])


@fault("underlay", loses="streams of its host")
def underlay_slow(subject: Subject, random: Random) -> Iterator[Scope]:
    """Frames to a host queue up for as long as half a second."""
    host = random.choice(subject.hosts)
    enter, cable = _cable(subject, host)
    rate = ["rate", "1mbit", "burst", "10k", "latency", "500ms"]
    run([*enter, "tc", "qdisc", "add", "dev", cable, "root", "tbf", *rate])
    yield of_host(f"1 Mbit/s to {host}", host)
    run([*enter, "tc", "qdisc", "del", "dev", cable, "root"])
