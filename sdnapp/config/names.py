"""Everything that the file does not say and that all must agree upon, derived from names alone.

The same name gives the same result on every machine and in every version: running overlays depend on it.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b

MAX_INTERFACE = 15
"""Characters in the name of a Linux network device (IFNAMSIZ less the closing zero)."""

PORT_NUMBERS = range(1, 32768)
"""OpenFlow port numbers requested for ports."""
TUNNEL_NUMBERS = range(32768, 65280)
"""And for tunnels; OVS takes requests up to 65279 (ovs-vswitchd.conf.db(5), Interface, ofport_request)."""


@lru_cache(maxsize=2**16)  # a controller asks for the same ones with every change of the file
def _digest(purpose: str, name: str, size: int) -> bytes:
    return blake2b(name.encode(), digest_size=size, person=purpose.encode()).digest()


def datapath_id(host: str) -> int:
    """48 bits for a host's bridge, never zero."""
    return int.from_bytes(_digest("datapath id", host, 6), "big") or 1


def mac(port: str) -> str:
    """A locally administered unicast address for a port."""
    return "02:" + _digest("mac", port, 5).hex(":")


def tunnel_interface(encapsulation: str, peer: str) -> str:
    """``vxlan-host2``, or a digest of the peer's name where that is too long for a device."""
    name = f"{encapsulation}-{peer}"
    return name if len(name) <= MAX_INTERFACE else f"{encapsulation}-{_digest('tunnel', peer, 4).hex()}"


def ofports(names: Iterable[str], numbers: range) -> dict[str, int]:
    """A number for each name: its digest, or the next free one where two meet, in the order of the names.

    Adding a name moves another only where their digests are neighbours. Raises ValueError if there are
    more names than numbers.
    """
    ordered = sorted(set(names))
    if len(ordered) > len(numbers):
        raise ValueError(f"{len(ordered)} names for {len(numbers)} port numbers")
    taken: dict[int, str] = {}
    for name in ordered:
        slot = int.from_bytes(_digest("ofport", name, 8), "big") % len(numbers)
        while slot in taken:
            slot = (slot + 1) % len(numbers)
        taken[slot] = name
    return {name: numbers[slot] for slot, name in taken.items()}
