"""Pixels at the end of a head whose colours are mixed with what is behind it.

A camera's pixels, its demosaicing and its compression spread an edge over a few pixels, and depth
tells where a head ends no better than that. How far the mixture reaches differs from place to
place; the colours tell. On the way inwards from the head's end every pixel is compared with the
head's colour F at the way's end, and with the background's colour B as far out: it is

    C = alpha F + (1 - alpha) B,

and what lacks of alpha = 1, times the difference of both colours, is what one sees. Hair before
a dark wall, where F and B are alike, is left as it is, whatever share of it is wall.
"""

from __future__ import annotations

import cv2
import numba
import numpy as np

from fg3d_builder.records import Array

REACH_PX = 4
"""Pixels inwards from the head's end over which colours are looked at: twice what edges of
cameras take."""

MIXED_SHARE, MIXED_LEVELS = 0.1, 8.0
"""Share of the background from which a pixel is mixed, and grey levels that it must make."""


def mixed_with_background(rgb: Array, head: Array) -> Array:
    """Tell which pixels (h, w) of a head are mixed with the background.

    Only such as a way of mixed pixels leads to from the head's end: what is bright or dark within
    the head is its own.

    Parameters
    ----------
    rgb : (h, w, 3) uint8
    head : (h, w) bool
    """
    signed = np.where(head, inside_px(head), -inside_px(~head)).astype(np.float32)
    return np.asarray(_mixed(rgb, signed, float(REACH_PX)))


def steps_inwards(
    head: Array, mixed: Array, depth_mm: Array, farther_mm: float, slope: float
) -> Array:
    """Return where pixels of a head that are mixed find the nearest colour of its own.

    Parameters
    ----------
    head, mixed : (h, w) bool
    depth_mm : (h, w) float
        NaN where it is not known; there the nearest must do.
    farther_mm : float
        Depth beyond a pixel's own from which another part of the head is there, whose colours are
        others: from an outline on, a surface comes nearer.
    slope : float
        How much nearer it comes at most with each pixel, as a part of its depth.

    Returns
    -------
    (h, w, 2) float32
        Steps in pixels, to the right and down, from pixels that are mixed, or beside such, to the
        nearest of the head that are neither; 0 for all others, and where none is within
        `REACH_PX`.
    """
    doubtful = cv2.dilate(mixed.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return np.asarray(_steps(head, doubtful, depth_mm, farther_mm, slope, REACH_PX))


@numba.njit(cache=True, nogil=True)
def _steps(head, doubtful, depth, farther_mm, slope, reach):  # type: ignore[no-untyped-def]
    height, width = head.shape
    out = np.zeros((height, width, 2), np.float32)
    for row in range(height):
        for column in range(width):
            if not (head[row, column] and doubtful[row, column]):
                continue
            least = reach * reach + 1
            for i in range(max(row - reach, 0), min(row + reach + 1, height)):
                for j in range(max(column - reach, 0), min(column + reach + 1, width)):
                    square = (i - row) ** 2 + (j - column) ** 2
                    if square >= least or not head[i, j] or doubtful[i, j]:
                        continue
                    own = depth[row, column]
                    step = depth[i, j] - own
                    # NaN, no depth, fails the comparisons.
                    if not (step > farther_mm or -step > slope * own * np.sqrt(float(square))):
                        least = square
                        out[row, column, 0], out[row, column, 1] = j - column, i - row
    return out


def inside_px(mask: Array) -> Array:
    """Distance (h, w) to what is not in a mask; beyond the image everything is."""
    framed = np.pad(mask.astype(np.uint8), 1, mode="edge")
    return np.asarray(cv2.distanceTransform(framed, cv2.DIST_L2, 5)[1:-1, 1:-1])


@numba.njit(cache=True, nogil=True)
def _mean(rgb, signed, row, column, color):  # type: ignore[no-untyped-def]
    """Write the mean of a pixel and its four neighbours that are on its side of the head's end."""
    height, width = signed.shape
    color[:] = 0.0
    count = 0
    for i in range(max(row - 1, 0), min(row + 2, height)):
        for j in range(max(column - 1, 0), min(column + 2, width)):
            beside = i == row or j == column
            if beside and (signed[i, j] > 0.0) == (signed[row, column] > 0.0):
                count += 1
                for k in range(3):
                    color[k] += rgb[i, j, k]
    color /= count


@numba.njit(cache=True, nogil=True)
def _way(signed, row, column, goal, up):  # type: ignore[no-untyped-def]
    """Pixel at the end of the steepest way up (or down) a distance image, to at least a goal."""
    height, width = signed.shape
    sign = 1.0 if up else -1.0
    while sign * signed[row, column] < goal:
        steepest, r, c = 0.0, row, column
        for i in range(max(row - 1, 0), min(row + 2, height)):
            for j in range(max(column - 1, 0), min(column + 2, width)):
                if i == row and j == column:
                    continue
                step = np.sqrt(float((i - row) ** 2 + (j - column) ** 2))
                slope = sign * (signed[i, j] - signed[row, column]) / step
                if slope > steepest + 1e-6:
                    steepest, r, c = slope, i, j
        if steepest <= 0.0:
            break
        row, column = r, c
    return row, column


@numba.njit(cache=True, nogil=True)
def _mixed(rgb, signed, reach):  # type: ignore[no-untyped-def]
    height, width = signed.shape
    share = np.zeros((height, width), np.bool_)
    own, behind = np.empty(3), np.empty(3)
    band = 0
    for row in range(height):
        for column in range(width):
            if not 0.0 < signed[row, column] < reach:
                continue
            band += 1
            r, c = _way(signed, row, column, reach, True)
            i, j = _way(signed, row, column, reach, False)
            _mean(rgb, signed, r, c, own)
            _mean(rgb, signed, i, j, behind)
            square, along = 0.0, 0.0
            for k in range(3):
                across = own[k] - behind[k]
                square += across * across
                along += (own[k] - rgb[row, column, k]) * across
            contrast = np.sqrt(square)
            if contrast == 0.0:
                continue
            share[row, column] = along > MIXED_SHARE * square and along > MIXED_LEVELS * contrast
    # From the head's end inwards.
    out = np.zeros((height, width), np.bool_)
    queue = np.empty((band, 2), np.int64)
    last = 0
    for row in range(height):
        for column in range(width):
            if share[row, column] and signed[row, column] <= 1.5:
                out[row, column] = True
                queue[last, 0], queue[last, 1] = row, column
                last += 1
    first = 0
    while first < last:
        row, column = queue[first]
        first += 1
        for i in range(max(row - 1, 0), min(row + 2, height)):
            for j in range(max(column - 1, 0), min(column + 2, width)):
                if share[i, j] and not out[i, j]:
                    out[i, j] = True
                    queue[last, 0], queue[last, 1] = i, j
                    last += 1
    return out
