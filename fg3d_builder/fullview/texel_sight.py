"""What a picture shows at the texels of a head's map: colours, how far they count, and light."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numba
import numpy as np

from fg3d_builder.fullview.measured_head import MeasuredHead
from fg3d_builder.fullview.tones import DARK
from fg3d_builder.records import Array, Capture
from fg3d_builder.rendering.shading import Light, linear_from_srgb

NEAR_MM = 12.0
"""A texel is seen where the measured surface is so near."""
COSINES = (0.1, 0.3)
"""Cosines to the line of sight up to which a texel is not believed, and from which fully."""
SHADOW = 0.7
"""Largest difference of light, as a logarithm, between two sides of a head."""
AT_LARGE_TEXELS = 10.0
"""Blur of the normals that light is told by: a texel of an ear stands for its front and back."""
REDUCED = 4
"""Texels to a side of which one stands for all where normals are blurred."""
LEAST_TEXELS = 50

_LOG_OF_BYTE = np.log(linear_from_srgb(np.arange(256, dtype=np.uint8)) + DARK).astype(np.float32)


class SeenTexels(NamedTuple):
    """A picture at the texels (R, C) of a map.

    Attributes
    ----------
    log_color : (R, C, 3) float32
        Logarithm of linear light plus `DARK`; anything where `trust` is 0.
    trust : float32
        In [0, 1]: how far it is the head's own colour.
    hidden : bool
        The picture shows something before the head's surface, other than the face.
    normals : (R, C, 3) float32
        Of the head at large, of length 1; 0 where the map shows nothing far around.
    """

    log_color: Array
    trust: Array
    hidden: Array
    normals: Array


def seen_texels(
    capture: Capture, measured: MeasuredHead, known: Array, points: Array, normals: Array
) -> SeenTexels:
    """Look the texels of a map up in a picture.

    Parameters
    ----------
    capture : Capture
    measured : MeasuredHead
        Of the same capture.
    known : (R, C) bool
        Texels that show a surface.
    points, normals : (R, C, 3) float64
        Capture's frame; `normals` of any length.
    """
    x, y, trust, hidden, units = _looked_up(
        known,
        points,
        normals,
        np.asarray(capture.intrinsics, dtype=np.float64),
        measured.intrinsics,
        measured.depth_mm,
        measured.pure,
        measured.before,
        measured.face,
        NEAR_MM,
        *COSINES,
    )
    color = cv2.remap(capture.rgb, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return SeenTexels(cv2.LUT(color, _LOG_OF_BYTE), trust, hidden, at_large(units))


def at_large(normals: Array) -> Array:
    """Return normals (R, C, 3) float32 of what a map shows without what stands off it.

    Where surfaces lie upon each other, as at ears, a map has now one and now the other: such
    normals would make shreds of light and shadow.
    """
    rows, columns = normals.shape[:2]
    # So blurred they need no more pixels.
    few = (-(-columns // REDUCED), -(-rows // REDUCED))
    small = cv2.resize(normals, few, interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), AT_LARGE_TEXELS / REDUCED)
    means = cv2.resize(small, (columns, rows), interpolation=cv2.INTER_LINEAR)
    return np.asarray(means / np.maximum(np.linalg.norm(means, axis=2, keepdims=True), 1e-6))


@numba.njit(cache=True)
def _looked_up(  # type: ignore[no-untyped-def]
    known, points, normals, camera, grid, depth, pure, before, face, near_mm, none, full
):
    rows, columns = known.shape
    height, width = depth.shape
    x = np.full((rows, columns), np.float32(-9.0))
    y = np.full((rows, columns), np.float32(-9.0))
    trust = np.zeros((rows, columns), np.float32)
    hidden = np.zeros((rows, columns), np.bool_)
    units = np.zeros((rows, columns, 3), np.float32)
    for i in range(rows):
        for j in range(columns):
            if not known[i, j]:
                continue
            px, py, pz = points[i, j]
            nx, ny, nz = normals[i, j]
            length = max(np.sqrt(nx * nx + ny * ny + nz * nz), 1e-9)
            units[i, j, 0], units[i, j, 1], units[i, j, 2] = nx / length, ny / length, nz / length
            if not pz > 0.0:
                continue
            x[i, j] = camera[0, 0] * px / pz + camera[0, 2]
            y[i, j] = camera[1, 1] * py / pz + camera[1, 2]
            u = np.rint(grid[0, 0] * px / pz + grid[0, 2])
            v = np.rint(grid[1, 1] * py / pz + grid[1, 2])
            if not (0 <= u < width and 0 <= v < height):
                continue
            row, column = int(v), int(u)
            sight = np.sqrt(px * px + py * py + pz * pz)
            cosine = -(nx * px + ny * py + nz * pz) / (sight * length)
            # NaN, no depth, fails the comparisons.
            hung = cosine > none and depth[row, column] < pz - near_mm
            hidden[i, j] = before[row, column] or (hung and not face[row, column])
            if not (abs(depth[row, column] - pz) < near_mm and pure[row, column]):
                continue
            trust[i, j] = min(max((cosine - none) / (full - none), 0.0), 1.0)
    return x, y, trust, hidden, units


def log_shade(light: Light | None, normals: Array, log_color: Array, plain: Array) -> Array:
    """Logarithm of the light (R, C, 3) on the head, as far as the picture shows such light.

    A light can be fitted to any picture; of one that was taken in even light, or of a texture
    with its light painted in, it explains little of what is bright on plain skin. It counts
    by its correlation with that.

    Parameters
    ----------
    light : Light or None
    normals, log_color : (R, C, 3) float32
    plain : (R, C) bool
        Plain skin in sight.
    """
    if light is None or plain.sum() < LEAST_TEXELS:
        return np.zeros((1, 1, 3), np.float32)
    direction, directional, ambient = (
        np.asarray(part, dtype=np.float32)
        for part in (light.direction, light.directional, light.ambient + DARK)
    )
    facing = np.maximum(normals.reshape(-1, 3) @ direction, 0.0)
    shade = np.log(ambient + directional * facing[:, None]).reshape(normals.shape)
    middle = np.median(shade[plain], axis=0)
    least, most = shade[plain].min(axis=0), shade[plain].max(axis=0)
    # Shadows that one lamp and even light give are deeper than those of a room, and nothing tells
    # that a light goes on beyond what plain skin shows of it.
    shade = np.clip(shade, np.maximum(middle - SHADOW, least), np.minimum(middle + SHADOW, most))
    pair = np.stack([shade[plain].mean(axis=1), log_color[plain].mean(axis=1)])
    if np.ptp(pair, axis=1).min() == 0.0:
        # A lamp behind the head lights none of what is seen.
        return np.zeros((1, 1, 3), np.float32)
    return np.asarray(max(np.corrcoef(pair)[0, 1], 0.0) * shade, dtype=np.float32)
