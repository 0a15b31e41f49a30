"""Connections that were refused: an alarm for each source, until it has been quiet for a while."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from sdnapp.engine.status import Alarm

QUIET = 600.0
"""Seconds without another one after which an alarm ends."""
MOST = 64
"""Alarms of a kind at once; of more, the ones that were quiet for longest end."""

Kind = Literal["unauthorized-bridge", "duplicate-datapath-id"]
_Source = tuple[str | None, str, str]
"""The host that it claimed to be, its address, its names."""


@dataclass(slots=True)
class _Refusal:
    text: str
    host: str | None
    since: float
    latest: float
    times: int = 0


class Refusals:
    """All that count now; times are seconds since the epoch."""

    def __init__(self) -> None:
        self._known: dict[Kind, dict[_Source, _Refusal]] = {
            "unauthorized-bridge": {},
            "duplicate-datapath-id": {},
        }

    def add(self, kind: Kind, *, host: str | None, ip: str, names: str, text: str, now: float) -> None:
        """One more, from this address, with these certificate names."""
        known, key = self._known[kind], (host, ip, names)
        refusal = known.pop(key, None) or _Refusal(text, host, now, now)
        refusal.text, refusal.latest, refusal.times = text, now, refusal.times + 1
        known[key] = refusal  # at the end: in the order of the latest
        if len(known) > MOST:
            del known[next(iter(known))]

    def alarms(self, now: float) -> Iterator[Alarm]:
        """Those that are not quiet."""
        for kind, known in self._known.items():
            for refusal in list(known.values()):
                if refusal.latest > now - QUIET:
                    times = "once" if refusal.times == 1 else f"{refusal.times} times"
                    text = f"{refusal.text}; {times}"
                    yield Alarm(kind, text, host=refusal.host, since=refusal.since)
