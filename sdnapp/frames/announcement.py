"""Gratuitous ARP and unsolicited neighbour advertisements: a station gives all others its MAC."""

from __future__ import annotations

import struct

from sdnapp.frames.neighbour import ALL_NODES, ALL_NODES_MAC
from sdnapp.frames.packet import Address, Ends, octets, with_icmp

BROADCAST = "ff:ff:ff:ff:ff:ff"
_ARP = struct.Struct("!HHHBBH6s4s6s4s")
_REQUEST = (0x0806, 1, 0x0800, 6, 4, 1)
_OVERRIDE = 0x20000000


def announcement(mac: str, address: Address) -> bytes:
    """The frame that gives ``address`` the MAC ``mac`` (RFC 5227 section 3, RFC 4861 section 7.2.6)."""
    if address.version == 4:
        bare = octets(mac)
        message = _ARP.pack(*_REQUEST, bare, address.packed, bytes(6), address.packed)
        return octets(BROADCAST) + bare + message
    link_address = b"\x02\x01" + octets(mac)
    to_all = Ends(mac, ALL_NODES_MAC, address, ALL_NODES)
    return with_icmp(to_all, 136, 0, rest=_OVERRIDE, payload=address.packed + link_address)
