"""The map that a head is unrolled into, around its axis.

To the right goes the azimuth, down the height, over the crown the way along it.
"""

from __future__ import annotations

import cv2
import numba
import numpy as np

from fg3d_builder.fullview.continuation import LEAST_SHARE, blended, halved, spread_out
from fg3d_builder.fullview.tones import DARK
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
    a, b, c = place[:, 0][triangles.T]
    width = np.maximum(np.maximum(a, b), c) - np.minimum(np.minimum(a, b), c)
    wrapped = width > COLUMNS / 2
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


@numba.njit(cache=True, nogil=True, error_model="numpy")
def colors_around(log_color, points, turn, shift):  # type: ignore[no-untyped-def]
    """Linear colours (p, 3) float32 of a map (ROWS, COLUMNS, 3) at points (p, 3) of any frame.

    `turn` (3, 3) and `shift` (3,) take the points to the map's: ``points @ turn - shift``. The map
    is sampled bilinearly; its ends are joined, above and below it the border goes on.
    """
    rows, columns, _ = log_color.shape
    out = np.empty((len(points), 3), np.float32)
    for i in range(len(points)):
        a, b, e = points[i]
        x = a * turn[0, 0] + b * turn[1, 0] + e * turn[2, 0] - shift[0]
        y = a * turn[0, 1] + b * turn[1, 1] + e * turn[2, 1] - shift[1]
        z = a * turn[0, 2] + b * turn[1, 2] + e * turn[2, 2] - shift[2]
        if y > 0.0:
            y = RADIUS_MM * np.arctan2(y, max(np.sqrt(x * x + z * z), 1e-6))
        column = (np.arctan2(x, z) / (2.0 * np.pi) + 0.5) * columns - 0.5
        row = min(max((UP_MM - y) / TEXEL_MM, 0.0), rows - 1.0)
        left = int(np.floor(column))
        r = min(int(row), rows - 2)
        s, t = column - left, row - r
        c = left if left >= 0 else left + columns
        d = c + 1 if c + 1 < columns else 0
        for k in range(3):
            top = (1.0 - s) * log_color[r, c, k] + s * log_color[r, d, k]
            bottom = (1.0 - s) * log_color[r + 1, c, k] + s * log_color[r + 1, d, k]
            out[i, k] = np.exp(np.float32((1.0 - t) * top + t * bottom)) - np.float32(DARK)
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
