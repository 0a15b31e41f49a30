"""What bridges, and what only connects as they do, may take of the controller."""

from __future__ import annotations

from dataclasses import dataclass

OWN_FILES = 192
"""Open files that are neither connections of bridges nor counted here: REST, logs, inotify, the hub's own."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Named limits of the OpenFlow side. Sizes in bytes, times in seconds."""

    handshake: float = 5.0
    """From accept until features and ports are known, a TLS handshake included; then the connection ends."""
    handshake_bytes: int = 2 * 1024 * 1024
    """Received until then: 32,768 ports."""
    waiting: int = 256
    """Connections in their handshake, from addresses that the file does not know. Beyond: the oldest ends."""
    waiting_known: int = 256
    """The same from addresses of the file's hosts, beside one for each host."""
    waiting_each: int = 32
    """The same from one address, beside one for each host of the file that may connect from there."""
    arrivals: float = 100.0
    """Connections a second from addresses that the file does not know, after a burst of ``waiting`` and one
    for each host. Beyond: closed at once.
    """
    unknown: int = 64
    """Connected bridges with a datapath id that the file does not have. Beyond: refused."""
    room: int = 16
    """Pieces that wait to be sent to a bridge; a thread with more to send waits."""
    offers: int = 256
    """Frames that wait to be sent to a bridge. Beyond: dropped and counted, without waiting."""
    backlog: int = 16 * 1024
    """Events of a connection that the engine has not taken in. Beyond: it is read more slowly."""
    backlog_bytes: int = 4 * 1024 * 1024
    """Bytes of frames in those events."""
    pause: float = 3.0
    """In which something always waits to be read. A bridge waits 5 s for its echo (``inactivity_probe`` in
    ovs-vswitchd.conf.db(5)), so then its packet-ins are dropped until nothing waits."""
    share: int = 2048
    """Events of a connection that the engine takes in at once; then it is the turn of the next."""
    turn: float = 0.002
    """For the messages of one connection; then it is the turn of the next."""
    late_turn: float = 0.01
    """The same where something has waited for a second. While many flows that expired wait to be told of,
    Open vSwitch reads nothing (``connmgr_send_flow_removed`` in ``connmgr.c``), then ends the connection."""
    reply_bytes: int = 64 * 1024 * 1024
    """Of one reply, all of its parts together. Beyond: the request has failed."""
    reply_flows: int = 250_000
    """In the reply that says what a bridge holds."""
    reply_few_bytes: int = 1024 * 1024
    """Of the replies that say which meters and groups a bridge holds: some 25,000 of them."""
    reply_seconds: float = 120.0
    """From a request to the last part of its reply."""

    def files(self, hosts: int) -> int:
        """Open files that the process may need with so many hosts in its file."""
        return 2 * hosts + self.waiting + self.waiting_known + self.unknown + OWN_FILES


LIMITS = Limits()
