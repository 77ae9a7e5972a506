"""Albedo of models whose colours are those of pictures (sRGB)."""

from __future__ import annotations

import numpy as np

from fg3d_builder.records import Array
from fg3d_builder.rendering.shading import decoded_srgb, linear_per_srgb


def linear_albedo(mean: Array, basis: Array | None = None) -> tuple[Array, Array | None]:
    """Return an albedo model in linear light for one in sRGB.

    A linear model of sRGB values is none of linear ones: the basis is taken along at the mean, to
    first order.

    Parameters
    ----------
    mean : (n, 3) float
        sRGB; clipped to [0, 1].
    basis : (n, 3, b) float, optional

    Returns
    -------
    mean : (n, 3) float64
    basis : (n, 3, b) float64 or None
    """
    srgb = np.clip(np.asarray(mean, dtype=np.float64), 0.0, 1.0)
    return decoded_srgb(srgb), None if basis is None else linear_per_srgb(srgb)[:, :, None] * basis
