"""The lab under test: its services by name, started and ended, and what its controllers answer."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sdnapp.config_file import load
from sdnapp.lab import lifecycle, model, services
from sdnapp.lab.errors import LabError
from sdnapp.lab.machine import Machine, entered, inside, serve
from sdnapp.lab.process import Process, alive, kill
from sdnapp.net.model import Overlay
from tests.netns.conftest import Running, run

CENTRAL = services.CONTROLLER
_TARGET = "tcp:127.0.0.1:6653"
_REST_PORT = 8080


@dataclass(frozen=True)
class Known(Running):
    """A lab as tests use it, of which it is known what is in force, whatever its file holds just now."""

    known: Overlay

    @property
    def overlay(self) -> Overlay:
        return self.known


@dataclass
class Subject:
    """A lab of that name, with a central controller or one on every host. ``overlay``: what is in force."""

    name: str
    central: bool
    file: Path
    overlay: Overlay

    @property
    def lab(self) -> model.Lab:
        """The lab as it is written down now."""
        return model.read(self.name)

    @property
    def running(self) -> Running:
        """The same lab, as tests use it."""
        return Known(self.name, self.overlay)

    @property
    def hosts(self) -> tuple[str, ...]:
        """The hosts that there are; the file may have others."""
        return tuple(self.lab.hosts)

    @property
    def controllers(self) -> tuple[str, ...]:
        """The machines on which a controller runs."""
        return (CENTRAL,) if self.central else self.hosts

    def put(self, written: str) -> None:
        """Have this in force from now on."""
        self.file.write_text(written)
        self.overlay = load(self.file)

    def machine(self, name: str) -> Machine:
        """Return a machine by its name."""
        lab = self.lab
        assert lab.controller is not None
        return lab.controller if name == CENTRAL else lab.hosts[name]

    def process(self, machine: str, service: str) -> Process:
        """Return a service as it was last started."""
        return self.machine(machine).services[service]

    def processes(self) -> Mapping[tuple[str, str], Process]:
        """Return every service by machine and name."""
        wanted = [(of, services.CONTROLLER) for of in self.controllers]
        wanted += [(h, s) for h in self.hosts for s in (services.OVSDB, services.VSWITCHD, services.AGENT)]
        return {(machine, service): self.process(machine, service) for machine, service in wanted}

    def end(self, machine: str, service: str, by: signal.Signals = signal.SIGKILL) -> None:
        """End a service, if it runs, and wait until it is gone."""
        kill([self.process(machine, service)], by)

    def signal(self, machine: str, service: str, number: signal.Signals) -> None:
        """Send a signal to a service that runs."""
        process = self.process(machine, service)
        if alive(process):
            os.kill(process.pid, number)

    def supervise(self) -> None:
        """Start agents and controllers again that ended because they found no file to start with.

        So do their units (``Restart=`` in systemd.service(5)). Who ends for another reason stays ended.
        """
        for (machine, service), process in self.processes().items():
            if service in (services.AGENT, services.CONTROLLER) and not alive(process):
                log = self.lab.log(machine, service).read_text(errors="replace").splitlines()
                if log and log[-1].removeprefix("osken-manager: ").startswith(f"{self.file}:"):
                    self.start(machine, service)

    def start(self, machine: str, service: str) -> None:
        """Start a service, unless it runs."""
        lab = self.lab
        of = self.machine(machine)
        if service in of.services and alive(of.services[service]):
            return
        if service == services.OVSDB:
            started = services.start_database(lab, of)
        elif service == services.VSWITCHD:
            started = services.start_switch(lab, of)
        elif service == services.AGENT:
            started = services.start_agent(lab, of)
        elif machine == CENTRAL:
            with services.listen(int(lab.rest.rpartition(":")[2])) as listener:
                lab = replace(lab, rest=f"http://127.0.0.1:{listener.getsockname()[1]}")
                started = services.start_controller(lab, listener)
        else:
            run(inside(of, ["mkdir", "-p", self.state_directory(machine)]))
            started = serve(of, self._own_controller(machine), lab.log(machine, services.CONTROLLER))
        of = of.having({service: started})
        if machine == CENTRAL:
            model.save(replace(lab, controller=of))
        else:
            model.save(replace(lab, hosts={**lab.hosts, machine: of}))

    def _own_controller(self, host: str) -> list[str]:
        command = [services.script("osken-manager"), "sdnapp.overlay", "--overlay-config", str(self.file)]
        return [*command, "--state-dir", self.state_directory(host)]

    def state_directory(self, controller: str) -> str:
        """Return where a controller keeps what is in force, as its machine sees it."""
        return str(model.directory(self.name)) if controller == CENTRAL else "/var/lib/sdnapp"

    def get(self, path: str, controller: str, patience: float = 5.0) -> Any:
        """Return what a controller answers. Raises LabError when it does not."""
        if controller == CENTRAL:
            return lifecycle.get(self.lab, path, patience)
        try:
            with entered(self.machine(controller)):
                link = socket.create_connection(("127.0.0.1", _REST_PORT), timeout=patience)
            with link:
                connection = http.client.HTTPConnection("127.0.0.1")
                connection.sock = link
                connection.request("GET", path)
                answer = connection.getresponse()
                body = answer.read()
            if answer.status != http.HTTPStatus.OK:
                raise LabError(f"{path} of {controller} answers {answer.status} {answer.reason}")
            return json.loads(body)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise LabError(f"{path} of {controller} does not answer: {error}") from None

    def rest_address(self, controller: str) -> tuple[Machine | None, int]:
        """Return where REST listens: in a machine, or in none, and at which port of its loopback."""
        if controller == CENTRAL:
            return None, int(self.lab.rest.rpartition(":")[2])
        return self.machine(controller), _REST_PORT

    def openflow_address(self, controller: str) -> tuple[Machine, tuple[str, int]]:
        """Return where a controller waits for bridges, and a machine from which that can be reached."""
        if controller == CENTRAL:
            host = self.hosts[0]
            address = self.lab.targets[host].split(":")[1]
            return self.machine(host), (address, services.OPENFLOW_PORT)
        return self.machine(controller), ("127.0.0.1", services.OPENFLOW_PORT)

    def run(self, host: str, *command: str, check: bool = True) -> str:
        """Run a command on a host, or at a port, and return what it printed."""
        return self.running.run(host, *command, check=check)


@contextmanager
def brought_up(name: str, file: Path, *, central: bool, keep: Callable[[], bool]) -> Iterator[Subject]:
    """Bring the lab up, and take it down in the end, unless it is to be kept."""
    subject = Subject(name, central, file, load(file))
    lifecycle.up(name, file, lambda _: None)
    try:
        if not central:
            _everywhere(subject)
        yield subject
    finally:
        if not keep():
            lifecycle.down(name)


def _everywhere(subject: Subject) -> None:
    """Have a controller on every host, in place of the one that the lab came up with."""
    lab = subject.lab
    assert lab.controller is not None
    kill([lab.controller.services[services.CONTROLLER]])
    kill([host.services[services.AGENT] for host in lab.hosts.values()])
    model.save(replace(lab, targets=dict.fromkeys(lab.hosts, _TARGET)))
    for host in lab.hosts:
        subject.start(host, services.CONTROLLER)
        subject.start(host, services.AGENT)


@contextmanager
def variables(values: Mapping[str, str]) -> Iterator[None]:
    """Give what is started meanwhile these environment variables, too."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
