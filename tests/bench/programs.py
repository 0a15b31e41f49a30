"""How many flows a bridge needs: what grows with networks must not grow with anything else."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from flows.compile import compile_bridge
from flows.view import BridgeView
from sdnapp.config_file import load
from sdnapp.net.encap_migration import desired_encap
from sdnapp.net.events import BridgeFound
from sdnapp.net.model import Overlay
from sdnapp.net.project import project
from sdnapp.net.state import State
from sdnapp.net.step import step
from tests.bench import bridges
from tests.bench.figure import Curve, Effort, absolute

HOSTS, PORTS = 5, 2
"""Each host has so many ports in each network."""

NETWORKS = (1, 2, 50, 500)

FIXED, PER_NETWORK, PER_PORT, PER_LOCATION = 15 + 10 + 1, 12, 5, 1
"""Flows that a bridge should need: in all, and for each network, local port and remote location.

Of those in all, 10 drop headers that guards cannot read, and 1 is the miss of ``multicast``, which is there
before the first query.
"""
QUESTIONS = 3 * 32 + 2 * 48 + 3 + 6 + 7 + 4 + 7 + 3
"""And, in all, where any port is strict: the questions of ``flows.features.port_security`` about each bit of
a sender, the misses of the tables for strict ports, what has no sender yet, and drops: of second tags, of
queries for listeners to groups, of neighbour messages that hosts must ignore.
"""
PER_SPEAKER, PER_OWN, PER_KNOWN = 11, 3, 5
"""For each strict port in a network, each address that it has there, and each known address."""


def figures(_effort: Effort) -> Iterator[Curve]:
    """Count the flows of the first host's bridge, once all its ports and tunnels are there."""
    points = {}
    for networks in NETWORKS:
        view, ports = bridge(networks), HOSTS * networks * PORTS
        many = f"{networks} network{'s' if networks > 1 else ''}"
        name = f"flows on a bridge: {many}, {networks * PORTS:,} ports of {ports:,}"
        points[networks] = absolute(name, [len(compile_bridge(view).flows)], "", at_most=allowed(view))
    yield Curve(
        "programs", f"a bridge of {HOSTS}, {PORTS} ports in each network", "networks", "flows", points
    )


def bridge(networks: int) -> BridgeView:
    """Return the view of one of the hosts that have so many networks."""
    ports = [(host, n) for n in range(networks) for host in range(HOSTS) for _ in range(PORTS)]
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "overlay.yaml"
        file.write_text(bridges.text(HOSTS, networks, ports))
        return complete(load(file), bridges.host(0))


def complete(overlay: Overlay, name: str) -> BridgeView:
    """Return the view of a bridge that has all the ports that it should."""
    host, state = overlay.hosts[name], State.of(overlay)
    numbers = {port.interface: port.ofport for port in host.ports}
    numbers |= {tunnel.interface: tunnel.ofport for tunnel in host.tunnels}
    state = step(state, BridgeFound(name, numbers))
    return project(state, name, desired_encap(state, name))


def allowed(view: BridgeView) -> int:
    """Return how many flows a bridge with this view may need."""
    ports = {member.port for network in view.networks for member in network.members}
    remote = sum(len(at.macs) for network in view.networks for at in network.locations if at.remote)
    speakers = [m.allowed for network in view.networks for m in network.members if m.allowed is not None]
    safe = PER_SPEAKER * len(speakers) + PER_OWN * sum(len(speaker.addresses) for speaker in speakers)
    known = PER_KNOWN * sum(len(network.neighbors) for network in view.networks)
    basic = FIXED + PER_NETWORK * len(view.networks) + PER_PORT * len(ports) + PER_LOCATION * remote
    return basic + safe + known + (QUESTIONS if speakers else 0)
