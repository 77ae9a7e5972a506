"""How noisy a depth image is, judged from the image itself."""

from __future__ import annotations

import numba
import numpy as np

from fg3d_builder.records import Array

_RANGE = 1.25
"""Ratio of the ends of a range of depths whose noise counts as one."""

_ENOUGH = 40_000
"""So many responses give the median to half a per cent; more are thinned out evenly."""

_FEW = 50
"""Fewer responses at the first two spacings are no estimate: depth with a regular pattern of
gaps, such as two known columns and a missing one, has none there, but has some at the third."""


def estimate_noise(depth_mm: Array) -> Array:
    """Estimate the standard deviation (H, W) of single-pixel depth noise, mm.

    Noise of depth sensors grows with depth, so it is estimated robustly within depth
    ranges: the median response to a kernel that planes and paraboloids do not excite
    (Immerkaer 1996). Sensors smooth their own output, which hides noise from neighbouring
    pixels: the larger figure of two pixel spacings counts.

    Parameters
    ----------
    depth_mm : (H, W) float
        Positive; NaN where there is no depth, as in the result.
    """
    depth = np.ascontiguousarray(depth_mm, dtype=np.float64)
    if not np.isfinite(depth).any():
        return np.full(depth.shape, np.nan)
    number = _range_numbers(depth, _RANGE)
    noise = np.zeros(int(number.max()) + 1)
    answers = 0
    for spacing in (1, 2, 3):
        if spacing == 3 and answers >= _FEW:
            break
        response, where = _mixed_differences(depth, number, spacing)
        answers += len(response)
        count = np.bincount(where, minlength=len(noise))
        end = np.cumsum(count)
        response = _by_number(response, where, end - count)
        for n in np.flatnonzero(count):
            here = response[end[n] - count[n] : end[n]]
            median = float(np.median(here[:: 1 + len(here) // _ENOUGH]))
            noise[n] = max(noise[n], median / (0.6745 * 6.0))
    # The last place is for number -1: no depth, no noise.
    return np.append(noise, np.nan)[number]


@numba.njit(cache=True)
def _range_numbers(depth, ratio):  # type: ignore[no-untyped-def]
    """Number each pixel's range of depths from 0; -1 where there is no depth."""
    height, width = depth.shape
    out = np.full((height, width), -1, dtype=np.int32)
    nearest = np.inf
    for row in range(height):
        for column in range(width):
            if depth[row, column] < nearest:
                nearest = depth[row, column]
    first = np.floor(np.log(nearest) / np.log(ratio))
    low = high = 0.0
    number = 0
    for row in range(height):
        for column in range(width):
            z = depth[row, column]
            if not np.isfinite(z):
                continue
            if not low <= z < high:
                place = np.floor(np.log(z) / np.log(ratio))
                number = int(place - first)
                low, high = ratio**place, ratio ** (place + 1.0)
            out[row, column] = number
    return out


@numba.njit(cache=True)
def _by_number(values, number, first):  # type: ignore[no-untyped-def]
    """Sort values (k,) by their numbers, whose places begin at `first`; else in their order."""
    out = np.empty_like(values)
    place = first.copy()
    for k in range(len(values)):
        out[place[number[k]]] = values[k]
        place[number[k]] += 1
    return out


@numba.njit(cache=True)
def _mixed_differences(depth, number, spacing):  # type: ignore[no-untyped-def]
    """Absolute responses (k,) to second differences along x of those along y, and their numbers.

    At the pixels whose eight neighbours at this spacing have depth too.
    """
    height, width = depth.shape
    response = np.empty(depth.size)
    where = np.empty(depth.size, dtype=np.int32)
    k = 0
    for row in range(spacing, height - spacing):
        up, down = row - spacing, row + spacing
        for column in range(spacing, width - spacing):
            left, right = column - spacing, column + spacing
            sides = depth[up, left] + depth[up, right] + depth[down, left] + depth[down, right]
            cross = depth[up, column] + depth[down, column] + depth[row, left] + depth[row, right]
            value = abs(sides - 2.0 * cross + 4.0 * depth[row, column])
            if np.isfinite(value):
                response[k] = value
                where[k] = number[row, column]
                k += 1
    return response[:k], where[:k]
