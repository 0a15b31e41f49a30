"""A host to provision: its own namespaces, Open vSwitch and uplink, with one neighbour on the other end."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyroute2 import IPRoute

from sdnapp.lab.machine import Machine, StartingMachine, entered, environment, inside
from tests.netns.conftest import SDNAPP, run, until

ROOT = Path(__file__).parents[2]
SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
DATABASE = "/etc/openvswitch/conf.db"


class BareHost:
    """``host1`` of a file, with ``eth0`` = 192.168.4.201/24; the neighbour is the gateway, 192.168.4.1."""

    def __init__(self, machine: Machine, neighbour: Machine, directory: Path) -> None:
        self.machine = machine
        self.neighbour = neighbour
        self.file = directory / "overlay.yaml"

    def command(self, *command: str, namespace: str | None = None) -> list[str]:
        """The command line that runs ``command`` here."""
        return inside(self.machine, command, namespace=namespace)

    def run(
        self, *command: str, namespace: str | None = None, check: bool = True, timeout: float = 60
    ) -> str:
        """Run a command here; what it printed."""
        return run(self.command(*command, namespace=namespace), check=check, timeout=timeout)

    def outside(self, *command: str, check: bool = True) -> str:
        """Run a command at the neighbour."""
        return run(inside(self.neighbour, command), check=check)

    def provision(self, *options: str, status: int = 0) -> list[str]:
        """Provision this host from its file; the lines that were printed."""
        command = self.command(SDNAPP, "provision", str(self.file), "--host", "host1", *options)
        done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
        assert done.returncode == status, done.stdout + done.stderr
        return (done.stdout + done.stderr).splitlines()

    def vsctl(self, *args: str) -> str:
        """``ovs-vsctl`` here."""
        return self.run("ovs-vsctl", *args).strip()

    def start_database(self) -> None:
        """Start the OVSDB server; it goes on from what is in its file."""
        self.run("ovsdb-server", DATABASE, "--remote=punix:/run/openvswitch/db.sock", "--pidfile", "--detach")

    def start_switch(self) -> None:
        """Start the switch."""
        self.run("ovs-vswitchd", "unix:/run/openvswitch/db.sock", "--pidfile", "--detach")

    def kill(self, daemon: str) -> None:
        """SIGKILL one of the two, as a crash would, and wait until it holds nothing any more."""
        pid = self.run("cat", f"/run/openvswitch/{daemon}.pid").strip()
        self.run("kill", "-9", pid)
        alive = f"grep -q '^State:[[:space:]]*[^Z[:space:]]' /proc/{pid}/status 2> /dev/null"
        self.run("sh", "-c", f"while {alive}; do sleep 0.02; done")

    @contextmanager
    def agent(self, *through: str) -> Iterator[Agent]:
        """Keep this host as its file says until the end of the block; ``through``: what runs the agent."""
        command = self.command(*through, SDNAPP, "provision", str(self.file), "--host", "host1", "--watch")
        log = self.file.with_name("agent.log")
        with log.open("wb") as output:
            process = subprocess.Popen(command, stderr=output, env=environment())
        agent = Agent(process, log)
        try:
            yield agent
        finally:
            agent.stop(signal.SIGKILL)


class Agent:
    """A running ``sdnapp provision --watch``."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._log = log

    def says(self, words: str, times: int = 1) -> None:
        """Wait until it has logged ``words`` so many times."""
        until(lambda: self._log.read_text().count(words) >= times, otherwise=f"{words!r} in {self._log}")

    @property
    def pid(self) -> int:
        """Its process; the one that was started is nsenter, which waits for it."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        return int(children.read_text())

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send it a signal; its exit status."""
        if self._process.poll() is None:
            os.kill(self.pid, number)
        return self._process.wait(10)


@contextmanager
def bare_host(directory: Path) -> Iterator[BareHost]:
    """Make such a host, and take it away."""
    for name in ("openvswitch", "etc"):
        (directory / name).mkdir()
    with _born("host1", directory) as machine, _born("neighbour", None) as neighbour:
        host = BareHost(machine, neighbour, directory)
        with entered(machine), IPRoute() as route:
            wire = {"ifname": "wire", "net_ns_pid": neighbour.anchor.pid}
            route.link("add", ifname="eth0", kind="veth", peer=wire)
        host.run(
            "sh", "-ec", "ip link set lo up; ip address add 192.168.4.201/24 dev eth0; ip link set eth0 up"
        )
        host.outside("sh", "-ec", "ip address add 192.168.4.1/24 dev wire; ip link set wire up")
        host.run("ip", "route", "add", "default", "via", "192.168.4.1")
        host.run("ovsdb-tool", "create", DATABASE, SCHEMA)
        host.start_database()
        host.vsctl("--no-wait", "init")
        host.start_switch()
        yield host


@contextmanager
def _born(name: str, home: Path | None) -> Iterator[Machine]:
    birth = StartingMachine(name, home)
    try:
        yield birth.machine()
    finally:
        birth.close()
