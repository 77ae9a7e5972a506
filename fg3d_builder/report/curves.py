"""Curves as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fg3d_builder.records import Array


class Curve(NamedTuple):
    """A line: its name, points, style as matplotlib writes it and number of its colour.

    Attributes
    ----------
    name : str
        In the legend.
    x, y : sequence of float
    style : str
    colour : int
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    style: str = "-"
    colour: int = 0


class Panel(NamedTuple):
    """Curves with common axes.

    Attributes
    ----------
    title, y_label : str
    curves : sequence of Curve
    """

    title: str
    y_label: str
    curves: Sequence[Curve]


def curves_picture(panels: Sequence[Panel], x_label: str = "modes") -> Array:
    """Draw panels side by side; (H, W, 3) uint8."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6 * len(panels), 3.6), dpi=110, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    for i, panel in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), i + 1)
        for curve in panel.curves:
            (line,) = axes.plot(curve.x, curve.y, curve.style, marker=".")
            line.set_color(f"C{curve.colour}")
            line.set_label(curve.name)
        axes.set_title(panel.title)
        axes.set_xlabel(x_label)
        axes.set_ylabel(panel.y_label)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.legend()
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:, :, :3].copy()
