"""How long a new port waits for its first answered ping."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from sdnapp.lab import lifecycle, services
from sdnapp.lab.errors import LabError
from sdnapp.lab.machine import environment, inside
from sdnapp.lab.model import Lab
from sdnapp.lab.process import kill
from tests.bench import ground
from tests.bench.figure import Figure, absolute
from tests.bench.ground import Workload

HOST, DEVICE = "host1", "eth0"

EVERY, PATIENCE = 0.01, 20
"""Seconds between pings, and until their first answer."""


def figures(rounds: int) -> Iterator[Figure]:
    """Add a port to the file; ping it from another host, where nobody has met it, until it answers.

    With an agent on its host, all that happens follows from the file. Without one, ``provision`` runs once;
    its start-up, the time in which it would print its help, is taken off.
    """
    with tempfile.TemporaryDirectory() as directory, ground.overlay(Path(directory)) as lab:
        elsewhere = ground.reaching(ground.red(lab)).far
        _ask_often(elsewhere)
        followed = [_first_answer(lab, elsewhere, f"{ground.NETWORK}.1{n}", None) for n in range(rounds)]
        yield absolute("new port, agent: from file to first ping", followed, "ms", at_most=300)

        kill([lab.hosts[HOST].services[services.AGENT]])
        sdnapp = [services.script("sdnapp"), "provision"]
        once = inside(lab.hosts[HOST], [*sdnapp, lab.file, "--host", HOST, "--controller", lab.targets[HOST]])
        start_up, called = [], []
        for n in range(rounds):
            start_up.append(_milliseconds(inside(lab.hosts[HOST], [*sdnapp, "--help"])))
            called.append(_first_answer(lab, elsewhere, f"{ground.NETWORK}.2{n}", once))
        beyond = median(called) - median(start_up)
        yield absolute("new port, provision: from start-up to first ping", [beyond], "ms", at_most=300)


def _first_answer(lab: Lab, elsewhere: Workload, address: str, provision: list[str] | None) -> float:
    """Return the milliseconds from the port being in the file to its first answer; then it goes again."""
    file = Path(lab.file)
    before = file.read_text()
    ping = elsewhere.command("timeout", str(PATIENCE), "ping", "-n", "-i", str(EVERY), address)
    with subprocess.Popen(ping, stdout=subprocess.PIPE, text=True) as pinging:
        assert pinging.stdout is not None
        try:
            pinging.stdout.readline()
            _replace(file, f"{before}  new: {{host: {HOST}, network: red/web, address: {address}/24}}\n")
            began = time.monotonic()
            with subprocess.Popen(provision or ["true"], stdout=subprocess.DEVNULL, env=environment()):
                if not any("bytes from" in line for line in pinging.stdout):
                    raise LabError(f"a new port does not answer within {PATIENCE} s")
                took = time.monotonic() - began
        finally:
            pinging.kill()
    _replace(file, before)
    if provision:
        ground.run(provision)
    ground.until(lambda: _is_gone(lab), "the port is still there")
    return took * 1000


def _ask_often(workload: Workload) -> None:
    """Let ARP repeat its question as often as ping does; the usual second would be all that is measured."""
    interval = f"/proc/sys/net/ipv4/neigh/{DEVICE}/retrans_time_ms"
    workload.run("sh", "-c", f"echo {EVERY * 1000:.0f} > {interval}")


def _replace(file: Path, text: str) -> None:
    """Change the file as editors do."""
    draft = file.with_suffix(".new")
    draft.write_text(text)
    os.replace(draft, file)


def _is_gone(lab: Lab) -> bool:
    """Whether the new port is gone, and nobody is busy with it."""
    namespace = Path(f"/proc/{lab.hosts[HOST].anchor.pid}/root/run/netns/new")
    return not namespace.exists() and all(host["in_sync"] for host in lifecycle.get(lab, "/v1/hosts"))


def _milliseconds(command: list[str]) -> float:
    began = time.monotonic()
    ground.run(command)
    return (time.monotonic() - began) * 1000
