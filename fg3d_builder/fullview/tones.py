"""Colours as what tells skin, hair and clothes apart: brightness and hue, in logarithms."""

from __future__ import annotations

import numpy as np

from fg3d_builder.records import Array

DARK = 0.02
"""Added to linear light before its logarithm."""


def tone(log_color: Array) -> Array:
    """Return brightness, red over green and green over blue (..., 3) of logarithms of colours."""
    r, g, b = np.moveaxis(log_color, -1, 0)
    return np.stack([(r + g + b) / 3, r - g, g - b], axis=-1)


def middle_and_spread(tones: Array) -> tuple[Array, Array]:
    """Return the medians (3,) of tones (k, 3), and 1.48 times those of the distances to them.

    The latter are standard deviations of what is normally distributed.
    """
    parts = np.ascontiguousarray(tones.T)
    middle = np.median(parts, axis=1)
    return middle, 1.48 * np.median(np.abs(parts - middle[:, None]), axis=1)
