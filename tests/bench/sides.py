"""Who programs the same two hosts: sdnapp, nobody (standalone bridges), or a peer. What each is asked to do.

A side has workloads to talk between, one port more that can come and go (``LATE``), and any number of ports
that nothing is behind: tunnels to where no route leads. (Patch ports without a peer would be errors, which
ovs-vswitchd writes anew, all of them, whenever any port comes or goes.)
"""

from __future__ import annotations

import os
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

from sdnapp.config_file import load
from sdnapp.lab import faults, lifecycle, services
from sdnapp.lab.model import Lab
from sdnapp.lab.process import Process, alive, kill
from tests.bench import by_hand, ground, hosts
from tests.bench.ground import Workload, run

NEAR, FAR, LATE = "near", "far", "late"
NETWORK = "bench/net"
NOWHERE = "192.0.2.1"
"""For documentation (RFC 5737)."""
MTU = 1400
"""Of every workload: little enough for the widest encapsulation of all sides."""

_TICKS = os.sysconf("SC_CLK_TCK")


def text(ports: int) -> str:
    """Write the file of two hosts, with so many ports that nothing is behind, half of them on each."""
    return "\n".join(
        [
            f"overlay: {{encapsulation: geneve, mtu: {MTU}}}",
            'controller: {target: "tcp:192.168.4.10:6653"}',
            "tenants: {bench: {networks: {net: {vlan: 10, vni: 5010, subnet: 10.9.0.0/16}}}}",
            "hosts: {host1: {vtep: 192.168.4.201}, host2: {vtep: 192.168.4.202}}",
            "ports:",
            f"  {NEAR}: {{host: host1, network: {NETWORK}, address: 10.9.0.1/16}}",
            f"  {FAR}: {{host: host2, network: {NETWORK}, address: 10.9.0.2/16}}",
            _external(LATE, "host1", "02:be:00:00:ff:ff", "10.9.0.3"),
            *(_line(number) for number in range(ports)),
            "",
        ]
    )


def addresses(number: int) -> tuple[str, str]:
    """Return the MAC and the IP address of a port that nothing is behind."""
    mac = f"02:be:00:00:{number >> 8:02x}:{number & 255:02x}"
    return mac, f"10.9.{1 + number // 250}.{1 + number % 250}"


def _line(number: int) -> str:
    return _external(f"p{number}", _host(number), *addresses(number))


def _external(name: str, host: str, mac: str, address: str) -> str:
    known = f"attach: external, interface: {name}, mac: {mac}, address: {address}/16"
    return f"  {name}: {{host: {host}, network: {NETWORK}, {known}}}"


class Side(ABC):
    """Two hosts under one kind of control. ``present``: how many ports it has that nothing is behind.

    ``recovery``: seconds from a restart until all has come to rest, with hundreds of ports. ``columns``:
    what a port has in Open vSwitch.
    """

    name: str
    recovery: float
    columns: tuple[str, ...] = ()

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.plan = load(lab.file)
        self.present = 0
        hosts.workload(lab.hosts["host1"], self.plan.ports[LATE], LATE, MTU)
        self._acquaint()

    def workload(self, port: str) -> Workload:
        """Return the namespace of one of the three ports that have one."""
        found = self.plan.ports[port]
        return Workload(self.lab.hosts[found.host], port, str(found.attachments[0].addresses[0].ip))

    def fill(self, ports: int) -> None:
        """Have so many ports: say so where that is said, and let them appear in Open vSwitch, or go."""
        before, self.present = self.present, ports
        if ports == before:
            return
        with self._telling(before, ports):
            for host in self.lab.hosts:
                names = [f"p{n}" for n in range(min(before, ports), max(before, ports)) if _host(n) == host]
                words = [self._plugging(name) if ports > before else _unplugging(name) for name in names]
                self._vsctl(host, chain.from_iterable(words))

    def plug(self) -> subprocess.Popen[bytes]:
        """Let LATE appear in Open vSwitch; ``add-port`` would first read all ports that there are."""
        interface = ["create", "interface", *_named(LATE), *self._numbered(LATE)]
        port = ["create", "port", f"name={LATE}"]
        words = ["--id=@interface", *interface, "--", "--id=@port", *port, "interfaces=@interface"]
        words += [*self.columns, "--", "add", "bridge", "br-int", "ports", "@port"]
        return subprocess.Popen([*self._ovs_vsctl("host1"), "--", *words], stdout=subprocess.DEVNULL)

    def unplug(self) -> None:
        """Take it away again."""
        self._vsctl("host1", _unplugging(LATE))

    def processes(self) -> Iterator[Process]:
        """Every process that runs on the machines, except the workloads."""
        for machine in (*self.lab.hosts.values(), self.lab.controller):
            if machine is not None:
                yield from filter(alive, machine.services.values())

    def busy(self) -> float:
        """Return the processor time that they have taken, in seconds (proc(5))."""
        fields = (_stat(process) for process in self.processes())
        return sum(int(f[11]) + int(f[12]) for f in fields) / _TICKS

    def restart_switch(self, host: str) -> None:
        """SIGKILL ovs-vswitchd and start it again at once."""
        self.lab = faults.kill_switch(self.lab, host)
        self.lab = faults.start_switch(self.lab, host)

    def until_settled(self) -> None:
        """Wait until it is, and a moment longer: a switch says that a port is there before it is."""
        ground.until(self.settled, f"{self.name} does not come to rest", patience=30.0)
        time.sleep(0.2)

    @abstractmethod
    def settled(self) -> bool:
        """Whether, to its own knowledge, all ports are in force that should be."""

    @abstractmethod
    @contextmanager
    def _telling(self, before: int, ports: int) -> Iterator[None]:
        """Begin to say, and have said at the end, that there are more or fewer ports."""
        yield

    def _plugging(self, name: str) -> list[str]:
        """Return how ovs-vsctl adds a port that nothing is behind."""
        add = ["--", "add-port", "br-int", name, *self.columns, "--", "set", "interface", name]
        nowhere = ["type=gre", f"options:remote_ip={NOWHERE}", f"options:key={name.removeprefix('p')}"]
        return [*add, *_named(name), *self._numbered(name), *nowhere]

    def _numbered(self, _name: str) -> list[str]:
        """Return what is said of the number that an interface is to have."""
        return []

    def _vsctl(self, host: str, words: Iterable[str]) -> None:
        run([*self._ovs_vsctl(host), "--no-wait", *words])

    def _ovs_vsctl(self, host: str) -> list[str]:
        return ["ovs-vsctl", f"--db={self.lab.database(host)}"]

    def _acquaint(self) -> None:
        """Let the workloads know each other's MACs: nobody asks by ARP."""
        for here in (NEAR, FAR, LATE):
            for there in {NEAR, FAR, LATE} - {here}:
                other = self.plan.ports[there]
                assert other.mac is not None
                address = str(other.attachments[0].addresses[0].ip)
                self.workload(here).run("ip", "neigh", "replace", address, "lladdr", other.mac, "dev", "eth0")


class Ours(Side):
    """sdnapp: its controller. The agents have done their work, and leave ports to us."""

    name = "sdnapp"
    recovery = 3.0

    def __init__(self, lab: Lab) -> None:
        kill([host.services[services.AGENT] for host in lab.hosts.values()])
        super().__init__(lab)
        self.unplug()

    def settled(self) -> bool:
        states = lifecycle.get(self.lab, "/v1/hosts")
        return all(state["connected"] and state["in_sync"] for state in states)

    def restart_controller(self) -> None:
        """SIGKILL the controller and start it again at once."""
        self.lab = faults.kill_controller(self.lab)
        self.lab = faults.start_controller(self.lab)

    @contextmanager
    def _telling(self, _before: int, ports: int) -> Iterator[None]:
        file = Path(self.lab.file)
        draft = file.with_suffix(".new")
        draft.write_text(text(ports))
        draft.replace(file)
        self.plan = load(file)
        yield

    def _numbered(self, name: str) -> list[str]:
        """As the agent would."""
        known = self.plan.ports.get(name)
        return [] if known is None else [f"ofport_request={known.ofport}"]


class ByHand(Side):
    """Standalone bridges, which learn."""

    name = "by hand"
    recovery = 2.0

    def __init__(self, lab: Lab) -> None:
        super().__init__(lab)
        self.columns = (f"tag={by_hand.tag(self.plan, NETWORK)}",)

    def settled(self) -> bool:
        return True

    @contextmanager
    def _telling(self, _before: int, _ports: int) -> Iterator[None]:
        yield


def _named(name: str) -> tuple[str, str]:
    """Say who is behind an interface, as hypervisors do."""
    return f"name={name}", f"external_ids:iface-id={name}"


def _unplugging(name: str) -> list[str]:
    return ["--", "--if-exists", "del-port", "br-int", name]


def _host(number: int) -> str:
    return f"host{1 + number % 2}"


def _stat(process: Process) -> list[str]:
    return Path(f"/proc/{process.pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
