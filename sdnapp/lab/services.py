"""The long-running processes of a lab: each started by one function, so that each can be started again."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

from sdnapp.lab import identity
from sdnapp.lab.errors import LabError
from sdnapp.lab.machine import Machine, environment, serve
from sdnapp.lab.model import Lab, directory
from sdnapp.lab.process import Process, alive

OVSDB = "ovsdb-server"
VSWITCHD = "ovs-vswitchd"
AGENT = "provision"
CONTROLLER = "controller"

SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")
OPENFLOW_PORT = 6653

_STARTED = 10.0  # seconds for ovsdb-server to open its socket
_PACKAGES = {
    "ovsdb-server": "openvswitch-switch",
    "ovsdb-tool": "openvswitch-switch",
    "ovs-vswitchd": "openvswitch-switch",
    "ovs-vsctl": "openvswitch-switch",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "setsid": "util-linux",
    "mount": "mount",
    "hostname": "hostname",
    "tcpdump": "tcpdump",
    "iperf3": "iperf3",
    "ping": "iputils-ping",
}
_LOGGING = ("-vconsole:info", "-vsyslog:off", "-vfile:off")


def require(*tools: str) -> None:
    """Raise LabError naming every tool that is missing, with the package that has it."""
    path = environment()["PATH"]
    missing = {tool: _PACKAGES[tool] for tool in tools if shutil.which(tool, path=path) is None}
    if missing:
        packages = " ".join(sorted(set(missing.values())))
        raise LabError(f"{', '.join(missing)} missing on this machine: apt-get install {packages}")


def called(machine: Machine, service: str) -> str:
    """Return the display name of a service."""
    return "the controller" if service == CONTROLLER else f"{service} of {machine.name}"


def start_database(lab: Lab, host: Machine) -> Process:
    """Start the OVSDB of a host, with a new database unless it has one, and wait until it answers."""
    home = lab.home(host.name)
    if not (home / "etc/conf.db").exists():
        _create_database(home / "etc/conf.db", host.name)
    socket_file = home / "openvswitch/db.sock"
    socket_file.unlink(missing_ok=True)
    log = lab.log(host.name, OVSDB)
    process = serve(
        host,
        [
            OVSDB,
            "/etc/openvswitch/conf.db",
            "--remote=punix:/run/openvswitch/db.sock",
            "--pidfile",
            *_LOGGING,
        ],
        log,
    )
    deadline = time.monotonic() + _STARTED
    while not socket_file.exists():
        if not alive(process) or time.monotonic() > deadline:
            raise LabError(f"{OVSDB} of {host.name} does not start:\n{tail(log)}")
        time.sleep(0.002)
    return process


def start_switch(lab: Lab, host: Machine) -> Process:
    """Start the switch daemon of a host."""
    command = [VSWITCHD, "unix:/run/openvswitch/db.sock", "--pidfile", *_LOGGING]
    return serve(host, command, lab.log(host.name, VSWITCHD))


def start_agent(lab: Lab, host: Machine) -> Process:
    """Start the agent that provisions a host and follows the file."""
    command = [script("sdnapp"), "provision", lab.file, "--host", host.name, "--watch"]
    command += ["--controller", lab.targets[host.name]] if lab.targets else []
    command += ["--userspace"]
    return serve(host, command, lab.log(host.name, AGENT))


def start_controller(lab: Lab, listener: socket.socket) -> Process:
    """Start the controller, as users do; REST answers on ``listener``, a socket of this machine."""
    assert lab.controller is not None
    command = [script("osken-manager"), "sdnapp.overlay", "--overlay-config", lab.file]
    if lab.listen is not None:
        command += ["--ofp-listen-host", lab.listen, "--ofp-tcp-listen-port", str(OPENFLOW_PORT)]
    if identity.controller_files(lab).exists():
        command += ["--tls-dir", str(identity.controller_files(lab))]
    command += ["--state-dir", str(directory(lab.name)), "--rest-open"]
    return serve(lab.controller, command, lab.log(CONTROLLER, CONTROLLER), listener=listener)


def listen(port: int) -> socket.socket:
    """Return a listening socket on this machine's loopback: at ``port``, else at any free one."""
    for choice in (port, 0):
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", choice))
            listener.listen(128)
        except OSError:
            listener.close()
        else:
            return listener
    raise LabError("no free TCP port on 127.0.0.1")


def script(name: str) -> str:
    """Return the path of one of our own commands, next to the interpreter that runs this."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise LabError(f"the command {name} is not installed: pip install sdnapp")
    return found


def tail(log: Path, lines: int = 15) -> str:
    """Return the last lines of a log, indented, under its name: the file goes away with its lab."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]
    except FileNotFoundError:
        text = []
    place = next(path for path in log.parents if path.exists())
    nothing = "(empty)" if shutil.disk_usage(place).free else f"(empty: no space is left in {place})"
    return "\n".join(f"  {line}" for line in [f"{log.name}:", *(text or [nothing])])


def _create_database(path: Path, host: str) -> None:
    """Make a database as ovs-ctl(8) leaves it, before the daemons start: they then never see it without."""
    ask = [VSWITCHD, "--version"]
    version = subprocess.run(ask, capture_output=True, text=True, env=environment(), check=False).stdout
    row = {
        "ovs_version": version.split("\n", 1)[0].rpartition(" ")[2],
        "external_ids": ["map", [["hostname", host], ["system-id", host]]],
    }
    insert = {"op": "insert", "table": "Open_vSwitch", "row": row}
    for command in (
        ["ovsdb-tool", "create", str(path), str(SCHEMA)],
        ["ovsdb-tool", "transact", str(path), json.dumps(["Open_vSwitch", insert])],
    ):
        done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
        if done.returncode or '"error"' in done.stdout:
            raise LabError(f"{command[0]} {command[1]} failed: {done.stderr.strip() or done.stdout.strip()}")
