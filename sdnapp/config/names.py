"""Identifiers derived from names: datapath ids, MAC addresses, port numbers, interface names.

The same name gives the same result on every machine and in every version: running overlays depend on it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from hashlib import blake2b

MAX_INTERFACE = 15
"""Characters in the name of a Linux network device (IFNAMSIZ less the closing zero)."""

PORT_NUMBERS = range(32768, 60160)
"""OpenFlow port numbers requested for ports. An interface without a request never gets one of these: Open
vSwitch gives numbers up to 32767 (ovs-vswitchd.conf.db(5), Interface, OpenFlow Port Number).
"""
TUNNEL_NUMBERS = range(60160, 65280)
"""Port numbers for tunnels; Open vSwitch takes requests up to 65279."""


METER_NUMBERS = range(256, 65536)
"""Meter ids of ports, above those of networks; the userspace datapath has no larger ones."""


@lru_cache(maxsize=2**16)  # a controller asks for the same ones with every change of the file
def _digest(purpose: str, name: str, size: int) -> int:
    digest = blake2b(name.encode(), digest_size=size, person=purpose.encode()).digest()
    return int.from_bytes(digest, "big")


def datapath_id(host: str) -> int:
    """Datapath id of a host's bridge: 48 bits, never zero."""
    return _digest("datapath id", host, 6) or 1


@lru_cache(maxsize=65536)
def mac(port: str) -> str:
    """MAC address of a port: locally administered, unicast."""
    return "02:" + _digest("mac", port, 5).to_bytes(5, "big").hex(":")


def tunnel_interface(encapsulation: str, peer: str) -> str:
    """``vxlan-host2``, or a digest of the peer's name where that is too long for a device."""
    name = f"{encapsulation}-{peer}"
    return name if len(name) <= MAX_INTERFACE else f"{encapsulation}-{_digest('tunnel', peer, 4):08x}"


_NOTE = re.compile(r"([bm])([0-9a-f]{4})([0-9a-f]{10})")


def iface_id_hash(iface_id: str) -> int:
    """Hash of an ``iface-id``: 40 bits, for names of ports that encode it."""
    return _digest("iface-id", iface_id, 5)


def iface_id_port_names(ofport: int, interface: str, iface_id: str) -> tuple[str, str]:
    """Names of the pair of patch ports that encode the ``iface-id`` of an interface.

    OpenFlow shows a port's number and name and nothing else of OVSDB, so the names say it: ``b``, the number
    of the interface in hexadecimal, and the identity of the ``iface-id``, mixed with that of the interface's
    name, so that an interface that reuses the number does not inherit it. The second is the peer port.
    """
    said = f"{ofport:04x}{iface_id_hash(iface_id) ^ _mixed(interface):010x}"
    return f"b{said}", f"m{said}"


def is_iface_id_port(name: str) -> bool:
    """Whether a port of this name encodes an ``iface-id``, or is the peer of one that does."""
    return _NOTE.fullmatch(name) is not None


def decode_iface_ids(numbers: Mapping[str, int]) -> dict[str, int]:
    """Hashes of ``iface-id`` by interface, decoded from port names; ambiguous ones are left out."""
    interfaces = {number: name for name, number in numbers.items()}
    found: dict[str, set[int]] = {}
    for name in numbers:
        if (match := _NOTE.fullmatch(name)) and match[1] == "b":
            interface = interfaces.get(int(match[2], 16))
            if interface is not None:
                found.setdefault(interface, set()).add(int(match[3], 16) ^ _mixed(interface))
    return {interface: said.pop() for interface, said in found.items() if len(said) == 1}


def _mixed(interface: str) -> int:
    return _digest("interface", interface, 5)


def ofports(names: Iterable[str], numbers: range) -> dict[str, int]:
    """Port number for each name: its digest, or the next free number after a collision, in name order.

    Adding a name moves another only where their digests are neighbours. Raises ValueError if there are
    more names than numbers.
    """
    ordered = sorted(set(names))
    if len(ordered) > len(numbers):
        raise ValueError(f"{len(ordered)} names for {len(numbers)} port numbers")
    taken: dict[int, str] = {}
    for name in ordered:
        slot = _digest("ofport", name, 8) % len(numbers)
        while slot in taken:
            slot = (slot + 1) % len(numbers)
        taken[slot] = name
    return {name: numbers[slot] for slot, name in taken.items()}
