"""Start and stop of a lab."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sdnapp.config_file import load
from sdnapp.lab import identity, services, underlay
from sdnapp.lab.errors import LabError
from sdnapp.lab.machine import Machine, StartingMachine
from sdnapp.lab.model import Lab, claim, directory, erase, read, save
from sdnapp.lab.process import alive, kill
from sdnapp.net.model import Overlay
from sdnapp.signals import held_back

READY = 30.0
"""Seconds until every bridge must be connected and reconciled, and a tenth of one more for each port."""

Report = Callable[[str], None]


def up(name: str, file: Path, report: Report) -> Lab:
    """Bring a lab up and wait until it is ready: every host provisioned, connected and in sync.

    ``report`` gets one line for each step done. Raises LabError, or ``sdnapp.config.Invalid`` for a broken
    file; whatever ends it early, Ctrl-C too, takes everything down again.
    """
    services.require("ovsdb-server", "ovs-vswitchd", "ovsdb-tool", "nsenter", "unshare", "setsid", "mount")
    overlay = load(file)
    segments = underlay.plan(overlay)
    with ExitStack() as undo:
        with held_back():  # or the name would stay taken
            claim(name)
            undo.callback(down, name)
        lab = _up(name, file, overlay, segments, report)
        undo.pop_all()
    return lab


def _up(
    name: str, file: Path, overlay: Overlay, segments: tuple[underlay.Segment, ...], report: Report
) -> Lab:
    as_in_file = underlay.as_in_file(overlay, segments)
    listener = services.listen(overlay.controller.rest.port)
    with listener:
        lab = Lab(
            name=name,
            file=str(file.absolute()),
            rest=f"http://127.0.0.1:{listener.getsockname()[1]}",
            listen=None if as_in_file else str(segments[0].controller) if len(segments) == 1 else "::",
            targets={} if as_in_file else _targets(overlay, segments),
            uplinks={host: underlay.uplink(overlay, host) for host in overlay.hosts},
        )
        lab = _machines(lab, overlay)
        assert lab.underlay is not None
        assert lab.controller is not None
        underlay.wire(overlay, segments, lab.underlay, lab.controller, lab.hosts)
        report(f"underlay {', '.join(str(segment.subnet) for segment in segments)}")
        controller = services.start_controller(lab, listener)
    lab = replace(lab, controller=lab.controller.having({services.CONTROLLER: controller}))
    with ThreadPoolExecutor(max_workers=8) as pool:
        hosts = pool.map(lambda host: _start_host(lab, host), lab.hosts.values())
        lab = replace(lab, hosts={host.name: host for host in hosts})
    save(lab)
    report(f"{len(lab.hosts)} hosts with Open vSwitch: {', '.join(lab.hosts)}")
    _wait(lab, READY + len(overlay.ports) / 10, report)
    return lab


def down(name: str) -> None:
    """Take a lab down, complete or not. Nothing to do is no error."""
    if (directory(name) / "lab.json").exists():
        kill(machine.anchor for machine in read(name).machines)
    erase(name)


def get(lab: Lab, path: str, patience: float = 10.0) -> Any:
    """Return what REST answers at a path. Raises LabError when it does not answer within the patience."""
    where = urlsplit(lab.rest)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=patience)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != http.HTTPStatus.OK:
            raise LabError(f"{lab.rest}{path} answers {answer.status} {answer.reason}")
        return json.loads(body)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise LabError(f"{lab.rest}{path} does not answer: {error}") from None
    finally:
        connection.close()


def target(lab: Lab, host: str) -> str:
    """Return where the bridge of a host connects."""
    return lab.targets.get(host) or load(lab.file).controller.target


def _targets(overlay: Overlay, segments: tuple[underlay.Segment, ...]) -> dict[str, str]:
    """Where each bridge connects, instead of where the file says: the first of the listeners."""
    port, tls = services.OPENFLOW_PORT, overlay.controller.listens[0].tls
    return {
        host.name: underlay.target(underlay.controller_for(host.vtep, segments), port, tls=tls)
        for host in overlay.hosts.values()
    }


def _machines(lab: Lab, overlay: Overlay) -> Lab:
    """Start all machines at once, write them down, then let them live on without us."""
    with _births() as births:
        for special in ("underlay", "controller"):
            births.append(StartingMachine(special, None))
        for host in overlay.hosts:
            for part in ("openvswitch", "etc"):
                (lab.home(host) / part).mkdir(parents=True)
        if identity.wanted(overlay):
            identity.make(lab, overlay)
        births += [StartingMachine(host, lab.home(host)) for host in overlay.hosts]
        segment, controller, *hosts = [birth.machine() for birth in births]
        lab = replace(lab, underlay=segment, controller=controller, hosts={m.name: m for m in hosts})
        save(lab)
        for birth in births:
            birth.settle()
    return lab


@contextmanager
def _births() -> Iterator[list[StartingMachine]]:
    births: list[StartingMachine] = []
    try:
        yield births
    finally:
        for birth in births:
            birth.close()


def _start_host(lab: Lab, host: Machine) -> Machine:
    database = services.start_database(lab, host)
    switch = services.start_switch(lab, host)
    agent = services.start_agent(lab, host)
    return host.having({services.OVSDB: database, services.VSWITCHD: switch, services.AGENT: agent})


def _wait(lab: Lab, patience: float, report: Report) -> None:
    """Wait until every host is provisioned, connected and in sync, reporting each as it gets there."""
    deadline = time.monotonic() + patience
    provisioned: set[str] = set()
    ready: set[str] = set()
    while ready != set(lab.hosts):
        _all_alive(lab)
        provisioned |= {host for host in lab.hosts if host not in provisioned and _provisioned(lab, host)}
        answer = {host["name"]: host for host in _hosts(lab)}
        for host in sorted(provisioned - ready):
            state = answer.get(host, {})
            if state.get("connected") and state.get("in_sync"):
                ready.add(host)
                report(f"{host} is provisioned, connected to {target(lab, host)} and in sync")
                for problem in _problems(lab, host):
                    report(f"but {host} lacks something: {problem}")
        if time.monotonic() > deadline:
            raise LabError(_stuck(lab, provisioned, answer))
        time.sleep(0.02)


def _hosts(lab: Lab) -> list[dict[str, Any]]:
    with suppress(LabError):
        return list(get(lab, "/v1/hosts", patience=1.0))
    return []


def _provisioned(lab: Lab, host: str) -> bool:
    """Whether the agent of a host has logged that it is ready."""
    return any(line.split()[-1:] == ["ready"] for line in _said(lab, host))


def _problems(lab: Lab, host: str) -> list[str]:
    """Return what the agent of a host could not do, in its words."""
    return [line.partition(" ERROR ")[2] for line in _said(lab, host) if " ERROR " in line]


def _said(lab: Lab, host: str) -> list[str]:
    try:
        return lab.log(host, services.AGENT).read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []


def _all_alive(lab: Lab) -> None:
    for machine in lab.machines:
        for name, process in machine.services.items():
            if not alive(process):
                log = services.tail(lab.log(machine.name, name))
                raise LabError(f"{services.called(machine, name)} has ended:\n{log}")


def _stuck(lab: Lab, provisioned: set[str], answer: dict[str, dict[str, Any]]) -> str:
    """Say which host is not ready, and show the log that most likely says why."""
    for host in lab.hosts:
        if host not in provisioned or _problems(lab, host):
            return f"{host} is not provisioned in time:\n{services.tail(lab.log(host, services.AGENT))}"
        state = answer.get(host, {})
        if not (state.get("connected") and state.get("in_sync")):
            problem = "in sync" if state.get("connected") else "connected"
            log = services.tail(lab.log(services.CONTROLLER, services.CONTROLLER))
            return f"{host} is provisioned but not {problem} in time:\n{log}"
    return "the lab is not ready in time"
