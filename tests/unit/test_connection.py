"""Connections to bridges."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from struct import pack
from types import SimpleNamespace
from typing import Any

import os_ken.base.app_manager  # noqa: F401  # the connection's module wants to be imported after it
import pytest
from os_ken.controller import ofp_event
from os_ken.controller.handler import DEAD_DISPATCHER, MAIN_DISPATCHER
from os_ken.ofproto import ofproto_v1_3 as ofproto
from os_ken.ofproto import ofproto_v1_3_parser as parser

from sdnapp.inbox import Backlog
from sdnapp.openflow import connection, monitor
from sdnapp.openflow.connection import PIECE, SILENCE, _receive, expect_life, messages
from sdnapp.openflow.limits import LIMITS
from tests.ovs.controller import until
from tests.ovs.rogue import packet_in

Received = bytes | type[OSError]


class Bridge:
    """A ``Datapath`` whose bridge says these pieces; what it does is noted, in order."""

    ofproto, ofproto_parser = ofproto, parser

    id, address = None, ("192.0.2.7", 40000)

    def __init__(self, *pieces: Received, hear: Callable[[Bridge], None] = lambda _: None) -> None:
        self.state = MAIN_DISPATCHER
        self.done: list[object] = []
        self.socket = SimpleNamespace(
            family=socket.AF_UNIX, recv=self._recv, settimeout=lambda _: None, close=lambda: None
        )
        self.limits, self.backlog, self.heard, self.turn = LIMITS, Backlog(), 0, 0.0
        self.unread: frozenset[int] = frozenset()
        self.late, self.missed = False, 0
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

    def patience(self) -> float:
        return 5.0

    next_turn = 1.0

    def rest(self) -> None:
        """Nothing else runs."""

    def look(self) -> None:
        """What waits to be read does not matter."""


OVER: list[object] = ["closed"]
"""What is done of a connection that ended."""
BARRIER = pack("!BBHI", 4, ofproto.OFPT_BARRIER_REPLY, 8, 5)
ECHO = pack("!BBHI4s", 4, ofproto.OFPT_ECHO_REQUEST, 12, 6, b"data")
DONE = bytes.fromhex("0413002000000000 ffff000000000000 4f4e46000000074e 0008000312345678")
"""As Open vSwitch 3.1 says it."""
CHANGED = bytes.fromhex("0413003800000000 ffff000000000000 4f4e46000000074e 0020000000000000") + bytes(24)
HEARD = [("EventOFPBarrierReply", 5), ("handled", 5), ("EventOFPEchoRequest", 6), ("handled", 6)]


def test_the_kernel_ends_a_connection_to_a_host_that_is_gone_and_leaves_others_alone() -> None:
    with socket.socket() as remote, socket.socket(socket.AF_UNIX) as local:
        expect_life(remote)
        expect_life(local)

        assert remote.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert remote.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) < SILENCE
        assert remote.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == SILENCE * 1000


@pytest.mark.parametrize("at", range(1, len(BARRIER + ECHO)))
def test_messages_are_told_in_order_wherever_they_are_split(at: int) -> None:
    said = BARRIER + ECHO
    bridge = Bridge(said[:at], said[at:])

    _receive(bridge)

    assert bridge.done == HEARD + OVER


TIGHT = replace(LIMITS, backlog=4, pause=0.05, turn=0.0, late_turn=0.0)


class Talker(connection.Connection):
    """A connection whose events the engine takes in when it is told to, and no sooner."""

    supported_ofp_version = (ofproto.OFP_VERSION,)

    def __init__(self, *said: bytes, relief: int = ofproto.OFPT_ECHO_REQUEST) -> None:
        """``relief``: with a message of this type, the engine has taken in all."""
        pieces = iter(said)
        sock: Any = SimpleNamespace(
            family=socket.AF_UNIX,
            recv=lambda _: next(pieces, b""),
            fileno=lambda: -1,
            settimeout=lambda _: None,
            setsockopt=lambda *_: None,
            shutdown=lambda _: None,
        )
        super().__init__(sock, ("192.0.2.7", 40000), TIGHT)
        self.set_version(ofproto.OFP_VERSION)
        self.state = MAIN_DISPATCHER
        self.told: list[int] = []
        self.offered: list[int] = []
        self._relief = relief
        self.ofp_brick = SimpleNamespace(send_event_to_observers=self._observe, get_handlers=lambda *_: [])

    def offer(self, message: Any) -> bool:
        self.offered.append(message.cls_msg_type)
        return True

    def _observe(self, event: Any, _: str) -> None:
        if isinstance(event, ofp_event.EventOFPMsgBase):
            self.told.append(event.msg.msg_type)
            self.backlog.come(0)
            while event.msg.msg_type == self._relief and self.backlog.events:
                self.backlog.leave(0)


def test_a_bridge_of_too_many_packet_ins_gets_its_echo_in_time(caplog: pytest.LogCaptureFixture) -> None:
    """It ended its connection for want of an echo, was read anew, and so on: without an end."""
    kind, echo = ofproto.OFPT_PACKET_IN, ofproto.OFPT_ECHO_REQUEST
    punted = packet_in(5010, 1, bytes(60), 40)
    talker = Talker(punted * 20 + ECHO + punted * 5, punted * 3)

    with caplog.at_level(logging.WARNING):
        _receive(talker)

    assert talker.told == [*[kind] * 5, echo, *[kind] * 3]
    lines = [(record.msg, getattr(record, "fields", {}).get("dropped")) for record in caplog.records]
    assert lines == [("connection.slowed", None), ("connection.caught_up", 20)]


def test_what_is_no_packet_in_is_read_more_slowly_and_never_dropped() -> None:
    """Meanwhile its bridge is sent echo requests: it gives a connection up on which nothing comes."""
    talker = Talker(BARRIER * 30)
    reader = threading.Thread(target=_receive, args=(talker,))
    reader.start()
    until(lambda: talker.offered)
    assert len(talker.told) == 17
    assert set(talker.offered) == {ofproto.OFPT_ECHO_REQUEST}
    while reader.is_alive():
        talker.backlog.leave(0)
        time.sleep(0.02)

    assert len(talker.told) == 30


@pytest.mark.parametrize("unread", [b"", ECHO])
def test_a_connection_that_its_bridge_has_closed_is_told_from_one_that_it_has_not(unread: bytes) -> None:
    """Also before all that it said is read."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        far = socket.create_connection(server.getsockname())
        near, address = server.accept()
    with near, far:
        found = connection.Connection(near, address)
        far.sendall(unread)
        assert not found.is_left
        far.close()
        until(lambda: found.is_left)


def test_messages_may_come_byte_by_byte_and_be_as_long_as_can_be() -> None:
    longest = pack("!BBHI", 4, ofproto.OFPT_ECHO_REQUEST, 0xFFFF, 7) + bytes(0xFFFF - 8)
    said = BARRIER + longest + ECHO
    byte_by_byte = (bytes([byte]) for byte in said)
    in_pieces = (said[at : at + PIECE] for at in range(0, len(said), PIECE))

    for pieces in (byte_by_byte, in_pieces):
        assert [bytes(m) for m in messages(Bridge(*pieces))] == [BARRIER, longest, ECHO]


@pytest.mark.parametrize(
    ("sample", "message", "reason"),
    [
        ("0400000c 00000001 00000000", "HELLO", "an element of 0 bytes"),
        ("0415000000000005", "BARRIER_REPLY", "0 bytes"),
        ("0415000700000005", "BARRIER_REPLY", "7 bytes"),
        ("041500ff00000005", "BARRIER_REPLY", "255 bytes"),
        (
            "0417002000000001 0000000000000000 00000000000000000000000000000000",
            "QUEUE_GET_CONFIG_REPLY",
            "queue",
        ),
        ("0413002800000001 000a000000000000" + 24 * "00", "MULTIPART_REPLY", "a meter of 0 bytes"),
        ("0413002000000001 0007000000000000" + 16 * "00", "MULTIPART_REPLY", "a group of 0 bytes"),
        ("0413002000000001 0006000000000000" + 16 * "00", "MULTIPART_REPLY", "a group cut short"),
        ("0413006000000001 0009000000000000" + 80 * "00", "MULTIPART_REPLY", "a meter of 0 bytes"),
        ("0413006000000001 000c000000000000" + 80 * "00", "MULTIPART_REPLY", "a table of 0 bytes"),
        ("040e003800000001" + 48 * "00", "FLOW_MOD", "no message that a switch sends"),
        ("474554202f20485454502f312e310d0a", "type 69", "no message that a switch sends"),
    ],
)
def test_a_malformed_message_ends_its_connection_with_one_line_and_one_count(
    sample: str, message: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    before = connection.malformed[message]
    bridge = Bridge(ECHO + bytes.fromhex(sample) + BARRIER)

    with caplog.at_level(logging.DEBUG):
        _receive(bridge)

    assert bridge.done == [*HEARD[2:], *OVER]
    (line,) = caplog.records
    assert (line.msg, line.exc_info, line.levelno) == ("connection.malformed", None, logging.WARNING)
    fields = line.__dict__["fields"]
    assert (fields["address"], fields["message"]) == ("192.0.2.7:40000", message)
    assert reason in fields["reason"]
    assert connection.malformed[message] == before + 1


def test_what_os_ken_cannot_read_is_dropped_and_counted() -> None:
    """A packet-in of Open vSwitch with a property that this os-ken does not know."""
    unknown = pack("!BBHIII", 4, ofproto.OFPT_EXPERIMENTER, 24, 5, 0x2320, 30) + pack("!HHI", 99, 8, 0)
    before = connection.unreadable["EXPERIMENTER"]
    bridge = Bridge(unknown + ECHO)

    _receive(bridge)

    assert bridge.done == HEARD[2:] + OVER
    assert connection.unreadable["EXPERIMENTER"] == before + 1


def test_a_hello_of_another_version_is_told_for_versions_to_be_agreed_on() -> None:
    newer = pack("!BBHIHHI", 6, ofproto.OFPT_HELLO, 16, 5, 1, 8, 0x72)
    unheard_of = pack("!BBHI", 99, ofproto.OFPT_HELLO, 8, 6)
    bridge = Bridge(newer + unheard_of)

    _receive(bridge)

    assert bridge.done == [("EventOFPHello", 5), ("handled", 5), ("EventOFPHello", 6), ("handled", 6), *OVER]


def test_os_ken_spells_no_errors_out_that_applications_hear_of() -> None:
    error = pack("!BBHIHH8s", 4, ofproto.OFPT_ERROR, 20, 5, 1, 2, ECHO[:8])
    not_ascii = pack("!BBHIHH2s", 4, ofproto.OFPT_ERROR, 14, 6, ofproto.OFPET_HELLO_FAILED, 0, b"\xff\xfe")
    bridge = Bridge(error + not_ascii)

    _receive(bridge)

    assert bridge.done == [("EventOFPErrorMsg", 5), ("EventOFPErrorMsg", 6), *OVER]


def test_what_a_bridge_did_as_it_was_told_is_not_told_and_what_others_did_is() -> None:
    bridge = Bridge(DONE + BARRIER + DONE + ECHO + CHANGED)

    _receive(bridge)

    assert DONE.startswith(monitor.DONE)
    assert bridge.done == [*HEARD, ("EventOFPExperimenterStatsReply", 0), ("handled", 0), *OVER]


def test_a_silent_connection_is_waited_for() -> None:
    bridge = Bridge(TimeoutError, BARRIER[:3], TimeoutError, BARRIER[3:] + ECHO)

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
