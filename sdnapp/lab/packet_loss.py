"""Statistics of a stream of numbered packets: lost, duplicate, reordered, longest gap. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Count:
    """One direction of a stream.

    ``received``: different packets that arrived. ``overrun``: packets that arrived, but that the receiver was
    too slow to take; the network did not lose them. ``gap_ms``: from the moment the first of the longest run
    of lost packets was sent until the next one that arrived was. ``reordered``: arrived after one that was
    sent later (RFC 4737 section 3).
    """

    source: str
    destination: str
    sent: int
    received: int
    overrun: int
    gap_ms: float
    duplicates: int
    reordered: int

    @property
    def lost(self) -> int:
        """Packets that the network lost."""
        return max(0, self.sent - self.received - self.overrun)


def count(
    pair: tuple[str, str], sent: Sequence[float], arrivals: Sequence[int], *, overrun: int, period: float
) -> Count:
    """Count one direction, from the first of ``pair`` to the second: ``sent`` holds when each packet
    left, ``arrivals`` their numbers as they came. Times and the ``period`` between packets are in seconds.
    """
    came = bytearray(len(sent))
    duplicates = reordered = 0
    newest = -1
    for number in arrivals:
        if came[number]:
            duplicates += 1
        elif number < newest:
            reordered += 1
        came[number] = 1
        newest = max(newest, number)
    return Count(
        *pair,
        sent=len(sent),
        received=sum(came),
        overrun=overrun,
        gap_ms=round(1000 * _longest_gap(sent, came, period), 1),
        duplicates=duplicates,
        reordered=reordered,
    )


def _longest_gap(sent: Sequence[float], came: bytearray, period: float) -> float:
    longest = 0.0
    first = came.find(0)
    while first >= 0:
        after = came.find(1, first)
        until = sent[after] if after >= 0 else sent[-1] + period
        longest = max(longest, until - sent[first])
        first = came.find(0, after) if after >= 0 else -1
    return longest
