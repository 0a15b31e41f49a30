"""A figure: what was measured, what it is compared with, and whether that is good enough. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from rich.table import Table


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table. ``ours`` and ``reference`` are medians in ``unit``; the ratio has none."""

    name: str
    ours: float
    reference: float | None
    unit: str
    ratio: float | None
    bar: str
    met: bool

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


def absolute(name: str, samples: Sequence[float], unit: str, *, at_most: float) -> Figure:
    """Compare the median of ours with a number."""
    ours = median(samples)
    return Figure(name, ours, None, unit, None, f"≤ {at_most:g} {unit}", ours <= at_most)


def at_least(name: str, samples: Sequence[float], unit: str, *, bar: float) -> Figure:
    """Compare the median of ours, of which more is better, with a number."""
    ours = median(samples)
    return Figure(name, ours, None, unit, None, f"≥ {bar:g} {unit}".rstrip(), ours >= bar)


def within(name: str, samples: tuple[Sequence[float], Sequence[float]], unit: str, *, times: float) -> Figure:
    """Compare the medians of ours and of the reference, of which we may take so many times as much."""
    ours, reference = map(median, samples)
    return Figure(
        name, ours, reference, unit, ours / reference, f"≤ {times:g} times", ours <= times * reference
    )


def as_good(
    name: str,
    samples: tuple[Sequence[float], Sequence[float]],
    unit: str,
    *,
    at_least: float,
    less_is_better: bool = False,
) -> Figure:
    """Compare ours with the reference, measured by turns; the ratio is above 1 where ours is better.

    It is the median of the ratios of each turn, as neighbours in time suffer alike from what else goes on.
    """
    ours, reference = map(median, samples)
    better, worse = reversed(samples) if less_is_better else samples
    ratio = median(b / w for b, w in zip(better, worse, strict=True))
    return Figure(name, ours, reference, unit, ratio, f"≥ {at_least:g}", ratio >= at_least)


def interleaved(
    ours: Callable[[], float], reference: Callable[[], float], times: int
) -> tuple[list[float], list[float]]:
    """Measure both by turns, so that whatever else the machine does meets both alike.

    Each goes first every other time: what gets slower or faster over time does so for both.
    """
    samples: tuple[list[float], list[float]] = ([], [])
    for turn in range(times):
        sides = list(zip(samples, (ours, reference), strict=True))
        for side, measure in sides if turn % 2 == 0 else reversed(sides):
            side.append(measure())
    return samples


def table(figures: Sequence[Figure]) -> Table:
    """Lay the figures out for a terminal."""
    shown = Table("figure")
    for column in ("ours", "reference", "ratio", "bar"):
        shown.add_column(column, justify="right")
    shown.add_column("met?")
    for figure in figures:
        shown.add_row(
            figure.name,
            f"{_text(figure.ours)} {figure.unit}",
            f"{_text(figure.reference)} {figure.unit}" if figure.reference is not None else "",
            _text(figure.ratio) if figure.ratio is not None else "",
            figure.bar,
            "[green]yes[/]" if figure.met else "[bold red]no[/]",
        )
    return shown


def _text(number: float) -> str:
    """Show three digits, as no benchmark has more."""
    return f"{number:,.0f}" if number >= 1000 else f"{number:.3g}"
