"""A port moves to another host of a running lab, as in a live migration: same name, MAC and addresses.

The file is all that changes; agents and controller do the rest. The workload then announces itself.
"""

from __future__ import annotations

import os
import socket
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import yaml

from sdnapp.config import parse
from sdnapp.config_file import load, read
from sdnapp.frames.announcement import announcement
from sdnapp.lab.echo import tagged
from sdnapp.lab.errors import LabError
from sdnapp.lab.faults import machine_of
from sdnapp.lab.lifecycle import get
from sdnapp.lab.machine import entered
from sdnapp.lab.model import Lab
from sdnapp.lab.reachability import endpoints
from sdnapp.net.build import build

PATIENCE = 15.0
"""Seconds until a port must be at its new place."""


def move(lab: Lab, port: str, host: str) -> None:
    """Move a port to another host, wait until it is there, and announce it.

    Raises LabError for a port or a host that there is not, and when it does not get there.
    """
    machine_of(lab, host)
    load(lab.file)  # a broken one is refused by its name
    _write(Path(os.path.realpath(lab.file)), moved(read(lab.file).decode(), port, host))
    deadline = time.monotonic() + PATIENCE
    while not _arrived(lab, port, host):
        if time.monotonic() > deadline:
            raise LabError(f"{port} is not on {host} after {PATIENCE:.0f} s; lab status says more")
        time.sleep(0.01)
    announce(lab, port)


def moved(text: str, port: str, host: str) -> str:
    """Return the text of a file with another host for one port, everything else as it was written.

    Raises LabError where that cannot be done in the text, and ``Invalid`` where it would break the file.
    """
    overlay = build(parse(text.encode(), "the file"))
    if port not in overlay.ports:
        raise LabError(f"no port named '{port}'; there is {', '.join(overlay.ports)}")
    value = _value(yaml.compose(text, yaml.SafeLoader), "ports", port, "host")
    written = text[value.start_mark.index : value.end_mark.index] if value else ""
    if value is None or written.strip("'\"") != overlay.ports[port].host:
        raise LabError(f"the host of {port} is not written where it can be changed: edit the file")
    edited = text[: value.start_mark.index] + host + text[value.end_mark.index :]
    after = build(parse(edited.encode(), f"the file with {port} on {host}"))
    others = {name: of.host for name, of in after.ports.items() if of.host != overlay.ports[name].host}
    if others.keys() - {port}:
        raise LabError(f"the host of {port} is written together with that of others: edit the file")
    return edited


def announce(lab: Lab, port: str) -> None:
    """Announce the new location in the port's networks: gratuitous ARP, unsolicited ND."""
    for end in endpoints(load(lab.file)):
        if end.port == port:
            with entered(lab.hosts[end.host], end.namespace):
                wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
            with wire:
                wire.bind((end.wire, 0))
                for address in end.addresses:
                    wire.send(tagged(announcement(end.mac, address.ip), end.tag))


def _arrived(lab: Lab, port: str, host: str) -> bool:
    with suppress(LabError):
        there = [p for p in get(lab, "/v1/ports", patience=1.0) if p["name"] == port]
        synced = {h["name"] for h in get(lab, "/v1/hosts", patience=1.0) if h["in_sync"]}
        return host in synced and any(p["host"] == host and p["ofport"] for p in there)
    return False


def _value(node: yaml.Node | None, *path: str) -> yaml.ScalarNode | None:
    """Find the scalar at a path of keys, where it is written out."""
    for key in path:
        entries = node.value if isinstance(node, yaml.MappingNode) else []
        node = next((value for name, value in entries if name.value == key), None)
    return node if isinstance(node, yaml.ScalarNode) else None


def _write(path: Path, text: str) -> None:
    """Replace a file atomically."""
    with tempfile.NamedTemporaryFile(mode="w", encoding="utf-8", dir=path.parent, delete=False) as draft:
        draft.write(text)
    os.chmod(draft.name, path.stat().st_mode)
    os.replace(draft.name, path)
