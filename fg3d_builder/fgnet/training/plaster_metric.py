"""PSD as a measure (Eq. 7): how much a reconstruction and the truth differ to the eye.

What the loss of the same name minimises, computed as NME and DACE are: after the alignment of
Eq. 18, and of the set C alone. It sees shading, that is normals, and outlines, and hardly sees what
slides along the skin.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from scipy.sparse import csr_matrix

from fg3d_builder.fgnet.losses.plaster import SHARP, PlasterViews
from fg3d_builder.records import Array
from fg3d_builder.rendering.rasterizer_torch import interpolate_batch

METRIC_SIZE_PX = 128
"""Side of the pictures. On faces 1.7 mm apart the mean of several is within 0.4 % of that at 512
pixels, a single face's within 1.7 %, for an eighth of the time (`python -m benchmarks.plaster`)."""


class _Picture(NamedTuple):
    """A shape from all views: shade (V, H, W), 0 where no face is seen, and what is known."""

    shade: Array
    seen: Array
    known: Array


class PlasterMetric:
    """Measures shapes of one face model, on the CPU.

    It is `plaster_distance` of pictures that `PlasterViews` makes, for confidences of 0 and 1
    alone: then what is known of a pixel is known fully, and the truth is drawn once for all shapes.

    Parameters
    ----------
    mean : (n, 3) float
        The face model's mean shape, object frame, mm: places the cameras.
    triangles : (m, 3) int
    size_px : int
    """

    def __init__(self, mean: Array, triangles: Array, size_px: int = METRIC_SIZE_PX) -> None:
        self._cameras = PlasterViews(mean, triangles, size_px)
        self._corners = np.ascontiguousarray(np.asarray(triangles, dtype=np.int64).T)
        count, width = len(triangles), len(mean)
        place = self._corners.ravel(), np.tile(np.arange(count), 3)
        # Adds to each vertex what its triangles have.
        self._gather = csr_matrix((np.ones(3 * count), place), shape=(width, count))

    @torch.no_grad()
    def __call__(self, shapes_mm: Iterable[Array], truth_mm: Array, members: Array) -> list[float]:
        """Return the PSD of each shape, a sum over five views in units of full brightness.

        Parameters
        ----------
        shapes_mm : iterable of (n, 3) float
            Aligned with the truth.
        truth_mm : (n, 3) float
            Object frame.
        members : (n,) bool
            The set C. Pixels that show anything else, in the shape or in the truth, do not count.
        """
        sure = np.asarray(np.asarray(members)[self._corners].all(axis=0))
        truth = self._picture(truth_mm, sure)
        return [_distance(self._picture(shape, sure), truth) for shape in shapes_mm]

    def _picture(self, shape_mm: Array, sure: Array) -> _Picture:
        """Draw a shape, of which triangles that are not `sure` (m,) hide others and are unknown."""
        shape = np.ascontiguousarray(shape_mm, dtype=np.float64)
        cameras = self._cameras
        found = cameras.drawn(cameras.in_cameras(torch.from_numpy(shape)[None]))
        shown = found.triangle
        known = torch.from_numpy(np.append(sure, True))[shown]  # the background is number -1
        triangle = shown.where(known, -1)
        shade = cameras.shades(torch.from_numpy(self._normals(shape, sure))[None])[0, :, :, None]
        where = found.barycentric.double()
        picture = interpolate_batch(triangle, where, cameras.triangles, shade)[..., 0]
        return _Picture(picture.numpy(), (triangle >= 0).numpy(), known.numpy())

    def _normals(self, shape: Array, sure: Array) -> Array:
        """Unit normals (n, 3) from the triangles that are `sure`, as `vertex_normals_batch`."""
        x, y, z = (np.ascontiguousarray(along)[self._corners] for along in shape.T)
        (ux, vx), (uy, vy), (uz, vz) = ((c[1:] - c[0]) * sure for c in (x, y, z))
        across = np.stack([uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx], axis=1)
        summed = self._gather @ across
        length = np.sqrt(np.einsum("nd,nd->n", summed, summed))
        return np.asarray(summed / np.maximum(length, 1e-12)[:, None])


def _distance(picture: _Picture, truth: _Picture) -> float:
    """Return `plaster_distance` of two pictures."""
    counted = picture.known & truth.known
    pixels = np.maximum((truth.seen & counted).sum(axis=(1, 2)), 1)
    squared = np.where(counted, picture.shade - truth.shade, 0.0) ** 2
    return float((np.sqrt(squared.sum(axis=(1, 2)) / pixels + SHARP**2) - SHARP).sum())
