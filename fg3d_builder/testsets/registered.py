"""The template registered to a surface: the surface is rendered to an RGB-D view, as a scan is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from fg3d_builder.captures.scan import render_scan, scan_camera
from fg3d_builder.captures.source import safe_id
from fg3d_builder.config import MIN_QUALITY, BuildConfig, SourceConfig
from fg3d_builder.errors import CaptureError
from fg3d_builder.evaluation import Correspondence, reliable_correspondence
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.files.mesh_io import TexturedMesh
from fg3d_builder.geometry.meshes import vertex_normals
from fg3d_builder.pipeline.register import register_capture
from fg3d_builder.records import Array, Capture, Landmarks, Pose, Registration
from fg3d_builder.report.paper import contact_sheet
from fg3d_builder.report.pictures import (
    error_picture,
    image_picture,
    landmark_picture,
    overlay_picture,
    side_picture,
)
from fg3d_builder.report.sheets import edge_points, face_view, failure_sheet
from fg3d_builder.testsets.records import ProtocolConfig
from fg3d_builder.testsets.surfaces import UprightSurface, clay, has_colour

FRONTAL = (0.0, 0.0)
LandmarksOf = Callable[[Capture, Pose], Landmarks]
"""Finds landmarks in a rendering; the pose takes the upright frame to the camera."""


class PairTests(NamedTuple):
    """What a vertex of the template has to pass to be paired with a place on the surface.

    Attributes
    ----------
    max_distance_mm, max_normal_deg : float
        See `reliable_correspondence`.
    seen_only : bool
        The registration found a counterpart for the vertex in the rendered depth.
    """

    max_distance_mm: float
    max_normal_deg: float
    seen_only: bool


class RegisteredSurface(NamedTuple):
    """A template registered to a surface.

    Attributes
    ----------
    vertices_mm : (n, 3) float64
        In the surface's upright frame.
    members : Correspondence
        From vertices of the template to places on the seamless surface.
    quality : float
        See `Registration.quality`.
    picture : (H, W, 3) uint8
        To check it by eye.
    """

    vertices_mm: Array
    members: Correspondence
    quality: float
    picture: Array


class RegistrationError(Exception):
    """A surface that cannot be registered.

    Attributes
    ----------
    error : CaptureError
    picture : (H, W, 3) uint8
        What was seen of it.
    """

    def __init__(self, error: CaptureError, picture: Array) -> None:
        super().__init__(error.message)
        self.error, self.picture = error, picture


def view_config(config: ProtocolConfig) -> SourceConfig:
    """Return how an upright surface in millimetres is rendered."""
    return SourceConfig(
        kind="scan",
        unit_mm=1.0,
        image_size=config.image_size,
        focal_px=config.focal_px,
        distance_mm=config.distance_mm,
    )


def register_surface(
    model: FaceModel,
    surface: UprightSurface,
    name: str,
    config: ProtocolConfig,
    tests: PairTests,
    landmarks_of: LandmarksOf,
) -> RegisteredSurface:
    """Register the template to a surface and pair the model's reliable region with it.

    Raises
    ------
    RegistrationError
        With what landmarks, fit and registration raise; ``low_quality``; ``empty_set``.
    """
    coloured = has_colour(surface.mesh)
    shown = surface.mesh if coloured else clay(surface.mesh)
    capture, cam_from_upright = _rendered(shown, name, config)
    landmarks = None
    try:
        landmarks = landmarks_of(capture, cam_from_upright)
        found = _registration(model, capture, landmarks, config, coloured)
        return _result(model, surface, capture, landmarks, found, cam_from_upright, tests)
    except CaptureError as error:
        raise RegistrationError(error, failure_sheet(capture, error, landmarks)) from None


def _rendered(mesh: TexturedMesh, name: str, config: ProtocolConfig) -> tuple[Capture, Pose]:
    view = view_config(config)
    pose, _ = scan_camera(view, FRONTAL, mesh)
    rgb, depth_mm, intrinsics = render_scan(view, FRONTAL, mesh)
    key = safe_id(name)
    return Capture(key, key, "scan", rgb, depth_mm, intrinsics), pose


def _registration(
    model: FaceModel,
    capture: Capture,
    landmarks: Landmarks,
    config: ProtocolConfig,
    coloured: bool,
) -> Registration:
    # Shading in place of colours is nothing that the model's albedo could explain.
    fit = replace(config.fit, use_appearance=config.fit.use_appearance and coloured)
    settings = BuildConfig(fit=fit, registration=config.registration)
    found = register_capture(model, capture, settings, landmarks=landmarks).registration
    if found.quality < MIN_QUALITY:
        raise CaptureError(
            "low_quality",
            f"{capture.capture_id}: the registration has a quality of {found.quality:.2f}, "
            f"wanted {MIN_QUALITY:g}",
        )
    return found


def _result(
    model: FaceModel,
    surface: UprightSurface,
    capture: Capture,
    landmarks: Landmarks,
    found: Registration,
    cam_from_upright: Pose,
    tests: PairTests,
) -> RegisteredSurface:
    vertices = cam_from_upright.obj_from_cam(found.vertices_cam_mm)
    face = model.reliable & (found.confidence > 0) if tests.seen_only else model.reliable
    try:
        members = reliable_correspondence(
            vertices,
            vertex_normals(vertices, model.triangles),
            surface.scan,
            surface.normals,
            face,
            surface.border,
            tests.max_distance_mm,
            tests.max_normal_deg,
        )
    except ValueError as error:
        raise CaptureError("empty_set", f"{capture.capture_id}: {error}") from None
    distance = np.full(model.vertex_count, np.nan)
    index = members.source.vertex_index
    distance[index] = surface.scan.closest(vertices[index]).distance_mm
    picture = _picture(model, capture, landmarks, found, distance)
    return RegisteredSurface(vertices, members, found.quality, picture)


def _picture(
    model: FaceModel,
    capture: Capture,
    landmarks: Landmarks,
    found: Registration,
    distance_mm: Array,
) -> Array:
    """Image, landmarks, registration and pairs beside each other."""
    view = face_view(model, capture, found.vertices_cam_mm)
    vertices, triangles = found.vertices_cam_mm, model.triangles
    points, targets = edge_points(model, capture, landmarks, vertices)
    overlay = overlay_picture(
        capture, vertices, triangles, view=view, points_px=points, targets_px=targets
    )
    known = np.isfinite(distance_mm)
    share = known[model.reliable].mean()
    tiles = [
        ("surface", image_picture(capture, view)),
        ("landmarks", landmark_picture(capture, landmarks, view)),
        ("registered template", overlay),
        (
            f"paired ({share:.0%}): distance",
            error_picture(capture, vertices, triangles, distance_mm, view=view),
        ),
        (
            "template, blue where not paired",
            side_picture(found.shape_obj_mm, triangles, seen=known),
        ),
    ]
    title = f"{capture.capture_id}   quality {found.quality:.2f}"
    return contact_sheet(tiles, title=title, height=300)
