"""Status of a lab as plain values, for ``lab status``."""

from __future__ import annotations

from contextlib import suppress
from operator import itemgetter
from typing import Any

from sdnapp.lab.active_config import in_force
from sdnapp.lab.errors import LabError
from sdnapp.lab.lifecycle import get
from sdnapp.lab.machine import Machine
from sdnapp.lab.model import Lab, directory
from sdnapp.lab.process import alive
from sdnapp.net.model import FloatingPort, Overlay, Port


def status(lab: Lab) -> dict[str, Any]:
    """Return the status of a lab.

    ``problem`` is None unless the file is broken now: then hosts and ports are those of the last good one.
    ``connected`` and ``in_sync`` of a host are None where the controller does not answer.
    """
    overlay, invalid = in_force(lab)
    seen: dict[str, Any] = {}
    with suppress(LabError):
        seen = {host["name"]: host for host in get(lab, "/v1/hosts", patience=2.0)}
    return {
        "name": lab.name,
        "file": lab.file,
        "problem": invalid and f"{lab.file} is broken: {invalid.problems[0].message}",
        "directory": str(directory(lab.name)),
        "rest": lab.rest,
        "controller": lab.controller and _machine(lab.controller),
        "underlay": lab.underlay and _machine(lab.underlay),
        "hosts": [_host(lab, host, overlay, seen.get(host.name, {})) for host in lab.hosts.values()],
        "ports": ports(overlay),
    }


def _machine(machine: Machine) -> dict[str, Any]:
    return {
        "anchor": machine.anchor.pid,
        "running": alive(machine.anchor),
        "network_namespace": f"/proc/{machine.anchor.pid}/ns/net",
        "processes": {
            name: process.pid if alive(process) else None for name, process in machine.services.items()
        },
    }


def _host(lab: Lab, machine: Machine, overlay: Overlay, seen: dict[str, Any]) -> dict[str, Any]:
    host = overlay.hosts.get(machine.name)
    return {
        "name": machine.name,
        **_machine(machine),
        "vtep": host and str(host.vtep),
        "uplink": lab.uplinks[machine.name],
        "bridge": host and host.bridge,
        "datapath_id": host and f"{host.datapath_id:016x}",
        "ovsdb": lab.database(machine.name),
        "target": lab.targets.get(machine.name) or overlay.controller.target,
        "connected": seen.get("connected"),
        "in_sync": seen.get("in_sync"),
        "problems": seen.get("problems", ""),
    }


def ports(overlay: Overlay) -> list[dict[str, Any]]:
    """Return the ports of the file by name, unbound ones included."""
    bound = (port for name, port in overlay.bound.items() if name not in overlay.ports)
    shown = [*(_port(port) for port in overlay.ports.values()), *(_port(port) for port in bound)]
    return sorted(shown, key=itemgetter("name"))


def _port(port: Port | FloatingPort) -> dict[str, Any]:
    made = port if isinstance(port, Port) else None  # others are found by their iface-id, wherever they are
    return {
        "name": port.name,
        "host": port.host,
        "networks": [attachment.network for attachment in port.attachments],
        "namespace": made and made.namespace,
        "external_vtep": made is not None and made.tunnel is not None,
        "device": made and made.device,
        "interface": made and made.interface,
        "mac": port.mac,
        "addresses": [str(address) for a in port.attachments for address in a.addresses],
    }
