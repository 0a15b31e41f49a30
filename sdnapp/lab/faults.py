"""Faults of hosts, injected into a lab: processes end and restart.

Each function returns the lab as it is then, written down for the commands that follow.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import replace

from sdnapp.lab import services
from sdnapp.lab.errors import LabError
from sdnapp.lab.machine import Machine
from sdnapp.lab.model import Lab, save
from sdnapp.lab.process import Process, alive, kill


def stop_controller(lab: Lab) -> Lab:
    """End the controller with SIGTERM, as a service manager does, and wait until it has ended."""
    return _end(lab, _controller(lab), services.CONTROLLER, signal.SIGTERM)


def kill_controller(lab: Lab) -> Lab:
    """SIGKILL the controller."""
    return _end(lab, _controller(lab), services.CONTROLLER, signal.SIGKILL)


def start_controller(lab: Lab) -> Lab:
    """Start the controller again, its REST where it was, or elsewhere if that port is taken by now."""
    machine = _controller(lab)
    _absent(machine, services.CONTROLLER)
    with services.listen(int(lab.rest.rpartition(":")[2])) as listener:
        lab = replace(lab, rest=f"http://127.0.0.1:{listener.getsockname()[1]}")
        return _having(lab, machine, {services.CONTROLLER: services.start_controller(lab, listener)})


def kill_switch(lab: Lab, host: str) -> Lab:
    """SIGKILL ovs-vswitchd of a host; with the userspace datapath, all forwarding there ends with it."""
    return _end(lab, machine_of(lab, host), services.VSWITCHD, signal.SIGKILL)


def start_switch(lab: Lab, host: str) -> Lab:
    """Start ovs-vswitchd of a host again."""
    machine = machine_of(lab, host)
    _absent(machine, services.VSWITCHD)
    return _having(lab, machine, {services.VSWITCHD: services.start_switch(lab, machine)})


def kill_agent(lab: Lab, host: str) -> Lab:
    """SIGKILL the agent of a host: what changes in the file from then on is not provisioned there."""
    return _end(lab, machine_of(lab, host), services.AGENT, signal.SIGKILL)


def start_agent(lab: Lab, host: str) -> Lab:
    """Start the agent of a host again."""
    machine = machine_of(lab, host)
    _absent(machine, services.AGENT)
    return _having(lab, machine, {services.AGENT: services.start_agent(lab, machine)})


def restart_database(lab: Lab, host: str) -> Lab:
    """End ovsdb-server of a host, and start it again on the same database."""
    machine = machine_of(lab, host)
    kill([machine.services[services.OVSDB]], signal.SIGTERM)
    return _having(lab, machine, {services.OVSDB: services.start_database(lab, machine)})


def machine_of(lab: Lab, host: str) -> Machine:
    """Return a host of the lab. Raises LabError naming those that there are."""
    if host not in lab.hosts:
        raise LabError(f"no host named '{host}' in lab '{lab.name}'; there is {', '.join(lab.hosts)}")
    return lab.hosts[host]


def _controller(lab: Lab) -> Machine:
    if lab.controller is None:
        raise LabError(f"lab '{lab.name}' has no controller")
    return lab.controller


def _end(lab: Lab, machine: Machine, service: str, by: signal.Signals) -> Lab:
    process = machine.services.get(service)
    if process is None or not alive(process):
        raise LabError(f"{services.called(machine, service)} does not run")
    kill([process], by)
    return lab


def _absent(machine: Machine, service: str) -> None:
    if alive(machine.services[service]):
        raise LabError(f"{services.called(machine, service)} runs already")


def _having(lab: Lab, machine: Machine, processes: Mapping[str, Process]) -> Lab:
    machine = machine.having(processes)
    if lab.controller is not None and machine.name == lab.controller.name:
        lab = replace(lab, controller=machine)
    else:
        lab = replace(lab, hosts={**lab.hosts, machine.name: machine})
    save(lab)
    return lab
