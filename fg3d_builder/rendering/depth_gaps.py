"""Gaps of a pixel or two in a depth image, bridged where both sides are one surface.

Sensors drop single pixels, and forward projection into another camera's finer grid leaves
columns and rows of pixels that nothing falls on. The surface goes on below such a gap; below
a larger hole, or where the sides are at different depths, nobody knows.
"""

from __future__ import annotations

import numba
import numpy as np

from fg3d_builder.records import Array

MAX_GAP_PX = 2
"""Longest run of missing pixels, along a row or a column, that is bridged."""

_BEND = 1.0
"""Depth step per pixel footprint (45 degrees) by which the slope across a gap may exceed those
beside it. A curved surface stays below; a step with flat sides does not."""


def bridged_depth(
    depth_mm: Array, noise_mm: Array, intrinsics: Array, max_slope: float
) -> tuple[Array, Array]:
    """Fill gaps of at most `MAX_GAP_PX` pixels by interpolating inverse depth across them.

    A gap is crossed along its row or its column where there is depth on both sides and the two
    belong to one surface: the slope from one to the other is none that the surface beside the
    gap does not have, up to `_BEND` and the noise, and never more than `max_slope`. Where both
    ways are open their mean counts, the shorter way more. Crossings of missing rows and
    columns, which have missing pixels on all sides, are bridged from bridged pixels in a
    second pass; holes are not eaten up from their rims further than that.

    Parameters
    ----------
    depth_mm, noise_mm : (H, W) float64
        NaN where there is no depth.
    intrinsics : (3, 3) float64
    max_slope : float
        Depth step per pixel footprint.

    Returns
    -------
    depth_mm, noise_mm : (H, W) float64
        As they were where there is depth; at bridged pixels the noise is that of the sides,
        since what they were made from errs alike.
    """
    depth = np.array(depth_mm, dtype=np.float64)
    noise = np.array(noise_mm, dtype=np.float64)
    focal_px = np.array([intrinsics[0, 0], intrinsics[1, 1]])
    for _ in range(2):
        row, column = np.nonzero(_beside_depth(depth))
        if len(row) == 0:
            break
        bridges = _across(depth, noise, row, column, focal_px, max_slope, _BEND)
        depth[row, column], noise[row, column] = bridges.T
    return depth, noise


def _beside_depth(depth: Array) -> Array:
    """Missing pixels with depth on both sides within reach, along their row or their column."""
    known = np.isfinite(depth)
    near = np.zeros_like(known)
    for axis in (0, 1):
        along, found = (np.moveaxis(mask, axis, 0) for mask in (known, near))
        before, after = np.zeros_like(along), np.zeros_like(along)
        for distance in range(1, MAX_GAP_PX + 1):
            before[distance:] |= along[:-distance]
            after[:-distance] |= along[distance:]
        found |= before & after
    return np.asarray(near & ~known)


@numba.njit(cache=True)
def _side(depth, row, column, down, right, reach):  # type: ignore[no-untyped-def]
    """Distance to the first known pixel that way, its depth, and the slope beyond it per pixel."""
    height, width = depth.shape
    for n in range(1, reach + 1):
        y, x = row + n * down, column + n * right
        if y < 0 or x < 0 or y >= height or x >= width:
            break
        if np.isfinite(depth[y, x]):
            slope = np.nan
            y2, x2 = y + down, x + right
            if 0 <= y2 < height and 0 <= x2 < width:
                slope = depth[y2, x2] - depth[y, x]
            return n, depth[y, x], slope
    return 0, np.nan, np.nan


@numba.njit(cache=True)
def _across(depth, noise, rows, columns, focal_px, max_slope, bend):  # type: ignore[no-untyped-def]
    """Return depth and noise (k, 2) of missing pixels, NaN where nothing bridges them."""
    out = np.full((len(rows), 2), np.nan)
    for k in range(len(rows)):
        total = weights = worst = 0.0
        for axis in range(2):
            down, right = 1 - axis, axis
            n_a, a, slope_a = _side(depth, rows[k], columns[k], -down, -right, MAX_GAP_PX)
            n_b, b, slope_b = _side(depth, rows[k], columns[k], down, right, MAX_GAP_PX)
            length = n_a + n_b
            if n_a == 0 or n_b == 0 or length > MAX_GAP_PX + 1:
                continue
            at_a = noise[rows[k] - n_a * down, columns[k] - n_a * right]
            at_b = noise[rows[k] + n_b * down, columns[k] + n_b * right]
            sides = max(at_a, at_b)
            slack = 4.0 * sides
            footprint = min(a, b) / focal_px[1 - axis]
            # Slopes from a to b, as the surface before and after the gap has them.
            low, high = 0.0, 0.0
            for slope in (-slope_a, slope_b):
                if np.isfinite(slope):
                    low, high = min(low, slope), max(high, slope)
            tolerance = bend * footprint * length + slack
            step = b - a
            if not (length * low - tolerance <= step <= length * high + tolerance):
                continue
            if abs(step) > max_slope * footprint * length + slack:
                continue
            total += (n_b / a + n_a / b) / length / length
            weights += 1.0 / length
            worst = max(worst, sides)
        if weights > 0.0:
            out[k] = weights / total, worst
    return out
