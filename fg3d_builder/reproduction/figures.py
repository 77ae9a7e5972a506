"""Pictures of experiments: ours on the left, what the paper states on the right, on one scale.

Drawn is by how much each row's error lies above or below that of the first row that is trained:
our data and networks are others than the paper's, and so are their errors.
"""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fg3d_builder.evaluation import seed_spread
from fg3d_builder.files.atomic import write_bytes
from fg3d_builder.reproduction.paper import SHAPES_PER_CAPTURE
from fg3d_builder.reproduction.results import ExperimentResult, RowResult
from fg3d_builder.reproduction.tables import Column

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DOTS_PER_INCH = 100
_PANEL_PX = (620, 460)
_ROW_SPREAD = 0.6
"""Width that the rows of one column take, of 1 between columns."""
_HEADROOM = 0.3
"""Of the range that stays free above, for the legend."""


class Mark(NamedTuple):
    """What is drawn of one row in one column, in per cent of the reference row's error.

    Attributes
    ----------
    change : float
        Negative where the row is better.
    sd : float
        Over runs; 0 where it is not known.
    """

    change: float
    sd: float


def save_picture(result: ExperimentResult, scale: str, out: Path) -> Path:
    """Draw an experiment into ``NAME.png``; return its path."""
    path = out / f"{result.experiment.name}.png"
    buffer = io.BytesIO()
    _drawn(result, scale).savefig(buffer, format="png", metadata={"Software": None})
    write_bytes(path, buffer.getvalue())
    return path


def our_mark(row: RowResult, reference: RowResult, column: Column) -> Mark | None:
    """Return a row's mark; None where one of both rows has no finished run.

    Seeds are paired: of each, the row's mean over the reference's.
    """
    ours, theirs = row.means[column.title], reference.means[column.title]
    seeds = sorted(set(ours) & set(theirs))
    if not seeds or not all(math.isfinite(ours[s]) for s in seeds):
        return None
    spread = seed_spread([100.0 * (ours[s] / theirs[s] - 1.0) for s in seeds])
    return Mark(spread.mean, spread.sd if math.isfinite(spread.sd) else 0.0)


def paper_mark(row: RowResult, reference: RowResult, column: Column) -> Mark | None:
    """Return the mark of the paper's row; None where the paper does not state both."""
    stated = [r.row.paper.get(column.title) for r in (row, reference)]
    if stated[0] is None or stated[1] is None:
        return None
    return Mark(100.0 * (stated[0] / stated[1] - 1.0), 0.0)


def _drawn(result: ExperimentResult, scale: str) -> Figure:
    # A figure without pyplot has no window, no global state and the Agg canvas.
    from matplotlib.figure import Figure

    size = (2 * _PANEL_PX[0] / _DOTS_PER_INCH, _PANEL_PX[1] / _DOTS_PER_INCH)
    figure = Figure(figsize=size, dpi=_DOTS_PER_INCH, layout="constrained")
    ours, theirs = figure.subplots(1, 2, sharey=True)
    draw = _draw_progress if result.experiment.name == "fig14" else _draw_rows
    heights = [*draw(ours, result, our_mark), *draw(theirs, result, paper_mark)]
    ours.set_title(f"here: scale {scale}, {result.subjects} test subjects", fontsize=10)
    theirs.set_title("stated in the paper", fontsize=10)
    reference = _trained(result)[0].row.name
    ours.set_ylabel(f"error against {reference}, %; lower is better")
    low, high = min([*heights, 0.0]), max([*heights, 0.0])
    span = max(high - low, 0.1)
    ours.set_ylim(low - 0.08 * span, high + _HEADROOM * span)
    ours.legend(fontsize=8, ncols=2, loc="upper right")
    figure.suptitle(result.experiment.title, fontsize=11)
    return figure


def _draw_rows(axes: Axes, result: ExperimentResult, mark_of: Any) -> list[float]:
    """One place per column, in it a mark per row; return the heights that are drawn."""
    columns, (reference, *rows) = result.shown_columns, _trained(result)
    shift = np.linspace(-0.5, 0.5, len(rows)) * _ROW_SPREAD if len(rows) > 1 else np.zeros(1)
    heights: list[float] = []
    axes.axhline(0.0, color="C0", linewidth=1.2, label=reference.row.name)
    for number, row in enumerate(rows):
        marks = {i: mark_of(row, reference, column) for i, column in enumerate(columns)}
        known = {i: mark for i, mark in marks.items() if mark is not None}
        axes.errorbar(
            [i + shift[number] for i in known],
            [mark.change for mark in known.values()],
            yerr=[mark.sd for mark in known.values()] if mark_of is our_mark else None,
            fmt="o",
            capsize=3,
            color=f"C{number + 1}",
            label=row.row.name,
        )
        heights += [m.change + side * m.sd for m in known.values() for side in (-1.0, 1.0)]
    axes.set_xticks(range(len(columns)), [_column_name(column) for column in columns])
    axes.set_xlim(-0.6, len(columns) - 0.4)
    axes.grid(axis="y", alpha=0.3)
    return heights


def _draw_progress(axes: Axes, result: ExperimentResult, mark_of: Any) -> list[float]:
    """One curve per column over the rows, which are numbers of shapes; return the heights."""
    rows = _trained(result)
    heights: list[float] = []
    for number, column in enumerate(result.shown_columns):
        marks = {i: mark_of(row, rows[0], column) for i, row in enumerate(rows)}
        known = {i: mark for i, mark in marks.items() if mark is not None}
        ours = mark_of is our_mark
        axes.errorbar(
            list(known),
            [mark.change for mark in known.values()],
            yerr=[mark.sd for mark in known.values()] if ours else None,
            fmt="o-" if ours else "o--",  # the paper states the ends alone
            capsize=3,
            linewidth=2.2 if column.yaw_deg is None else 1.2,
            color=f"C{number}",
            label=_column_name(column),
        )
        heights += [m.change + side * m.sd for m in known.values() for side in (-1.0, 1.0)]
    names = [row.row.name.split()[0] for row in rows]
    if mark_of is paper_mark:  # which has four shapes where we may have others
        names = [*("0", *[""] * len(rows))[: len(rows) - 1], str(SHAPES_PER_CAPTURE)]
    axes.set_xticks(range(len(rows)), names)
    axes.set_xlabel("transformed shapes under each photo")
    axes.grid(alpha=0.3)
    return heights


def _trained(result: ExperimentResult) -> list[RowResult]:
    return [row for row in result.rows if row.row.recipe is not None]


def _column_name(column: Column) -> str:
    if column.yaw_deg is None:
        return "all" if column.title == "mean" else column.title
    return f"yaw {column.title}"
