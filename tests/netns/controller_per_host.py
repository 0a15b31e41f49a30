"""A lab whose controller and agents make way for a controller and an agent on each host."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from sdnapp.lab import services
from sdnapp.lab.machine import serve
from sdnapp.lab.process import Process, kill
from tests.netns.conftest import Running, until

TARGET = "tcp:127.0.0.1:6653"


@contextmanager
def everywhere(central: Running) -> Iterator[Running]:
    """The lab with a controller on each host, once each of them has looked at its bridge."""
    lab = replace(central.lab, targets=dict.fromkeys(central.lab.hosts, TARGET))
    assert lab.controller is not None
    kill([lab.controller.services[services.CONTROLLER]])
    kill([host.services[services.AGENT] for host in lab.hosts.values()])
    started: list[Process] = []
    for host in lab.hosts.values():
        command = [services.script("osken-manager"), "sdnapp.overlay", "--overlay-config", lab.file]
        started.append(serve(host, command, lab.log(host.name, services.CONTROLLER)))
        started.append(services.start_agent(lab, host))
    running = Running(lab.name)
    until(lambda: all(_programmed(running, host) for host in lab.hosts), patience=20)
    yield running
    kill(started)


def _programmed(running: Running, host: str) -> bool:
    """Its own controller has looked at the bridge of this host."""
    log = running.lab.log(host, services.CONTROLLER)
    return log.exists() and "bridge.read" in log.read_text()
