"""What is in front of the face in the depth image: hair, glasses, hands, and stray depth.

The 3DMM errs smoothly: where a face is fuller than its fit, the measured surface leaves the
template gradually. An occluder is a patch of depth some millimetres before the template that
ends in a step. So patches are cut out by their distance from the template, and those count as
foreign whose distance steps along most of their outline. Depth behind the template is foreign
where the measured surface itself is torn along the outline: the neck below a chin that is
smaller than the template's, or mixed pixels. A step against the template is not enough there:
a deep eye socket beside a nose that the template has too wide looks like one.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from fg3d_builder.geometry.meshes import triangle_normals
from fg3d_builder.records import Array
from fg3d_builder.rendering.depth_surface import DepthSurface
from fg3d_builder.rendering.rasterizer import rasterize

STEP_REACH_MM = 2.0
"""A step takes place within this distance of a patch's outline."""

STEP_SHARE = 0.5
"""Share of a patch's outline that must be a step."""

MARGIN_PX = 2
"""Pixels around a foreign patch that may be mixed with it."""


class OcclusionTest(NamedTuple):
    """How far from the template depth is foreign, mm along the template's normal.

    Attributes
    ----------
    outline_mm : float
        Patches consist of pixels further away than this.
    peak_mm : float
        A tenth of the patch must be further away than this.
    step_mm : float
        Change of the distance across an outline that is a step before the template.
    """

    outline_mm: float
    peak_mm: float
    step_mm: float

    def allowing_for(self, noise_mm: float) -> OcclusionTest:
        """Return the test with limits that noise of this standard deviation does not reach."""
        return OcclusionTest(*(limit + 4.0 * noise_mm for limit in self))


AT_START = OcclusionTest(2.5, 4.5, 3.0)
"""Against the coarse fit."""

REFINED = OcclusionTest(1.5, 2.5, 2.0)
"""Against a template that the stiff levels have brought near the surface."""


def foreign_pixels(
    surface: DepthSurface, vertices_cam_mm: Array, triangles: Array, test: OcclusionTest
) -> Array:
    """Return the (H, W) bool mask of depth pixels that do not belong to the face.

    Parameters
    ----------
    surface : DepthSurface
    vertices_cam_mm : (n, 3) float64
        Template, near the surface.
    triangles : (m, 3) int
    test : OcclusionTest
        Widened by the noise that the surface shows.
    """
    distance = distance_from_template(surface, vertices_cam_mm, triangles)
    known = np.isfinite(distance)
    foreign = np.zeros(distance.shape, dtype=bool)
    if not known.any():
        return foreign
    rows, columns = _box(known)
    near, noise = distance[rows, columns], surface.noise_mm[rows, columns]
    pitch = float(np.median(vertices_cam_mm[:, 2])) / float(surface.intrinsics[0, 0])
    reach = max(2, round(STEP_REACH_MM / pitch))
    wider = test.allowing_for(float(np.nanmedian(noise[known[rows, columns]])))
    torn = _near_tear(surface)[rows, columns]
    found = _patches(near, wider, _near_step(near, reach, wider.step_mm))
    found |= _patches(-near, wider, torn)
    size = 2 * MARGIN_PX + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    foreign[rows, columns] = cv2.dilate(found.astype(np.uint8), disc) > 0
    return foreign


def distance_from_template(
    surface: DepthSurface, vertices_cam_mm: Array, triangles: Array
) -> Array:
    """Return how far (H, W) each depth pixel is before the template, along its normal, mm.

    NaN where there is no depth or no template.
    """
    height, width = surface.valid.shape
    fragments = rasterize(vertices_cam_mm, triangles, surface.intrinsics, height, width)
    normals = triangle_normals(vertices_cam_mm, triangles)
    cosine = np.abs(normals[:, 2]) / np.maximum(np.linalg.norm(normals, axis=1), 1e-12)
    covered = fragments.triangle >= 0
    before = fragments.depth_mm - surface.points_cam_mm[..., 2]
    return np.where(covered, before * cosine[fragments.triangle], np.nan)


def _box(mask: Array) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _near_step(distance: Array, reach: int, step_mm: float) -> Array:
    """Pixels around which the distance changes by more than `step_mm` within `reach`."""
    known = np.isfinite(distance)
    window = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    high = cv2.dilate(np.where(known, distance, -1e9), window)
    return np.asarray(high - cv2.erode(np.where(known, distance, 1e9), window) > step_mm)


def _near_tear(surface: DepthSurface) -> Array:
    """Pixels beside a step of the depth itself, with depth on both sides of it."""
    known = np.isfinite(surface.points_cam_mm[..., 2])
    torn = np.zeros(known.shape, dtype=np.uint8)
    torn[:, :-1] = known[:, :-1] & known[:, 1:] & ~surface.connected_right[:, :-1]
    torn[:-1] |= known[:-1] & known[1:] & ~surface.connected_down[:-1]
    return np.asarray(cv2.dilate(torn, np.ones((3, 3), np.uint8)) > 0)


def _patches(distance: Array, test: OcclusionTest, at_step: Array) -> Array:
    """Connected pixels beyond the outline's distance that end in a step."""
    known = np.isfinite(distance)
    far = known & (np.nan_to_num(distance) > test.outline_mm)
    if not far.any():
        return far
    count, label = cv2.connectedComponents(far.astype(np.uint8), connectivity=4)
    size = np.bincount(label[far], minlength=count)
    peak = np.bincount(label[far & (np.nan_to_num(distance) > test.peak_mm)], minlength=count)
    # Next to missing depth, or at the template's end, there may or may not be a step.
    inner = cv2.erode(known.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    outline = far & inner & (cv2.erode(far.astype(np.uint8), np.ones((3, 3), np.uint8)) == 0)
    judged = np.bincount(label[outline], minlength=count)
    stepped = np.bincount(label[outline & at_step], minlength=count)
    foreign = (peak >= 0.1 * size) & (stepped >= STEP_SHARE * judged) & (judged > 0)
    foreign[0] = False
    return np.asarray(foreign[label])
