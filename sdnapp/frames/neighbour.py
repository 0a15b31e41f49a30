"""Router solicitations and advertisements (RFC 4861 §4.1, §4.2)."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv6Address, IPv6Network
from struct import Struct

from sdnapp.frames import packet
from sdnapp.frames.packet import Ends, Packet

ALL_NODES = IPv6Address("ff02::1")
ALL_NODES_MAC = "33:33:00:00:00:01"

_SOLICITATION, _ADVERTISEMENT = 133, 134
_MANAGED = 0xC0
"""Addresses and everything else are there by DHCPv6: the flags M and O."""
_ON_LINK = 0x80
_FOREVER = 0xFFFFFFFF
_PREFIX = Struct("!BBBBIII16s")
_MTU = Struct("!BBHI")


def solicits(asked: Packet) -> bool:
    """Whether the frame is a valid router solicitation (RFC 4861 section 6.1.1)."""
    message = packet.icmpv6(asked)
    near = asked.data[7] == packet.ND_HOPS if asked.src.version == 6 else False
    return near and message is not None and len(message) >= 8 and message[:2] == bytes([_SOLICITATION, 0])


def advertisement(ends: Ends, prefixes: Iterable[IPv6Network], mtu: int | None) -> bytes:
    """A frame that says: these prefixes are on this link, ask DHCPv6 for addresses, and I am no router."""
    options = [b"\x01\x01" + packet.octets(ends.eth_src)]
    if mtu is not None:
        options.append(_MTU.pack(5, 1, 0, mtu))
    for prefix in prefixes:
        head = (3, 4, prefix.prefixlen, _ON_LINK, _FOREVER, _FOREVER, 0)
        options.append(_PREFIX.pack(*head, prefix.network_address.packed))
    timers = bytes(8)
    said = timers + b"".join(options)
    return packet.with_icmp(ends, _ADVERTISEMENT, 0, rest=_MANAGED << 16, payload=said)
