"""The line around a neck along which clothes begin, on the map of a head.

A picture shows it in front only. What is worn follows that line: to the side and behind, where
nobody saw it, a collar rises as it did where it was last seen, and levels off. Between the places
where skin is seen right above clothes, and around the back, the line is the smoothest one:

    sum_seen (r_c - s_c)^2 + stiffness sum_c ((r'_c / L)^2 + r''_c^2),

a spline under tension, whose slope falls off within ``L`` columns.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from scipy.ndimage import median_filter

from fg3d_builder.records import Array

STIFFNESS = 1e3
"""Weight of bends, in texels, against places that are seen."""
LEVELLING_DEG = 35.0
"""Azimuth within which the line's slope falls off where nobody saw it."""
BESIDE = 4
"""Texels within which skin is right above clothes: between them colours are mixed."""
LEAST_DEG = 45.0
"""Less of a line in sight does not tell where it goes."""
PART = 0.25
"""Share of the largest part of the clothes from which another one is a part of them."""
STRAY = 9
"""Columns over which single places are told to be off the line."""


def collar_line(clothes: Array, skin: Array) -> Array | None:
    """Find the row at which clothes begin in each column of a map.

    Parameters
    ----------
    clothes, skin : (R, C) bool
        Texels of either that are seen, below the face.

    Returns
    -------
    (C,) float64 or None
        Rows; their ends join. Where a chin hides the skin above clothes, these begin where they
        come into sight. None where too little of it is seen.
    """
    rows, columns = clothes.shape
    clothes = _large_parts(clothes)
    top = np.where(clothes.any(axis=0), clothes.argmax(axis=0), rows)
    above = top[None] - np.arange(rows)[:, None]
    beside = (skin & (above > 0) & (above <= BESIDE)).any(axis=0)
    seen = np.flatnonzero((beside | _before_the_highest(top)) & (top < rows))
    if len(seen) < LEAST_DEG / 360.0 * columns:
        return None
    place = top[seen].astype(np.float64)
    middle = median_filter(place, STRAY, mode="nearest")
    kept = np.abs(place - middle) <= BESIDE
    weight, target = np.zeros(columns), np.zeros(columns)
    weight[seen[kept]] = 1.0
    target[seen[kept]] = place[kept]
    return np.asarray(np.linalg.solve(_bending(columns) + np.diag(weight), target))


def _large_parts(mask: Array) -> Array:
    """Parts of a mask (R, C) that are not small beside the largest: a chin's rim may look worn."""
    image = mask.astype(np.uint8)
    _, label, figures, _ = cv2.connectedComponentsWithStats(image, connectivity=4)
    area = figures[:, cv2.CC_STAT_AREA]
    area[0] = 0
    return np.asarray(mask & (area >= PART * area.max())[label])


def _before_the_highest(top: Array) -> Array:
    """Columns (C,) bool between the highest of the rows `top` (C,) that are seen to either side.

    A collar rises to the sides. From where it seems to fall it is turned away from the camera,
    and what is seen is below it.
    """
    middle = len(top) // 2
    first, last = int(top[:middle].argmin()), middle + len(top[middle:]) - 1
    last -= int(top[middle:][::-1].argmin())
    column = np.arange(len(top))
    return np.asarray((column >= first) & (column <= last))


@lru_cache(maxsize=2)
def _bending(columns: int) -> Array:
    """Quadratic form (C, C) of a closed line's slopes and bends."""
    slope = np.roll(np.eye(columns), 1, axis=1) - np.eye(columns)
    bend = np.roll(np.eye(columns), 1, axis=1) + np.roll(np.eye(columns), -1, axis=1)
    bend -= 2.0 * np.eye(columns)
    length = LEVELLING_DEG / 360.0 * columns
    return np.asarray(STIFFNESS * (slope.T @ slope / length**2 + bend.T @ bend))


def levelled(values: Array, line: Array, back: bool = False) -> Array:
    """Move the columns of a map (R, C, ...) float32 so that a line (C,) becomes level, or back.

    The line comes to lie in its mean row. Above and below the map its border goes on.
    """
    rows, columns = values.shape[:2]
    shift = (line - line.mean()).astype(np.float32) * (-1 if back else 1)
    y = np.arange(rows, dtype=np.float32)[:, None] + shift
    x = np.broadcast_to(np.arange(columns, dtype=np.float32), y.shape)
    place = np.ascontiguousarray(x), y
    found = cv2.remap(values, *place, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(found).reshape(values.shape)
