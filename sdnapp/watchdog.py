"""Watchdog of the event loop: if it stalls, log all stacks and exit with an error.

A supervisor then starts it again; a process that hangs it would leave alone. The event loop counts its turns,
also those within long work, and a thread of the operating system looks at the count once a second. It counts
its own looks, not the time: a process that was stopped (SIGSTOP) and continued has missed none. systemd gets
the turns as well (sd_notify(3), WatchdogSec of systemd.service(5)), for a process in which no thread runs.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import sys
import threading
from collections.abc import Callable

from sdnapp.log import event
from sdnapp.supervisor import tell

LOG = logging.getLogger("sdnapp")

PATIENCE = 10
"""Looks, a second apart, in which the event loop has not turned once; then the process ends."""
LATE = 3
"""Looks after which it is said to be late."""
STATUS = 70
"""Exit status of a process that hangs: EX_SOFTWARE of sysexits.h."""


class Watchdog:
    """Counts turns, and looks for them."""

    def __init__(
        self, notify: Callable[[str], None] | None = None, end: Callable[[], None] | None = None
    ) -> None:
        """``notify`` tells a supervisor; ``end`` ends the process."""
        self.turns = 0
        self._seen = -1
        self._missed = 0
        self._notify = notify or tell
        self._end = end or _end

    @property
    def late(self) -> bool:
        """Whether the event loop has not turned for some seconds."""
        return self._missed >= LATE

    def look(self) -> None:
        """Look once, after a second."""
        if self.turns == self._seen:
            self._missed += 1
            if self._missed == PATIENCE:
                self._end()
            return
        self._seen, self._missed = self.turns, 0
        self._notify("WATCHDOG=1")

    def start(self) -> None:
        """Look once a second from now on, in a thread of the operating system."""
        self._notify("READY=1")
        # Not time.sleep, which is the hub's by now; threading is left as it is (``sdnapp.manager``).
        second = threading.Event()

        def watch() -> None:
            while True:
                second.wait(1)
                self.look()

        threading.Thread(target=watch, name="watchdog", daemon=True).start()


def _end() -> None:
    """Say where every thread stands, and end."""
    event(LOG, "controller.hangs", level=logging.CRITICAL, seconds=PATIENCE)
    faulthandler.dump_traceback(sys.stderr, all_threads=True)
    sys.stderr.flush()
    os._exit(STATUS)
