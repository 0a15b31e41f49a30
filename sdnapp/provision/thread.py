"""Threads beside the agent's own, which alone hears the signals that end it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable


def in_background(work: Callable[[], None]) -> None:
    """Have a thread do this until the process ends.

    It inherits what its maker blocks: a signal that it took would reach the agent where that blocks it.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    try:
        threading.Thread(target=work, daemon=True).start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
