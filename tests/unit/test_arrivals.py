"""How many connections are taken in from addresses that the file does not know."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import os_ken.base.app_manager  # noqa: F401  # the module of the server wants to be imported after it
import pytest

from sdnapp.openflow.limits import Limits
from sdnapp.openflow.server import Server

KNOWN = "192.0.2.1"
HOSTS = 2


class Idle:
    """A connection that may be ended."""

    def shutdown(self, how: int) -> None:
        assert how == socket.SHUT_RDWR


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Addresses of connections that got a thread, which does nothing here."""
    found: list[Any] = []
    monkeypatch.setattr("sdnapp.openflow.server.hub.spawn", lambda _, guest, *__: found.append(guest.ip))
    return found


@pytest.fixture
def server() -> Server:
    limits = Limits(waiting=3, arrivals=0.0)
    return Server([], limits, lambda ip: (int(ip == KNOWN), HOSTS), lambda *_: None)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.settimeout(5)
        yield ours, theirs


def test_beyond_a_burst_those_of_unknown_addresses_are_closed_and_others_served(
    server: Server, served: list[Any], pair: tuple[socket.socket, socket.socket]
) -> None:
    plain, client = pair
    for number in range(3 + HOSTS):
        server._welcome(Idle(), (f"198.51.100.{number}", 1), None)
    assert len(served) == 3 + HOSTS

    server._welcome(plain, ("198.51.100.99", 1), None)
    server._welcome(Idle(), (KNOWN, 1), None)

    assert client.recv(1) == b""
    assert served[3 + HOSTS :] == [KNOWN]
