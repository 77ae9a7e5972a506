"""Pictures of experiments: ours on the left, what the paper states on the right, on one scale.

They show by how much each row's error is above or below that of the first row that is trained:
our data and networks are others than the paper's, and so are their errors.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
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
"""Width that the rows of one column take; columns are 1 apart."""
_HEADROOM = 0.3
"""Part of the range that stays free above, for the legend."""


class Mark(NamedTuple):
    """By how much a row's error differs from the reference row's, in per cent of that.

    `change` is negative where the row is better; `sd` is over runs, 0 where it is not known.
    """

    change: float
    sd: float


MarkOf = Callable[[RowResult, RowResult, Column], Mark | None]


def save_picture(result: ExperimentResult, scale: str, out: Path) -> Path:
    """Draw an experiment into ``NAME.png``; return its path."""
    path = out / f"{result.experiment.name}.png"
    buffer = io.BytesIO()
    _drawn(result, scale).savefig(buffer, format="png", metadata={"Software": None})
    write_bytes(path, buffer.getvalue())
    return path


def our_mark(row: RowResult, reference: RowResult, column: Column) -> Mark | None:
    """Return a row's mark; None where one of both rows has no finished run.

    Seeds are paired: each gives the row's mean over the reference's.
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


def _draw_rows(axes: Axes, result: ExperimentResult, mark_of: MarkOf) -> list[float]:
    """One place per column, in it a mark per row; return the heights that are drawn."""
    columns, (reference, *rows) = result.shown_columns, _trained(result)
    shift = np.linspace(-0.5, 0.5, len(rows)) * _ROW_SPREAD if len(rows) > 1 else np.zeros(1)
    heights: list[float] = []
    axes.axhline(0.0, color="C0", linewidth=1.2, label=reference.row.name)
    for number, row in enumerate(rows):
        marks = [mark_of(row, reference, column) for column in columns]
        style = {"fmt": "o", "color": f"C{number + 1}", "label": row.row.name}
        heights += _draw_marks(axes, shift[number], marks, style)
    axes.set_xticks(range(len(columns)), [_column_name(column) for column in columns])
    axes.set_xlim(-0.6, len(columns) - 0.4)
    axes.grid(axis="y", alpha=0.3)
    return heights


def _draw_progress(axes: Axes, result: ExperimentResult, mark_of: MarkOf) -> list[float]:
    """One curve per column over the rows, which are numbers of shapes; return the heights."""
    rows, ours = _trained(result), mark_of is our_mark
    heights: list[float] = []
    for number, column in enumerate(result.shown_columns):
        marks = [mark_of(row, rows[0], column) for row in rows]
        style = {"color": f"C{number}", "label": _column_name(column)}
        style["fmt"] = "o-" if ours else "o--"  # the paper states the ends alone
        width = 2.2 if column.yaw_deg is None else 1.2
        heights += _draw_marks(axes, 0.0, marks, {**style, "linewidth": width})
    names = [row.row.name.split()[0] for row in rows]
    if not ours:  # the paper has four shapes where we may have others
        names = [*("0", *[""] * len(rows))[: len(rows) - 1], str(SHAPES_PER_CAPTURE)]
    axes.set_xticks(range(len(rows)), names)
    axes.set_xlabel("transformed shapes under each photo")
    axes.grid(alpha=0.3)
    return heights


def _draw_marks(
    axes: Axes, shift: float, marks: Sequence[Mark | None], style: dict[str, Any]
) -> list[float]:
    """Draw the marks that are known at 0, 1, ... and `shift`; return the ends of their bars."""
    known = {i + shift: mark for i, mark in enumerate(marks) if mark is not None}
    changes = np.array([mark.change for mark in known.values()])
    sd = np.array([mark.sd for mark in known.values()])
    axes.errorbar(list(known), changes, yerr=sd if sd.any() else None, capsize=3, **style)
    return [*(changes - sd), *(changes + sd)]


def _trained(result: ExperimentResult) -> list[RowResult]:
    return [row for row in result.rows if row.row.recipe is not None]


def _column_name(column: Column) -> str:
    if column.yaw_deg is None:
        return "all" if column.title == "mean" else column.title
    return f"yaw {column.title}"
