"""The map that a head is unrolled into, around its axis.

To the right goes the azimuth, down the height, over the crown the way along it.
"""

from __future__ import annotations

import cv2
import numba
import numpy as np

from fg3d_builder.fullview.continuation import LEAST_SHARE, blended, halved, spread_out
from fg3d_builder.records import Array
from fg3d_builder.rendering.rasterizer import interpolate, rasterize

ROWS, COLUMNS = 288, 448
TEXEL_MM = 1.25
"""Height of a texel; its width is about the same around the head."""
UP_MM = 140.0
RADIUS_MM = 88.0
HALVINGS = 2
"""Times that a map is halved before its ends are joined: what is far is told by coarse means."""


def unrolled(points_mm: Array) -> Array:
    """Map (k, 3) points around the centre of a head to (k, 2) columns and rows of the map."""
    x, y, z = points_mm.T
    around = np.sqrt(x * x + z * z)
    column = (np.arctan2(x, z) / (2.0 * np.pi) + 0.5) * COLUMNS - 0.5
    over = np.array(y, dtype=np.float64)
    above = y > 0
    over[above] = RADIUS_MM * np.arctan2(y[above], np.maximum(around[above], 1e-6))
    return np.stack([column, (UP_MM - over) / TEXEL_MM], axis=1)


def texels(points_mm: Array, triangles: Array, *values: Array) -> tuple[Array, ...]:
    """Interpolate fields over the map; where surfaces lie upon each other the outermost counts.

    Parameters
    ----------
    points_mm : (v, 3) float
        Around the centre of the head.
    triangles : (t, 3) int
    *values : (v, c) float
        Fields at the vertices.

    Returns
    -------
    known : (ROWS, COLUMNS) bool
        Texels that show a surface.
    *fields : (ROWS, COLUMNS, c)
        Of the type of `values`; 0 where nothing is known.
    """
    place = unrolled(points_mm)
    wrapped = np.ptp(place[triangles, 0], axis=1) > COLUMNS / 2
    left = np.where(place[:, 0] > COLUMNS / 2, place[:, 0] - COLUMNS, place[:, 0])
    right = np.where(place[:, 0] < COLUMNS / 2, place[:, 0] + COLUMNS, place[:, 0])
    column = np.concatenate([place[:, 0], left, right])
    row = np.tile(place[:, 1], 3)
    n = len(place)
    pieces = np.concatenate(
        [triangles[~wrapped], triangles[wrapped] + n, triangles[wrapped] + 2 * n]
    )
    depth = 1000.0 - np.tile(np.linalg.norm(points_mm, axis=1), 3)
    flat = np.stack([column * depth, row * depth, depth], axis=1)
    fragments = rasterize(flat, pieces, np.eye(3), ROWS, COLUMNS, False)
    own = pieces % n
    fields = [interpolate(fragments, own, field, dtype=field.dtype) for field in values]
    return (fragments.triangle >= 0, *fields)


@numba.njit(cache=True, nogil=True)
def sampled_around(image, place):  # type: ignore[no-untyped-def]
    """Sample a map (ROWS, COLUMNS, k), bilinear, at its columns and rows (p, 2) -> (p, k).

    Its ends are joined; above and below it the border goes on.
    """
    rows, columns, channels = image.shape
    out = np.empty((len(place), channels), np.float32)
    for i in range(len(place)):
        left = int(np.floor(place[i, 0]))
        y = min(max(place[i, 1], 0.0), rows - 1.0)
        r = min(int(y), rows - 2)
        s, t = place[i, 0] - left, y - r
        c = left if left >= 0 else left + columns
        d = c + 1 if c + 1 < columns else 0
        for k in range(channels):
            top = (1.0 - s) * image[r, c, k] + s * image[r, d, k]
            bottom = (1.0 - s) * image[r + 1, c, k] + s * image[r + 1, d, k]
            out[i, k] = (1.0 - t) * top + t * bottom
    return out


def continued_around(values: Array, weight: Array, level: int) -> Array:
    """Continue values (R, C, k) float32 from where they are weighted (R, C), around the head.

    `level` is how much farther to the sides than up and down.
    """
    rows, columns, channels = values.shape
    share: Array = np.asarray(weight, dtype=np.float32)
    color: Array = np.asarray(values, dtype=np.float32)
    if level > 1:
        size = (columns // level, rows)
        total = cv2.resize(color * share[..., None], size, interpolation=cv2.INTER_AREA)
        share = cv2.resize(share, size, interpolation=cv2.INTER_AREA)
        color = total.reshape(*share.shape, channels) / np.maximum(share, 1e-6)[..., None]
    finer: list[tuple[Array, Array]] = []
    while len(finer) < HALVINGS and share.min() < LEAST_SHARE:
        finer.append((color, share))
        color, share = halved(color, share)
    count = share.shape[1]
    half = count // 2
    wide, known = (np.concatenate([x[:, -half:], x, x[:, :half]], axis=1) for x in (color, share))
    middle = spread_out(wide, known)[:, half : half + count]
    for color, share in finer[::-1]:
        # The columns of the other end beside either end.
        ends = np.concatenate([middle[:, -1:], middle, middle[:, :1]], axis=1)
        size = (color.shape[1] + 4, color.shape[0])
        up = cv2.resize(ends, size, interpolation=cv2.INTER_LINEAR)[:, 2:-2]
        middle = blended(color, share, up.reshape(color.shape))
    if level > 1:
        middle = cv2.resize(middle, (columns, rows), interpolation=cv2.INTER_LINEAR)
    return np.asarray(middle).reshape(values.shape)
