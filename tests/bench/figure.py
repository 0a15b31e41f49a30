"""A figure: what was measured, what it is compared with, and whether that is good enough. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any, TypeVar

from rich.table import Table

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Effort:
    """How thoroughly to measure: rounds, of which the median counts; ``few`` of them where one takes long.

    ``quick``: at fewer sizes, too. The names of figures tell at which.
    """

    rounds: int
    few: int
    quick: bool


_TIMES = frozenset({"s", "ms", "µs", "/s", "%"})
"""Units of what takes longer on a slower machine."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table. ``ours`` and ``reference`` are medians in ``unit``; the ratio has none.

    Without a bar there is nothing to be met, and ``met`` is None; ``limit`` is what ours may be at most,
    ``least`` what it must be at least.
    """

    name: str
    ours: float
    reference: float | None
    unit: str
    ratio: float | None
    bar: str = ""
    met: bool | None = None
    limit: float | None = None
    least: float | None = None

    def at_pace(self, pace: float) -> Figure:
        """The figure with its bar for a machine on which all takes ``pace`` times as long.

        Only a bar in time, or by time, that has no reference of the same run is another one then.
        """
        if self.unit not in _TIMES or self.reference is not None:
            return self
        bar = f"{self.bar} * {number(pace)}"
        if self.limit is not None:
            return replace(self, bar=bar, limit=self.limit * pace, met=self.ours <= self.limit * pace)
        if self.least is not None:
            return replace(self, bar=bar, least=self.least / pace, met=self.ours >= self.least / pace)
        return self

    def as_json(self) -> dict[str, Any]:
        """Return what the JSON list holds of it."""
        return {
            "figure": self.name,
            "ours": self.ours,
            "reference": self.reference,
            "unit": self.unit,
            "ratio": self.ratio,
            "bar": self.bar,
            "met": self.met,
        }


@dataclass(frozen=True, slots=True)
class Curve:
    """A cost against a size: a panel of the chart of this name. ``points`` are figures, by size.

    ``cost`` is what the figures count ("time"), ``size`` what grows ("flows"), ``reference`` who else did it.
    """

    chart: str
    name: str
    size: str
    cost: str
    points: Mapping[int, Figure]
    reference: str = ""

    def at_pace(self, pace: float) -> Curve:
        """The same with figures at this pace."""
        return replace(self, points={size: point.at_pace(pace) for size, point in self.points.items()})

    def each(self, of: int, at: int, *, times: float) -> Figure:
        """Compare the cost of each at one size with that at another, of which it may be so many times."""
        each = {size: self.points[size].ours / size for size in (of, at)}
        name = f"{self.name}: {self.cost} for each of {at:,} {self.size}, beside each of {of:,}"
        unit = self.points[at].unit
        if unit == "s":
            unit, each = "µs", {size: seconds * 1e6 for size, seconds in each.items()}
        return within(name, ([each[at]], [each[of]]), unit, times=times)


def flat(found: Iterable[Figure | Curve]) -> Iterator[Figure]:
    """All figures, those of curves among them."""
    for one in found:
        yield from one.points.values() if isinstance(one, Curve) else (one,)


def plain(name: str, samples: Sequence[float], unit: str, reference: Sequence[float] = ()) -> Figure:
    """Take the median of ours, and of the reference if there is one, without a bar."""
    ours, theirs = median(samples), median(reference) if reference else None
    return Figure(name, ours, theirs, unit, ours / theirs if theirs else None)


def absolute(name: str, samples: Sequence[float], unit: str, *, at_most: float) -> Figure:
    """Compare the median of ours with a number."""
    ours = median(samples)
    return Figure(name, ours, None, unit, None, f"≤ {at_most:g} {unit}".rstrip(), ours <= at_most, at_most)


def at_least(name: str, samples: Sequence[float], unit: str, *, bar: float) -> Figure:
    """Compare the median of ours, of which more is better, with a number."""
    ours = median(samples)
    return Figure(name, ours, None, unit, None, f"≥ {bar:g} {unit}".rstrip(), ours >= bar, least=bar)


def within(name: str, samples: tuple[Sequence[float], Sequence[float]], unit: str, *, times: float) -> Figure:
    """Compare the medians of ours and of the reference, of which we may take so many times as much."""
    ours, reference = map(median, samples)
    limit = times * reference
    return Figure(name, ours, reference, unit, ours / reference, f"≤ {times:g} times", ours <= limit, limit)


def no_later(name: str, samples: tuple[Sequence[float], Sequence[float]], unit: str, *, by: float) -> Figure:
    """Compare the medians of ours and of the reference, to which we may add a constant."""
    ours, reference = map(median, samples)
    limit, bar = reference + by, f"≤ reference + {by:g} {unit}"
    return Figure(name, ours, reference, unit, ours / reference, bar, ours <= limit, limit)


def beside(
    name: str, samples: tuple[Sequence[float], Sequence[float]], unit: str, *, less_is_better: bool = False
) -> Figure:
    """Compare ours with the reference, measured by turns; the ratio is above 1 where ours is better.

    It is the median of the ratios of each turn, as neighbours in time suffer alike from what else goes on.
    """
    ours, reference = map(median, samples)
    better, worse = reversed(samples) if less_is_better else samples
    return Figure(name, ours, reference, unit, median(b / w for b, w in zip(better, worse, strict=True)))


def as_good(
    name: str,
    samples: tuple[Sequence[float], Sequence[float]],
    unit: str,
    *,
    at_least: float,
    less_is_better: bool = False,
) -> Figure:
    """Compare both as ``beside`` does; the ratio has a bar."""
    figure = beside(name, samples, unit, less_is_better=less_is_better)
    assert figure.ratio is not None
    return replace(figure, bar=f"≥ {at_least:g}", met=figure.ratio >= at_least)


def interleaved(
    ours: Callable[[], float], reference: Callable[[], float], times: int
) -> tuple[list[float], list[float]]:
    """Measure both by turns."""
    measured, other = by_turns((ours, reference), times)
    return measured, other


def by_turns(measures: Sequence[Callable[[], T]], times: int) -> list[list[T]]:
    """Measure all sides by turns, so that whatever else the machine does meets all alike.

    The order is turned round every other time: what gets slower or faster over time does so for all.
    """
    samples: list[list[T]] = [[] for _ in measures]
    for turn in range(times):
        sides = list(zip(samples, measures, strict=True))
        for side, measure in sides if turn % 2 == 0 else reversed(sides):
            side.append(measure())
    return samples


def line(figure: Figure) -> str:
    """A figure by itself, as soon as it is measured."""
    words = [f"{figure.name}: {number(figure.ours)} {figure.unit}".rstrip()]
    if figure.reference is not None:
        words.append(f"beside {number(figure.reference)} {figure.unit}".rstrip())
    if figure.bar:
        words.append(f"{figure.bar}: {'met' if figure.met else 'NOT met'}")
    return ", ".join(words)


_VERDICTS = {True: "[green]yes[/]", False: "[bold red]no[/]", None: ""}


def table(figures: Sequence[Figure]) -> Table:
    """Lay the figures out for a terminal."""
    shown = Table("figure")
    for column in ("ours", "reference", "ratio", "bar"):
        shown.add_column(column, justify="right")
    shown.add_column("met?")
    for figure in figures:
        shown.add_row(
            figure.name,
            f"{number(figure.ours)} {figure.unit}",
            f"{number(figure.reference)} {figure.unit}" if figure.reference is not None else "",
            number(figure.ratio) if figure.ratio is not None else "",
            figure.bar,
            _VERDICTS[figure.met],
        )
    return shown


def number(value: float) -> str:
    """Show three digits, as no benchmark has more."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
