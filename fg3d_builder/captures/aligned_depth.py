"""Depth of another size or of another camera than the colour, brought onto the colour's pixels.

*One camera, other size.* By a whole factor every sample is repeated: registration recognises that
and has the samples back bit by bit. By any other factor repeated blocks are of different sizes and
lie up to half a pixel off, so inverse depth, which is linear in the pixel on planes, is
interpolated between four samples of one surface. On a head of 192 x 256 samples with 0.5 mm of
noise, RMS errors of registration's surface at the samples (and of its fitted planes), mm:

========  =============  =============  =============  =============
factor    as measured    repeated       interpolated   mesh rendered
========  =============  =============  =============  =============
1.5       0.51 (0.16)    0.55 (0.28)    0.33 (0.16)    0.36 (0.16)
2         0.51 (0.16)    0.51 (0.16)    0.51 (0.16)    0.36 (0.18)
3         0.51 (0.16)    0.51 (0.16)    0.51 (0.17)    0.38 (0.25)
3.75      0.51 (0.16)    0.51 (0.18)    0.51 (0.16)    0.54 (0.18)
========  =============  =============  =============  =============

*Another camera.* The depth's grid is triangulated and rendered into the colour's camera: what is
hidden from it stays hidden, and no holes open where pixels spread. What is in front at a depth step
is a pixel wider, and triangles seen from behind are rendered, but neither gives depth: what the
colour camera sees there was never measured.

Nothing is ever interpolated across a depth step, as `rendering.depth_surface` tells them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numba
import numpy as np

from fg3d_builder.captures.lens import Lens
from fg3d_builder.geometry.camera import intrinsics_matrix, px_from_cam
from fg3d_builder.records import Array
from fg3d_builder.rendering.depth_surface import (
    believable_depth,
    depth_mesh,
    filled_depth,
    joined_pixels,
)
from fg3d_builder.rendering.rasterizer import rasterize

_ON_SAMPLE_PX = 0.02
"""So near to whole factors and samples' places count as such; sizes are whole, so others are
further off."""


@dataclass(frozen=True)
class DepthCamera:
    """The camera that measured a depth image, as the colour camera sees it.

    Attributes
    ----------
    intrinsics : (3, 3) float64
        Of the depth image.
    rotation : (3, 3) float64
        ``colour_from_depth``.
    translation_mm : (3,) float64
        In the colour camera's frame: where the depth camera is.
    lens : Lens, optional
        What bends the depth image; the colour's pixels are straight.
    """

    intrinsics: Array
    rotation: Array = field(default_factory=lambda: np.eye(3))
    translation_mm: Array = field(default_factory=lambda: np.zeros(3))
    lens: Lens | None = None

    @property
    def is_colour_camera(self) -> bool:
        """Both images were taken from one place and in one direction."""
        return np.array_equal(self.rotation, np.eye(3)) and not self.translation_mm.any()


def depth_on_colour(
    depth_mm: Array, camera: DepthCamera, colour_intrinsics: Array, height: int, width: int
) -> Array:
    """Bring a depth image onto the pixels of a colour image.

    Parameters
    ----------
    depth_mm : (h, w) float
        Along z of the depth camera; NaN, or anything not positive, where there is none.
    camera : DepthCamera
    colour_intrinsics : (3, 3) float
    height, width : int
        Of the colour image.

    Returns
    -------
    (H, W) float32
        Along z of the colour camera; NaN where nothing was measured.
    """
    colour = np.asarray(colour_intrinsics, dtype=np.float64)
    if not camera.is_colour_camera:
        return _rendered(depth_mm, camera, colour, height, width)
    if camera.lens is not None and camera.lens.distorts:
        return _straightened(depth_mm, camera.lens, colour, height, width)
    depth = believable_depth(np.asarray(depth_mm, dtype=np.float64), camera.intrinsics)
    columns, along_x = _places(camera.intrinsics[0], colour[0], width)
    rows, along_y = _places(camera.intrinsics[1], colour[1], height)
    if along_x and along_y:
        return _repeated(depth, columns, rows)
    right, down = joined_pixels(depth, camera.intrinsics)
    return np.asarray(_between_samples(depth, right, down, columns[None, :], rows[:, None]))


def intrinsics_of_size(
    intrinsics: Array, size: tuple[int, int], other_size: tuple[int, int]
) -> Array:
    """Return the (3, 3) intrinsics of the same picture at another size.

    Parameters
    ----------
    intrinsics : (3, 3) float
    size, other_size : (height, width)
        Before and after. Their shapes may differ by the rounding of one pixel.

    Raises
    ------
    ValueError
        The shapes differ by more: one of the pictures was cut.
    """
    (height, width), (other_height, other_width) = size, other_size
    factor_x, factor_y = other_width / width, other_height / height
    slack_px = max(1.0, factor_x, factor_y)
    # What the mean factor leaves over at the right and lower border, in pixels of either size.
    if min(abs(factor_x - factor_y) * n for n in (width, height)) > slack_px:
        raise ValueError(
            f"{width} x {height} and {other_width} x {other_height} pixels are not of one shape"
        )
    return intrinsics_matrix(
        intrinsics[0, 0] * factor_x,
        intrinsics[1, 1] * factor_y,
        (intrinsics[0, 2] + 0.5) * factor_x - 0.5,
        (intrinsics[1, 2] + 0.5) * factor_y - 0.5,
    )


def depth_from_distance(distance_mm: Array, intrinsics: Array) -> Array:
    """Turn distances (H, W) along the pixels' viewing rays into depth along z."""
    height, width = distance_mm.shape
    x = (np.arange(width) - intrinsics[0, 2]) / intrinsics[0, 0]
    y = (np.arange(height) - intrinsics[1, 2]) / intrinsics[1, 1]
    return np.asarray(distance_mm / np.sqrt(1.0 + x**2 + y[:, None] ** 2))


def _places(depth_row: Array, colour_row: Array, count: int) -> tuple[Array, bool]:
    """Where along the depth's axis the colour's pixels are, and whether samples are repeated.

    Parameters
    ----------
    depth_row, colour_row : (3,) float64
        Rows of the intrinsics for one axis.
    count : int
        Pixels of the colour along it.
    """
    (focal, middle), (colour_focal, colour_middle) = (
        (row[row != 0][0], row[2]) for row in (depth_row, colour_row)
    )
    factor = float(colour_focal / focal)
    first = float(colour_middle - factor * middle)  # pixel of sample 0
    whole = float(np.rint(factor))
    # Sample 0 is in the middle of a block of pixels.
    phase = first - (whole - 1.0) / 2.0
    on_samples = (
        whole >= 1.0
        and abs(factor - whole) * count / factor < _ON_SAMPLE_PX
        and abs(phase - np.rint(phase)) < _ON_SAMPLE_PX
    )
    return (np.arange(count) - first) / factor, on_samples


def _repeated(depth: Array, columns: Array, rows: Array) -> Array:
    column, row = (np.rint(places).astype(np.int64) for places in (columns, rows))
    inside_x = (column >= 0) & (column < depth.shape[1])
    inside_y = (row >= 0) & (row < depth.shape[0])
    out = np.full((len(rows), len(columns)), np.nan, dtype=np.float32)
    found = depth.astype(np.float32)[row[inside_y]][:, column[inside_x]]
    out[np.ix_(inside_y, inside_x)] = found
    return out


def _straightened(depth_mm: Array, lens: Lens, colour: Array, height: int, width: int) -> Array:
    depth = filled_depth(depth_mm, lens.intrinsics)
    right, down = joined_pixels(depth, lens.intrinsics)
    out = np.empty((height, width), dtype=np.float32)
    for rows, places in lens.bent_px(height, width, colour):
        out[rows] = _between_samples(depth, right, down, places[..., 0], places[..., 1])
    return out


@numba.njit(cache=True)
def _between_samples(depth, right, down, columns, rows):  # type: ignore[no-untyped-def]
    """Interpolate inverse depth at places of the grid where all samples around are joined.

    `columns` and `rows` are (n, m), or of one row and one column.
    """
    height, width = depth.shape
    n, m = max(len(columns), len(rows)), max(columns.shape[1], rows.shape[1])
    out = np.full((n, m), np.nan, dtype=np.float32)
    for i in range(n):
        for j in range(m):
            x = columns[min(i, len(columns) - 1), j]
            y = rows[i, min(j, rows.shape[1] - 1)]
            if not (0.0 <= x <= width - 1.0 and 0.0 <= y <= height - 1.0):
                continue
            r = min(int(y), max(height - 2, 0))
            t = y - r
            low, high = r + (t == 1.0), r + (t > 0.0)
            c = min(int(x), max(width - 2, 0))
            s = x - c
            left, side = c + (s == 1.0), c + (s > 0.0)
            # Samples without weight need not be joined.
            if left < side and not (right[low, left] and right[high, left]):
                continue
            if low < high and not (down[low, left] and down[low, side]):
                continue
            upper = (1.0 - s) / depth[low, left] + s / depth[low, side]
            lower = (1.0 - s) / depth[high, left] + s / depth[high, side]
            out[i, j] = 1.0 / ((1.0 - t) * upper + t * lower)
    return out


def _rendered(
    depth_mm: Array, camera: DepthCamera, colour: Array, height: int, width: int
) -> Array:
    vertices, triangles, rims = depth_mesh(depth_mm, camera.intrinsics)
    corners = np.arange(len(rims)).reshape(-1, 3) + len(vertices)
    points = np.concatenate([vertices, rims])
    if camera.lens is not None and camera.lens.distorts:
        slopes = camera.lens.undistorted(points[:, :2] / points[:, 2:])
        points = np.column_stack([slopes * points[:, 2:], points[:, 2]])
        triangles, corners = (
            t[np.isfinite(points[t]).all(axis=(1, 2))] for t in (triangles, corners)
        )
    points = points @ camera.rotation.T + camera.translation_mm
    everything = np.concatenate([triangles, corners])
    seen = rasterize(points, everything, colour, height, width, cull_back_faces=False)
    px = px_from_cam(points, colour)[triangles]
    (ax, ay), (bx, by) = (px[:, k].T - px[:, 0].T for k in (1, 2))
    measured = np.zeros(len(everything) + 1, dtype=bool)  # the last place is the background's
    with np.errstate(invalid="ignore"):
        measured[: len(triangles)] = ax * by - ay * bx < 0.0  # seen from the front
    return np.where(measured[seen.triangle], seen.depth_mm, np.float32(np.nan))
