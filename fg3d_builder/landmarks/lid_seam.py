"""The line along which the lids of a closed eye meet, as image and depth show it.

A detector keeps closed lids a little apart, and both often above the line where they meet. That
line is darker than the skin on both of its sides, by lashes and shadow, and deeper. The path of
best evidence from one corner of the eye to the other is found by dynamic programming.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from fg3d_builder.landmarks.eye_strip import EyeStrip
from fg3d_builder.records import Array

REACH = 0.07
"""How far from a line the skin is that it is compared with: 2 mm, in eye widths."""

SMOOTHING = 0.02, 0.05
"""Standard deviations across and along the eye of the smoothing before a comparison."""

DETECTOR_SIGMA = 0.1
"""Deviation of a seam from the middle of the detected lids, in eye widths: 3 mm."""

BEND = 30.0
"""Cost of a squared difference between the path's slope and the detected lids'."""

LEAST_SHADOW, LEAST_GROOVE_MM = 0.003, 0.01
"""Differences of brightness (logarithm) and depth that are nothing, however smooth the skin."""

STRONGEST = 6.0
"""Evidence of the clearest line, in standard deviations; one that is clearer counts no more."""

_STEPS = 3


class Seam(NamedTuple):
    """Where the lids meet, in the strip's coordinates.

    Attributes
    ----------
    y : (COLUMNS,) float64
    shadow : float
        How much darker the line is than the skin beside it, on average, in standard deviations of
        such differences elsewhere in the strip.
    """

    y: Array
    shadow: float


def find_seam(strip: EyeStrip) -> Seam:
    """Return the seam of an eye that is closed."""
    darkness = -np.log(strip.colour.mean(axis=2) + 0.01)
    evidence = shadow = _standardised(ridge(darkness, strip), LEAST_SHADOW)
    known = np.isfinite(strip.depth_mm)
    if known.mean() > 0.5:
        depth = np.where(known, strip.depth_mm, np.nanmedian(strip.depth_mm))
        groove = np.where(_eroded(known), ridge(depth, strip), 0.0)
        evidence = evidence + _standardised(groove, LEAST_GROOVE_MM)
    expected = 0.5 * (strip.upper + strip.lower)
    score = evidence - 0.5 * ((strip.y[:, None] - expected) / DETECTOR_SIGMA) ** 2
    between = np.abs(strip.x) <= 0.5
    path = _best_path(score[:, between], expected[between], strip)
    y = np.interp(strip.x, strip.x[between], strip.y[path])
    y = _smooth(y, 0.05 / (strip.x[1] - strip.x[0]))
    return Seam(y, float(shadow[path, np.flatnonzero(between)].mean()))


def ridge(values: Array, strip: EyeStrip) -> Array:
    """Return by how much each sample exceeds the mean of those `REACH` above and below it.

    `values` are the strip's samples, (rows, columns) along its y and x.
    """
    across, along = (
        s / step
        for s, step in zip(
            SMOOTHING, (strip.y[1] - strip.y[0], strip.x[1] - strip.x[0]), strict=True
        )
    )
    smooth = np.asarray(
        cv2.GaussianBlur(
            values.astype(np.float32),
            (0, 0),
            sigmaX=along,
            sigmaY=across,
            borderType=cv2.BORDER_REPLICATE,
        ),
        dtype=np.float64,
    )
    shift = round(REACH / (strip.y[1] - strip.y[0]))
    padded = np.pad(smooth, ((shift, shift), (0, 0)), mode="edge")
    above, below = padded[: -2 * shift], padded[2 * shift :]
    return np.asarray(smooth - 0.5 * (above + below))


def _standardised(response: Array, least: float) -> Array:
    """Divide by the robust standard deviation of the response, or by what makes the best moderate.

    Cutting the best off instead would make a plateau, whose edge is as good as its ridge.
    """
    deviation = 1.4826 * float(np.median(np.abs(response)))
    best = float(np.quantile(response, 0.995)) / STRONGEST
    return np.asarray(np.maximum(response / max(deviation, best, least), -STRONGEST))


def _best_path(score: Array, expected: Array, strip: EyeStrip) -> Array:
    """Return the row in each column of the path of the highest score (Viterbi)."""
    rows, columns = score.shape
    dy, dx = strip.y[1] - strip.y[0], strip.x[1] - strip.x[0]
    slopes = np.gradient(expected, dx)
    best, came = score[:, 0].copy(), np.zeros((columns, rows), dtype=np.int64)
    moves = np.arange(-_STEPS, _STEPS + 1)
    index = np.arange(rows)
    for column in range(1, columns):
        bend = BEND * (moves * dy / dx - slopes[column]) ** 2 * dx
        before = index[:, None] - moves
        inside = (before >= 0) & (before < rows)
        value = np.where(inside, best[np.clip(before, 0, rows - 1)], -np.inf) - bend
        choice = value.argmax(axis=1)
        came[column] = before[index, choice]
        best = value[index, choice] + score[:, column]
    path = np.empty(columns, dtype=np.int64)
    path[-1] = int(best.argmax())
    for column in range(columns - 1, 0, -1):
        path[column - 1] = came[column, path[column]]
    return path


def _eroded(known: Array) -> Array:
    kernel = np.ones((2 * _STEPS + 1, 2 * _STEPS + 1), np.uint8)
    return np.asarray(cv2.erode(known.astype(np.uint8), kernel)) > 0


def _smooth(values: Array, sigma: float) -> Array:
    padded = np.pad(values, 20, mode="reflect", reflect_type="odd")
    blurred = cv2.GaussianBlur(padded[None, :], (0, 0), sigmaX=sigma, sigmaY=1e-3)
    return np.asarray(blurred, dtype=np.float64).reshape(-1)[20:-20]
