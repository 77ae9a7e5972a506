"""The pixels of a capture that do not belong to the face, as far as a template tells.

Two kinds of evidence, either of which suffices: depth that is torn from the face around it
(`patches`), and hair that stands off the skin (`hair`).
"""

from __future__ import annotations

import cv2
import numpy as np

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.geometry.camera import px_of_other_grid
from fg3d_builder.occlusion.hair import (
    BLUR_MM,
    RING_MM,
    hair_ratio,
    log_colours,
    standing_off,
)
from fg3d_builder.occlusion.patches import OcclusionTest, patches_before, patches_behind
from fg3d_builder.occlusion.view import TemplateView, distance_from_face
from fg3d_builder.records import Array
from fg3d_builder.rendering.depth_surface import DepthSurface

AT_LANDMARKS = OcclusionTest(4.0, 7.0, 8.0)
"""Against a face that landmarks alone have placed."""

AT_START = OcclusionTest(2.5, 4.5, 8.0)
"""Against the coarse fit."""

REFINED = OcclusionTest(1.5, 2.5, 7.0)
"""Against a template that the stiff levels have brought near the surface."""

MARGIN_PX, MARGIN_MM = 2, 1.8
"""Pixels so near something foreign may be mixed with it: single hairs, smoothed depth."""

VIEW_MARGIN_MM = 6.0
"""Around the template, so that hair which reaches over its border hangs together."""

HAIR_PITCH_MM = 1.2
"""Hair is looked for on a grid that is about so wide."""


def on_surface(rgb: Array, surface: DepthSurface, intrinsics: Array | None) -> Array:
    """Return the colours (H, W, 3) of the surface's pixels."""
    if intrinsics is None or np.array_equal(intrinsics, surface.intrinsics):
        return rgb
    height, width = surface.valid.shape
    ratio = np.diag(surface.intrinsics)[:2] / np.diag(intrinsics)[:2]
    # Averaged over what becomes one pixel: sampled alone, hair would be noise.
    blur = 0.5 * np.maximum(1.0 / ratio - 1.0, 0.0)
    smooth = cv2.GaussianBlur(rgb, (0, 0), max(blur[0], 0.1), sigmaY=max(blur[1], 0.1))
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1)
    at = px_of_other_grid(grid, surface.intrinsics, intrinsics).astype(np.float32)
    found = cv2.remap(
        smooth, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(found)


class ForeignFinder:
    """Finds what is not the face in one capture.

    Parameters
    ----------
    model : FaceModel
    surface : DepthSurface
    rgb : (h, w, 3) uint8, optional
        Without it hair is told by its depth alone.
    intrinsics : (3, 3) float, optional
        Of the colour image, where its pixels are not the surface's.
    """

    def __init__(
        self,
        model: FaceModel,
        surface: DepthSurface,
        rgb: Array | None = None,
        intrinsics: Array | None = None,
    ) -> None:
        self._model = model
        self._surface = surface
        self._rgb = rgb if rgb is None else on_surface(rgb, surface, intrinsics)
        self._hair: Array | None = None

    def find(self, vertices_cam_mm: Array, test: OcclusionTest) -> Array:
        """Return the (H, W) bool mask of depth pixels that do not belong to the face.

        Parameters
        ----------
        vertices_cam_mm : (n, 3) float64
            Template, near the surface.
        test : OcclusionTest
            How near it is.
        """
        surface, triangles = self._surface, self._model.triangles
        foreign = np.zeros(surface.valid.shape, dtype=bool)
        view = TemplateView.of(surface, vertices_cam_mm, triangles, VIEW_MARGIN_MM)
        if view is None:
            return foreign
        distance = distance_from_face(surface, view, vertices_cam_mm, triangles, test.outline_mm)
        before = np.zeros(distance.shape, dtype=bool)
        if self._rgb is not None:
            if self._hair is None:
                self._hair = self._hair_of_picture(self._rgb, vertices_cam_mm)
            before = self._loose_hair(view, distance, self._hair)
        before |= patches_before(view, distance, test, before)
        foreign[view.box] = before | patches_behind(view, distance, test, before)
        return foreign

    def widened(self, foreign: Array, vertices_cam_mm: Array) -> Array:
        """Return a mask (H, W) with the pixels around it that may be mixed with it."""
        pitch = float(np.median(vertices_cam_mm[:, 2])) / float(self._surface.intrinsics[0, 0])
        size = 2 * max(MARGIN_PX, round(MARGIN_MM / pitch)) + 1
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
        return np.asarray(cv2.dilate(foreign.astype(np.uint8), disc) > 0)

    def _loose_hair(self, view: TemplateView, distance: Array, hair: Array) -> Array:
        """(h, w) mask of hair before the skin, found on a coarser grid."""
        step = view.pixels(HAIR_PITCH_MM)
        labelled = hair[view.box][::step, ::step] > 0.0
        if not labelled.any():
            return np.zeros(distance.shape, dtype=bool)
        found = standing_off(view.every(step), labelled, distance[::step, ::step])
        height, width = distance.shape
        whole = np.repeat(np.repeat(found, step, axis=0), step, axis=1)
        return np.asarray(whole[:height, :width])

    def _hair_of_picture(self, rgb: Array, vertices_cam_mm: Array) -> Array:
        """(H, W) log likelihood ratio of hair to skin; negative away from the face.

        Colours do not change with the template: this is looked up later, not made again.
        """
        surface = self._surface
        whole = np.full(surface.valid.shape, -1.0, dtype=np.float32)
        view = TemplateView.of(surface, vertices_cam_mm, self._model.triangles, RING_MM)
        if view is None:
            return whole
        step = view.pixels(HAIR_PITCH_MM)
        colour = log_colours(rgb[view.box], BLUR_MM / view.pitch_mm, step)
        normals = surface.normals_cam[view.box][::step, ::step]
        ratio = hair_ratio(self._model, view.every(step), colour, normals)
        if ratio is not None:
            height, width = view.triangle.shape
            fine = cv2.resize(ratio.astype(np.float32), None, fx=step, fy=step)
            whole[view.box] = fine[:height, :width]
        return whole
