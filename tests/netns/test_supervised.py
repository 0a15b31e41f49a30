"""The agent tells a service manager that it has started, how the host is, and that it goes on."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.netns.provision_fixtures import BareHost, bare_host
from tests.overlays import TWO_HOSTS


@pytest.fixture(name="host")
def _host(tmp_path: Path) -> Iterator[BareHost]:
    with bare_host(tmp_path) as host:
        host.file.write_text(TWO_HOSTS)
        yield host


@pytest.fixture(name="manager")
def _manager(host: BareHost) -> Iterator[socket.socket]:
    """A service manager's socket (sd_notify(3))."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(host.file.with_name("notify")))
        listening.settimeout(30)
        yield listening


def supervised(manager: socket.socket) -> tuple[str, ...]:
    """Return what runs the agent as under that manager, with a watchdog of two seconds."""
    return "env", f"NOTIFY_SOCKET={manager.getsockname()}", "WATCHDOG_USEC=2000000"


def next_state(manager: socket.socket) -> str:
    """Wait until the agent tells a state, and return it."""
    while True:
        words = manager.recv(1000).decode()
        if words.startswith("READY=1\n"):
            return words.partition("\n")[2]
        assert words == "WATCHDOG=1"


def test_the_manager_knows_the_state_of_the_host(host: BareHost, manager: socket.socket) -> None:
    with host.agent(*supervised(manager)) as agent:
        assert next_state(manager) == "STATUS=the host is as the file says"
        assert manager.recv(1000) == b"WATCHDOG=1"
        assert manager.recv(1000) == b"WATCHDOG=1"  # by itself: nothing happens here

        host.kill("ovsdb-server")
        assert next_state(manager).startswith("STATUS=waits for OVSDB at ")
        host.start_database()
        assert next_state(manager) == "STATUS=the host is as the file says"
        assert agent.stop() == 0


def test_an_agent_that_waits_for_open_vswitch_has_started(host: BareHost, manager: socket.socket) -> None:
    host.kill("ovsdb-server")

    with host.agent(*supervised(manager)) as agent:
        assert next_state(manager).startswith("STATUS=waits for OVSDB at ")
        assert manager.recv(1000) == b"WATCHDOG=1"
        assert manager.recv(1000) == b"WATCHDOG=1"
        host.start_database()
        assert next_state(manager) == "STATUS=the host is as the file says"
        assert agent.stop() == 0
