"""What registration works on: the part of a capture around the face, in as many pixels as tell.

A photo of 12 megapixels says no more about a face than one in which the face is `FACE_PX` high,
and depth that was enlarged to such a size says less than it seems. So the colour image is cut
and reduced, and the depth goes back to the samples it was enlarged from. Both stay images that
the same camera took: camera frame and millimetres are the capture's own, pixels are not.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from fg3d_builder.geometry.camera import at_nearest_pixel, px_of_other_grid
from fg3d_builder.landmarks.eyelids import Eyelids, look_at_eyelids
from fg3d_builder.records import (
    Array,
    Capture,
    CoarseFit,
    Landmarks,
    Registration,
)
from fg3d_builder.rendering.depth_surface import DepthSurface
from fg3d_builder.rendering.measured_surface import measured_surface

FACE_PX = 600
"""Largest extent of the face's landmarks in the images that are worked on, pixels: 0.3 mm each.
Detectors see a face in 256 pixels at most, and the edges of a face model are 2 mm long."""

_AROUND = 1.0
"""Extents of the landmarks that are kept on each side of them: hair, ears and neck are within."""

_WORTHWHILE = 0.5
"""Share of the image below which it is cut; more is left alone."""

_NEAR_MM = 400.0
"""Surface that is so much nearer or further than the face is no part of the head."""


@dataclass(frozen=True)
class WorkingCapture:
    """A capture as registration takes it.

    Attributes
    ----------
    capture : Capture
        The capture itself where nothing had to change. Else `rgb` is cut and reduced, with
        intrinsics to match, and `depth_mm` is that of `surface`, at the nearest pixel.
    landmarks : Landmarks
        In pixels of `capture`.
    surface : DepthSurface
        At the resolution at which depth was measured, so with intrinsics of its own.
    scale : float
        Pixels of `capture` per pixel of the original.
    """

    capture: Capture
    landmarks: Landmarks
    surface: DepthSurface
    scale: float

    @cached_property
    def eyes(self) -> tuple[Eyelids, ...]:
        """What the image shows of the lids; fit and registration both need it."""
        return look_at_eyelids(self.capture, self.landmarks)

    def coarse_in_original(self, coarse: CoarseFit) -> CoarseFit:
        """Give a fit to this capture in pixels of the original."""
        if self.scale == 1.0:
            return coarse
        return dataclasses.replace(coarse, landmark_error_px=coarse.landmark_error_px / self.scale)

    def registration_in_original(self, registration: Registration) -> Registration:
        """Give a registration to this capture in pixels of the original."""
        if self.scale == 1.0:
            return registration
        return dataclasses.replace(
            registration,
            landmark_error_px=registration.landmark_error_px / self.scale,
            history=tuple(
                dataclasses.replace(record, edge_rms_px=record.edge_rms_px / self.scale)
                for record in registration.history
            ),
        )


def working_capture(
    capture: Capture, landmarks: Landmarks, surface: DepthSurface | None = None
) -> WorkingCapture:
    """Cut and reduce a capture to what a registration needs.

    Parameters
    ----------
    capture : Capture
    landmarks : Landmarks
        As detected on it; where none is of use, all of the image is.
    surface : DepthSurface, optional
        Surface of the capture's depth, where the caller has it already.
    """
    window, extent = _window(landmarks, *capture.depth_mm.shape)
    camera = _cut_intrinsics(capture.intrinsics, window)
    if surface is None:
        depth = capture.depth_mm[window]
        near = _near_mm(capture, landmarks)
        surface = measured_surface(depth, camera, extent, FACE_PX, near)
    scale = min(1.0, FACE_PX / max(extent, 1.0))
    rgb = capture.rgb[window]
    if rgb.shape == capture.rgb.shape and scale == 1.0:
        return WorkingCapture(capture, landmarks, surface, 1.0)
    rgb, camera = _reduced(rgb, camera, scale)
    px = px_of_other_grid(landmarks.points_px, capture.intrinsics, camera)
    points = dataclasses.replace(landmarks, points_px=px)
    reduced = dataclasses.replace(
        capture,
        rgb=rgb,
        depth_mm=_depth_at(surface, camera, *rgb.shape[:2]),
        intrinsics=camera,
        landmarks=None,
        truth=None,
    )
    return WorkingCapture(reduced, points, surface, float(camera[0, 0] / capture.intrinsics[0, 0]))


def _window(landmarks: Landmarks, height: int, width: int) -> tuple[tuple[slice, slice], float]:
    """Rows and columns around the face, and the larger side of its landmarks' box in pixels."""
    everything = (slice(0, height), slice(0, width))
    px = landmarks.points_px[
        (landmarks.confidence > 0) & np.isfinite(landmarks.points_px).all(axis=1)
    ]
    if len(px) < 2:
        return everything, 0.0
    low, high = px.min(axis=0), px.max(axis=0)
    extent = float((high - low).max())
    first = np.clip(np.floor(low - _AROUND * extent), 0, [width - 1, height - 1]).astype(int)
    last = np.clip(np.ceil(high + _AROUND * extent), first + 1, [width - 1, height - 1]).astype(int)
    size = last - first + 1
    if size[0] * size[1] > _WORTHWHILE * height * width:
        return everything, extent
    return (slice(first[1], last[1] + 1), slice(first[0], last[0] + 1)), extent


def _near_mm(capture: Capture, landmarks: Landmarks) -> tuple[float, float] | None:
    """Depths at which the head may be, by the depth at the landmarks; None where there is none."""
    used = landmarks.points_px[landmarks.confidence > 0]
    depth = at_nearest_pixel(capture.depth_mm, used, np.nan)
    depth = depth[np.isfinite(depth) & (depth > 0)]
    if len(depth) == 0:
        return None
    middle = float(np.median(depth))
    return middle - _NEAR_MM, middle + _NEAR_MM


def _cut_intrinsics(intrinsics: Array, window: tuple[slice, slice]) -> Array:
    camera = np.array(intrinsics, dtype=np.float64)
    camera[:2, 2] -= [window[1].start, window[0].start]
    return camera


def _reduced(rgb: Array, intrinsics: Array, scale: float) -> tuple[Array, Array]:
    """Average an image (H, W, 3) to about `scale` times its size, with its intrinsics."""
    if scale == 1.0:
        return np.ascontiguousarray(rgb), intrinsics
    height, width = rgb.shape[:2]
    size = np.maximum(np.rint(np.array([width, height]) * scale), 1).astype(int)
    factor = size / [width, height]
    camera = intrinsics.copy()
    camera[:2] *= factor[:, None]
    camera[:2, 2] += (factor - 1.0) / 2.0
    return np.asarray(cv2.resize(rgb, size.tolist(), interpolation=cv2.INTER_AREA)), camera


def _depth_at(surface: DepthSurface, intrinsics: Array, height: int, width: int) -> Array:
    """Depth (H, W) float32 of a surface in an image of its camera, of the nearest pixels."""
    depth = surface.points_cam_mm[..., 2]
    corners = np.array([[0.0, 0.0], [width - 1.0, height - 1.0]])
    (left, top), (right, bottom) = surface.px_from(corners, intrinsics)
    column = np.clip(np.rint(np.linspace(left, right, width)), 0, depth.shape[1] - 1).astype(int)
    row = np.clip(np.rint(np.linspace(top, bottom, height)), 0, depth.shape[0] - 1).astype(int)
    return depth[np.ix_(row, column)].astype(np.float32)
