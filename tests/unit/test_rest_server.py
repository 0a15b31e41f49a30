"""The HTTP server, talked to over real sockets: what it answers, and what it puts up with."""

from __future__ import annotations

import errno
import http.client
import json
import os
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from sdnapp.rest.crowd import Limits
from sdnapp.rest.server import Server, listener, serve

LIMITS = Limits(connections=4, head=4096, body=1000, request=0.3, write=0.3)


def echo(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Says what it was asked."""
    body = environ["wsgi.input"].read()
    asked = {k: v for k, v in environ.items() if isinstance(v, str)} | {"body": body.decode()}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(asked).encode()]


class Endless:
    """A response without end; ``closed`` once the server let go of it."""

    def __init__(self) -> None:
        self.closed = threading.Event()

    def __call__(self, _: dict[str, Any], start_response: Any) -> Endless:
        start_response("200 OK", [])
        return self

    def __iter__(self) -> Iterator[bytes]:
        while True:
            yield b"x" * 16384

    def close(self) -> None:
        self.closed.set()


Start = Callable[[Any], tuple[str, int]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Serve an application; where it listens."""
    servers: list[Server] = []

    def started(app: Any) -> tuple[str, int]:
        listening = listener("127.0.0.1", 0)
        host, port = listening.getsockname()
        servers.append(serve(app, listening, LIMITS, urgent=frozenset({b"/urgent"})))
        return host, port

    yield started
    for server in servers:
        server.close()
    end = time.monotonic() + 5
    while threading.active_count() > 1 and time.monotonic() < end:
        time.sleep(0.01)


def connect(address: tuple[str, int]) -> socket.socket:
    client = socket.create_connection(address, timeout=5)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def exchange(address: tuple[str, int], raw: bytes) -> bytes:
    """Send, and read until the server hangs up."""
    with connect(address) as client:
        client.sendall(raw)
        return b"".join(iter(lambda: client.recv(65536), b""))


def test_requests_reach_the_application_one_after_another(start: Start) -> None:
    client = http.client.HTTPConnection(*start(echo), timeout=5)
    for number in range(3):
        client.request("POST", f"/a%20b/{number}?c=d", body=b"hello", headers={"X-Word": "w"})
        asked = json.load(client.getresponse())
        assert asked["PATH_INFO"] == f"/a b/{number}"
        assert (asked["QUERY_STRING"], asked["HTTP_X_WORD"], asked["body"]) == ("c=d", "w", "hello")
        assert (asked["REQUEST_METHOD"], asked["CONTENT_LENGTH"]) == ("POST", "5")
    client.close()


def test_old_and_hasty_clients_are_served(start: Start) -> None:
    address = start(echo)
    assert b"200 OK" in exchange(address, b"GET / HTTP/1.0\r\n\r\n")
    pipelined = b"GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    both = exchange(address, pipelined)
    assert both.index(b'"/1"') < both.index(b'"/2"')
    chunked = b"POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunked += b"3\r\nabc\r\n0\r\n\r\n"
    assert b'"body": "abc"' in exchange(address, chunked)
    head = exchange(address, b"HEAD / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    assert head.endswith(b"\r\n\r\n")


def test_a_client_that_waits_for_permission_gets_it(start: Start) -> None:
    with connect(start(echo)) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 100")
        client.sendall(b"hi")
        assert b"200 OK" in client.recv(65536)


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET * HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 5000, 431),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 300000\r\n\r\n" + b"x" * 300_000, 413),
        (b"GET / HTTP/1.1\r\nHost: h\r\n", 408),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nabc", 408),
    ],
)
def test_what_is_no_proper_request_is_answered_in_json(start: Start, raw: bytes, status: int) -> None:
    head, _, body = exchange(start(echo), raw).partition(b"\r\n\r\n")

    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert json.loads(body)["error"]


def test_an_idle_client_is_sent_away(start: Start) -> None:
    assert exchange(start(echo), b"") == b""


def test_a_client_that_drips_its_request_is_sent_away_in_time(start: Start) -> None:
    def drip(client: socket.socket) -> None:
        for _ in range(100):
            client.sendall(b"G")
            time.sleep(0.05)

    began = time.monotonic()
    with connect(start(echo)) as client, pytest.raises(ConnectionError):
        drip(client)
    assert time.monotonic() - began < 3


def test_a_client_that_does_not_read_is_cut_off_and_the_response_closed(start: Start) -> None:
    endless = Endless()
    with connect(start(endless)) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        assert endless.closed.wait(5)


def test_a_response_is_closed_when_its_client_goes(start: Start) -> None:
    endless = Endless()
    with connect(start(endless)) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        client.recv(1000)
    assert endless.closed.wait(5)


def test_a_response_that_breaks_off_is_not_taken_for_whole(start: Start) -> None:
    def broken(_: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"half"
        raise RuntimeError("the switch is gone")

    client = http.client.HTTPConnection(*start(broken), timeout=5)
    client.request("GET", "/")
    with pytest.raises(http.client.IncompleteRead):
        client.getresponse().read()
    client.close()


def test_with_more_clients_than_there_is_room_for_the_one_that_waits_longest_makes_room(
    start: Start,
) -> None:
    address = start(echo)
    clients = [connect(address) for _ in range(LIMITS.connections)]
    time.sleep(0.05)
    with connect(address) as latest:
        assert clients[0].recv(10) == b""
        for client in (*clients[1:], latest):
            client.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            assert client.recv(65536).startswith(b"HTTP/1.1 200")
    for client in clients:
        client.close()


@pytest.fixture
def many_files() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.usefixtures("many_files")
def test_what_is_urgent_is_answered_beside_500_slow_clients(start: Start) -> None:
    """Some never end their request, some read nothing of a response without end."""
    endless = Endless()

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        return (echo if environ["PATH_INFO"] == "/urgent" else endless)(environ, start_response)

    address = start(app)
    answered = []
    with ExitStack() as slow:
        for number in range(500):
            client = slow.enter_context(connect(address))
            client.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n" + b"\r\n" * (number % 2))
        for _ in range(10):
            began = time.monotonic()
            assert b"200 OK" in exchange(address, b"GET /urgent HTTP/1.0\r\n\r\n")
            answered.append(time.monotonic() - began)

    assert max(answered) < 1


def test_without_files_it_waits_and_goes_on(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """It tried again at once, as fast as it could."""
    tries, accept = [], socket.socket.accept

    def scarce(self: socket.socket) -> Any:
        tries.append(time.monotonic())
        if len(tries) <= 3:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return accept(self)

    monkeypatch.setattr(socket.socket, "accept", scarce)

    assert b"200 OK" in exchange(start(echo), b"GET / HTTP/1.0\r\n\r\n")
    assert tries[3] - tries[0] > 0.25


def test_close_hangs_up_and_frees_the_address() -> None:
    listening = listener("127.0.0.1", 0)
    address = listening.getsockname()
    server = serve(echo, listening, LIMITS)
    client = connect(address)
    time.sleep(0.05)

    server.close()

    assert client.recv(10) == b""
    client.close()
    end = time.monotonic() + 5
    while time.monotonic() < end:
        try:
            listener(*address).close()
            return
        except OSError:
            time.sleep(0.01)
    pytest.fail("the address is still taken")


def test_ipv6_is_listened_on() -> None:
    with listener("::1", 0) as listening:
        assert listening.family is socket.AF_INET6


def test_a_socket_from_systemd_is_taken_over() -> None:
    program = (
        "import os, sys, sdnapp.rest.server as s\n"
        "os.environ['LISTEN_PID'] = str(os.getpid())\n"
        "print(s.listener('192.0.2.1', 1).getsockname()[1], 'LISTEN_FDS' in os.environ)\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def as_third() -> None:
            os.dup2(listening.fileno(), 3)

        done = subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"LISTEN_FDS": "1"},
            pass_fds=(3, listening.fileno()),
            preexec_fn=as_third,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.split() == [str(listening.getsockname()[1]), "False"]


def test_another_processes_socket_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTEN_PID", "1")
    monkeypatch.setenv("LISTEN_FDS", "1")
    with listener("127.0.0.1", 0) as listening:
        assert listening.getsockname()[0] == "127.0.0.1"
