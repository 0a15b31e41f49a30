"""Encapsulation of each pair of hosts, and checks that both ends agree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations, product

from sdnapp.config import scalars as s
from sdnapp.config.problem import Finding
from sdnapp.config.schema import Config, Host


def between(hosts: Mapping[str, Host], usual: s.Encapsulation, host: str, peer: str) -> s.Encapsulation:
    """Encapsulation of a pair, symmetric: the setting for the peer, else for all peers, else the default."""
    here, there = hosts[host].encapsulation, hosts[peer].encapsulation
    if not here and not there:
        return usual
    said = (here.get(peer), there.get(host), here.get(s.ALL_HOSTS), there.get(s.ALL_HOSTS))
    return next((kind for kind in said if kind is not None), usual)


def in_use(config: Config) -> frozenset[s.Encapsulation]:
    """Encapsulations in use between hosts."""
    said = (kind for host in config.hosts.values() for kind in host.encapsulation.values())
    return frozenset({config.overlay.encapsulation, *said})


def encapsulation_findings(config: Config) -> Iterator[Finding]:
    """Pairs of hosts with contradictory settings, and UDP ports that are unused or used twice."""
    kinds = in_use(config)
    if config.overlay.dst_port is not None and kinds == {"gre"}:
        yield Finding(("overlay", "dst_port"), "GRE has no ports", "Remove it, or use vxlan or geneve.")
    elif config.overlay.dst_port is not None and kinds >= {"vxlan", "geneve"}:
        message = "vxlan and geneve cannot share a UDP port"
        yield Finding(("overlay", "dst_port"), message, "Remove it: each has its own by default.")
    for name, host in config.hosts.items():
        for peer, kind in host.encapsulation.items():
            where = ("hosts", name, "encapsulation", peer)
            back = config.hosts[peer].encapsulation.get(name) if peer in config.hosts else None
            if peer == name:
                yield Finding(where, "a host has no tunnel to itself", "Remove it.", key=True)
            elif back is not None and back != kind and name > peer:
                message = f"{kind} here, {back} at {peer}"
                yield Finding(where, message, "Say it at one end, or the same at both.")
    yield from _undecided(config)


def _undecided(config: Config) -> Iterator[Finding]:
    """Hosts that share a network and have different defaults without a setting for this pair."""
    by_kind: dict[str, list[str]] = {}
    for name, host in config.hosts.items():
        if s.ALL_HOSTS in host.encapsulation:
            by_kind.setdefault(host.encapsulation[s.ALL_HOSTS], []).append(name)
    if len(by_kind) < 2:
        return
    networks: dict[str, set[str]] = {}
    for port in config.attached:
        for place in config.hosts_of(port):
            networks.setdefault(place, set()).update(port.networks)
    for (kind, some), (other, others) in combinations(sorted(by_kind.items()), 2):
        for one, two in product(some, others):
            shared = networks.get(one, set()) & networks.get(two, set())
            said = two in config.hosts[one].encapsulation or one in config.hosts[two].encapsulation
            if shared and not said:
                message = f"{other} here, {kind} at {one}, which has {min(shared)} too"
                remedy = f"Leave it out at one of them, or name the other: {{'*': {other}, {one}: {kind}}}."
                yield Finding(("hosts", two, "encapsulation"), message, remedy)
