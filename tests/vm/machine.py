"""Virtual machines and their underlay in a network namespace: started, asked over ssh, ended."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from tests.vm import image

NAMESPACE = "sdnapp-vm"
MANAGEMENT = "172.31.0"
UNDERLAY = "192.168.4"
UNDERLAY6 = "fd00:4:"
PATIENCE = 900.0
"""Seconds for anything to happen: an emulated processor beside others is slow. No test measures by it."""

_BOOT = "console=ttyS0 root=/dev/vda rw net.ifnames=0 quiet"
_WHERE = ("ip", "netns", "exec", NAMESPACE)

Seen = TypeVar("Seen")


class Late(AssertionError):
    """What was waited for did not happen; the words say what was seen last."""


def until(look: Callable[[], Seen], what: str, patience: float = PATIENCE) -> Seen:
    """Look again and again until what is seen is true; return it. Raises Late."""
    end = time.monotonic() + patience
    while not (seen := look()):
        if time.monotonic() > end:
            raise Late(f"{what}: not within {patience:.0f} s; seen last: {seen!r}")
        time.sleep(0.5)
    return seen


@dataclass
class Machine:
    """A host of the overlay: its number is the last figure of its addresses (201, 202)."""

    number: int
    directory: Path
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """Return its name in the file."""
        return f"host{self.number}"

    @property
    def vtep(self) -> str:
        """Return its address on the underlay."""
        return f"{UNDERLAY}.{200 + self.number}"

    def files(self, key: str) -> dict[str, str]:
        """Return the files that make it this one, by path below its root."""
        interfaces = f"""\
auto eth0
iface eth0 inet static
    address {MANAGEMENT}.{self.number}/24
auto eth1
iface eth1 inet static
    address {self.vtep}/24
iface eth1 inet6 static
    address {UNDERLAY6}:{200 + self.number}/64
    dad-attempts 0
"""
        return {
            "etc/hostname": f"{self.name}\n",
            "etc/hosts": f"127.0.0.1 localhost\n127.0.1.1 {self.name}\n",
            "etc/machine-id": "",
            "etc/fstab": "/dev/vda / ext4 defaults 0 1\n",
            "etc/network/interfaces.d/underlay": interfaces,
            "root/.ssh/authorized_keys": key,
        }

    def start(self, *, ends_with_us: bool) -> None:
        """Start it; ``ends_with_us``: the kernel ends it when this process ends, however it does."""
        tree = self.directory / "root" / "boot"
        mac = f"52:54:00:00:{{}}:{self.number:02x}"
        devices = [
            word
            for name, part in ((f"m{self.number}", "01"), (f"u{self.number}", "02"))
            for word in (
                *("-netdev", f"tap,id={name},ifname={name},script=no,downscript=no,vhost=off"),
                *("-device", f"virtio-net-pci,netdev={name},mac={mac.format(part)}"),
            )
        ]
        command = [
            *(("setpriv", "--pdeathsig", "SIGKILL") if ends_with_us else ()),
            # Emulation: /dev/kvm may be there and not boot.
            *("qemu-system-x86_64", "-accel", "tcg", "-cpu", "qemu64", "-smp", "1", "-m", "1024"),
            *("-kernel", str(next(tree.glob("vmlinuz-*"))), "-initrd", str(next(tree.glob("initrd.img-*")))),
            *("-append", _BOOT, "-drive", f"file={self.path('raw')},if=virtio,format=raw,cache=unsafe"),
            *(*devices, "-device", "virtio-rng-pci", "-display", "none"),
            *("-serial", f"file:{self.path('console')}", "-monitor", "none"),
            *("-pidfile", str(self.path("pid")), *(() if ends_with_us else ("-daemonize",))),
        ]
        words = [*_WHERE, "nice", "-n", "10", *command]
        if ends_with_us:
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, start_new_session=True)
        else:
            subprocess.run(words, stdin=subprocess.DEVNULL, check=True)

    def stop(self) -> None:
        """End it at once."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        elif self.running():
            os.kill(int(self.path("pid").read_text()), signal.SIGKILL)

    def running(self) -> bool:
        """Say whether its process is there: of this run, or of one that kept it."""
        if self.process is not None:
            return self.process.poll() is None
        with suppress(FileNotFoundError):
            number = int(self.path("pid").read_text())
            return str(self.directory) in Path(f"/proc/{number}/cmdline").read_text(encoding="utf-8")
        return False

    def ready(self) -> Machine:
        """Wait until it answers over ssh."""

        def answers() -> bool:
            assert self.running(), f"{self.name} has ended: {self.console()}"
            return self.attempt("true", patience=120).returncode == 0

        until(answers, f"{self.name} answers")
        return self

    def console(self) -> str:
        """Return the end of what it printed on its console."""
        with suppress(FileNotFoundError):
            return self.path("console").read_text(encoding="utf-8", errors="replace")[-2000:]
        return "nothing was printed"

    def attempt(self, command: str, patience: float = PATIENCE) -> subprocess.CompletedProcess[str]:
        """Run a command of its shell."""
        try:
            return subprocess.run(
                self.ssh(command),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=patience,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(command, 255, "", f"no end within {patience:.0f} s")

    def run(self, command: str, patience: float = PATIENCE) -> str:
        """Run a command of its shell that must go well; return what it printed."""
        done = self.attempt(command, patience)
        assert done.returncode == 0, f"{self.name}: {command}\n{done.stdout}{done.stderr}"
        return done.stdout

    def ssh(self, command: str) -> list[str]:
        """Return the words that run a command there. A new connection takes some ten seconds: one is kept."""
        options = {
            "BatchMode": "yes",
            "ConnectTimeout": "60",
            "ControlMaster": "auto",
            "ControlPath": str(self.path("ssh")),
            "ControlPersist": "yes",
            "LogLevel": "ERROR",
            "ServerAliveInterval": "15",
            "ServerAliveCountMax": "8",
            "StrictHostKeyChecking": "no",
            "UserKnownHostsFile": "/dev/null",
        }
        words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        key = ("-F", "none", "-i", str(self.directory / "key"))
        return [*_WHERE, "ssh", *key, *words, f"root@{MANAGEMENT}.{self.number}", command]

    def write(self, path: str, text: str) -> None:
        """Replace a file at once."""
        draft = shlex.quote(f"{path}.new")
        self.run(f"printf %s {shlex.quote(text)} > {draft} && mv {draft} {shlex.quote(path)}")

    def active(self, unit: str) -> bool:
        """Say whether a unit of systemd is."""
        return self.attempt(f"systemctl is-active --quiet {unit}").returncode == 0

    def boot_id(self) -> str:
        """Return what is another one after each boot; nothing while it does not answer."""
        return self.attempt("cat /proc/sys/kernel/random/boot_id", patience=60).stdout

    def reboot(self) -> Callable[[], None]:
        """Have it boot anew, without waiting; return what waits."""
        before = self.boot_id()
        self.attempt("systemctl reboot", patience=60)

        def again() -> bool:
            subprocess.run([*self.ssh("")[:-2], "-O", "exit", "x"], capture_output=True, check=False)
            return self.boot_id() not in ("", before)

        def wait() -> None:
            until(again, f"{self.name} has booted")

        return wait

    def path(self, kind: str) -> Path:
        """Return the path of a file of it on this machine, such as its console."""
        return self.directory / f"{self.name}.{kind}"


class Stream:
    """Pings from one namespace to an address, some per second, every one counted."""

    def __init__(self, machine: Machine, namespace: str, address: str, interval: float = 0.1) -> None:
        self._machine = machine
        self.interval = interval
        self._file = f"/run/stream-{namespace}"
        ping = f"ip netns exec {namespace} stdbuf -oL ping -D -i {interval} {address}"
        self._pid = machine.run(f"{ping} > {self._file} 2>&1 < /dev/null & echo $!").strip()
        self.more(5)

    def answered(self) -> list[int]:
        """Return the sequence numbers of the answers."""
        return [int(n) for n in re.findall(r"icmp_seq=(\d+) ttl", self._machine.run(f"cat {self._file}"))]

    def more(self, count: int) -> None:
        """Wait for further answers."""
        before = len(self.answered())
        until(lambda: len(self.answered()) >= before + count, f"{count} more answers in {self._file}")

    def lost(self) -> list[int]:
        """Return the numbers of those without an answer, up to the last one that has one."""
        numbers = self.answered()
        return sorted(set(range(1, max(numbers) + 1)) - set(numbers))

    def end(self) -> list[int]:
        """Wait for some more answers, end it, and return the lost ones."""
        self.more(10)
        self._machine.run(f"kill -INT {self._pid}")
        return self.lost()


class Site:
    """Two machines, the underlay between them, and this process beside it."""

    def __init__(self, directory: Path, *, kept: bool) -> None:
        self.directory = directory
        self.machines = tuple(Machine(number, directory) for number in (1, 2))
        self.host1, self.host2 = self.machines
        self._kept = kept

    def running(self) -> bool:
        """Say whether the machines are there."""
        return all(machine.running() for machine in self.machines)

    def start(self, package: Path) -> None:
        """Make the machines, with this package of sdnapp, and start them."""
        if subprocess.run(["ip", "netns", "pids", NAMESPACE], capture_output=True, check=False).stdout:
            raise RuntimeError(f"another run of these tests has machines in the namespace {NAMESPACE}")
        self.remove()
        self.directory.mkdir(parents=True)
        tree = self.directory / "root"
        image.root(package, tree)
        key = self.directory / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
        public = key.with_suffix(".pub").read_text(encoding="ascii")
        for machine in self.machines:
            image.disk(tree, machine.files(public), machine.path("raw"))
        self._wire()
        for machine in self.machines:
            machine.start(ends_with_us=not self._kept)

    def _wire(self) -> None:
        """Make the namespace, its two bridges, and the taps of the machines."""
        bridges = (("mgmt", "m", f"{MANAGEMENT}.254/24"), ("under", "u", f"{UNDERLAY}.10/24"))
        lines = [f"netns add {NAMESPACE}", f"-n {NAMESPACE} link set lo up"]
        for bridge, letter, address in bridges:
            lines += [
                f"-n {NAMESPACE} link add {bridge} type bridge mcast_snooping 0",
                f"-n {NAMESPACE} address add {address} dev {bridge}",
                f"-n {NAMESPACE} link set {bridge} up",
            ]
            for machine in self.machines:
                tap = f"{letter}{machine.number}"
                lines += [
                    f"-n {NAMESPACE} tuntap add {tap} mode tap",
                    f"-n {NAMESPACE} link set {tap} master {bridge} up",
                ]
        lines.append(f"-n {NAMESPACE} address add {UNDERLAY6}:10/64 dev under nodad")
        for line in lines:
            subprocess.run(["ip", *line.split()], check=True)

    def remove(self) -> None:
        """End the machines; remove their namespace, with all that is in it, and their files."""
        for machine in self.machines:
            machine.stop()
        subprocess.run(["ip", "netns", "delete", NAMESPACE], capture_output=True, check=False)
        shutil.rmtree(self.directory, ignore_errors=True)

    def apply(self, text: str) -> None:
        """Give both hosts a file, as a copy in place does."""
        for machine in self.machines:
            machine.write("/etc/sdnapp/overlay.yaml", text)

    @contextmanager
    def wire(self, *filters: str) -> Iterator[Path]:
        """Capture on the underlay meanwhile; yield the file of what tcpdump prints."""
        path = self.directory / "wire"
        with path.open("wb") as output:
            process = subprocess.Popen(
                [*_WHERE, "tcpdump", "-i", "under", "-n", "-l", "-v", *filters],
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            until(lambda: b"listening on" in path.read_bytes(), "tcpdump listens", 60)
            yield path
        finally:
            process.terminate()
            process.wait()
