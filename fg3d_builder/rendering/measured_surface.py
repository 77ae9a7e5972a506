"""The surface of a depth image at the resolution at which it was measured."""

from __future__ import annotations

import dataclasses

import numpy as np

from fg3d_builder.records import Array, DepthSampling
from fg3d_builder.rendering.depth_sampling import (
    block_means,
    enlargement,
    samples_of,
    scattering,
)
from fg3d_builder.rendering.depth_surface import MAX_SLOPE, DepthSurface, believable_depth


def measured_surface(
    depth_mm: Array,
    intrinsics: Array,
    face_px: float,
    most_px: float,
    near_mm: tuple[float, float] | None = None,
) -> DepthSurface:
    """Build the surface of a depth image at the resolution at which it was measured.

    Parameters
    ----------
    depth_mm : (H, W) float
    intrinsics : (3, 3) float
    face_px : float
        Extent of the face in it.
    most_px : float
        Largest extent of the face that is asked for; measured depth is averaged beyond it.
    near_mm : (float, float), optional
        See `DepthSurface.from_depth`.
    """
    depth = believable_depth(depth_mm, intrinsics)
    kind, along_x, along_y = "measured", (1.0, 0.0), (1.0, 0.0)
    found = scattering(depth)
    if found is not None:
        side = int(found[0].factor)
        depth = block_means(depth, side, _block_step_mm(depth, side, intrinsics), 0.0)
    else:
        found = enlargement(depth)
        depth = depth if found is None else samples_of(depth, *found)
    if found is not None:
        kind = found[0].kind
        along_x, along_y = ((axis.factor, axis.first) for axis in found)
    side = int(np.ceil(face_px / max(along_x[0], along_y[0]) / most_px))
    if side > 1:
        depth = block_means(depth, side, _block_step_mm(depth, side * along_x[0], intrinsics))
        kind = "reduced" if found is None else kind
        along_x, along_y = (
            (factor * side, first + factor * (side - 1) / 2) for factor, first in (along_x, along_y)
        )
    camera = np.array(intrinsics, dtype=np.float64)
    camera[0, 2] -= along_x[1]
    camera[1, 2] -= along_y[1]
    camera[0] /= along_x[0]
    camera[1] /= along_y[0]
    surface = DepthSurface.from_depth(depth, camera, near_mm)
    sampling = DepthSampling(kind, along_x[0], along_y[0], surface.sampling.bridged)
    return dataclasses.replace(surface, sampling=sampling)


def _block_step_mm(depth_mm: Array, side_px: float, intrinsics: Array) -> float:
    """Depth step across a block of pixels that no slope of a surface explains."""
    return float(MAX_SLOPE * np.nanmedian(depth_mm) * side_px / intrinsics[0, 0])
