"""When a port that is wanted no more goes, and what is asked of its bridge before."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from threading import Thread

import pytest

from sdnapp.provision.drain import PATIENCE, overdue, pauses, words
from sdnapp.provision.flow_usage import Unanswered, used
from sdnapp.provision.world import Port

WORKLOAD = Port("red1", "host1", "br-int")
TUNNEL = Port("gre-host2", "host1", "br-int", type="gre")

HELLO = struct.pack("!BBHI", 4, 0, 8, 9)
ECHO_REQUEST = struct.pack("!BBHI", 4, 2, 10, 7) + b"hi"
ERROR = struct.pack("!BBHIHH", 4, 1, 12, 1, 1, 5)


def answer(flows: int) -> bytes:
    """A bridge's word on how many flows there are."""
    return struct.pack("!BBHIHH4xQQI4x", 4, 19, 40, 1, 2, 0, 0, 0, flows)


def bridge(path: Path, *script: bytes) -> Callable[[], bytes]:
    """A bridge that says this much and hangs up; what it has heard until then."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    heard = b""

    def serve() -> None:
        nonlocal heard
        with listener, listener.accept()[0] as peer:
            for message in script:
                peer.sendall(message)
            peer.shutdown(socket.SHUT_WR)
            while more := peer.recv(4096):
                heard += more

    serving = Thread(target=serve, daemon=True)
    serving.start()

    def ended() -> bytes:
        serving.join(5)
        return heard

    return ended


def test_a_tunnel_may_linger_and_a_workload_only_for_a_while() -> None:
    since = {WORKLOAD: 100.0, TUNNEL: 100.0}
    assert overdue(since, 100 + PATIENCE - 0.1) == frozenset()
    assert overdue(since, 100 + PATIENCE) == {WORKLOAD}
    assert words(since) == [
        "port red1 stays until no flow uses it",
        "tunnel gre-host2 stays until no flow uses it",
    ]


def test_looks_at_the_flows_grow_rare_but_stay_below_a_second() -> None:
    first = list(islice(pauses(), 10))
    assert first == sorted(first)
    assert first[0] == 0.1
    assert first[-1] < 1


def test_a_port_is_used_that_a_flow_matches_or_outputs_to(tmp_path: Path) -> None:
    path = tmp_path / "br.mgmt"
    ended = bridge(path, HELLO, answer(0), ECHO_REQUEST, answer(1), answer(0), answer(0), answer(3))
    assert used(path, {"out": 1, "free": 2, "in": 3}) == {"out", "in"}
    assert b"hi" in ended()


@pytest.mark.parametrize("script", [(HELLO,), (HELLO, ERROR), ()])
def test_a_bridge_that_does_not_say_is_told_from_one_without_flows(
    tmp_path: Path, script: tuple[bytes, ...]
) -> None:
    path = tmp_path / "br.mgmt"
    bridge(path, *script)
    with pytest.raises(Unanswered):
        used(path, {"red1": 1})
    with pytest.raises(Unanswered):
        used(tmp_path / "none", {"red1": 1})
