"""The connection to a bridge, without one: requests around its end."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from os_ken.ofproto import ofproto_v1_3_parser as parser

from sdnapp.openflow.switch import Switch


class Sink:
    """Takes what is sent, and never answers."""

    xid = 0

    def __init__(self) -> None:
        self.sent: list[Any] = []

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
