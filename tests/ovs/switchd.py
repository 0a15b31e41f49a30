"""A private Open vSwitch on dummy devices: real ovsdb-server and ovs-vswitchd, no root, no machine's OVS."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")


class PrivateOvs:
    """One Open vSwitch, its database and its sockets below ``directory``."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.database = f"unix:{directory}/db.sock"
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start both daemons and wait until they serve."""
        run("ovsdb-tool", "create", f"{self.directory}/conf.db", str(SCHEMA))
        self._spawn("ovsdb-server", f"{self.directory}/conf.db", f"--remote=p{self.database}")
        self._await(self.directory / "db.sock")
        self.vsctl("--no-wait", "init")
        self.start_vswitchd()

    def start_vswitchd(self) -> None:
        """Start the switch; a database that has bridges gets them back."""
        self._spawn("ovs-vswitchd", self.database, "--enable-dummy=override", "--disable-system")
        self._await(self.directory / "ovs-vswitchd.ctl")

    def _spawn(self, program: str, *args: str) -> None:
        control = self.directory / f"{program}.ctl"
        control.unlink(missing_ok=True)
        log = (self.directory / f"{program}.log").open("ab")
        with log:
            command = [program, *args, f"--unixctl={control}", "--log-file=/dev/null"]
            env = {"OVS_RUNDIR": str(self.directory), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
            process = subprocess.Popen(command, stdout=log, stderr=log, env=env)
        self._processes.append(process)

    def _await(self, path: Path) -> None:
        deadline = time.monotonic() + 10
        while not _listens(path):
            if time.monotonic() > deadline or self._processes[-1].poll() is not None:
                raise RuntimeError((self.directory / f"{path.stem}.log").read_text(errors="replace"))
            time.sleep(0.01)

    def kill_vswitchd(self) -> None:
        """SIGKILL the switch, as a crash would."""
        process = self._processes.pop()
        process.kill()
        process.wait()
        for left_over in self.directory.glob("*.mgmt"):
            left_over.unlink()

    def stop(self) -> None:
        """End both daemons."""
        for process in reversed(self._processes):
            process.terminate()
            process.wait(10)

    def vsctl(self, *args: str) -> str:
        """``ovs-vsctl`` on this database."""
        return run("ovs-vsctl", f"--db={self.database}", *args)

    def ofctl(self, command: str, bridge: str, *args: str, stdin: str = "") -> str:
        """``ovs-ofctl`` in OpenFlow 1.3 on a bridge of this switch."""
        target = f"unix:{self.directory}/{bridge}.mgmt"
        return run("ovs-ofctl", "-O", "OpenFlow13", command, target, *args, stdin=stdin)

    def appctl(self, *args: str) -> str:
        """``ovs-appctl`` on this switch."""
        return run("ovs-appctl", "-t", f"{self.directory}/ovs-vswitchd.ctl", *args)

    def flows(self, bridge: str) -> list[str]:
        """The flows of a bridge without statistics, sorted."""
        lines = self.ofctl("dump-flows", bridge, "--no-stats").splitlines()
        return sorted(line.strip() for line in lines if "actions=" in line)


def _listens(path: Path) -> bool:
    """Whether somebody does: the socket is there a moment earlier."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def run(*command: str, stdin: str = "") -> str:
    """Run a command that must succeed; its standard output."""
    done = subprocess.run(command, capture_output=True, text=True, input=stdin, timeout=60, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
    return done.stdout


@contextmanager
def private_ovs(directory: Path) -> Iterator[PrivateOvs]:
    """A running one; ended when the block ends."""
    ovs = PrivateOvs(directory)
    try:
        ovs.start()
        yield ovs
    finally:
        ovs.stop()
