"""Receive buffers of packet sockets, for times when Open vSwitch is busy.

In the userspace datapath ovs-vswitchd forwards nothing while it has no database, and asks for it again a
second after it lost it (``RECONNECT_DEFAULT_MIN_BACKOFF`` in lib/reconnect.h). Until then frames wait in its
packet sockets. These hold what the machine gives every socket, some 250 small frames: a quarter of what a
stream of 1,000/s sends meanwhile. No network namespace has a setting of its own, so it is the machine's that
labs raise, and put back.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

SETTING = Path("/proc/sys/net/core/rmem_default")
"""Bytes that a socket may hold which asks for no other number; socket(7)."""
ROOM = 4 << 20
"""Twenty times what Linux gives: some 5,000 small frames. A second of a stream of 1,000/s has to wait."""

_BEFORE = Path("/run/sdnapp/rmem_default")


def raise_rmem(labs: Callable[[], Collection[str]]) -> None:
    """Have as much room as labs need while there are any, and after the last one what there was before.

    A machine that does not let us, or has as much, stays as it is.
    """
    with suppress(OSError), _BEFORE.open("a+", encoding="ascii") as kept:
        fcntl.flock(kept, fcntl.LOCK_EX)
        kept.seek(0)
        before, now = kept.read(), int(SETTING.read_text())
        if labs():
            if now < ROOM:
                kept.truncate(0)
                print(now, end="", file=kept, flush=True)
                SETTING.write_text(str(ROOM))
        elif before:
            if now == ROOM:
                SETTING.write_text(before)
            kept.truncate(0)
