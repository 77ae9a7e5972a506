"""The texture of hair: what its colours differ from their means, carried on to what is unseen."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numba
import numpy as np

from fg3d_builder.fullview.head_map import COLUMNS, ROWS
from fg3d_builder.records import Array

DETAIL_TEXELS = 5.0
"""Hair's texture is what differs from means over this width."""
LEAST_TILE = 12
"""Texels of hair to each side that its texture is learned from; repeats of fewer show."""
STRAND_TEXELS = (0.6, 8.0)
"""Blur across and along strands where too little hair is seen to learn from."""
DETAIL_SHARE = 0.5
"""Strength of the hair's texture where it is made up."""


def mirrored_detail(log_color: Array, weight: Array) -> Array:
    """Return what colours differ from their means, of the sure texels mirrored into all others.

    Parameters
    ----------
    log_color : (R, C, 3) float32
        Logarithm of the unrolled head's colours, linear light without its shading.
    weight : (R, C) float32
        How sure it is that a texel shows hair, in [0, 1]; sure is what exceeds 0.5.

    Returns
    -------
    (R, C, 3) float32
        At `DETAIL_SHARE` of its strength where it is made up; 0 where no texel is sure.
    """
    sure = weight > 0.5
    if not sure.any():
        return np.zeros_like(log_color)
    smooth = cv2.GaussianBlur(np.where(sure[..., None], log_color, 0), (0, 0), DETAIL_TEXELS)
    share = cv2.GaussianBlur(sure.astype(np.float32), (0, 0), DETAIL_TEXELS)
    detail = _off_means(log_color, smooth, share, sure)
    top, bottom, left, right = largest_rectangle(sure)
    if min(bottom - top, right - left) < LEAST_TILE:
        strength = DETAIL_SHARE * float(detail[sure].mean(axis=1).std())
        return np.where(sure[..., None], detail, strength * _strands()[..., None]).astype(
            np.float32
        )
    row = top + _mirrored(np.arange(sure.shape[0]) - top, bottom - top)
    column = left + _mirrored(np.arange(sure.shape[1]) - left, right - left)
    _fill(detail, sure, row, column)
    return np.asarray(detail)


@numba.njit(cache=True)
def _off_means(log_color, smooth, share, sure):  # type: ignore[no-untyped-def]
    """What sure texels (R, C) differ from blurred ones, (R, C, 3) float32; 0 elsewhere."""
    rows, columns, channels = log_color.shape
    out = np.zeros((rows, columns, channels), np.float32)
    for i in range(rows):
        for j in range(columns):
            if sure[i, j]:
                weight = max(share[i, j], np.float32(1e-3))
                for k in range(channels):
                    out[i, j, k] = log_color[i, j, k] - smooth[i, j, k] / weight
    return out


@numba.njit(cache=True)
def _fill(detail, sure, row, column):  # type: ignore[no-untyped-def]
    """Give texels that are not sure those of given rows and columns, weaker."""
    for i in range(sure.shape[0]):
        for j in range(sure.shape[1]):
            if not sure[i, j]:
                for k in range(detail.shape[2]):
                    detail[i, j, k] = np.float32(DETAIL_SHARE) * detail[row[i], column[j], k]


@lru_cache(maxsize=1)
def _strands() -> Array:
    """A texture (R, C) of deviation 1 that runs down the head as hair does."""
    noise = np.random.default_rng(0).standard_normal((ROWS, COLUMNS)).astype(np.float32)
    blurred = cv2.GaussianBlur(noise, (0, 0), STRAND_TEXELS[0], sigmaY=STRAND_TEXELS[1])
    return np.asarray(blurred / blurred.std())


def _mirrored(index: Array, size: int) -> Array:
    """Indices that run to and fro within a tile."""
    folded = index % (2 * size)
    return np.where(folded < size, folded, 2 * size - 1 - folded)


@numba.njit(cache=True)
def largest_rectangle(mask):  # type: ignore[no-untyped-def]
    """The largest rectangle of a mask (R, C): first row, end, first column, end."""
    rows, columns = mask.shape
    height = np.zeros(columns + 1, np.int64)
    stack = np.zeros(columns + 2, np.int64)
    best, found = 0, (0, 0, 0, 0)
    for row in range(rows):
        for column in range(columns):
            height[column] = height[column] + 1 if mask[row, column] else 0
        depth = 0
        for column in range(columns + 1):
            while depth > 0 and height[stack[depth - 1]] >= height[column]:
                depth -= 1
                tall = height[stack[depth]]
                left = stack[depth - 1] + 1 if depth > 0 else 0
                if tall * (column - left) > best:
                    best = tall * (column - left)
                    found = (row + 1 - tall, row + 1, left, column)
            stack[depth] = column
            depth += 1
    return found
