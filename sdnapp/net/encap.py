"""How bridges speak to each other while the overlay changes under traffic: accept before send, retire last.

A bridge *hears* some of its tunnels and *understands* some keys; to each peer it *speaks* in one way: a
tunnel and a key. When the file changes a key or the encapsulation, a bridge first understands the new way as
well as the old one; its peers speak the new way once it has confirmed that; and it forgets the old way when
nobody speaks it any more. Nothing here is a sequence of messages: a bridge's dialect follows from the state,
and the state from what bridges have confirmed. A bridge that is away holds up nobody: its peers speak to it
as it last understood, and it catches up when it is back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sdnapp.net.model import Encapsulation


@dataclass(frozen=True, slots=True)
class Encap:
    """How frames of one network travel from one host to another."""

    encapsulation: Encapsulation
    key: int


@dataclass(frozen=True, slots=True)
class TxPath:
    """The speaker sends frames of the network to the listener in this way."""

    speaker: str
    listener: str
    network: str
    way: Encap


@dataclass(frozen=True, slots=True)
class EncapState:
    """``hears``: (peer, encapsulation). ``understands``: (network, key). ``speaks``: by (network, peer)."""

    hears: frozenset[tuple[str, Encapsulation]] = frozenset()
    understands: frozenset[tuple[str, int]] = frozenset()
    speaks: Mapping[tuple[str, str], Encap] = field(default_factory=dict)

    def stopped_tx(self, speaker: str, after: EncapState) -> frozenset[TxPath]:
        """What the host that speaks this dialect sends no more, once it speaks the one ``after``."""
        if after.speaks == self.speaks:
            return frozenset()
        return frozenset(
            TxPath(speaker, peer, network, way)
            for (network, peer), way in self.speaks.items()
            if after.speaks.get((network, peer)) != way
        )

    def accepts(self, peer: str, network: str, way: Encap) -> bool:
        """Whether a frame from this peer arrives, if it is sent in this way."""
        return (peer, way.encapsulation) in self.hears and (network, way.key) in self.understands


NO_ENCAP = EncapState()
