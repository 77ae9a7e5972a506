"""Charts as SVG for HTML pages: histograms, maps of counts, curves.

Colours are classes that the page's style sheet sets, so that a chart follows the reader's light or
dark theme. All text is escaped. Each bar, cell and point tells its numbers when it is pointed at.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup, escape

from fg3d_builder.records import Array

WIDTH, HEIGHT = 460, 250
"""Size of a chart in its own units; the page scales it."""

LEFT, RIGHT, TOP, BOTTOM = 70, 16, 20, 48
"""Margins; on the left there is room for the axis' label and numbers of `LONGEST_NUMBER`."""

LONGEST_NUMBER = 7
"""Characters of a number beside the vertical axis, of 6.5 units each."""

_TAIL = 0.01
"""Share of the values at an open end that may go to a bin of their own: one value far out would
otherwise squeeze all others into a single bar."""


class Chart(NamedTuple):
    """A chart for a page.

    Attributes
    ----------
    title : str
    svg : Markup
        The drawing, with a legend where it needs one.
    note : str
        What to look for in it.
    """

    title: str
    svg: Markup
    note: str


class Histogram(NamedTuple):
    """Counts of values in bins of equal width.

    Attributes
    ----------
    edges : (b + 1,) float64
    counts : (b,) int64
    below, above : int
        Finite values beyond the first and the last edge.
    unknown : int
        Values that are None or not finite.
    """

    edges: Array
    counts: Array
    below: int
    above: int
    unknown: int

    @property
    def total(self) -> int:
        """All values, known or not."""
        return int(self.counts.sum()) + self.below + self.above + self.unknown


class Line(NamedTuple):
    """A curve, or a value that it is compared with.

    Attributes
    ----------
    name : str
    x, y : sequence of float
        Its points, as many of the one as of the other; those with a NaN are left out.
    colour : int
        Number of its class in the style sheet.
    level : bool
        Draws the one value of `y` across the whole chart; `x` is not read.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    colour: int = 0
    level: bool = False


def round_step(span: float, most: int) -> float:
    """Return the smallest of 1, 2, 2.5 and 5 times a power of ten that cuts `span` into `most`."""
    least = span / most
    power = 10.0 ** math.floor(math.log10(least))
    return next(f * power for f in (1.0, 2.0, 2.5, 5.0, 10.0) if f * power >= least * (1 - 1e-9))


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return round values from `low` to `high`, at most `most` intervals."""
    if not high > low:
        return [low]
    step = round_step(high - low, most)
    first = math.ceil(low / step - 1e-9)
    return [step * i for i in range(first, math.floor(high / step + 1e-9) + 1)]


def tick_words(values: Sequence[float]) -> list[str]:
    """Write evenly spaced values with as many decimals as their step needs."""
    if len(values) < 2:
        return [f"{value:.4g}" for value in values]
    step = values[1] - values[0]
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    if not math.isclose(step * 10**digits, round(step * 10**digits), rel_tol=1e-6):
        digits += 1  # of 0.25
    # Adding 0 makes of -0.0, which a small negative value is rounded to, 0.0.
    return [f"{round(value, digits) + 0.0:,.{digits}f}" for value in values]


def histogram(
    values: Sequence[float | None],
    low: float | None = None,
    high: float | None = None,
    bins: int = 24,
) -> Histogram:
    """Count values in bins of a round width.

    Parameters
    ----------
    values : sequence of float or None
    low, high : float, optional
        Ends of the axis. An end that is left out is set by the values; the farthest percent of
        them is counted apart there (`Histogram.below`, `above`).
    bins : int
        Largest number of bins.
    """
    known = np.array([v for v in values if v is not None and math.isfinite(v)], dtype=np.float64)
    unknown = len(values) - len(known)
    if not len(known):
        return Histogram(np.array([0.0, 1.0]), np.zeros(1, np.int64), 0, 0, unknown)
    start = float(np.quantile(known, _TAIL, method="lower")) if low is None else low
    end = float(np.quantile(known, 1 - _TAIL, method="higher")) if high is None else high
    if not end > start:
        end = start + (abs(start) or 1.0) * 0.1
    step = round_step(end - start, bins)
    first, last = math.floor(start / step + 1e-9), math.ceil(end / step - 1e-9)
    edges = step * np.arange(first, last + 1)
    # A value at an end is within it, also where the multiple of the step is rounded past it.
    edges[0], edges[-1] = min(edges[0], start), max(edges[-1], end)
    counts, _ = np.histogram(known, edges)
    below, above = int((known < edges[0]).sum()), int((known > edges[-1]).sum())
    return Histogram(edges, counts.astype(np.int64), below, above, unknown)


def histogram_svg(
    found: Histogram,
    x_label: str,
    y_label: str = "captures",
    marks: Sequence[tuple[float, str]] = (),
) -> Markup:
    """Draw a histogram; a bin of values beyond an end is hatched and labelled.

    Parameters
    ----------
    found : Histogram
    x_label : str
        Quantity and unit.
    y_label : str
    marks : sequence of (float, str)
        Values with a line and a name, as the median or a limit.
    """
    edges = found.edges
    step = float(edges[1] - edges[0])
    low = float(edges[0]) - (1.5 * step if found.below else 0.0)
    high = float(edges[-1]) + (1.5 * step if found.above else 0.0)
    most = max(int(found.counts.max(initial=0)), found.below, found.above, 1)
    plot = _Plot((low, high), (0.0, most), whole=True)
    bars = [(float(a), step, int(n), "bar") for a, n in zip(edges[:-1], found.counts, strict=True)]
    if found.below:
        bars.append((low, step, found.below, "bar far"))
    if found.above:
        bars.append((high - step, step, found.above, "bar far"))
    parts = [plot.grid()]
    for start, width, count, css in bars:
        if not count:
            continue
        what = f"{start:.4g} to {start + width:.4g}"
        if css != "bar":
            what = f"below {edges[0]:.4g}" if start < edges[0] else f"above {edges[-1]:.4g}"
        x0, x1, y = plot.x(start), plot.x(start + width), plot.y(count)
        parts.append(
            f'<rect class="{css}" x="{x0 + 0.5:.1f}" y="{y:.1f}" width="{max(x1 - x0 - 1, 1):.1f}" '
            f'height="{plot.bottom - y:.1f}"><title>{what}: {count:,}</title></rect>'
        )
    inside = [(at, name) for at, name in marks if edges[0] <= at <= edges[-1]]
    for at, name in inside:
        parts.append(plot.mark(at, name))
    tick_values = ticks(float(edges[0]), float(edges[-1]))
    parts.append(plot.axes(x_label, y_label, tick_values))
    return _svg("".join(parts), f"Histogram of {x_label}: {found.total - found.unknown:,} values")


def counts_map(
    x: Array, y: Array, step: float, extent: float = math.inf
) -> tuple[Array, Array, Array]:
    """Count points in squares; the edges are multiples of `step`, around all points.

    Parameters
    ----------
    x, y : (n,) float
        Finite; values beyond plus or minus `extent` count in the outermost squares.
    step, extent : float

    Returns
    -------
    (a + 1,) float64, (b + 1,) float64, (b, a) int64
        Edges in x and y, and the counts, rows of y upwards.
    """

    def edges(values: Array) -> Array:
        low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 0.0)
        first, last = math.floor(low / step), math.floor(high / step) + 1
        return step * np.arange(first, last + 1)

    x, y = np.clip(x, -extent, extent), np.clip(y, -extent, extent)
    x_edges, y_edges = edges(x), edges(y)
    table, _, _ = np.histogram2d(y, x, (y_edges, x_edges))
    return x_edges, y_edges, table.astype(np.int64)


def map_svg(
    x_edges: Array, y_edges: Array, counts: Array, x_label: str, y_label: str, what: str
) -> Markup:
    """Draw a map of counts: the stronger a square's colour, the more; its number is in it.

    Parameters
    ----------
    x_edges, y_edges, counts
        See `counts_map`.
    x_label, y_label : str
        Quantity and unit.
    what : str
        What is counted.
    """
    plot = _Plot((float(x_edges[0]), float(x_edges[-1])), (float(y_edges[0]), float(y_edges[-1])))
    most = max(int(counts.max(initial=0)), 1)
    parts = []
    for row, count_row in enumerate(counts):
        for column, count in enumerate(count_row.tolist()):
            if not count:
                continue
            x0, x1 = plot.x(x_edges[column]), plot.x(x_edges[column + 1])
            y0, y1 = plot.y(y_edges[row + 1]), plot.y(y_edges[row])
            # Counts differ by orders of magnitude: by their logarithm the rare ones show as well.
            level = 0.12 + 0.88 * math.log1p(count) / math.log1p(most)
            about = (
                f"{x_edges[column]:g} to {x_edges[column + 1]:g}, "
                f"{y_edges[row]:g} to {y_edges[row + 1]:g}: {count:,} {what}"
            )
            parts.append(
                f'<rect class="cell" x="{x0 + 0.5:.1f}" y="{y0 + 0.5:.1f}" '
                f'width="{max(x1 - x0 - 1, 1):.1f}" height="{max(y1 - y0 - 1, 1):.1f}" '
                f'fill-opacity="{level:.3f}"><title>{escape(about)}</title></rect>'
            )
            if x1 - x0 > 7 * len(f"{count:,}") + 2 and y1 - y0 > 12:
                css = "on-dark" if level > 0.6 else "on-light"
                parts.append(
                    f'<text class="{css}" x="{(x0 + x1) / 2:.1f}" y="{(y0 + y1) / 2 + 4:.1f}" '
                    f'text-anchor="middle">{count:,}</text>'
                )
    y_ticks = ticks(float(y_edges[0]), float(y_edges[-1]))
    parts.append(plot.axes(x_label, y_label, y_ticks=y_ticks))
    return _svg("".join(parts), f"Map of {what}: {x_label} against {y_label}")


def lines_svg(
    lines: Sequence[Line], x_label: str, y_label: str, logarithmic: bool = False
) -> Markup:
    """Draw curves with axes and a legend.

    Parameters
    ----------
    lines : sequence of Line
    x_label, y_label : str
        Quantity and unit.
    logarithmic : bool
        Of the y axis; values that are not positive are left out.
    """
    shown = [(line, _points(line, logarithmic)) for line in lines]
    xs = [x for line, points in shown if not line.level for x, _ in points]
    ys = [y for _, points in shown for _, y in points]
    if not ys:
        return Markup('<p class="note">Nothing measured yet.</p>')
    low, high = min(xs, default=0.0), max(xs, default=1.0)
    if not high > low:
        low, high = low - 0.5, high + 0.5
    down, up = min(ys), max(ys)
    room = 0.06 * (up - down) or abs(up) * 0.1 or 1.0
    bottom = down - room if logarithmic or down - room > 0 else min(down, 0.0)
    plot = _Plot((low, high), (bottom, up + room))
    if logarithmic:
        y_ticks = _powers(bottom, up + room)
        words = [_short(10**t) for t in y_ticks]
    else:
        y_ticks = ticks(bottom, up + room, 5)
        words = tick_words(y_ticks)
    parts = [plot.grid(y_ticks)]
    for line, points in shown:
        if not points:
            continue
        css = f"line c{line.colour}"
        told = (lambda v: 10**v) if logarithmic else (lambda v: v)
        if line.level:
            y = plot.y(points[0][1])
            parts.append(
                f'<line class="{css} level" x1="{LEFT}" x2="{plot.right}" y1="{y:.1f}" '
                f'y2="{y:.1f}"><title>{escape(line.name)}: {told(points[0][1]):.4g}</title></line>'
            )
            continue
        path = " ".join(f"{plot.x(x):.1f},{plot.y(y):.1f}" for x, y in points)
        parts.append(f'<polyline class="{css}" points="{path}"/>')
        if len(points) <= 60:
            parts += [
                f'<circle class="dot c{line.colour}" cx="{plot.x(x):.1f}" cy="{plot.y(y):.1f}" '
                f'r="2.6"><title>{escape(line.name)}, {x:g}: {told(y):.4g}</title></circle>'
                for x, y in points
            ]
    whole = all(float(x).is_integer() for x in xs)
    x_ticks = [t for t in ticks(low, high) if not whole or float(t).is_integer()]
    parts.append(plot.axes(x_label, y_label, x_ticks, y_ticks, words))
    drawn = _svg("".join(parts), f"{y_label} against {x_label}")
    return drawn + _legend([line for line, points in shown if points])


def _points(line: Line, logarithmic: bool) -> list[tuple[float, float]]:
    x = line.x if not line.level else [0.0] * len(line.y)
    pairs = zip(x, line.y, strict=True)
    known = [(a, b) for a, b in pairs if math.isfinite(a) and math.isfinite(b)]
    return [(a, math.log10(b)) for a, b in known if b > 0] if logarithmic else known


def _powers(low: float, high: float) -> list[float]:
    """Return ticks of a logarithmic axis, as logarithms: powers of ten, or more where few are."""
    for factors in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9)):
        found = [
            power + math.log10(f)
            for power in range(math.floor(low), math.ceil(high) + 1)
            for f in factors
        ]
        inside = [value for value in found if low <= value <= high]
        if len(inside) >= 3:
            return inside
    return inside or [low, high]


def _short(value: float) -> str:
    """Write a positive number with three digits, and short: 0.015 and 3142, but 1.5e-4 and 2e6."""
    if 1e-3 <= value < 1e5:
        return f"{value:.3g}" if value < 1e3 else f"{value:.0f}"
    digits, _, power = f"{value:.2e}".partition("e")
    return f"{digits.rstrip('0').rstrip('.')}e{int(power)}"


def _legend(lines: Sequence[Line]) -> Markup:
    items = Markup("").join(
        Markup('<span class="key"><i class="swatch c{}{}"></i>{}</span>').format(
            line.colour, " dashed" if line.level else "", line.name
        )
        for line in lines
    )
    return Markup('<div class="legend">{}</div>').format(items)


class _Plot:
    """Places values in the chart's frame; draws grid and axes."""

    def __init__(self, x: tuple[float, float], y: tuple[float, float], whole: bool = False) -> None:
        self.right, self.bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
        self._x, self._y = x, y
        self.y_ticks = [t for t in ticks(*y, 4) if not whole or float(t).is_integer()]

    def x(self, value: float) -> float:
        """Where a value is from the left."""
        low, high = self._x
        return LEFT + (self.right - LEFT) * (float(value) - low) / (high - low)

    def y(self, value: float) -> float:
        """Where a value is from the top."""
        low, high = self._y
        return self.bottom - (self.bottom - TOP) * (float(value) - low) / (high - low)

    def grid(self, values: Sequence[float] | None = None) -> str:
        """Draw horizontal lines."""
        at = self.y_ticks if values is None else values
        return "".join(
            f'<line class="grid" x1="{LEFT}" x2="{self.right}" y1="{self.y(v):.1f}" '
            f'y2="{self.y(v):.1f}"/>'
            for v in at
        )

    def mark(self, value: float, name: str) -> str:
        """Draw a vertical line with its name."""
        x = self.x(value)
        anchor = "start" if x < (LEFT + self.right) / 2 else "end"
        return (
            f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{self.bottom}"/>'
            f'<text class="mark-name" x="{x:.1f}" y="{TOP - 6}" text-anchor="{anchor}">'
            f"{escape(name)}</text>"
        )

    def axes(
        self,
        x_label: str,
        y_label: str,
        x_ticks: Sequence[float] | None = None,
        y_ticks: Sequence[float] | None = None,
        y_words: Sequence[str] | None = None,
    ) -> str:
        """Draw the axes with numbers and labels."""
        at_x = ticks(*self._x) if x_ticks is None else x_ticks
        at_y = self.y_ticks if y_ticks is None else y_ticks
        words = tick_words(at_y) if y_words is None else y_words
        parts = [
            f'<path class="axis" d="M{LEFT},{TOP}V{self.bottom}H{self.right}"/>',
        ]
        for value, word in zip(at_x, tick_words(at_x), strict=True):
            x = self.x(value)
            parts.append(
                f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{self.bottom}" '
                f'y2="{self.bottom + 4}"/><text x="{x:.1f}" y="{self.bottom + 17}" '
                f'text-anchor="middle">{word}</text>'
            )
        for value, word in zip(at_y, words, strict=True):
            y = self.y(value)
            parts.append(
                f'<text x="{LEFT - 7}" y="{y + 4:.1f}" text-anchor="end">{escape(word)}</text>'
            )
        middle = (TOP + self.bottom) / 2
        parts.append(
            f'<text class="label" x="{(LEFT + self.right) / 2}" y="{HEIGHT - 9}" '
            f'text-anchor="middle">{escape(x_label)}</text>'
            f'<text class="label" transform="translate(11 {middle}) rotate(-90)" '
            f'text-anchor="middle">{escape(y_label)}</text>'
        )
        return "".join(parts)


def _svg(content: str, title: str) -> Markup:
    return Markup(
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(title)}">{content}</svg>'
    )
