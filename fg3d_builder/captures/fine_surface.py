"""What each supersampled pixel of a picture sees of a mesh."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fg3d_builder.captures.mesh_view import SUPERSAMPLING, averaged
from fg3d_builder.geometry.camera import px_from_cam, scaled_intrinsics
from fg3d_builder.records import Array
from fg3d_builder.rendering.rasterizer import interpolate, rasterize


class FineSurface(NamedTuple):
    """Surface of a mesh in the part of a picture that it may cover, `SUPERSAMPLING` times finer.

    Attributes
    ----------
    window : (slice, slice)
        Rows and columns of that part.
    covered : (h, w) bool
        Fine pixels that show the mesh.
    values : (k, c) float32
        Its attributes at the k covered ones, row by row.
    depth_mm : (h, w) float32
        NaN where the mesh is not.
    """

    window: tuple[slice, slice]
    covered: Array
    values: Array
    depth_mm: Array

    def picture(self, colors: Array, size: tuple[int, int]) -> tuple[Array, Array]:
        """Average colours (k, 3) of the covered fine pixels to a picture.

        Returns
        -------
        color : (H, W, 3) float64
            Premultiplied with the coverage.
        coverage : (H, W) float64
            Share of each pixel that the mesh covers.
        """
        fine_color = np.zeros((*self.covered.shape, 3), np.float32)
        fine_color[self.covered] = colors
        color, coverage = np.zeros((*size, 3)), np.zeros(size)
        color[self.window] = averaged(fine_color)
        coverage[self.window] = averaged(self.covered)
        return color, coverage


def fine_surface(
    vertices_cam: Array,
    triangles: Array,
    attributes: Array,
    intrinsics: Array,
    size: tuple[int, int],
    window: tuple[slice, slice] | None = None,
) -> FineSurface:
    """Rasterise a mesh with its attributes.

    Parameters
    ----------
    vertices_cam : (n, 3) float
    triangles : (m, 3) int
    attributes : (n, c) float
        Interpolated in single precision, which is more than a camera's eight bits need.
    intrinsics : (3, 3) float
    size : (int, int)
        Height and width of the picture in pixels.
    window : (slice, slice), optional
        Part of the picture to look at, by default what the mesh may cover.
    """
    window = window or window_of(vertices_cam, intrinsics, size)
    cut = intrinsics - [[0, 0, window[1].start], [0, 0, window[0].start], [0, 0, 0]]
    height, width = (SUPERSAMPLING * (part.stop - part.start) for part in window)
    fine = scaled_intrinsics(cut, SUPERSAMPLING)
    fragments = rasterize(vertices_cam, triangles, fine, height, width)
    covered = fragments.triangle >= 0
    values = interpolate(fragments, triangles, attributes.astype(np.float32), np.float32)[covered]
    return FineSurface(window, covered, values, fragments.depth_mm)


def window_of(vertices_cam: Array, intrinsics: Array, size: tuple[int, int]) -> tuple[slice, slice]:
    """Return rows and columns of a picture that a mesh may cover; at least one of each.

    Parameters
    ----------
    vertices_cam : (n, 3) float
    intrinsics : (3, 3) float
    size : (int, int)
        Height and width of the picture in pixels.
    """
    px = px_from_cam(vertices_cam, intrinsics)
    if not np.isfinite(px).all():  # it reaches behind the camera
        return slice(0, size[0]), slice(0, size[1])
    end = np.array(size[::-1])
    low = np.clip(np.floor(px.min(axis=0)) - 1, 0, end - 1).astype(int)
    high = np.clip(np.ceil(px.max(axis=0)) + 2, low + 1, end).astype(int)
    return slice(low[1], high[1]), slice(low[0], high[0])
