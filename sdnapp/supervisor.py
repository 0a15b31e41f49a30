"""Notifications to the service manager: sd_notify(3), and the watchdog of systemd.service(5)."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any


def tell(words: str) -> None:
    """Tell the service manager, if there is one; it may be gone."""
    address: Any = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        sock.setblocking(False)
        sock.sendto(words.encode(), "\0" + address[1:] if address.startswith("@") else address)


class Presence:
    """Tells the service manager that a process has started, how it is, and that it goes on.

    ``pause``: seconds after which it has to be told again that the process goes on, half of WATCHDOG_USEC
    (sd_watchdog_enabled(3)); None without a watchdog.
    """

    def __init__(self, notify: Callable[[str], None] = tell) -> None:
        self._notify = notify
        self._told = ""
        self.pause = _watchdog()

    def ready(self, status: str) -> None:
        """Tell that it has started, and in a line what it does now; once each."""
        if status != self._told:
            self._notify(f"READY=1\nSTATUS={status}")
            self._told = status

    def beat(self) -> None:
        """Tell that it goes on."""
        if self.pause is not None:
            self._notify("WATCHDOG=1")


def _watchdog() -> float | None:
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    if not microseconds.isdecimal() or os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(microseconds) / 2e6
