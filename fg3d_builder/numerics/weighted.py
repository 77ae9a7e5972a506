"""Statistics of weighted values."""

from __future__ import annotations

import numpy as np

from fg3d_builder.records import Array


def weighted_rms(values: Array, weights: Array) -> float:
    """Return the weighted root mean square; NaN where nothing has weight.

    `values` has the shape of `weights`.
    """
    total = float(weights.sum())
    return float(np.sqrt(weights @ values**2 / total)) if total > 0 else float("nan")


def weighted_quantile(values: Array, weights: Array, share: float) -> float:
    """Return the smallest value up to which `share` of the weight lies; NaN without weight.

    `values` has the shape of `weights`.
    """
    order = np.argsort(values, kind="stable")
    total = np.cumsum(weights[order])
    if len(total) == 0 or not total[-1] > 0:
        return float("nan")
    return float(values[order[np.searchsorted(total, share * total[-1])]])
