"""Encapsulation state that a bridge should have now; ``sdnapp.net.encap`` says what it is, and why it changes
so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import product

from sdnapp.net.encap import NO_ENCAP, Encap, EncapState
from sdnapp.net.model import Encapsulation, Host, Overlay
from sdnapp.net.state import Ports, State


def desired_encap(state: State, host: str) -> EncapState:
    """Return what this host's bridge should accept and send by now."""
    return EncapState(
        hears=frozenset(_hears(state, host)),
        understands=frozenset(_understands(state, host)),
        speaks=dict(_speaks(state, host)),
    )


def assume_programmed(overlay: Overlay) -> State:
    """Return the state before any bridge was read, with each bridge assumed to hold what the file asks for.

    A controller on every host has no other way: it never sees confirmations of other bridges.
    """
    state = State.of(overlay)
    if overlay.controller.per_host:
        return state
    there = replace(
        state, bridges={name: Ports.of(_asked(host), host) for name, host in overlay.hosts.items()}
    )
    return replace(state, confirmed={name: desired_encap(there, name) for name in overlay.hosts})


def _asked(host: Host) -> dict[str, int]:
    """Ports and tunnels of a host under the numbers that they ask for."""
    ports = {port.interface: port.ofport for port in host.ports}
    return ports | {tunnel.interface: tunnel.ofport for tunnel in host.tunnels}


def is_migrating(state: State, host: str) -> bool:
    """Whether this host has a choice of encapsulations: only then do confirmations of others matter."""
    return state.claims is not state.paths or state.ports(host).choice


def _hears(state: State, host: str) -> Iterator[tuple[str, Encapsulation]]:
    """The tunnels of the encapsulation that the file wants, and others as long as a peer uses them."""
    ports = state.ports(host)
    used = {(s.speaker, s.way.encapsulation) for s in state.fading if s.listener == host}
    for peer, kinds in ports.tunnels.items():
        silent = peer not in state.confirmed and not state.settled
        for kind in kinds:
            if kind == ports.wanted[peer] or silent or (peer, kind) in used or _says(state, peer, host, kind):
                yield peer, kind


def _says(state: State, speaker: str, listener: str, kind: Encapsulation) -> bool:
    """Whether any network goes this way."""
    said = state.confirmed.get(speaker, NO_ENCAP).speaks.items()
    return any(to == listener and way.encapsulation == kind for (_, to), way in said)


def _understands(state: State, host: str) -> Iterator[tuple[str, int]]:
    """The key that each network has, once it is free, and those that it had as long as a peer uses them."""
    here = state.here[host]
    return ((path, key) for key, path in state.claims.items() if path in here)


def _speaks(state: State, host: str) -> Iterator[tuple[tuple[str, str], Encap]]:
    before, tunnels = state.confirmed.get(host, NO_ENCAP).speaks, state.ports(host).tunnels
    keys = _keys(state)
    for path in sorted(state.here[host]):
        choices: dict[tuple[Encapsulation, ...], list[Encap]] = {}
        for peer in state.having[path]:
            kinds = tuple(tunnels.get(peer, ()))
            ways = choices.setdefault(kinds, [Encap(kind, key) for kind, key in product(kinds, keys[path])])
            if ways:
                yield (path, peer), _choose(state, host, (path, peer), ways, before.get((path, peer)))


def _choose(state: State, host: str, to: tuple[str, str], ways: list[Encap], before: Encap | None) -> Encap:
    """Return the best that the peer accepts; else the one in use; else the best."""
    path, peer = to
    listener = state.confirmed.get(peer)
    if listener is None or len(ways) == 1:
        return ways[0]
    taken = (way for way in ways if listener.accepts(host, path, way))
    return next(taken, before if before in ways and before is not None else ways[0])


def _keys(state: State) -> Mapping[str, list[int]]:
    """The keys that mean each network: its own first, last those that another network waits for."""
    keys: dict[str, list[int]] = {path: [] for path in state.having}
    for key, path in state.claims.items():
        keys.setdefault(path, []).append(key)
    for path, own in keys.items():
        own.sort(key=lambda key, of=path: (state.paths.get(key) != of, key in state.paths, key))  # type: ignore[misc]
    return keys
