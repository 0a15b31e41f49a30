"""How long a bridge waits for its controller while that is busy with another one.

A connection of its own asks for an echo every few milliseconds. One wait is one stretch in which the
controller's event loop did nothing else, or the sum of what it did before it came to this connection.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from struct import pack, unpack

from sdnapp.openflow.encode import VERSION
from tests.bench.ground import until

EVERY = 0.005
"""Seconds between an answer and the next question."""

_HELLO, _ECHO_REQUEST, _ECHO_REPLY = 0, 2, 3


@dataclass(frozen=True, slots=True)
class Wait:
    """From the question to its answer, in seconds since the epoch."""

    asked: float
    answered: float


class Pulse:
    """What was heard so far."""

    def __init__(self, port: int, context: ssl.SSLContext | None = None) -> None:
        self._context = context
        self.waits: list[Wait] = []
        self._port = port
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def longest(self, began: float, ended: float) -> float:
        """Return the longest wait of those that fell into this time, in milliseconds."""
        until(lambda: self.waits and self.waits[-1].asked > ended, "the controller does not answer an echo")
        return 1000 * max(w.answered - w.asked for w in self.waits if w.answered > began and w.asked < ended)

    def start(self) -> None:
        """Connect, as soon as somebody listens, and ask."""
        self._thread.start()

    def stop(self) -> None:
        """Hang up."""
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        """Who is not heard yet may refuse or reset: it looks whether it can listen before it does."""
        while not self._over.wait(EVERY):
            try:
                with self._connect() as controller:
                    controller.sendall(pack("!BBHI", VERSION, _HELLO, 8, 0))
                    self._ask(controller)
            except OSError:
                if self.waits:
                    return

    def _connect(self) -> socket.socket:
        plain = socket.create_connection(("127.0.0.1", self._port), timeout=30)
        if self._context is None:
            return plain
        return self._context.wrap_socket(plain, server_hostname="localhost")

    def _ask(self, controller: socket.socket) -> None:
        while not self._over.wait(EVERY):
            asked = time.time()
            controller.sendall(pack("!BBHI", VERSION, _ECHO_REQUEST, 8, 0))
            if not _answered(controller):
                raise ConnectionResetError
            self.waits.append(Wait(asked, time.time()))


def _answered(controller: socket.socket) -> bool:
    """Wait for an answer, with an answer to all that the controller asks; False when it hangs up."""
    while head := _received(controller, 8):
        _, kind, length, xid = unpack("!BBHI", head)
        _received(controller, length - 8)
        if kind == _ECHO_REPLY:
            return True
        if kind == _ECHO_REQUEST:
            controller.sendall(pack("!BBHI", VERSION, _ECHO_REPLY, 8, xid))
    return False


def _received(controller: socket.socket, size: int) -> bytes:
    """So many bytes, or fewer when the controller hangs up. TLS knows no MSG_WAITALL."""
    held = b""
    while len(held) < size and (piece := controller.recv(size - len(held))):
        held += piece
    return held


@contextmanager
def pulse(port: int, context: ssl.SSLContext | None = None) -> Iterator[Pulse]:
    """Feel it at the controller that listens, or will listen, on this port; by TLS with a context."""
    felt = Pulse(port, context)
    felt.start()
    try:
        yield felt
    finally:
        felt.stop()
