"""Predicted against true errors of what `benchmarks.quality` registered, as a picture."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.quality_fit import labels
from fg3d_builder.records import Array, QualityFigures
from fg3d_builder.registration.quality import (
    SURFACE_LIMIT_MM,
    VERTEX_LIMIT_MM,
    calibrated_model,
)

TITLES = {"default": "embedded model", "ict": "ICT-FaceKit"}
GOOD, BAD, DIAGONAL, LIMIT = "#2f6fb0", "#c8402c", "#888888", "#bbbbbb"


def quality_picture(files: dict[str, Path]) -> Array:
    """Draw predicted against true mean errors, vertices above and surface below.

    Parameters
    ----------
    files : dict of str to Path
        Rows that `benchmarks.quality` kept, by face model.

    Returns
    -------
    (H, W, 3) uint8
    """
    figure = Figure(figsize=(4.6 * len(files), 8.6), dpi=110, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots(2, len(files), squeeze=False)
    model = calibrated_model()
    for column, (name, file) in enumerate(files.items()):
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        rows = [r for r in rows if "figures" in r and r["set"] == "synthetic"]
        judged = [model.judge(QualityFigures(**row["figures"])) for row in rows]
        bad = labels(rows)
        for line, (what, limit) in enumerate(
            (("vertex_mm", VERTEX_LIMIT_MM), ("surface_mm", SURFACE_LIMIT_MM))
        ):
            axis = axes[line, column]
            true = np.array([row[what] for row in rows])
            predicted = np.array([getattr(j, what) for j in judged])
            for colour, mine, label in ((GOOD, ~bad, "good"), (BAD, bad, "bad")):
                axis.scatter(
                    true[mine], predicted[mine], s=14, color=colour, alpha=0.8, label=label
                )
            ends = [0.5 * min(true.min(), predicted.min()), 2.0 * max(true.max(), predicted.max())]
            axis.plot(ends, ends, color=DIAGONAL, linewidth=0.8)
            axis.axvline(limit, color=LIMIT, linewidth=0.8)
            axis.axhline(limit, color=LIMIT, linewidth=0.8)
            axis.set(xscale="log", yscale="log", xlim=ends, ylim=ends, aspect="equal")
            axis.set_xlabel(f"true mean {what.removesuffix('_mm')} error, mm")
            axis.set_ylabel("predicted, mm")
            axis.set_title(f"{TITLES[name]}: {len(rows)} registrations")
            axis.legend(loc="lower right", frameon=False)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
