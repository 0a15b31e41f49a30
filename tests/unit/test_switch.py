"""The connection to a bridge, without one: requests around its end."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from os_ken.ofproto import ofproto_v1_3_parser as parser

from sdnapp.openflow.limits import LIMITS
from sdnapp.openflow.switch import Switch


class Sink:
    """Takes what is sent, and never answers."""

    xid = 0

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.behind, self.looks = False, 0

    @property
    def is_behind(self) -> bool:
        self.looks += 1
        return self.behind

    def send_msg(self, message: Any) -> None:
        self.sent.append(message)

    def send(self, data: bytes) -> None:
        self.sent.append(data)


def test_a_request_after_the_connection_ended_fails_at_once() -> None:
    """A task that was queued before would otherwise wait for 30 s, and call a bridge lost that is back."""
    sink = Sink()
    switch = Switch(sink)
    switch.close()

    with pytest.raises(ConnectionError):
        next(switch.request(parser.OFPDescStatsRequest(sink, 0)))
    assert sink.sent == []


def test_a_request_that_waits_ends_with_the_connection() -> None:
    switch = Switch(Sink())
    replies = switch.request(parser.OFPBarrierRequest(switch.datapath))
    pending = switch._ask(parser.OFPBarrierRequest(switch.datapath), 1000)

    switch.close()

    with pytest.raises(ConnectionError):
        next(pending)
    with pytest.raises(ConnectionError):
        next(replies)


def test_a_reply_of_more_bytes_than_the_request_may_bring_ends_it() -> None:
    switch = Switch(Sink())
    pending = switch._ask(parser.OFPBarrierRequest(switch.datapath), 100)
    (xid,) = switch._waiting

    for _ in range(3):
        switch.reply(SimpleNamespace(xid=xid, msg_len=60, flags=1))

    assert next(pending).msg_len == 60
    with pytest.raises(ValueError, match="more than 100 bytes"):
        next(pending)


def test_a_bridge_is_not_lost_while_its_reply_waits_to_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind flows that expired, by the tens of thousands: it was called lost after 30 s, and read anew."""
    monkeypatch.setattr("sdnapp.openflow.switch.TIMEOUT", 0.02)
    sink = Sink()
    switch = Switch(sink, limits=replace(LIMITS, reply_seconds=0.1))
    with pytest.raises(TimeoutError, match="no reply"):
        next(switch.request(parser.OFPBarrierRequest(sink)))
    assert sink.looks == 1

    sink.behind = True
    with pytest.raises(TimeoutError, match="no reply"):
        next(switch.request(parser.OFPBarrierRequest(sink)))
    assert sink.looks > 3
