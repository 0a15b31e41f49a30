"""How long a new port waits for its first ping, what others lose meanwhile, and how long 200 ports take."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path

from sdnapp.lab import lifecycle, services
from sdnapp.lab.errors import LabError
from sdnapp.lab.machine import inside
from sdnapp.lab.model import Lab
from sdnapp.lab.process import kill
from sdnapp.lab.stream import streaming
from tests.bench import ground
from tests.bench.figure import Effort, Figure, absolute
from tests.bench.ground import Workload

HOST, DEVICE = "host1", "eth0"
SOME, MANY = 100, 200
DATABASE = "/etc/openvswitch/conf.db"

EVERY, PATIENCE = 0.01, 20
"""Seconds between pings, and until their first answer."""


# Provision with its imports done, waiting for a word to begin.
_STARTED = "from sdnapp.cli.provision import provision; print('started', flush=True); input(); provision()"


def figures(effort: Effort) -> Iterator[Figure]:
    """Add a port to the file; ping it from another host, where nobody has met it, until it answers.

    With an agent on its host, all that happens follows from the file. Without one, ``provision`` runs once,
    in a process that has started before.
    """
    with tempfile.TemporaryDirectory() as directory, ground.overlay(Path(directory)) as lab:
        elsewhere = ground.reaching(ground.red(lab)).far
        _ask_often(elsewhere)
        followed = [
            _first_answer(lab, elsewhere, f"{ground.NETWORK}.1{n}", nullcontext) for n in range(effort.few)
        ]
        yield absolute("new port, agent: from file to first ping", followed, "ms", at_most=300)

        if not effort.quick:
            lost = [_lost(lab) for _ in range(effort.few)]
            name = f"{SOME} ports come and go beside others, which lose of 1,000 packets/s each way"
            yield absolute(name, lost, "", at_most=0)

        kill([lab.hosts[HOST].services[services.AGENT]])
        once = partial(_provisioning, lab)
        called = [_first_answer(lab, elsewhere, f"{ground.NETWORK}.2{n}", once) for n in range(effort.few)]
        yield absolute("new port, provision: from start-up to first ping", called, "ms", at_most=300)

        few = Path(lab.file).read_text()
        made = [_many(lab, few) for _ in range(effort.few)]
        name = f"provision of {MANY} ports on one host"
        yield absolute(name, [seconds for seconds, _ in made], "s", at_most=5)
        yield absolute(f"{name}: OVSDB transactions", [max(times for _, times in made)], "", at_most=1)


def _first_answer(
    lab: Lab, elsewhere: Workload, address: str, acting: Callable[[], AbstractContextManager[object]]
) -> float:
    """Return the milliseconds from the port being in the file to its first answer; then it goes again."""
    file = Path(lab.file)
    before = file.read_text()
    ping = elsewhere.command("timeout", str(PATIENCE), "ping", "-nD", "-i", str(EVERY), address)
    with subprocess.Popen(ping, stdout=subprocess.PIPE, text=True) as pinging:
        assert pinging.stdout is not None
        try:
            pinging.stdout.readline()
            with acting():
                _replace(file, f"{before}  new: {{host: {HOST}, network: red/web, address: {address}/24}}\n")
                began = time.time()
            answers = (re.match(r"\[([\d.]+)\] \d+ bytes from", line) for line in pinging.stdout)
            answer = next(filter(None, answers), None)
        finally:
            pinging.kill()
    with acting():
        _replace(file, before)
    ground.until(lambda: _is_gone(lab), "the port is still there")
    if answer is None:
        raise LabError(f"a new port does not answer within {PATIENCE} s")
    return (float(answer.group(1)) - began) * 1000


def _lost(lab: Lab) -> int:
    """Have the agent make and remove ports beside a stream; return how many packets of that are lost."""
    file = Path(lab.file)
    few = file.read_text()
    with streaming(lab, [("red1", "red2"), ("red2", "red1")]) as stream:
        _replace(file, few + _ports(SOME))
        ground.until(lambda: _attached(lab) >= SOME, "the ports do not come", patience=30.0)
        _replace(file, few)
        ground.until(lambda: not _made(lab), "the ports do not go", patience=30.0)
    return sum(count.lost for count in stream.counts())


def _ports(number: int) -> str:
    return "".join(f"  p{n}: {{host: {HOST}, network: red/web}}\n" for n in range(number))


def _attached(lab: Lab) -> int:
    return len(ground.run(inside(lab.hosts[HOST], ["ovs-vsctl", "list-ports", "br-int"])).split())


def _made(lab: Lab) -> list[str]:
    """Return the namespaces of ports that were made."""
    there = Path(f"/proc/{lab.hosts[HOST].anchor.pid}/root/run/netns").iterdir()
    return [namespace.name for namespace in there if re.fullmatch(r"p\d+|new", namespace.name)]


def _many(lab: Lab, few: str) -> tuple[float, int]:
    """Begin with few ports; return the seconds of the command that makes many, and its transactions."""
    file = Path(lab.file)
    command = [services.script("sdnapp"), "provision", lab.file, "--host", HOST]
    command += ["--controller", lab.targets[HOST]]
    _replace(file, few)
    ground.run(inside(lab.hosts[HOST], command))
    already = _transactions(lab)
    _replace(file, few + _ports(MANY))
    began = time.monotonic()
    ground.run(inside(lab.hosts[HOST], command))
    return time.monotonic() - began, _transactions(lab) - already


def _transactions(lab: Lab) -> int:
    """Count what provision has written to the database of its host (ovsdb-tool(1), show-log)."""
    shown = ground.run(inside(lab.hosts[HOST], ["ovsdb-tool", "show-log", DATABASE]))
    return shown.count("sdnapp provision")


@contextmanager
def _provisioning(lab: Lab) -> Iterator[None]:
    """Start ``provision`` and, when the block ends, let it do its work."""
    arguments = [lab.file, "--host", HOST, "--controller", lab.targets[HOST]]
    command = inside(lab.hosts[HOST], [sys.executable, "-c", _STARTED, *arguments])
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    yield
    process.communicate("go\n")


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
    return not _made(lab) and all(host["in_sync"] for host in lifecycle.get(lab, "/v1/hosts"))
