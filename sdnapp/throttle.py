"""Rate limit of log lines by kind, with a count of the suppressed ones.

A kind is a name and what it is about: a host, a port, a bridge, an address. Hence what one bridge causes does
not hide lines about others. The table of kinds is bounded, and so is each name with all of its kinds
together: addresses and datapath ids are free to choose for those that send them. Times are seconds of any
clock that never goes back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

Subject = tuple[tuple[str, str], ...]
"""What a line is about: pairs of field and value."""

OTHERS = "others"
"""Stands for names beyond ``Rates.names``."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """``burst`` lines at once, then ``rate`` lines a second."""

    burst: int
    rate: float


@dataclass(frozen=True, slots=True)
class Rates:
    """What is let through."""

    kind: Allowance = Allowance(50, 5.0)
    """Of one name about one subject."""
    hosts: Allowance = Allowance(5_000, 100.0)
    """Of one name, about all hosts of the file together."""
    rest: Allowance = Allowance(200, 10.0)
    """Of one name, about all else together."""
    kinds: int = 4096
    """Kinds that are told apart; the one that was quiet for longest is forgotten first."""
    names: int = 256
    """Names that are told apart."""
    period: float = 5.0
    """Seconds from the first line that is held back until a line says how many were."""


@dataclass(frozen=True, slots=True)
class Suppressed:
    """Lines of one name that were held back. ``most``: the subject that most of them were about."""

    name: str
    lines: int
    seconds: float
    severity: int
    most: Subject
    of_most: int


@dataclass(slots=True)
class Bucket:
    """A token bucket (RFC 2697 has the same with bytes)."""

    tokens: float
    at: float

    def take(self, allowance: Allowance, now: float) -> bool:
        """Take a token, if there is one."""
        earned = max(0.0, now - self.at) * allowance.rate
        self.tokens, self.at = min(float(allowance.burst), self.tokens + earned), now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


@dataclass(slots=True)
class _Held:
    """Suppressed lines of one name that are not reported yet."""

    since: float
    lines: int = 0
    severity: int = 0
    subjects: Counter[Subject] = field(default_factory=Counter)


_SUBJECTS = 64
"""Subjects of one name that are counted each for itself."""


class Throttle:
    """The decision for each line, and the count of the rest."""

    def __init__(self, rates: Rates) -> None:
        self._rates = rates
        self._kinds: dict[tuple[str, Subject], Bucket] = {}
        self._names: dict[tuple[str, bool], Bucket] = {}
        self._held: dict[str, _Held] = {}

    def admit(self, name: str, subject: Subject, severity: int, now: float) -> bool:
        """Whether this line is to be written. ``severity``: higher is worse."""
        rates, known = self._rates, any(what == "host" for what, _ in subject)
        if (name, known) not in self._names and len(self._names) >= 2 * rates.names:
            name = OTHERS
        kind, whole = (name, subject), rates.hosts if known else rates.rest
        bucket = self._kinds.pop(kind, None) or Bucket(rates.kind.burst, now)
        self._kinds[kind] = bucket  # at the end: in the order of their latest line
        if len(self._kinds) > rates.kinds:
            del self._kinds[next(iter(self._kinds))]
        together = self._names.setdefault((name, known), Bucket(whole.burst, now))
        if bucket.take(rates.kind, now) and together.take(whole, now):
            return True
        held = self._held.setdefault(name, _Held(now))
        held.lines, held.severity = held.lines + 1, max(held.severity, severity)
        if subject in held.subjects or len(held.subjects) < _SUBJECTS:
            held.subjects[subject] += 1
        return False

    def due(self, now: float, *, ending: bool = False) -> Iterator[Suppressed]:
        """Reports that are due, each once; all when the log is ``ending``."""
        for name, held in list(self._held.items()):
            if ending or now >= held.since + self._rates.period:
                del self._held[name]
                ((most, of_most),) = held.subjects.most_common(1)
                yield Suppressed(name, held.lines, now - held.since, held.severity, most, of_most)
