"""Connections that burst, come twice, or never read do not stop the controller, on either hub."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.tables import Table
from sdnapp.config_file import load
from sdnapp.net.model import Host
from tests.overlays import LEARNING, numbers
from tests.ovs.controller import Controller, until
from tests.ovs.rogue import ECHO_REPLY, ECHO_REQUEST, Rogue, message, packet_in, port_status

ADDED, REMOVED = 0, 1


@pytest.fixture(scope="module", params=["eventlet", "native"])
def controller(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Controller]:
    controller = Controller(tmp_path_factory.mktemp("sessions"), request.param, LEARNING)
    controller.start()
    try:
        until(lambda: "controller.listening" in controller.log.read_text())
        yield controller
    finally:
        controller.end(signal.SIGKILL)


@pytest.fixture
def hosts(controller: Controller) -> dict[str, Host]:
    return dict(load(controller.file).hosts)


class Bridge:
    """A host's bridge that holds nothing, in a thread."""

    def __init__(self, controller: Controller, host: Host) -> None:
        self.controller, self.host = controller, host.name
        self.rogue = Rogue(("127.0.0.1", controller.openflow), host.datapath_id, numbers(host))
        self.thread = threading.Thread(target=self.rogue.play, daemon=True)
        self.thread.start()

    def echo(self) -> bool:
        """Whether an echo comes back."""
        mark = len(self.rogue.heard)
        self.rogue.say(message(ECHO_REQUEST, b"mark"))
        until(lambda: (ECHO_REPLY, b"mark") in self.rogue.heard[mark:])
        return True

    def in_sync(self) -> bool:
        """Whether this connection, and not an earlier one, is that of its host."""
        address = "{}:{}".format(*self.rogue.socket.getsockname())
        host = self.controller.get(f"/v1/hosts/{self.host}")
        return bool(host["address"] == address and host["in_sync"])

    def close(self) -> None:
        self.rogue.close()


def test_bursts_of_changes_and_second_connections_do_not_wedge_it(
    controller: Controller, hosts: dict[str, Host]
) -> None:
    """A2: the third of these reconnections stopped it for good, while healthz said that all was well."""
    host = hosts["host1"]
    earlier: list[Bridge] = []
    for _ in range(4):
        bridge = Bridge(controller, host)
        until(bridge.in_sync)
        burst = b"".join(port_status(4000 + n, f"tap{n}", n % 2) for n in range(600))
        bridge.rogue.say(burst)
        earlier.append(bridge)
    last = Bridge(controller, host)
    until(last.in_sync)

    assert last.echo()
    for bridge in earlier:
        bridge.thread.join(20)
        assert not bridge.thread.is_alive()
        bridge.close()
    last.close()
    until(lambda: not controller.get("/v1/hosts/host1")["connected"])


def test_four_talkative_unknown_bridges_and_one_that_comes_twice(
    controller: Controller, hosts: dict[str, Host]
) -> None:
    stop = threading.Event()

    def talk(number: int) -> None:
        rogue = Rogue(("127.0.0.1", controller.openflow), 0xBAD0 + number)
        rogue.handshake()
        burst = b"".join(port_status(4000 + n, f"tap{n}", n % 2) for n in range(200))
        try:
            while not stop.is_set():
                rogue.say(burst)
        except OSError:
            pass
        rogue.close()

    talkers = [threading.Thread(target=talk, args=(n,), daemon=True) for n in range(4)]
    for talker in talkers:
        talker.start()
    until(lambda: len(controller.get("/v1/status")["unknown_bridges"]) == 4)
    twice = [Rogue(("127.0.0.1", controller.openflow), 0xBEEF) for _ in range(2)]
    for one in twice:
        one.handshake()
        until(lambda: len(controller.get("/v1/status")["unknown_bridges"]) == 5)
    assert twice[0].hung_up(30)
    twice[0].close()
    bridge = Bridge(controller, hosts["host2"])
    until(bridge.in_sync)
    assert bridge.echo()
    stop.set()
    for talker in talkers:
        talker.join(20)
    twice[1].close()
    bridge.close()
    until(lambda: controller.get("/v1/status")["unknown_bridges"] == [])


def test_events_of_a_connection_that_was_replaced_change_nothing(
    controller: Controller, hosts: dict[str, Host]
) -> None:
    """A3: what the first connection still had to say was taken for the word of the second."""
    host = hosts["host1"]
    (tunnel,) = [tunnel.interface for tunnel in host.tunnels]
    first = Bridge(controller, host)
    until(first.in_sync)
    gone = b"".join(port_status(4000 + n, f"tap{n}", ADDED) for n in range(3000))
    first.rogue.say(gone + port_status(host.tunnels[0].ofport, tunnel, REMOVED))
    second = Bridge(controller, host)
    first.thread.join(30)
    until(second.in_sync)
    assert second.echo()

    (found,) = controller.get("/v1/hosts/host1")["tunnels"]
    assert found["ofport"] == host.tunnels[0].ofport
    first.close()
    second.close()


@pytest.mark.parametrize("hub", ["eventlet", "native"])
def test_systemd_hears_that_it_is_ready_and_that_it_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hub: str
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(40)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        controller = Controller(tmp_path, hub, LEARNING)
        controller.start()
        try:
            assert [listening.recv(100) for _ in range(3)] == [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1"]
        finally:
            controller.end(signal.SIGKILL)


def test_a_bridge_that_reads_nothing_holds_up_no_other(
    controller: Controller, hosts: dict[str, Host]
) -> None:
    """Its questions are answered until its connection has no more room; then answers are dropped."""
    host = hosts["host1"]
    deaf = Bridge(controller, host)
    until(deaf.in_sync)
    port = next(port for port in host.ports if port.interface == "red1")
    frame = bytes.fromhex("ffffffffffff02aa00000001") + b"\x08\x06" + bytes(46)
    many = b"".join(packet_in(5010, port.ofport, frame, Table.MAC_LEARNING) for _ in range(50))
    echoes = b"".join(message(ECHO_REQUEST, bytes(60000)) for _ in range(200))
    deaf.rogue.socket.settimeout(0.5)
    began = time.monotonic()
    try:
        while time.monotonic() < began + 3:
            deaf.rogue.socket.sendall(many + echoes)
    except OSError:  # it is read no more
        pass
    other = Bridge(controller, hosts["host2"])
    until(other.in_sync)
    assert other.echo()
    other.close()
    deaf.close()
    until(lambda: not controller.get("/v1/hosts/host1")["connected"])
