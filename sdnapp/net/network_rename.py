"""Renamed networks: what bridges confirmed for the former name holds for the new one.

Otherwise the key would be taken from one network and given to another, which waits until no bridge uses it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sdnapp.net.encap import EncapState
from sdnapp.net.state import State


def detect_renames(before: State, now: State) -> Mapping[str, str]:
    """From the old name of a network to its new one, where key and interfaces are the very same.

    While keys change hands, or something of the network may still be on its way, a new name is a new network.
    """
    if before.claims is not before.paths:
        return {}
    fading = {speech.network for speech in before.fading}
    return {
        old: new
        for key, new in now.paths.items()
        if (old := before.paths.get(key, new)) != new
        and old not in now.networks
        and new not in before.networks
        and old not in fading
        and _interfaces(before, old) == _interfaces(now, new)
    }


def apply_renames(dialect: EncapState, names: Mapping[str, str]) -> EncapState:
    """Return the encapsulation state with the new names of networks."""
    if not names:
        return dialect
    return replace(
        dialect,
        understands=frozenset((names.get(path, path), key) for path, key in dialect.understands),
        speaks={(names.get(path, path), peer): way for (path, peer), way in dialect.speaks.items()},
    )


def _interfaces(state: State, network: str) -> frozenset[tuple[str, str]]:
    return frozenset((port.host, port.interface) for port in state.members[network])
