"""Frames that packet-ins bring: whatever is in them, reading them raises nothing and takes no time."""

from __future__ import annotations

from ipaddress import IPv4Address
from struct import pack
from time import process_time

import os_ken.base.app_manager  # noqa: F401  # the connection's module wants to be imported after it

from sdnapp.frames import packet
from sdnapp.frames.packet import Ends
from tests.malformed import frames, judge

ENDS = Ends("02:00:00:00:00:01", "ff:ff:ff:ff:ff:ff", IPv4Address(0), IPv4Address("255.255.255.255"))


def test_six_thousand_malformed_frames_raise_nothing_and_take_no_time() -> None:
    slow = []
    for frame in frames.made(3, 6000):
        took = min(_seconds(frame[: packet.LONGEST]) for _ in range(2))
        if took > judge.LONGEST:
            slow.append((took, frame[:100].hex()))

    assert not slow


def test_a_client_identifier_that_fits_no_answer_is_answered_by_nothing() -> None:
    """In two options, which count as one (RFC 3396), it is longer than an option can be."""
    fixed = (
        pack("!BBBBIHH16s6s10s192s", 1, 1, 6, 0, 7, 0, 0, b"", b"\2\0\0\0\0\1", b"", b"")
        + b"\x63\x82\x53\x63"
    )
    identifier = (b"\x3d\xff" + bytes(255)) * 2

    for options in (b"\x35\1\1", b"\x35\1\1" + identifier):
        judge.frame(packet.with_udp(ENDS, 68, 67, fixed + options + b"\xff"))


def _seconds(frame: bytes) -> float:
    start = process_time()
    judge.frame(frame)
    return process_time() - start
