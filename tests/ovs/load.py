"""An honest bridge in a real Open vSwitch, one whose echoes are timed, and assaults beside them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from struct import pack
from typing import NamedTuple
from unittest.mock import patch

from sdnapp.config_file import load
from sdnapp.net.model import Host, TlsFiles
from sdnapp.openflow.encode import VERSION
from tests.certificates import Pki
from tests.overlays import numbers
from tests.ovs.census import ASKED
from tests.ovs.controller import Controller, until, waited
from tests.ovs.rogue import ECHO_REPLY, ECHO_REQUEST, Rogue, message
from tests.ovs.switchd import PrivateOvs, private_ovs

FILE = """
overlay: {encapsulation: gre}
controller: {target: "tcp:192.168.4.10:6653",
             accept_from: {host1: 127.0.0.1, host2: 127.0.0.1, host3: 127.0.0.1}}
tenants: {red: {networks: {web: {vlan: 10, vni: 5010, subnet: 10.1.1.0/24}}}}
hosts:
  host1: {vtep: 192.168.4.201}
  host2: {vtep: 192.168.4.202}
  host3: {vtep: 192.168.4.203}
ports:
  a1: {host: host1, network: red/web, address: 10.1.1.1/24, mac: "02:00:00:00:00:a1"}
  a2: {host: host1, network: red/web, address: 10.1.1.2/24, mac: "02:00:00:00:00:a2"}
  b:  {host: host2, network: red/web}
  c:  {host: host3, network: red/web}
"""
FEWEST = 30
"""Echoes, and frames of the stream, that a measurement has."""
ELDEST = 24
"""Threads of the controller that serve bridges which were there at first, among others."""
EVERY = 0.01
"""Seconds between two frames of the stream, and between two echoes."""
_NO_BUFFER, _TABLE, _PACKET_OUT = 0xFFFFFFFF, 0xFFFFFFF9, 13


class Echo(NamedTuple):
    """How long an echo took: by the clock, and without the time in which there was no processor for it."""

    seconds: float
    own: float


@dataclass(frozen=True, slots=True)
class Load:
    """What came of one assault: echoes, frames of the stream, bytes of memory, files and threads left."""

    echoes: list[Echo]
    sent: int
    received: int
    grown: int
    left: int
    files: int
    threads: int
    greenlets: int

    def echo(self, share: float) -> Echo:
        """What so many of all echoes are not above."""
        rank = min(len(self.echoes) - 1, int(share * len(self.echoes)))
        return Echo(*(sorted(times)[rank] for times in zip(*self.echoes, strict=True)))


class Timed(Rogue):
    """A bridge that says when echoes come back."""

    def __init__(self, controller: Controller, host: Host) -> None:
        super().__init__(("127.0.0.1", controller.openflow), host.datapath_id, numbers(host))
        self._pids = controller.pid, os.getpid()
        self._end = self._busy = 0.0
        self._back = threading.Event()
        self.thread = threading.Thread(target=self.play, daemon=True)
        self.thread.start()

    def answer(self, kind: int, xid: int, body: bytes) -> None:
        if kind == ECHO_REPLY:
            self._end, self._busy = time.monotonic(), waited(*self._pids, threads=ELDEST) - self._busy
            self._back.set()
        else:
            super().answer(kind, xid, body)

    def echo(self) -> Echo:
        """Measure an echo."""
        self._back.clear()
        self._busy = waited(*self._pids, threads=ELDEST)
        begin = time.monotonic()
        self.say(message(ECHO_REQUEST, b"echo"))
        assert self._back.wait(40)
        seconds = self._end - begin
        return Echo(seconds, max(0.0, seconds - max(0.0, self._busy)))


class Scene:
    """A controller with two honest bridges; that of host1 connects by TLS if it has files for that."""

    def __init__(
        self, controller: Controller, ovs: PrivateOvs, census: Path, tls: TlsFiles | None = None
    ) -> None:
        self.controller, self.ovs, self.census = controller, ovs, census
        self.target = f"tcp:127.0.0.1:{controller.openflow}"
        if tls is not None:
            self.target = f"ssl:127.0.0.1:{controller.secured}"
            ovs.vsctl("set-ssl", tls.key, tls.certificate, tls.ca)
        self.hosts = dict(load(controller.file).hosts)
        self.a1, self.a2 = (port.ofport for port in self.hosts["host1"].ports)
        self._add(self.hosts["host1"])
        self.timed = Timed(controller, self.hosts["host2"])
        until(lambda: self.in_sync("host1", "host2"))
        self.calm = self.state()

    def in_sync(self, *names: str) -> bool:
        hosts = {host["name"]: host for host in self.controller.get("/v1/hosts")}
        return all(hosts[name]["in_sync"] for name in names)

    def state(self) -> tuple[int, int, int]:
        """Open files, threads and greenlets of the controller."""
        process, file = Path(f"/proc/{self.controller.pid}"), self.census
        file.write_text(ASKED)
        until(lambda: file.read_text().isdigit())
        files, tasks = (len(list((process / kind).iterdir())) for kind in ("fd", "task"))
        return files, tasks, int(file.read_text())

    def suffer(self, kind: str | None, seconds: float) -> Load:
        """Measure for so long beside an assault, then wait until all is as before. None: beside nothing."""
        before = self._memory("VmRSS")
        Path(f"/proc/{self.controller.pid}/clear_refs").write_text("5")  # VmHWM begins anew (proc(5))
        counted = self._received()
        with self._under(kind):
            echoes, sent = self._measure(seconds)
        received = self._received() - counted
        grown = self._memory("VmHWM") - before
        until(lambda: not self.controller.get("/v1/status")["unknown_bridges"])
        files, threads, greenlets = self._left()
        left = self._memory("VmRSS") - before
        return Load(echoes, sent, received, grown, left, files, threads, greenlets)

    def _left(self) -> list[int]:
        """What there is more of than at first, when it has become no less for a while."""
        end = time.monotonic() + 20
        while True:
            left = [now - was for now, was in zip(self.state(), self.calm, strict=True)]
            if max(left) <= 0 or time.monotonic() > end:
                return left
            time.sleep(0.1)

    @contextmanager
    def _under(self, kind: str | None) -> Iterator[None]:
        if kind is None:
            yield
            return
        host3 = self.hosts["host3"]
        (port,) = host3.ports
        numbers = [str(n) for n in (self.controller.openflow, host3.datapath_id, port.ofport)]
        command = [sys.executable, "-m", "tests.ovs.assault", kind, *numbers]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield
            assert process.poll() is None, "the assault has ended by itself"

    def _measure(self, seconds: float) -> tuple[list[Echo], int]:
        """Echoes, and how many frames were sent, side by side."""
        echoes: list[Echo] = []
        end, sent = time.monotonic() + seconds, 0
        with socket.socket(socket.AF_UNIX) as bridge:
            bridge.connect(str(self.ovs.directory / "host1.mgmt"))
            bridge.sendall(pack("!BBHI", VERSION, 0, 8, 0))
            while time.monotonic() < end or sent < FEWEST:
                bridge.sendall(self._frame(sent))
                sent += 1
                echoes.append(self.timed.echo())
                time.sleep(EVERY)
            bridge.shutdown(socket.SHUT_WR)
            while bridge.recv(65536):
                pass
        return echoes, sent

    def _frame(self, number: int) -> bytes:
        """A packet-out that lets a frame come in on the first port (OpenFlow 1.3.5 section 7.3.7)."""
        ethernet = bytes.fromhex("0200000000a20200000000a188b5") + pack("!I", number) + bytes(42)
        action = pack("!HHIHxxxxxx", 0, 16, _TABLE, 0)
        head = pack("!IIHxxxxxx", _NO_BUFFER, self.a1, len(action))
        return message(_PACKET_OUT, head + action + ethernet)

    def _received(self) -> int:
        """Frames that have left on the second port."""
        ports = self.ovs.ofctl("dump-ports", "host1", str(self.a2))
        return int(ports.split("tx pkts=")[1].split(",")[0])

    def _memory(self, field: str) -> int:
        lines = Path(f"/proc/{self.controller.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))

    def _add(self, host: Host) -> None:
        name = host.name
        command = ["add-br", name, "--", "set", "bridge", name, "fail_mode=secure", "protocols=OpenFlow13"]
        command += [f"other_config:datapath-id={host.datapath_id:016x}", "other_config:disable-in-band=true"]
        command += ["--", "set-controller", name, self.target]
        for interface, number in numbers(host).items():
            command += ["--", "add-port", name, interface, "--", "set", "interface", interface]
            command += ["type=dummy", f"ofport_request={number}"]
        self.ovs.vsctl(*command)


ROOT = Path(__file__).parents[2]


@contextmanager
def scene(directory: Path, hub: str, pki: Pki | None = None) -> Iterator[Scene]:
    """A controller on this hub and its bridges, with certificates of ``pki``; all ends with the block."""
    ours = None if pki is None else pki.make("controller", "controller")
    theirs = None if pki is None else pki.make("host", "host1")
    with ExitStack() as ends:
        controller = Controller(directory, hub, FILE, ours)
        census = directory / "census"
        with patch.dict(os.environ, {"CENSUS": str(census), "PYTHONPATH": str(ROOT)}):
            controller.start("tests.ovs.census")
        ends.callback(partial(controller.end, signal.SIGKILL))
        until(lambda: "controller.listening" in controller.log.read_text())
        made = Scene(controller, ends.enter_context(private_ovs(directory)), census, theirs)
        ends.callback(made.timed.close)
        yield made
