"""ICMP fragmentation needed, and ICMPv6 packet too big, for packets that exceed the MTU of their network.

A layer-2 network has no router to send them, so they come in the name of the destination. Senders that allow
fragmentation get them as well, as tunnels do not fragment: they fragment themselves from then on.
"""

from __future__ import annotations

from ipaddress import IPv4Address

from sdnapp.frames import packet
from sdnapp.frames.packet import Ends, Packet
from sdnapp.net.dhcp import DhcpReply

_UNREACHABLE, _FRAGMENTATION_NEEDED = 3, 4
_PACKET_TOO_BIG = 2
_QUOTED4 = 576 - 20 - 8
"""Bytes (RFC 1812 §4.3.2.3)."""
_QUOTED6 = 1280 - 40 - 8
"""Bytes (RFC 4443 §2.4): a longer answer may itself be more than a device takes."""
_QUESTIONS4 = frozenset({0, 8, 13, 14, 17, 18})
"""ICMP types that are no errors (RFC 1122 §3.2.2)."""
_ERRORS6 = range(128)
_REDIRECT6 = 137


def packet_too_big(asked: Packet, mtu: int) -> DhcpReply | None:
    """What to say to a packet in a network with this MTU; None if it fits."""
    if asked.length <= mtu:
        return None
    if not _answerable(asked):
        return DhcpReply("oversized")
    ends = Ends(asked.eth_dst, asked.eth_src, asked.dst, asked.src)
    if asked.src.version == 4:
        quoted = asked.data[:_QUOTED4]
        frame = packet.with_icmp(ends, _UNREACHABLE, _FRAGMENTATION_NEEDED, rest=mtu, payload=quoted)
    else:
        frame = packet.with_icmp(ends, _PACKET_TOO_BIG, 0, rest=mtu, payload=asked.data[:_QUOTED6])
    return DhcpReply("packet too big", frame)


def _answerable(asked: Packet) -> bool:
    """Whether an error may be sent: not about groups, unspecified sources, errors or later fragments (RFC
    1122 section 3.2.2, RFC 4443 section 2.4).
    """
    if int(asked.eth_dst[:2], 16) & 1 or not asked.first:
        return False
    if any(_nobody(ip) for ip in (asked.src, asked.dst)):
        return False
    if asked.protocol == packet.ICMP and asked.src.version == 4:
        return asked.payload[:1] != b"" and asked.payload[0] in _QUESTIONS4
    if asked.protocol == packet.ICMPV6 and asked.src.version == 6:
        return asked.payload[:1] != b"" and asked.payload[0] not in (*_ERRORS6, _REDIRECT6)
    return True


def _nobody(ip: packet.Address) -> bool:
    return ip.is_multicast or ip.is_unspecified or ip == IPv4Address("255.255.255.255")
