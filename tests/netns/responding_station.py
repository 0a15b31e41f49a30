"""Somebody who answers what comes in at a device, beside the test."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def answering(device: int, answer: Callable[[], None]) -> Iterator[None]:
    """Meanwhile, a thread calls this whenever there is something to read from the descriptor."""
    ending, end = os.pipe()

    def run() -> None:
        while ending not in select.select([device, ending], [], [])[0]:
            answer()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        os.close(end)
        thread.join()
        os.close(ending)
