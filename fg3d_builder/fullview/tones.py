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
