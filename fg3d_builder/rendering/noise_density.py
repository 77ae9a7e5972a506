"""How much of a depth image's relief is noise: its power per area, at the wavelengths of relief.

White noise averages out; the noise of depth sensors does less so, because they smooth their
output over several pixels. What is left looks like dimples, and their strength is the noise's
power spectral density at their wavelengths, ``N`` in mm^4: averaged over a wide area ``A`` noise
has the variance ``N / A``. It is found from second differences along x of those along y, which
planes and quadrics do not excite (Immerkaer, "Fast noise variance estimation", CVIU 1996), at
several spacings h. To noise of standard deviation sigma whose neighbours are correlated like
white noise blurred by a Gaussian of s they respond with the variance ::

    36 sigma^2 g(h / s),  g = (1 - 4/3 rho(h) + 1/3 rho(2 h))^2,  rho(h) = exp(-h^2 / 4 s^2)

and sigma and s are fitted to it. Faces have a relief of their own, `FACE_MM`: what a capture
shows beyond it is noise, so a clean scan has none. The fitted spectrum is one of white noise
blurred; a sensor's may hold less power where the fit extrapolates, at long wavelengths. What
the depth does have at 7 to 12 mm, as means over `LONG_MM` show it, is therefore the upper bound.
"""

from __future__ import annotations

import cv2
import numpy as np

from fg3d_builder.records import Array

SPACINGS = 8
LARGEST_SPACING_MM = 4.0
"""Spacings that are looked at, and the largest: beyond it faces respond as much as noise does."""

FACE_MM = 0.02
"""Response, as a standard deviation, of a face without noise at a spacing of 1 mm; it grows with
the spacing to the power of 3/2. An upper bound over clean renderings of synthetic and of
modelled heads: where skin is seen at less than 60 degrees they reach 0.016 mm at 1.2 mm and
0.11 mm at 3.7 mm."""

LONG_MM = 5.0
"""Edge of the square blocks whose means tell the power at wavelengths of 7 to 12 mm."""

KEPT = 0.7
"""Share of the responses that counts, the weakest: eyes, nostrils and lips are not noise."""

CORRELATIONS = 24
"""Correlation lengths s that are tried."""

MIN_SAMPLES = 100


def noise_density_mm4(depth_mm: Array, points_px: Array, pitch_mm: float) -> float:
    """Estimate the noise's power spectral density at wavelengths of 7 to 12 mm.

    Parameters
    ----------
    depth_mm : (H, W) float64
        NaN where there is none.
    points_px : (k, 2) float
        Where to look: pixel positions on the face.
    pitch_mm : float
        Distance of neighbouring pixels on a surface that faces the camera.

    Returns
    -------
    float
        mm^4; 0 where nothing exceeds a face's own relief, or too little depth is known.
    """
    at = np.rint(points_px).astype(np.int64)
    reach = max(2, int(LARGEST_SPACING_MM / pitch_mm))
    spacings = np.unique(np.rint(np.geomspace(1, reach, SPACINGS)).astype(int))
    spread = np.array([response_mm(depth_mm, at, h) for h in spacings])
    spacing_mm = spacings[np.isfinite(spread)] * pitch_mm
    excess = spread[np.isfinite(spread)] ** 2 - (FACE_MM * spacing_mm**1.5) ** 2
    if len(excess) < 2 or not (excess > 0).any():
        return 0.0
    sigma_mm, correlation_mm = fitted_noise(spacing_mm, np.maximum(excess, 0.0))
    # The sum of the autocovariance over the pixels, which is the density at wavelength infinity.
    lags = np.arange(-4 * reach, 4 * reach + 1) * pitch_mm
    area_mm2 = (pitch_mm * np.exp(-(lags**2) / (4.0 * correlation_mm**2)).sum()) ** 2
    block = max(1, round(LONG_MM / pitch_mm))
    long = response_mm(block_means(depth_mm, at, block), at, block)
    bound = (long * block * pitch_mm) ** 2 if np.isfinite(long) else np.inf
    return float(min(sigma_mm**2 * area_mm2, bound))


def response_mm(depth_mm: Array, at_px: Array, spacing: int) -> float:
    """Return the spread of the mixed second differences at pixels (k, 2), over their gain of 6.

    For white Gaussian noise its standard deviation, from the mean of the weakest `KEPT`:
    unlike a median it is not an integer number of steps where the depth is stored in steps.
    NaN where fewer than `MIN_SAMPLES` pixels have depth all around.
    """
    height, width = depth_mm.shape
    column, row = at_px.T
    inside = (np.minimum(row, column) >= spacing) & (row < height - spacing)
    inside &= column < width - spacing
    column, row = column[inside], row[inside]
    total = np.zeros(len(row))
    for i, down in zip((-1, 0, 1), (1.0, -2.0, 1.0), strict=True):
        for j, right in zip((-1, 0, 1), (1.0, -2.0, 1.0), strict=True):
            total += down * right * depth_mm[row + i * spacing, column + j * spacing]
    size = np.sort(np.abs(total[np.isfinite(total)]))
    if len(size) < MIN_SAMPLES:
        return float("nan")
    return float(size[: int(KEPT * len(size))].mean() / (_mean_of_weakest() * 6.0))


def block_means(depth_mm: Array, at_px: Array, size: int) -> Array:
    """Return the means (H, W) of squares of so many pixels; NaN where any has no depth.

    Only what `response_mm` needs for the pixels (k, 2) is worked out; NaN elsewhere.
    """
    out = np.full(depth_mm.shape, np.nan)
    low = np.maximum(at_px.min(axis=0) - 2 * size, 0)
    high = np.minimum(at_px.max(axis=0) + 2 * size + 1, depth_mm.shape[::-1])
    part = depth_mm[low[1] : high[1], low[0] : high[0]]
    known = np.isfinite(part)
    ksize, border = (size, size), cv2.BORDER_CONSTANT
    full = cv2.blur(known.astype(np.float64), ksize, borderType=border) > 1.0 - 0.5 / size**2
    means = cv2.blur(np.where(known, part, 0.0), ksize, borderType=border)
    out[low[1] : high[1], low[0] : high[0]] = np.where(full, means, np.nan)
    return out


def fitted_noise(spacing_mm: Array, variance_mm2: Array) -> tuple[float, float]:
    """Fit blurred white noise, and white noise on top, to the responses' variances.

    Parameters
    ----------
    spacing_mm : (h,) float64
    variance_mm2 : (h,) float64
        Mixed second differences over their gain of 6, squared.

    Returns
    -------
    sigma_mm : float
        Standard deviation of the correlated part.
    correlation_mm : float
        s, see the module.
    """
    best, found = np.inf, (0.0, float(spacing_mm[0]))
    # Below, neighbours are uncorrelated; above, the largest spacing shows a quarter of the noise.
    for length in np.geomspace(0.3 * spacing_mm[0], 0.5 * spacing_mm[-1], CORRELATIONS):
        rho = np.exp(-(spacing_mm**2) / (4.0 * length**2))
        gain = (1.0 - 4.0 / 3.0 * rho + rho**4 / 3.0) ** 2
        for white in (True, False):
            rows = np.stack([gain, np.full_like(gain, float(white))], axis=1)
            parts = np.linalg.lstsq(rows, variance_mm2, rcond=None)[0]
            error = float(((rows @ parts - variance_mm2) ** 2).sum())
            if (parts >= 0).all() and error < best:
                best, found = error, (float(np.sqrt(parts[0])), float(length))
    return found


def _mean_of_weakest() -> float:
    """Return the mean of the weakest `KEPT` of absolute values of the unit normal distribution."""
    from scipy.special import ndtri

    limit = ndtri(0.5 + 0.5 * KEPT)
    return float(np.sqrt(2.0 / np.pi) * (1.0 - np.exp(-0.5 * limit**2)) / KEPT)
