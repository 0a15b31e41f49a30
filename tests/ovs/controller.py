"""``osken-manager sdnapp.overlay`` as a process, started as users start it: its file, its log, its REST."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from sdnapp.net.model import TlsFiles


class Controller:
    """The controller's process, its file, its log."""

    def __init__(self, directory: Path, hub: str, text: str, tls: TlsFiles | None = None) -> None:
        """With ``tls`` bridges may connect to ``secured``, too."""
        self.file = directory / "overlay.yaml"
        self.log = directory / "controller.log"
        self.hub = hub
        self.openflow, self.secured, rest = free_port(), free_port(), free_port()
        self.tls = tls
        self.rest = f"http://127.0.0.1:{rest}"
        self.write(text)
        self.process: subprocess.Popen[bytes] | None = None

    def write(self, text: str) -> None:
        """Replace the file, as an editor does."""
        target = "target: "
        listen = f'"tcp:127.0.0.1:{self.openflow}"'
        if self.tls is not None:
            files = f"key: {self.tls.key}, certificate: {self.tls.certificate}, ca: {self.tls.ca}"
            listen = f'[{listen}, "ssl:127.0.0.1:{self.secured}"], tls: {{{files}}}'
        ours = f'listen: {listen}, rest: "{self.rest}", {target}'
        new = self.file.with_suffix(".new")
        new.write_text(text.replace(target, ours, 1), encoding="utf-8")
        new.rename(self.file)

    def start(self, *options: str) -> None:
        command = [str(Path(sys.executable).with_name("osken-manager")), "sdnapp.overlay", *options]
        command += ["--overlay-config", str(self.file)]
        with self.log.open("ab") as log:
            environment = {**os.environ, "OSKEN_HUB_TYPE": self.hub}
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def end(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(10)
        self.process = None
        return code

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.rest + path, timeout=10) as answer:
            return json.load(answer)

    def in_sync(self) -> bool:
        try:
            return all(host["connected"] and host["in_sync"] for host in self.get("/v1/hosts"))
        except OSError:
            return False

    def events(self, name: str) -> int:
        return len(re.findall(rf"\b{re.escape(name)}\b", self.log.read_text(encoding="utf-8")))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


def until(condition: Callable[[], Any], seconds: float = 40) -> None:
    """Wait for what an event will bring about; fail after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.02)


def waited(*pids: int, threads: int | None = None) -> float:
    """Seconds for which threads of these processes were ready and had no processor, so far (proc(5), and
    Documentation/scheduler/sched-stats of Linux): what a busy machine adds to all that is measured on it.

    ``threads``: only so many of each process count, the eldest.
    """
    waits = 0
    for tasks in (Path(f"/proc/{pid}/task") for pid in pids):
        for thread in sorted(map(int, os.listdir(tasks)))[:threads]:
            with suppress(OSError):  # the thread has ended
                waits += int((tasks / str(thread) / "schedstat").read_text().split()[1])
    return waits / 1e9
