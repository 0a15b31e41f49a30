"""What tests look at on a machine."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager

from tests.vm.machine import Machine, Site, until

_CONDITION = {
    "links": "ip -d link | sed 's/^[0-9]*: //; s/ permaddr [^ ]*//'",
    "addresses": "ip -o address | sed 's/^[0-9]*: //; s/valid_lft.*//'",
    "routes": "ip route; ip -6 route",
    "namespaces": "ip netns",
    "open vswitch": "ovs-vsctl show | tail -n +2",
    "sysctls": "sysctl -a 2> /dev/null | grep -E '^(net|vm|fs[.]inotify)[.]'",
}
_MODULES = (
    *("openvswitch", "vport-gre", "vport-vxlan", "vport-geneve", "vxlan", "8021q", "ip_gre", "ip6_gre"),
    *("tun", "veth", "macvlan"),
)
"""They bring devices and sysctls of their own, which stay until it boots: no part of a comparison."""
_ENCAPSULATIONS = {"gre": "gre", "ip6gre": "gre", "vxlan": "vxlan", "geneve": "geneve"}
_LIVELY = re.compile(
    r"nf_conntrack_count|fib_info|neigh.*gc_|dentry|random|tcp_mem|inet_peer|user_reserve|qdisc|drop_caches|stat_refresh|"
    r"router_solicitation|stable_secret|base_reachable|tcp_available|ip_local_reserved"
)


def condition(machine: Machine) -> dict[str, str]:
    """Return what a machine has, by kind, in the order of its words, without what changes by itself."""
    machine.run(f"modprobe -a {' '.join(_MODULES)}")
    seen = {kind: machine.run(command) for kind, command in _CONDITION.items()}
    return {
        kind: "\n".join(sorted(line.rstrip() for line in text.splitlines() if not _LIVELY.search(line)))
        for kind, text in seen.items()
    }


def reaches(machine: Machine, namespace: str, address: str) -> bool:
    """Say whether one ping is answered."""
    return machine.attempt(f"ip netns exec {namespace} ping -c 1 -W 5 {address}").returncode == 0


def tunnels(machine: Machine) -> set[str]:
    """Return the encapsulations of the tunnels of Open vSwitch."""
    types = machine.run("ovs-vsctl --bare --columns=type find interface").split()
    return {_ENCAPSULATIONS[kind] for kind in types if kind in _ENCAPSULATIONS}


def devices(machine: Machine) -> set[str]:
    """Return the tunnel devices that the kernel's datapath has: gre_sys, vxlan_sys_4789, genev_sys_6081."""
    shown = machine.run("ovs-dpctl show system@ovs-system")
    return set(re.findall(r"(?:ip6)?(?:gre|vxlan|genev)_sys\w*", shown))


def flows(machine: Machine) -> list[str]:
    """Return the programmed flows of br-int by cookie and table, without learned ones and counters."""
    done = machine.attempt("ovs-ofctl -O OpenFlow13 --no-stats dump-flows br-int")
    return sorted(
        line.strip() for line in done.stdout.splitlines() if "table=" in line and "timeout" not in line
    )


def problems(machine: Machine) -> list[str] | None:
    """Return what the controller there says is wrong; None while it does not answer."""
    done = machine.attempt("curl -s -m 60 http://127.0.0.1:8080/healthz")
    try:
        found = json.loads(done.stdout)["problems"]
    except (ValueError, KeyError):
        return None
    return [str(problem) for problem in found]


def healthy(machine: Machine) -> None:
    """Wait until its controller finds nothing wrong."""
    until(lambda: problems(machine) == [], f"the controller on {machine.name} finds nothing wrong")


def settled(site: Site, encapsulation: str, namespaces: tuple[str, ...] = ("red1", "blue1")) -> None:
    """Wait until both hosts have tunnels of this kind and no other, and these of host1 reach 10.1.1.2."""
    for machine in site.machines:
        until(lambda m=machine: tunnels(m) == {encapsulation}, f"{machine.name} has {encapsulation} alone")  # type: ignore[misc]
    for namespace in namespaces:
        until(lambda n=namespace: reaches(site.host1, n, "10.1.1.2"), f"{namespace} reaches its tenant")  # type: ignore[misc]


@contextmanager
def acquainted(site: Site) -> Iterator[None]:
    """Have red1 and red2 know each other's MAC address meanwhile, without asking by ARP."""
    ends = ((site.host1, "red1", "10.1.1.1"), (site.host2, "red2", "10.1.1.2"))
    macs = [machine.run(f"ip netns exec {name} cat /sys/class/net/eth0/address") for machine, name, _ in ends]
    pairs = tuple(zip(ends, reversed(ends), reversed(macs), strict=True))
    for (machine, name, _), (_, _, address), mac in pairs:
        entry = f"{address} lladdr {mac.strip()} dev eth0"
        machine.run(f"ip -n {name} neighbour replace {entry} nud permanent")
    try:
        yield
    finally:
        for (machine, name, _), (_, _, address), _ in pairs:
            machine.run(f"ip -n {name} neighbour del {address} dev eth0")


def absence(machine: Machine, unit: str) -> float:
    """Return for how many seconds a unit that runs was not active, the last time."""
    names = ("InactiveEnterTimestampMonotonic", "ActiveEnterTimestampMonotonic")
    left, back = (int(machine.run(f"systemctl show --value -p {name} {unit}")) for name in names)
    return (back - left) / 1e6
