"""Faucet in a virtual environment of its own, and how fast it learns from the traffic that we learn from."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
import venv
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from sdnapp.lab.errors import LabError
from tests.bench import learning
from tests.bench.figure import Effort, Figure, interleaved, plain
from tests.bench.flow_count import flow_count
from tests.ovs.controller import free_port
from tests.ovs.switchd import PrivateOvs, private_ovs

PACKAGE = "faucet==1.10.12"

BURST = 1000
"""Frames from new sources at once: as many as it learns in some seconds."""

QUIET, PATIENCE = 2.0, 60.0
"""Seconds without a new flow after which it is done; until something has gone wrong."""

_BRIDGE, _PORT = "s1", 1

# One VLAN, two ports, no limit to the hosts that are learned at one.
_CONFIG = """
vlans: {office: {vid: 10, max_hosts: 100000}}
dps:
  s1:
    dp_id: 1
    hardware: Open vSwitch
    timeout: 3600
    interfaces: {1: {native_vlan: office}, 2: {native_vlan: office}}
"""

_FLOWS_OF_A_HOST = 2
"""One that knows its source, one that knows it as a destination."""


def learning_beside(effort: Effort) -> Iterator[Figure]:
    """Let Faucet learn, too; where it cannot be installed, raise LabError when ours has learned."""
    yield from learning.figures(effort)
    programs = installed()
    rates = interleaved(learning.rate, partial(_rate, programs), effort.few)
    yield plain("locations learned from traffic, Faucet beside it", rates[0], "/s", rates[1])


def installed() -> Path:
    """Return where Faucet's programs are; install it the first time. Raises LabError if that cannot be."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    environment = cache / "sdnapp" / PACKAGE.replace("==", "-")
    programs = environment / "bin"
    if not (environment / "complete").exists():
        try:
            venv.create(environment, clear=True, with_pip=True)
            install = [str(programs / "pip"), "install", "--quiet", PACKAGE]
            subprocess.run(install, capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            said = str(getattr(error, "stderr", None) or error).strip()
            reason = said.splitlines()[-1]
            raise LabError(f"Faucet is not installed: pip install {PACKAGE}: {reason}") from None
        (environment / "complete").touch()
    return programs


def _rate(programs: Path) -> float:
    """Return how many locations it learns in a second of a burst."""
    with ExitStack() as ends:
        directory = Path(ends.enter_context(tempfile.TemporaryDirectory()))
        ovs = ends.enter_context(private_ovs(directory))
        port = free_port()
        _start(programs, directory, port, ends)
        _bridge(ovs, port)
        count = ends.enter_context(flow_count(directory / f"{_BRIDGE}.mgmt"))
        before, _ = _rest(count, least=1)
        sources = [number.to_bytes(6, "big") for number in range(0x02BB00000000, 0x02BB00000000 + BURST)]
        began = time.monotonic()
        learning.send(directory / f"{_BRIDGE}.mgmt", _PORT, sources)
        after, ended = _rest(count, least=before + 1)
        return (after - before) / _FLOWS_OF_A_HOST / (ended - began)


def _start(programs: Path, directory: Path, port: int, ends: ExitStack) -> None:
    """Start Faucet; it ends with the stack."""
    config, log = directory / "faucet.yaml", directory / "faucet.log"
    config.write_text(_CONFIG)
    names = {"CONFIG": config, "LOG": log, "EXCEPTION_LOG": log, "PROMETHEUS_PORT": free_port()}
    ours = {f"FAUCET_{name}": str(value) for name, value in names.items()}
    command = [
        str(programs / "faucet"),
        "--ryu-ofp-listen-host=127.0.0.1",
        f"--ryu-ofp-tcp-listen-port={port}",
    ]
    path = f"{programs}:{os.environ.get('PATH', os.defpath)}"
    output = ends.enter_context((directory / "output.log").open("wb"))
    process = subprocess.Popen(
        command,
        stdout=output,
        stderr=output,
        env={**os.environ, **ours, "PATH": path, "FAUCET_PROMETHEUS_ADDR": "127.0.0.1"},
    )
    ends.callback(process.wait)
    ends.callback(process.kill)


def _bridge(ovs: PrivateOvs, port: int) -> None:
    words = ["add-br", _BRIDGE, "--", "set", "bridge", _BRIDGE, "other-config:datapath-id=0000000000000001"]
    words += ["protocols=OpenFlow13", "fail_mode=secure", "other-config:disable-in-band=true"]
    for number in (1, 2):
        add = ["add-port", _BRIDGE, f"p{number}", "--", "set", "interface", f"p{number}", "type=dummy"]
        words += ["--", *add, f"ofport_request={number}"]
    ovs.vsctl(*words, "--", "set-controller", _BRIDGE, f"tcp:127.0.0.1:{port}")


def _rest(count: Callable[[], int], *, least: int) -> tuple[int, float]:
    """Return how many flows there are when no more come, and when the last one came."""
    last, changed = 0, time.monotonic()
    began = changed
    while last < least or time.monotonic() < changed + QUIET:
        now = count()
        if now != last:
            last, changed = now, time.monotonic()
        if time.monotonic() > began + PATIENCE:
            raise LabError("Faucet does not come to rest")
        time.sleep(0.02)
    return last, changed
