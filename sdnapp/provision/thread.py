"""Threads of the agent; signals are delivered to its main thread only."""

from __future__ import annotations

import threading
from collections.abc import Callable

from sdnapp.signals import held_back


def in_background(work: Callable[[], None]) -> None:
    """Have a thread do this until the process ends.

    It inherits what its maker blocks: a signal that it took would reach the agent where that blocks it.
    """
    with held_back():
        threading.Thread(target=work, daemon=True).start()
