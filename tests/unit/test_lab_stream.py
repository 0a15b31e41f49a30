"""Counting a stream, and moving a port in the text of a file: the parts of the lab that need no lab."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from sdnapp.frames.announcement import announcement
from sdnapp.lab.errors import LabError
from sdnapp.lab.migrate import moved
from sdnapp.lab.packet_loss import count
from sdnapp.lab.stream import pick_path
from tests.overlays import TWO_HOSTS, overlay

ENDS = ("red1", "red2")
TIMES = [n / 1000 for n in range(10)]


def test_everything_that_arrives_in_order_is_no_loss() -> None:
    counted = count(ENDS, TIMES, range(10), overrun=0, period=0.001)

    assert (counted.sent, counted.received, counted.lost, counted.gap_ms) == (10, 10, 0, 0.0)
    assert (counted.duplicates, counted.reordered) == (0, 0)


def test_the_longest_gap_ends_with_the_next_packet_that_arrives() -> None:
    counted = count(ENDS, TIMES, [0, 2, 6, 7, 8, 9], overrun=0, period=0.001)

    assert (counted.lost, counted.gap_ms) == (4, 3.0)


def test_a_gap_at_the_end_lasts_a_period_beyond_the_last_packet() -> None:
    assert count(ENDS, TIMES, range(8), overrun=0, period=0.001).gap_ms == 2.0


def test_twice_and_late_are_told_apart() -> None:
    counted = count(ENDS, TIMES, [0, 2, 1, 1, *range(3, 10)], overrun=0, period=0.001)

    assert (counted.duplicates, counted.reordered, counted.lost) == (1, 1, 0)


def test_what_the_receiver_was_too_slow_for_the_network_did_not_lose() -> None:
    assert count(ENDS, TIMES, range(7), overrun=3, period=0.001).lost == 0


def test_a_moved_port_changes_nothing_else_in_the_text() -> None:
    text = moved(TWO_HOSTS, "red2", "host1")

    assert text == TWO_HOSTS.replace("red2:  {host: host2", "red2:  {host: host1")
    assert overlay(text).ports["red2"].mac == overlay().ports["red2"].mac


def test_a_port_has_no_stream_to_itself() -> None:
    with pytest.raises(LabError, match="from red1 to itself"):
        pick_path(overlay(), "red1", "red1")


def test_a_port_that_there_is_not_cannot_move() -> None:
    with pytest.raises(LabError, match="no port named 'red9'; there is blue1"):
        moved(TWO_HOSTS, "red9", "host1")


def test_a_host_that_several_ports_share_in_the_text_is_left_alone() -> None:
    shared = TWO_HOSTS.replace("red2:  {host: host2", "red2:  {host: &there host2")
    shared = shared.replace("blue2: {host: host2", "blue2: {host: *there")

    with pytest.raises(LabError, match="edit the file"):
        moved(shared, "blue2", "host1")


@pytest.mark.parametrize(
    ("address", "frame"),
    [
        (
            "10.1.1.1",
            "ffffffffffff02000000000108060001080006040001020000000001" + "0a010101" + "00" * 6 + "0a010101",
        ),
        (
            "fd00::1",
            "33330000000102000000000186dd6000000000203aff" + "fd000000000000000000000000000001"
            "ff020000000000000000000000000001" + "88005a9b20000000fd000000000000000000000000000001"
            "0201020000000001",
        ),
    ],
)
def test_who_has_moved_says_so(address: str, frame: str) -> None:
    assert announcement("02:00:00:00:00:01", ip_address(address)).hex() == frame
