"""DHCP snooping: leases in messages of DHCP servers and clients, in networks with another DHCP server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from sdnapp.frames import dhcp, dhcp6, packet
from sdnapp.frames.packet import Address, Packet
from sdnapp.net.neighbors import IpMacPair, claim

MAX_LEASE = 0xFFFF
"""Seconds, the most that a flow may be old (OpenFlow 1.3 §7.3.4.1): of a longer lease the first 18 hours."""
MIN_LEASE = 2


class LeaseEvent(NamedTuple):
    """Lease of an address: MAC and time in seconds; 0: released or declined."""

    claim: IpMacPair
    lease: int
    by_server: bool


def decode(data: bytes) -> Iterator[LeaseEvent]:
    """What an untagged frame says of leases; nothing for all that says nothing, garbage included."""
    said = packet.read(data)
    datagram = None if said is None else packet.datagram(said)
    if said is None or datagram is None:
        return
    if said.src.version == 6:
        if (message := dhcp6.read(datagram.payload)) is not None:
            yield from _said6(said, datagram.dst_port, message)
    elif datagram.dst_port == dhcp.CLIENT_PORT:
        if (lease := dhcp.read_lease(datagram.payload)) is not None:
            yield from _granted(lease.address, lease.mac, lease.seconds)
    elif datagram.dst_port == dhcp.SERVER_PORT and (asked := dhcp.read(datagram.payload)) is not None:
        back = {dhcp.Kind.RELEASE: asked.address, dhcp.Kind.DECLINE: asked.requested}.get(asked.kind)
        if back is not None:
            yield LeaseEvent(IpMacPair(str(back), asked.mac), 0, by_server=False)


def _said6(said: Packet, to: int, message: dhcp6.Question) -> Iterator[LeaseEvent]:
    """DHCPv6 names no MAC: that of the client is at its end of the frame, for nothing is broadcast to it."""
    kind = dhcp6.Kind
    for association in message.associations:
        for address, seconds in association.valid.items():
            if to == dhcp6.CLIENT_PORT and message.kind is kind.REPLY:
                yield from _granted(address, said.eth_dst, seconds)
            elif to == dhcp6.SERVER_PORT and message.kind in {kind.RELEASE, kind.DECLINE}:
                yield LeaseEvent(IpMacPair(str(address), said.eth_src), 0, by_server=False)


def _granted(address: Address, mac: str, seconds: int) -> Iterator[LeaseEvent]:
    whose = claim(address.packed, packet.octets(mac))
    if whose is not None:
        yield LeaseEvent(whose, min(max(seconds, MIN_LEASE), MAX_LEASE) if seconds else 0, by_server=True)
