"""Curves as a picture."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from fg3d_builder.files.atomic import write_bytes


class Curve(NamedTuple):
    """A line: its name, points, style as matplotlib writes it and number of its colour."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    style: str = "-"
    colour: int = 0


def draw_curves(
    path: Path,
    panels: Sequence[tuple[str, str, Sequence[Curve]]],
    x_label: str = "modes",
) -> None:
    """Draw panels side by side into a PNG: (title, label of the y axis, curves) each."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6 * len(panels), 3.6), layout="constrained")
    for i, (title, label, curves) in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), i + 1)
        for curve in curves:
            axes.plot(
                curve.x,
                curve.y,
                curve.style,
                color=f"C{curve.colour}",
                marker=".",
                label=curve.name,
            )
        axes.set_title(title)
        axes.set_xlabel(x_label)
        axes.set_ylabel(label)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.legend()
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=110, metadata={"Software": ""})
    write_bytes(path, data.getvalue())
