"""A machine of the lab: its own processes, mounts, network and name, held by one process, the anchor.

The anchor is the first process of a PID namespace: it only sleeps and reaps. Killing it takes every
process of the machine, and with them its mounts, its network namespaces and its links, so that nothing
can stay behind. Inside, ``/run`` and the directories of Open vSwitch are private, so that plain ``ip netns``,
``ovs-vsctl`` and ``ovs-ofctl`` do what they do on a real host. What a host writes to ``/etc`` and
``/var/lib``, as dhclient does to resolv.conf and its leases, goes to a layer of its own above the machine's.
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from sdnapp.lab.errors import LabError
from sdnapp.lab.process import Process, identify
from sdnapp.provision import netns

# Prints the machine's pid of the anchor (/proc is still the one outside), then waits for a line: what
# started it says so once the pid is written down, and if he dies before, the end of input ends the anchor.
_ANCHOR = """
set -e
read -r pid rest < /proc/self/stat
mount -t proc proc /proc
mount -t sysfs sysfs /sys
hostname "$1"
if [ -n "$2" ]; then
    cd "$2"
    mount -t tmpfs tmpfs /run
    mkdir /run/openvswitch /run/lock
    for place in /etc /var/lib; do
        layers=/run/sdnapp-layers$place
        mkdir -p "$layers/upper" "$layers/work"
        mount -t overlay overlay -o "lowerdir=$place,upperdir=$layers/upper,workdir=$layers/work" "$place"
    done
    mkdir -p /etc/openvswitch /var/log/openvswitch /var/lib/dhcp
    mount -c --bind openvswitch /run/openvswitch
    mount -c --bind etc /etc/openvswitch
    if [ -d etc/tls ]; then
        mkdir -p /etc/sdnapp/tls
        mount -c --bind etc/tls /etc/sdnapp/tls
    fi
    mount -t tmpfs tmpfs /var/log/openvswitch
    cd /
fi
mkdir -p /run/netns
mount -t tmpfs tmpfs /run/netns
echo "$pid"
read -r word
exec < /dev/null > /dev/null 2>&1
while :; do sleep infinity & wait; done
"""

# A subshell in the background becomes a child of the anchor as soon as this shell ends. It keeps what
# came as standard input as descriptor 3, where systemd would pass a listening socket.
_SERVICE = """
exec 3<&0
log=$1 mounts=$2
shift 2
(
    read -r pid rest < /proc/self/stat
    echo "$pid"
    exec >> "$log" 2>&1
    exec nsenter --mount="$mounts" -- "$@"
) &
"""

_NAMESPACES = ("--pid", "--mount", "--uts", "--net")

_LISTENING = 'LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"'


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine of a lab. ``services`` are the long-running processes in it, by name."""

    name: str
    anchor: Process
    services: Mapping[str, Process] = field(default_factory=dict)

    def having(self, services: Mapping[str, Process]) -> Machine:
        """Return it with these services, in place of any of the same name."""
        return replace(self, services={**self.services, **services})


class StartingMachine:
    """A machine that has started but would end with this process, until ``settle`` is called."""

    def __init__(self, name: str, home: Path | None) -> None:
        """Start a machine; ``home`` holds its Open vSwitch directories, None: it runs no Open vSwitch."""
        self.name = name
        # setsid --fork: no child of ours, so neither Ctrl-C nor our end reaches it.
        fresh = ("setsid", "--fork", "unshare", "--fork", "--kill-child", *_NAMESPACES, "--")
        self._starter = subprocess.Popen(
            [*fresh, "sh", "-c", _ANCHOR, "sdnapp-lab", name, str(home or "")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._starter.wait()

    def machine(self) -> Machine:
        """Wait until it is there. Raises LabError with the reason when it cannot be."""
        assert self._starter.stdout is not None
        assert self._starter.stderr is not None
        answer = self._starter.stdout.readline()
        if not answer:
            reason = self._starter.stderr.read().decode(errors="replace").strip()
            raise LabError(f"cannot make the namespaces of {self.name}: {reason}")
        return Machine(self.name, identify(int(answer)))

    def settle(self) -> None:
        """Let it live on without us."""
        assert self._starter.stdin is not None
        self._starter.stdin.write(b"settle\n")
        self.close()

    def close(self) -> None:
        """Let go of it: the end of one that has not been settled."""
        for pipe in (self._starter.stdin, self._starter.stdout, self._starter.stderr):
            if pipe is not None and not pipe.closed:
                pipe.close()


@contextmanager
def entered(machine: Machine, namespace: str | None = None) -> Iterator[None]:
    """Put this thread into a machine's network, or one of its namespaces: a socket stays where it was made.

    pyroute2 would fork to make a socket elsewhere, and the copy would run our clean-up when it ends.
    """
    with netns.entered(Path(_network(machine, namespace))):
        yield


def inside(machine: Machine, command: Sequence[str], *, namespace: str | None = None) -> list[str]:
    """Return the command line that runs ``command`` in a machine, or in one of its network namespaces."""
    enter = ["nsenter", f"--target={machine.anchor.pid}", "--pid", "--mount", "--uts"]
    return [*enter, f"--net={_network(machine, namespace)}", "--", *command]


def serve(
    machine: Machine, command: Sequence[str], log: Path, *, listener: socket.socket | None = None
) -> Process:
    """Start a long-running command in a machine, as a child of its anchor, its output added to ``log``.

    ``listener`` is handed over as systemd does (sd_listen_fds(3)). Raises LabError when it cannot start.
    """
    if listener is not None:
        command = ["sh", "-c", _LISTENING, "sh", *command]
    anchor = machine.anchor.pid
    enter = ["nsenter", f"--target={anchor}", "--pid", "--net", "--uts", "--"]
    starter = subprocess.run(
        [*enter, "sh", "-c", _SERVICE, "sh", str(log), f"/proc/{anchor}/ns/mnt", *command],
        stdin=listener.fileno() if listener is not None else subprocess.DEVNULL,
        capture_output=True,
        env=environment(),
        start_new_session=True,
        check=False,
    )
    try:
        return identify(int(starter.stdout))
    except (ValueError, ProcessLookupError):
        reason = starter.stderr.decode(errors="replace").strip() or f"see {log}"
        raise LabError(f"cannot start {command[0]} in {machine.name}: {reason}") from None


def environment() -> dict[str, str]:
    """What commands in a machine get: ours, with the system's tools on PATH, without Open vSwitch's own."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("OVS_", "LISTEN_"))}
    path = ours.get("PATH", os.defpath)
    return ours | {"PATH": f"{path}:/usr/sbin:/sbin", "PYTHONUNBUFFERED": "1"}


def _network(machine: Machine, namespace: str | None) -> str:
    """Return the file that is a network namespace, as seen from outside the machine."""
    anchor = f"/proc/{machine.anchor.pid}"
    return f"{anchor}/root/run/netns/{namespace}" if namespace else f"{anchor}/ns/net"
