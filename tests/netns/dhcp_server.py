"""Somebody else's DHCP server: on a raw socket, it gives every client an address of its own."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv6Address

from sdnapp.frames import dhcp, dhcp6, packet
from sdnapp.frames.packet import Ends, Packet
from tests.netns.responding_station import answering

_EVERYONE = IPv4Address("255.255.255.255")
_KINDS = {dhcp.Kind.DISCOVER: dhcp.Kind.OFFER, dhcp.Kind.REQUEST: dhcp.Kind.ACK}
_KINDS6 = {
    dhcp6.Kind.SOLICIT: dhcp6.Kind.ADVERTISE,
    **dict.fromkeys((dhcp6.Kind.REQUEST, dhcp6.Kind.RENEW, dhcp6.Kind.RELEASE), dhcp6.Kind.REPLY),
}
_DUID = b"\0\3\0\1server"


class DhcpServer:
    """Serves where the socket is bound, from this address; ``first``: the addresses of the first client.

    ``lease``: in seconds, of the answers from now on.
    """

    def __init__(self, raw: socket.socket, server: str, first: tuple[str, str], lease: int) -> None:
        self.lease = lease
        self._raw, self._mac, self._server = raw, raw.getsockname()[4].hex(":"), IPv4Address(server)
        self._first, self._first6 = IPv4Address(first[0]), IPv6Address(first[1])
        self._clients: list[str] = []

    @contextmanager
    def serving(self) -> Iterator[DhcpServer]:
        """Serve meanwhile; the socket is closed then."""
        with self._raw, answering(self._raw.fileno(), self._receive):
            yield self

    def _receive(self) -> None:
        asked = packet.read(self._raw.recv(2048))
        if asked is not None and (said := self._answer(asked)):
            self._raw.send(said)

    def _answer(self, asked: Packet) -> bytes:
        datagram = packet.datagram(asked)
        if datagram is None or datagram.dst_port not in {dhcp.SERVER_PORT, dhcp6.SERVER_PORT}:
            return b""
        return (self._answer4 if asked.src.version == 4 else self._answer6)(asked, datagram.payload)

    def _number(self, client: str) -> int:
        if client not in self._clients:
            self._clients.append(client)
        return self._clients.index(client)

    def _answer4(self, _: Packet, payload: bytes) -> bytes:
        question = dhcp.read(payload)
        if question is None or question.kind not in _KINDS:
            return b""
        options = [
            (dhcp.Option.SERVER, self._server.packed),
            (dhcp.Option.LEASE, self.lease.to_bytes(4, "big")),
            (dhcp.Option.MASK, bytes((255, 255, 255, 0))),
        ]
        yours = self._first + self._number(question.mac)
        message = dhcp.answer(question, _KINDS[question.kind], yours, options)
        ends = Ends(self._mac, "ff:ff:ff:ff:ff:ff", self._server, _EVERYONE)
        return packet.with_udp(ends, dhcp.SERVER_PORT, dhcp.CLIENT_PORT, message)

    def _answer6(self, asked: Packet, payload: bytes) -> bytes:
        question = dhcp6.read(payload)
        if question is None or question.kind not in _KINDS6:
            return b""
        valid = 0 if question.kind is dhcp6.Kind.RELEASE else self.lease
        yours = self._first6 + self._number(asked.eth_src)
        given = [
            (int(dhcp6.Option.IA_NA), dhcp6.association(each.number, valid, [(yours, valid)]))
            for each in question.associations
        ]
        message = dhcp6.answer(question, _KINDS6[question.kind], _DUID, given)
        ends = Ends(self._mac, asked.eth_src, packet.link_local(self._mac), asked.src)
        return packet.with_udp(ends, dhcp6.SERVER_PORT, dhcp6.CLIENT_PORT, message)
