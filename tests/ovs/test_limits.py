"""What connects only to burden the controller takes no more than its share, on either hub."""

from __future__ import annotations

import os
import resource
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial

import pytest

from flows.tables import Table
from sdnapp.config_file import load
from sdnapp.log import SUPPRESSED
from tests.overlays import LEARNING, numbers
from tests.ovs.controller import Controller, until, waited
from tests.ovs.rogue import Rogue, packet_in

MACS = 1000


@pytest.fixture(scope="module", params=["eventlet", "native"])
def controller(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Controller]:
    controller = Controller(tmp_path_factory.mktemp("limits"), request.param, LEARNING)
    controller.start()
    try:
        until(lambda: "controller.listening" in controller.log.read_text())
        yield controller
    finally:
        controller.end(signal.SIGKILL)


@contextmanager
def raised_limit() -> Iterator[None]:
    """Let this process have as many files as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def garbage(controller: Controller, times: int) -> None:
    """Connect so many times, with what is no message each time."""
    for _ in range(times):
        with socket.create_connection(("127.0.0.1", controller.openflow), timeout=20) as one:
            one.sendall(b"GET / HTTP/1.1\r\n\r\n")
            while one.recv(4096):
                pass


def test_a_flood_of_log_lines_of_one_kind_is_told_by_one_line_and_hides_no_others(
    controller: Controller,
) -> None:
    garbage(controller, 400)
    host = load(controller.file).hosts["host1"]
    bridge = Rogue(("127.0.0.1", controller.openflow), host.datapath_id, numbers(host))
    thread = threading.Thread(target=bridge.play, daemon=True)
    thread.start()

    until(lambda: controller.events("bridge.up host=host1") == 1)
    until(lambda: controller.events(SUPPRESSED))
    assert controller.events("connection.malformed address") < 200
    assert f"{SUPPRESSED} of=connection.malformed suppressed=" in controller.log.read_text()
    bridge.close()
    thread.join(20)


def test_healthz_answers_within_a_second_beside_500_slow_clients(controller: Controller) -> None:
    """Some never end their request, some ask for more than they read."""
    host, port = controller.rest.removeprefix("http://").split(":")
    head = b"GET /openapi.json HTTP/1.1\r\nHost: h\r\n"
    busy = partial(waited, controller.pid, os.getpid())
    controller.get("/openapi.json")  # made when it is first asked for
    with raised_limit(), ExitStack() as slow:
        for number in range(500):
            client = slow.enter_context(socket.create_connection((host, int(port)), timeout=20))
            with suppress(ConnectionError):  # the first of them have made room by now
                client.sendall((head + b"\r\n") * 20 if number % 2 else head)
        seconds = []
        for _ in range(20):
            began, before = time.monotonic(), busy()
            assert controller.get("/healthz")["status"]
            seconds.append(time.monotonic() - began - max(0.0, busy() - before))

    assert max(seconds) < 1
    until(lambda: controller.events("rest.evicted"))


def test_learned_macs_have_no_lines_at_info(controller: Controller) -> None:
    host = load(controller.file).hosts["host1"]
    bridge = Rogue(("127.0.0.1", controller.openflow), host.datapath_id, numbers(host))
    thread = threading.Thread(target=bridge.play, daemon=True)
    thread.start()
    until(lambda: controller.get("/v1/hosts/host1")["in_sync"])
    (port,) = (port for port in host.ports if port.interface == "red1")
    macs = (b"\x02\xaa\x00\x00" + number.to_bytes(2, "big") for number in range(MACS))
    frames = (b"\xff" * 6 + mac + b"\x88\xb5" + bytes(46) for mac in macs)
    lines = len(controller.log.read_text().splitlines())

    bridge.say(b"".join(packet_in(5010, port.ofport, frame, Table.MAC_LEARNING) for frame in frames))

    until(lambda: sum(at["kind"] == "learned" for at in controller.get("/v1/locations")) == MACS)
    assert len(controller.log.read_text().splitlines()) - lines < MACS / 4
    assert not controller.events("location.learned")
    bridge.close()
    thread.join(20)
