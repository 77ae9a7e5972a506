"""Histograms of figures over all captures, each bar of which leads to its captures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

BARS = 25
"""A round scale in so many steps: edges such as 0.04 and 1.28, which an address can name."""


@dataclass(frozen=True)
class Bar:
    """Captures whose figure is from `low` (included) to `high`; of the last bar also `high`.

    Attributes
    ----------
    low, high : float
    count : int
    share : float
        Of the highest bar's count, in [0, 1].
    """

    low: float
    high: float
    count: int
    share: float


def histogram(values: Sequence[float], low: float, high: float = math.nan) -> list[Bar]:
    """Count finite values in `BARS` ranges of equal width; empty where there are none.

    Parameters
    ----------
    values : sequence of float
    low, high : float
        Ends of the scale, round; where `high` is NaN, a round figure not below the largest value.
    """
    known = np.array([value for value in values if math.isfinite(value)])
    if len(known) == 0:
        return []
    top = _round_up(float(known.max()) - low) + low if math.isnan(high) else high
    edges = np.array([float(f"{edge:.4g}") for edge in np.linspace(low, top, BARS + 1)])
    counts, _ = np.histogram(known, edges)
    return [
        Bar(float(a), float(b), int(count), count / counts.max())
        for a, b, count in zip(edges[:-1], edges[1:], counts, strict=True)
    ]


def _round_up(value: float) -> float:
    """Return the smallest of 1, 1.5, 2, 3, 5, 8 times a power of ten that is not below a value."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 1.5, 2, 3, 5, 8, 10) if step * power >= value)
