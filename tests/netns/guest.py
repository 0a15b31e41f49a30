"""Machines that no lab makes.

One stands in for a virtual machine: a tap device, driven from here, that answers ARP and ping. Others are
devices behind a port, of the same kernel.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from sdnapp.frames.announcement import announcement
from sdnapp.frames.packet import Ends, octets, read, with_icmp
from sdnapp.lab.echo import BROADCAST, tagged
from sdnapp.lab.machine import Machine, entered
from sdnapp.net.model import Address
from tests.netns.conftest import Running, until
from tests.netns.responding_station import answering

_TUNSETIFF, _IFF_TAP, _IFF_NO_PI = 0x400454CA, 0x2, 0x1000  # linux/if_tun.h
_ARP, _REPLY = b"\x08\x06", 2


class Guest:
    """A guest with one address, untagged or with a tag, on a new tap device of a machine."""

    def __init__(
        self, machine: Machine, tap: str, mac: str, address: Address, tag: int | None = None
    ) -> None:
        self.mac, self.address, self.tag = mac, address, tag
        self.received: list[bytes] = []
        with entered(machine):
            self._tap = os.open("/dev/net/tun", os.O_RDWR)
            fcntl.ioctl(self._tap, _TUNSETIFF, struct.pack("16sH22x", tap.encode(), _IFF_TAP | _IFF_NO_PI))

    @contextmanager
    def running(self) -> Iterator[Guest]:
        """Answer meanwhile; its device goes then."""
        try:
            with answering(self._tap, self._receive):
                yield self
        finally:
            os.close(self._tap)

    def announce(self) -> None:
        """Say where it is now, as a hypervisor does when a guest has arrived."""
        self.send(tagged(announcement(self.mac, self.address), self.tag))

    def send(self, frame: bytes) -> None:
        """Send a frame as it is."""
        os.write(self._tap, frame)

    def _receive(self) -> None:
        frame = os.read(self._tap, 65536)
        self.received.append(frame)
        if answer := self._answer(frame):
            self.send(answer)

    def _answer(self, frame: bytes) -> bytes | None:
        tag = frame[12:16] if frame[12:14] == b"\x81\x00" else b""
        if (struct.unpack_from("!H", tag, 2)[0] & 0xFFF if tag else None) != self.tag:
            return None
        rest, me = frame[12 + len(tag) :], self.address.packed
        if octets(self.mac) != frame[:6] and octets(BROADCAST) != frame[:6]:
            return None
        head = frame[6:12] + octets(self.mac) + tag
        if rest[:2] == _ARP and rest[9] == 1 and rest[26:30] == me:
            return head + rest[:8] + struct.pack("!H", _REPLY) + octets(self.mac) + me + rest[10:20]
        asked = read(frame[:12] + rest)
        if asked is None or asked.dst != self.address or asked.protocol != 1 or asked.payload[0] != 8:
            return None
        identity, said = int.from_bytes(asked.payload[4:8], "big"), asked.payload[8:]
        ends = Ends(self.mac, asked.eth_src, asked.dst, asked.src)
        return tagged(with_icmp(ends, 0, 0, rest=identity, payload=said), self.tag)


@contextmanager
def behind(running: Running, port: str, mac: str) -> Iterator[str]:
    """A device ``guest`` with a MAC of its own, behind a port that learns; the file knows nothing of it."""
    running.run(port, "sysctl", "-qw", "net.ipv4.conf.all.arp_ignore=1")  # eth0 does not speak for it
    running.run(port, "ip", "link", "add", "guest", "link", "eth0", "address", mac, "type", "macvlan")
    running.run(port, "ip", "link", "set", "guest", "up")
    until(lambda: "tentative" not in running.run(port, "ip", "-6", "addr", "show", "dev", "guest"))
    try:
        yield mac
    finally:
        running.run(port, "ip", "link", "del", "guest")
