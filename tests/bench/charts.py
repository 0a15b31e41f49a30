"""Charts: what a cost grows with, so that the eye sees at once whether it grows faster than its cause.

Both axes are logarithmic: in proportion is a straight line, and the dashed one shows it. Points above it on
the left are what everything costs at least; points below it would mean growth faster than in proportion.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from textwrap import fill
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from tests.bench.figure import Curve, Figure, number

OURS, THEIRS, GUIDE, INK, BAR = "#1f5fa8", "#c2641c", "#9aa0a6", "#26292c", "#b3261e"
PANEL = (5.6, 4.4)
"""Inches that a curve takes."""
SMALL = 16
"""Small letters that fit into an inch."""

_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": GUIDE,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
}


def draw(curves: Iterable[Curve], directory: Path, machine: str) -> list[Path]:
    """Draw one PNG for each chart, its curves side by side; return them. A single point is no curve."""
    charts: dict[str, list[Curve]] = defaultdict(list)
    for curve in curves:
        if len(curve.points) > 1:
            charts[curve.chart].append(curve)
    directory.mkdir(parents=True, exist_ok=True)
    drawn = []
    for name, panels in charts.items():
        with mpl.rc_context(_STYLE):
            width, height = PANEL
            layout = ConstrainedLayoutEngine(wspace=0.06, rect=(0, 0.065, 1, 0.935))
            canvas = Canvas(figsize=(width * len(panels), height), layout=layout, dpi=150)
            for axes, curve in zip(canvas.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
                _panel(axes, curve)
            words = fill(machine, int(SMALL * width * len(panels)))
            canvas.text(0.01, 0.012, words, fontsize=7, color=GUIDE)
            drawn.append(directory / f"{name}.png")
            canvas.savefig(drawn[-1])
    return drawn


def finding(curve: Curve) -> str:
    """Say what the curve shows: ``50 times the flows, 38 times the time``."""
    (few, less), *_, (many, more) = sorted(curve.points.items())
    sizes, costs = (f"{float(f'{ratio:.2g}'):,g} times" for ratio in (many / few, more.ours / less.ours))
    return f"{sizes} the {curve.size}, {costs} the {curve.cost}"


def _panel(axes: Axes, curve: Curve) -> None:
    points = dict(sorted(curve.points.items()))
    sizes = list(points)
    ours = [point.ours for point in points.values()]
    last, unit = points[sizes[-1]], points[sizes[-1]].unit
    axes.set(
        xscale="log",
        yscale="log",
        xlabel=curve.size,
        ylabel=f"{curve.cost} in {unit}" if unit else curve.cost,
    )
    guide = [ours[-1] * size / sizes[-1] for size in sizes]
    axes.plot(sizes, guide, color=GUIDE, linestyle=(0, (4, 3)), linewidth=1, label="in proportion", zorder=1)
    theirs = {size: point.reference for size, point in points.items() if point.reference is not None}
    if theirs:
        axes.plot(
            list(theirs), list(theirs.values()), color=THEIRS, marker="s", markersize=4, label=curve.reference
        )
    axes.plot(sizes, ours, color=OURS, marker="o", markersize=5, linewidth=2, label="sdnapp", zorder=3)
    axes.annotate(
        f"{number(last.ours)} {unit}".rstrip(),
        (sizes[-1], last.ours),
        xytext=(-6, 7),
        textcoords="offset points",
        ha="right",
        color=OURS,
        fontweight="bold",
    )
    _bars(axes, points)
    low = min([*ours, *theirs.values()])
    high = max([*ours, *theirs.values(), *(p.limit for p in points.values() if p.limit)])
    axes.set_ylim(low / 2, high * 2.5)
    _plain_numbers(axes, sizes)
    axes.set_title(f"{finding(curve)}\n", loc="left", fontsize=11.5, fontweight="bold")
    axes.text(0, 1.02, curve.name, transform=axes.transAxes)
    axes.grid(visible=True, which="major", color=GUIDE, alpha=0.25, linewidth=0.6)
    axes.legend(loc="lower right", frameon=False, fontsize=9)


def _bars(axes: Axes, points: dict[int, Figure]) -> None:
    """Mark what must be reached, where it must."""
    limits = {size: point.limit for size, point in points.items() if point.limit is not None}
    if limits:
        (size, limit), *others = limits.items()
        label = "at most" if others else f"at most {number(limit)} {points[size].unit}".rstrip()
        style: dict[str, Any] = {"marker": "_", "markersize": 16, "markeredgewidth": 2, "linestyle": "none"}
        axes.plot(list(limits), list(limits.values()), color=BAR, label=label, **style)


def _plain_numbers(axes: Axes, sizes: list[int]) -> None:
    """Write 10,000 and not ten to the fourth."""
    shown = FuncFormatter(lambda value, _: number(value))
    axes.xaxis.set_major_locator(LogLocator(10) if sizes[-1] > 20 * sizes[0] else LogLocator(10, (1, 2, 5)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(shown)
    axes.yaxis.set_major_locator(LogLocator(10, (1, 2, 5) if _decades(axes) < 2 else (1,)))
    axes.yaxis.set_major_formatter(shown)
    axes.yaxis.set_minor_formatter(NullFormatter())


def _decades(axes: Axes) -> float:
    low, high = axes.get_ylim()
    return len(str(int(high / low))) - 1
