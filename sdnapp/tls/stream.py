"""A TLS connection of either hub that one thread reads while another writes.

Python's ``SSLSocket`` is not safe for two threads at once before 3.13, and eventlet's own reports silence and
a broken connection by the same exception. Here OpenSSL works in memory (``ssl.SSLObject`` between two
``MemoryBIO``), under a lock and without ever waiting; only the plain socket beside it waits.
"""

from __future__ import annotations

import ssl
import time
from contextlib import suppress
from threading import Lock
from typing import Any

from os_ken.lib import hub

PIECE = 64 * 1024
"""Bytes that are taken from the socket at once."""


class Refused(ConnectionError):
    """The handshake failed; the text says why, in words."""

    def __init__(self, words: str, *, http: bool = False) -> None:
        """``http``: what came instead is an HTTP request in clear text."""
        super().__init__(words)
        self.http = http


class Stream:
    """A connected socket with TLS: the part of the interface of ``socket.socket`` that servers here use.

    Any error of TLS is a ``ConnectionError``, silence for longer than the time-out a ``TimeoutError``.
    select(2) does not tell whether ``recv`` would wait: it may have bytes that came with others.
    """

    def __init__(self, plain: Any, context: ssl.SSLContext) -> None:
        """Take over ``plain``, a socket that a server accepted. ``handshake`` comes next."""
        self._plain = plain
        self._arrived, self._leaving = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._engine = context.wrap_bio(self._arrived, self._leaving, server_side=True)
        self._lock = Lock()  # held for computation alone, never while something waits
        self._sending = hub.Semaphore()

    def handshake(self, seconds: float) -> None:
        """Agree with the peer, in so many seconds at most. Raises ``Refused``."""
        end = time.monotonic() + seconds
        before = self._plain.gettimeout()
        try:
            while not self._agreed():
                self._plain.settimeout(max(0.001, end - time.monotonic()))
                self._take_in()
        except TimeoutError:
            raise Refused(f"no TLS handshake within {seconds:g} s") from None
        except ssl.SSLError as error:
            with suppress(OSError):
                self._flush()  # the alert that says why
            raise Refused(_words(error), http=error.reason == "HTTP_REQUEST") from None
        self._plain.settimeout(before)

    def _agreed(self) -> bool:
        try:
            with self._lock:
                self._engine.do_handshake()
        except ssl.SSLWantReadError:
            return False
        finally:
            self._flush()
        return True

    def recv(self, size: int) -> bytes:
        """Up to ``size`` bytes, as soon as there are some; none when the peer has closed."""
        while True:
            try:
                with self._lock:
                    return self._engine.read(size)
            except ssl.SSLWantReadError:
                self._flush()
                self._take_in()
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""
            except ssl.SSLError as error:
                raise ConnectionError(_words(error)) from None

    def sendall(self, data: bytes) -> None:
        """Send all of it."""
        rest = memoryview(data)
        try:
            with self._lock:
                while rest:  # OpenSSL may take a part of it
                    rest = rest[self._engine.write(rest) :]
        except ssl.SSLError as error:
            raise ConnectionError(_words(error)) from None
        self._flush()

    def shutdown(self, how: int) -> None:
        """Say that nothing more will be sent, if that can be said at once, and shut the socket down."""
        self._take_leave()
        self._plain.shutdown(how)

    def close(self) -> None:
        """Close the socket."""
        with suppress(OSError):
            self._take_leave()
        self._plain.close()

    def getpeercert(self) -> dict[str, Any] | None:
        """What ``ssl.SSLSocket`` says of the verified certificate of the peer."""
        return self._engine.getpeercert()

    def version(self) -> str | None:
        """The version of TLS, such as ``TLSv1.3``."""
        return self._engine.version()

    def __getattr__(self, name: str) -> Any:
        """Everything else is the socket's: addresses, options, time-outs."""
        return getattr(self._plain, name)

    def _take_in(self) -> None:
        """Wait for bytes from the peer."""
        piece = self._plain.recv(PIECE)
        with self._lock:
            if piece:
                self._arrived.write(piece)
            else:
                self._arrived.write_eof()

    def _flush(self) -> None:
        """Send what there is: of two threads, each sends in its turn what both have by then."""
        if self._leaving.pending:
            with self._sending:
                self._send()

    def _send(self) -> None:
        with self._lock:
            data = self._leaving.read()
        if data:
            self._plain.sendall(data)

    def _take_leave(self) -> None:
        """Send ``close_notify`` (RFC 8446, section 6.1), unless something else is being sent."""
        if not self._sending.acquire(blocking=False):
            return
        try:
            with self._lock, suppress(ssl.SSLError, ValueError):
                self._engine.unwrap()
            before = self._plain.gettimeout()
            self._plain.settimeout(0)
            try:
                self._send()
            finally:
                self._plain.settimeout(before)
        finally:
            self._sending.release()


_WORDS = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "no certificate",
    "HTTP_REQUEST": "not TLS, but HTTP",
    "WRONG_VERSION_NUMBER": "not TLS",
    "TLSV1_ALERT_UNKNOWN_CA": "the peer does not trust the CA of our certificate",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "our certificate has expired, says the peer",
    "UNSUPPORTED_PROTOCOL": "a version of TLS below 1.2",
    "NO_SHARED_CIPHER": "no cipher in common",
}


def _words(error: ssl.SSLError) -> str:
    """Why TLS failed, in words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate refused: {error.verify_message}"
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return "closed during the handshake"
    reason = error.reason or str(error)
    return _WORDS.get(reason, reason.lower().replace("_", " "))
