"""Where the surface points of one picture of a mesh are in another picture of it."""

from __future__ import annotations

import numba
import numpy as np

from fg3d_builder.records import Array
from fg3d_builder.rendering.fragments import Fragments


def pixel_places(height: int, width: int) -> Array:
    """Return (H, W, 3) float32: each pixel's own column and row, and 0."""
    places = np.zeros((height, width, 3), np.float32)
    places[..., 0] = np.arange(width, dtype=np.float32)
    places[..., 1] = np.arange(height, dtype=np.float32)[:, None]
    return places


def put_places(
    places: Array, drawn: Fragments, triangles: Array, here: Array, there: Array, intrinsics: Array
) -> None:
    """Write where the surface points of drawn pixels are, after their mesh moved.

    Parameters
    ----------
    places : (H, W, 3) float32
        Column and row in the other picture, and how much farther, mm of depth, a point is there;
        written where something is drawn.
    drawn : Fragments
        The mesh as it is in this picture.
    triangles : (m, 3) int
    here, there : (v, 3) float64
        Its vertices in this picture and in the other one, camera frame.
    intrinsics : (3, 3) float64
        The other picture's.
    """
    _put(places, drawn.triangle, drawn.barycentric, triangles, here, there, intrinsics)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _put(places, triangle, barycentric, triangles, here, there, camera):  # type: ignore[no-untyped-def]
    fx, fy, cx, cy = camera[0, 0], camera[1, 1], camera[0, 2], camera[1, 2]
    for row in range(triangle.shape[0]):
        for column in range(triangle.shape[1]):
            t = triangle[row, column]
            if t < 0:
                continue
            a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
            u, v, w = barycentric[row, column]
            z = u * there[a, 2] + v * there[b, 2] + w * there[c, 2]
            x = u * there[a, 0] + v * there[b, 0] + w * there[c, 0]
            y = u * there[a, 1] + v * there[b, 1] + w * there[c, 1]
            places[row, column, 0] = fx * x / z + cx
            places[row, column, 1] = fy * y / z + cy
            places[row, column, 2] = z - (u * here[a, 2] + v * here[b, 2] + w * here[c, 2])
