"""Continuing an image from where it is known to everywhere."""

from __future__ import annotations

import cv2
import numba
import numpy as np

from fg3d_builder.records import Array

LEAST_SHARE = 0.01
"""Weight below which a pixel is not known."""


def continued(image: Array, known: Array) -> Array:
    """Fill what is not known (H, W) of an image (H, W, c) uint8 with means around it, smoothly.

    Known pixels stay to the bit; where nothing is known the image does.
    """
    if known.all() or not known.any():
        return image
    filled = spread_out(image.astype(np.float32), known.astype(np.float32))
    out = np.clip(np.rint(filled), 0, 255).astype(np.uint8)
    return np.where(known[..., None], image, out)


def spread_out(values: Array, weight: Array) -> Array:
    """Continue values (H, W, c) float32 from where they have weight (H, W) in [0, 1].

    Down a pyramid, weighted means are taken until every pixel has some weight; up again, each
    level keeps what it knows and takes the rest from the coarser one.
    """
    color, known = [values], [weight]
    while min(known[-1].shape) > 1 and known[-1].min() < LEAST_SHARE:
        mean, share = halved(color[-1], known[-1])
        color.append(mean)
        known.append(share)
    filled = color[-1]
    for here, share in zip(color[-2::-1], known[-2::-1], strict=True):
        up = cv2.resize(filled, here.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        filled = blended(here, share, up.reshape(here.shape))
    return np.asarray(filled)


def halved(values: Array, weight: Array) -> tuple[Array, Array]:
    """Weighted means of values (H, W, c) float32 over two by two pixels, and their weights."""
    half = tuple((m + 1) // 2 for m in weight.shape[::-1])
    small = cv2.resize(weight, half, interpolation=cv2.INTER_AREA)
    sums = cv2.resize(_weighted(values, weight), half, interpolation=cv2.INTER_AREA)
    means = _means(sums.reshape(*small.shape, -1), small)
    return means, np.minimum(4.0 * small, 1.0)


@numba.njit(cache=True)
def _weighted(values, weight):  # type: ignore[no-untyped-def]
    """Values (H, W, c) float32 times their weights (H, W)."""
    out = np.empty(values.shape, np.float32)
    for i in range(values.shape[0]):
        for j in range(values.shape[1]):
            for k in range(values.shape[2]):
                out[i, j, k] = values[i, j, k] * weight[i, j]
    return out


@numba.njit(cache=True)
def _means(sums, weight):  # type: ignore[no-untyped-def]
    """Sums (H, W, c) float32 over their weights (H, W)."""
    out = np.empty(sums.shape, np.float32)
    for i in range(sums.shape[0]):
        for j in range(sums.shape[1]):
            share = max(weight[i, j], np.float32(1e-6))
            for k in range(sums.shape[2]):
                out[i, j, k] = sums[i, j, k] / share
    return out


@numba.njit(cache=True)
def blended(values, share, others):  # type: ignore[no-untyped-def]
    """Mix values (H, W, c) float32 by their shares (H, W) with others."""
    rows, columns, channels = values.shape
    out = np.empty((rows, columns, channels), np.float32)
    for i in range(rows):
        for j in range(columns):
            mine = share[i, j]
            rest = np.float32(1.0) - mine
            for k in range(channels):
                out[i, j, k] = values[i, j, k] * mine + others[i, j, k] * rest
    return out
