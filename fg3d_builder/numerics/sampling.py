"""Drawing without chance."""

from __future__ import annotations

import numpy as np

from fg3d_builder.records import Array


def systematic_sample(density: Array, count: int) -> Array:
    """Return `count` indices, ascending, each as often as its share of the density has it.

    Systematic sampling along the order of the elements: deterministic, and off by less than one
    draw from any element's expected number.

    Parameters
    ----------
    density : (n,) float64
        Not negative; at least one is positive.
    count : int
    """
    ends = np.cumsum(density)
    return np.searchsorted(ends, (np.arange(count) + 0.5) / count * ends[-1])
