"""What DHCP servers and their clients say of leases, where the network leaves DHCP to somebody else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from sdnapp.frames import dhcp, dhcp6, packet
from sdnapp.frames.packet import Address, Packet
from sdnapp.net.neighbors import Claim, claim

LONGEST = 0xFFFF
"""Seconds, the most that a flow may be old (OpenFlow 1.3 §7.3.4.1): of a longer lease the first 18 hours."""
SHORTEST = 2


class Word(NamedTuple):
    """Somebody says for how many seconds a station has an address; 0: not any more."""

    claim: Claim
    lease: int
    by_server: bool


def decode(data: bytes) -> Iterator[Word]:
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
            yield Word(Claim(str(back), asked.mac), 0, by_server=False)


def _said6(said: Packet, to: int, message: dhcp6.Question) -> Iterator[Word]:
    """DHCPv6 names no MAC: that of the client is at its end of the frame, for nothing is broadcast to it."""
    kind = dhcp6.Kind
    for association in message.associations:
        for address, seconds in association.valid.items():
            if to == dhcp6.CLIENT_PORT and message.kind is kind.REPLY:
                yield from _granted(address, said.eth_dst, seconds)
            elif to == dhcp6.SERVER_PORT and message.kind in {kind.RELEASE, kind.DECLINE}:
                yield Word(Claim(str(address), said.eth_src), 0, by_server=False)


def _granted(address: Address, mac: str, seconds: int) -> Iterator[Word]:
    whose = claim(address.packed, packet.octets(mac))
    if whose is not None:
        yield Word(whose, min(max(seconds, SHORTEST), LONGEST) if seconds else 0, by_server=True)
