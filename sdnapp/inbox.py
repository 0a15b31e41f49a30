"""The engine's queue: without a bound of its own, and fair between connections.

The rule of the event loop: what runs there (the engine, its effects, timers, handlers) never waits for room
in a queue, for a lock, or for another thread. It may put into this queue, and into the queues of the threads
that talk to bridges. Waiting is for hub threads that serve one connection alone. Hence this queue takes all;
what bounds it is back-pressure: the thread that reads a connection stops reading while the engine has too
many events of it to take in (``Backlog``), and TCP tells the bridge. Other connections are not affected.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")


class Backlog:
    """Events of one connection on their way to the engine.

    One thread counts what comes and another what is taken in, each in numbers of its own, so that neither
    needs a lock.
    """

    __slots__ = ("_came", "_came_bytes", "_left", "_left_bytes")

    def __init__(self) -> None:
        self._came = self._left = self._came_bytes = self._left_bytes = 0

    def come(self, size: int) -> None:
        """One more, with a frame of so many bytes. Called by the thread that reads the connection."""
        self._came += 1
        self._came_bytes += size

    def leave(self, size: int) -> None:
        """The engine takes it in."""
        self._left += 1
        self._left_bytes += size

    @property
    def events(self) -> int:
        """How many are on their way."""
        return self._came - self._left

    @property
    def bytes(self) -> int:
        """Bytes of frames in them."""
        return self._came_bytes - self._left_bytes


class Inbox(Generic[Item]):
    """Queue from any thread to the engine's: in order of arrival, with a share for each connection."""

    def __init__(self, queue: Any, share: int) -> None:
        """``queue``: one of the hub, without a bound. ``share``: events of one connection in one batch."""
        self._queue = queue
        self._share = share
        self._held: dict[Backlog, deque[tuple[Item, int]]] = {}

    def put(self, item: Item) -> None:
        """Append what no connection has brought: it is in the next batch."""
        self._queue.put((None, item, 0))

    def bring(self, item: Item, source: Backlog, size: int = 0) -> None:
        """Append what a connection has brought; ``size``: bytes of its frame."""
        source.come(size)
        self._queue.put((source, item, size))

    def take(self) -> list[Item]:
        """The next batch; waits while there is none."""
        batch: list[Item] = []
        taken: dict[Backlog, int] = {}
        for source, held in list(self._held.items()):
            taken[source] = min(len(held), self._share)
            for _ in range(taken[source]):
                self._hand_over(source, *held.popleft(), batch.append)
            if not held:
                del self._held[source]
        waits = not batch
        for _ in range(max(self._queue.qsize(), waits)):
            source, item, size = self._queue.get()
            if source is None:
                batch.append(item)
            elif source in self._held or taken.get(source, 0) >= self._share:
                self._held.setdefault(source, deque()).append((item, size))
            else:
                taken[source] = taken.get(source, 0) + 1
                self._hand_over(source, item, size, batch.append)
        return batch

    def _hand_over(self, source: Backlog, item: Item, size: int, to: Callable[[Item], None]) -> None:
        source.leave(size)
        to(item)
