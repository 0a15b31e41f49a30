"""Connections to bridges."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from struct import pack
from types import SimpleNamespace
from typing import Any

import os_ken.base.app_manager  # noqa: F401  # the connection's module wants to be imported after it
import pytest
from os_ken.controller.handler import DEAD_DISPATCHER, MAIN_DISPATCHER
from os_ken.ofproto import ofproto_v1_3 as ofproto
from os_ken.ofproto import ofproto_v1_3_parser as parser

from sdnapp.openflow import monitor
from sdnapp.openflow.connection import PIECE, SILENCE, _receive, expect_life, messages

Received = bytes | type[OSError]


class Bridge:
    """A ``Datapath`` whose bridge says these pieces; what it does is noted, in order."""

    ofproto, ofproto_parser = ofproto, parser

    def __init__(self, *pieces: Received, hear: Callable[[Bridge], None] = lambda _: None) -> None:
        self.state = MAIN_DISPATCHER
        self.done: list[object] = []
        self.socket = SimpleNamespace(
            family=socket.AF_UNIX, recv=self._recv, close=lambda: self.done.append("shut")
        )
        self.ofp_brick = SimpleNamespace(send_event_to_observers=self._observe, get_handlers=self._handlers)
        self._pieces: Iterator[Received] = iter(pieces)
        self._hear = hear

    def _recv(self, size: int) -> bytes:
        piece = next(self._pieces, b"")
        if not isinstance(piece, bytes):
            raise piece
        assert len(piece) <= size
        return piece

    def _observe(self, event: Any, state: str) -> None:
        assert state == MAIN_DISPATCHER
        self.done.append((type(event).__name__, event.msg.xid))
        self._hear(self)

    def _handlers(self, event: Any, state: str) -> list[Callable[[Any], None]]:
        told = ("handled", event.msg.xid)
        return [lambda _: self.done.append(told)] if state == MAIN_DISPATCHER else []

    def close(self) -> None:
        self.state = DEAD_DISPATCHER
        self.done.append("closed")

    def send(self, data: bytes, close_socket: bool) -> None:
        self.done.append(("sent", data, close_socket))


OVER = ["shut", "closed", ("sent", b"", True)]
"""What is done of a connection that ended."""
BARRIER = pack("!BBHI", 4, ofproto.OFPT_BARRIER_REPLY, 8, 5)
ECHO = pack("!BBHI4s", 4, ofproto.OFPT_ECHO_REQUEST, 12, 6, b"data")
DONE = bytes.fromhex("0413002000000000 ffff000000000000 4f4e46000000074e 0008000312345678")
"""As Open vSwitch 3.1 says it."""
CHANGED = bytes.fromhex("0413003800000000 ffff000000000000 4f4e46000000074e 0020000000000000") + bytes(24)
HEARD = [("EventOFPBarrierReply", 5), ("handled", 5), ("EventOFPEchoRequest", 6), ("handled", 6)]


def test_the_kernel_ends_a_connection_to_a_host_that_is_gone_and_leaves_others_alone() -> None:
    with socket.socket() as connection, socket.socket(socket.AF_UNIX) as local:
        expect_life(connection)
        expect_life(local)

        assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) < SILENCE
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == SILENCE * 1000


@pytest.mark.parametrize("at", range(1, len(BARRIER + ECHO)))
def test_messages_are_told_in_order_wherever_they_are_split(at: int) -> None:
    said = BARRIER + ECHO
    bridge = Bridge(said[:at], said[at:])

    _receive(bridge)

    assert bridge.done == HEARD + OVER


def test_messages_may_come_byte_by_byte_and_be_as_long_as_can_be() -> None:
    longest = pack("!BBHI", 4, ofproto.OFPT_ECHO_REQUEST, 0xFFFF, 7) + bytes(0xFFFF - 8)
    said = BARRIER + longest + ECHO
    byte_by_byte = (bytes([byte]) for byte in said)
    in_pieces = (said[at : at + PIECE] for at in range(0, len(said), PIECE))

    for pieces in (byte_by_byte, in_pieces):
        assert [bytes(m) for m in messages(Bridge(*pieces))] == [BARRIER, longest, ECHO]


@pytest.mark.parametrize("length", [0, 7])
def test_a_message_that_says_it_is_shorter_than_its_header_is_taken_for_a_header(length: int) -> None:
    malformed = pack("!BBHI", 4, ofproto.OFPT_BARRIER_REPLY, length, 5)
    bridge = Bridge(malformed + ECHO)

    _receive(bridge)

    assert bridge.done == HEARD + OVER


def test_what_a_bridge_did_as_it_was_told_is_not_told_and_what_others_did_is() -> None:
    bridge = Bridge(DONE + BARRIER + DONE + ECHO + CHANGED)

    _receive(bridge)

    assert DONE.startswith(monitor.DONE)
    assert bridge.done == [*HEARD, ("EventOFPExperimenterStatsReply", 0), ("handled", 0), *OVER]


def test_a_silent_connection_is_waited_for() -> None:
    bridge = Bridge(TimeoutError, BARRIER[:3], ssl.SSLError, BARRIER[3:] + ECHO)

    _receive(bridge)

    assert bridge.done == HEARD + OVER


def test_nothing_is_told_of_a_bridge_after_its_connection_was_closed() -> None:
    bridge = Bridge(BARRIER + ECHO, ECHO, hear=Bridge.close)

    _receive(bridge)

    assert bridge.done == [HEARD[0], "closed", *OVER]


@pytest.mark.parametrize("end", [b"", ConnectionResetError, BARRIER[:7]])
def test_a_connection_that_ends_or_breaks_ends_for_everybody(end: Received) -> None:
    bridge = Bridge(BARRIER + ECHO, end)

    _receive(bridge)

    assert bridge.done == HEARD + OVER


def test_a_connection_ends_for_everybody_if_nobody_can_read_what_its_bridge_says() -> None:
    bridge = Bridge(pack("!BBHI", 99, 0, 8, 5))

    with pytest.raises(Exception, match="version"):
        _receive(bridge)

    assert bridge.done == OVER
