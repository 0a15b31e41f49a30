"""How bridges speak to each other while the overlay changes under traffic: accept before send, retire last.

A bridge *hears* some of its tunnels and *understands* some keys; to each peer it *speaks* in one way: a
tunnel and a key. When the file changes a key or the encapsulation, a bridge first understands the new way as
well as the old one; its peers speak the new way once it has confirmed that; and it forgets the old way when
nobody speaks it any more. Nothing here is a sequence of messages: a bridge's dialect follows from the state,
and the state from what bridges have confirmed. A bridge that is away holds up nobody: its peers speak to it
as it last understood, and it catches up when it is back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING

from sdnapp.net.model import Encapsulation

if TYPE_CHECKING:
    from sdnapp.net.state import State


@dataclass(frozen=True, slots=True)
class Way:
    """How frames of one network travel from one host to another."""

    encapsulation: Encapsulation
    key: int


@dataclass(frozen=True, slots=True)
class Speech:
    """The speaker sends frames of the network to the listener in this way."""

    speaker: str
    listener: str
    network: str
    way: Way


@dataclass(frozen=True, slots=True)
class Dialect:
    """``hears``: (peer, encapsulation). ``understands``: (network, key). ``speaks``: by (network, peer)."""

    hears: frozenset[tuple[str, Encapsulation]] = frozenset()
    understands: frozenset[tuple[str, int]] = frozenset()
    speaks: Mapping[tuple[str, str], Way] = field(default_factory=dict)

    def speeches(self, speaker: str) -> frozenset[Speech]:
        """What the host that speaks this dialect sends."""
        return frozenset(Speech(speaker, peer, network, way) for (network, peer), way in self.speaks.items())

    def takes(self, peer: str, network: str, way: Way) -> bool:
        """Whether a frame from this peer arrives, if it is sent in this way."""
        return (peer, way.encapsulation) in self.hears and (network, way.key) in self.understands


SILENT = Dialect()


def dialect(state: State, host: str) -> Dialect:
    """What this host's bridge should hear, understand and speak now."""
    return Dialect(
        hears=frozenset(_hears(state, host)),
        understands=frozenset(_understands(state, host)),
        speaks=dict(_speaks(state, host)),
    )


def in_change(state: State, host: str) -> bool:
    """Whether this host has a choice of ways: only then does its dialect depend on what others confirmed."""
    wanted = state.overlay.encapsulation
    tunnels = state.ports(host).tunnels.values()
    return state.claims is not state.paths or any(kinds.keys() != {wanted} for kinds in tunnels)


def _hears(state: State, host: str) -> Iterator[tuple[str, Encapsulation]]:
    """The tunnels of the encapsulation that the file wants, and others as long as a peer uses them."""
    used = {(speech.speaker, speech.way.encapsulation) for speech in state.spoken.get(host, ())}
    for peer, kinds in state.ports(host).tunnels.items():
        for kind in kinds:
            silent = peer not in state.confirmed and not state.settled
            if kind == state.overlay.encapsulation or (peer, kind) in used or silent:
                yield peer, kind


def _understands(state: State, host: str) -> Iterator[tuple[str, int]]:
    """The key that each network has, once it is free, and those that it had as long as a peer uses them."""
    here = state.overlay.hosts[host].networks
    return ((path, key) for key, path in state.claims.items() if path in here)


def _speaks(state: State, host: str) -> Iterator[tuple[tuple[str, str], Way]]:
    before = state.confirmed.get(host, SILENT).speaks
    for path in sorted(state.overlay.hosts[host].networks):
        keys = _keys(state, path)
        for peer in sorted({port.host for port in state.members[path]}):
            ways = [Way(kind, key) for kind, key in product(_kinds(state, host, peer), keys)]
            if ways:
                yield (path, peer), _choose(state, host, (path, peer), ways, before.get((path, peer)))


def _choose(state: State, host: str, to: tuple[str, str], ways: list[Way], before: Way | None) -> Way:
    """The best way that the peer takes; else the one in use; else, as nobody can tell, the best."""
    path, peer = to
    listener = state.confirmed.get(peer)
    if listener is None or len(ways) == 1:
        return ways[0]
    taken = (way for way in ways if listener.takes(host, path, way))
    return next(taken, before if before in ways and before is not None else ways[0])


def _kinds(state: State, host: str, peer: str) -> list[Encapsulation]:
    """The encapsulations of the tunnels that lead there, the one that the file wants first."""
    kinds = state.ports(host).tunnels.get(peer, {})
    return sorted(kinds, key=lambda kind: (kind != state.overlay.encapsulation, kind))


def _keys(state: State, path: str) -> list[int]:
    """The keys that mean this network: its own first, last those that another network waits for."""
    own = [key for key, of in state.claims.items() if of == path]
    return sorted(own, key=lambda key: (state.paths.get(key) != path, key in state.paths, key))
