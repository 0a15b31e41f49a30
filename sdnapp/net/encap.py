"""Encapsulation state of a bridge, for changes of key and tunnel without loss: make before break.

A bridge accepts frames from some of its tunnels (``hears``) and with some keys (``understands``), and sends
to each peer by one tunnel and key (``speaks``). When the file changes a key or the encapsulation, a bridge
first accepts the new one as well as the old one; its peers send by the new one once the bridge has confirmed
that; the old one is removed when no peer sends by it. There is no sequence of messages: the encapsulation
state follows from the state, and that from confirmations. A bridge that is away delays no other: peers send
to it as it accepted last, and it catches up.
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
    """``hears``: (peer, encapsulation) accepted. ``understands``: (network, key) accepted. ``speaks``: tunnel
    and key to send by, by (network, peer).
    """

    hears: frozenset[tuple[str, Encapsulation]] = frozenset()
    understands: frozenset[tuple[str, int]] = frozenset()
    speaks: Mapping[tuple[str, str], Encap] = field(default_factory=dict)

    def stopped_tx(self, speaker: str, after: EncapState) -> frozenset[TxPath]:
        """Return what the host with this state no longer sends with the state ``after``."""
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
