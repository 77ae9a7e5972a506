"""Registers the template to a surface, which is rendered to an RGB-D view as a scan is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fg3d_builder.captures.clay import clay, has_colour
from fg3d_builder.captures.scan import render_scan, scan_camera
from fg3d_builder.captures.source import safe_id
from fg3d_builder.config import MIN_QUALITY, BuildConfig, SourceConfig
from fg3d_builder.errors import CaptureError
from fg3d_builder.evaluation import Correspondence, border_vertices, reliable_correspondence
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.files.atomic import write_bytes
from fg3d_builder.files.encoding import encode_png
from fg3d_builder.files.mesh_io import TexturedMesh
from fg3d_builder.geometry.meshes import vertex_normals
from fg3d_builder.pipeline.register import register_capture
from fg3d_builder.records import Array, Capture, Landmarks, Pose, Registration
from fg3d_builder.report.paper import contact_sheet
from fg3d_builder.report.pictures import (
    error_picture,
    image_picture,
    landmark_picture,
    side_picture,
)
from fg3d_builder.report.sheets import edge_overlay, face_view, failure_sheet
from fg3d_builder.testsets.records import ProtocolConfig
from fg3d_builder.testsets.setup import Setup
from fg3d_builder.testsets.surfaces import UprightSurface

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


@dataclass(frozen=True)
class RegisteredSurface:
    """The template registered to a surface.

    Attributes
    ----------
    upright_from_file : Pose
        See `UprightSurface`.
    vertices_mm : (n, 3) float64
        In the surface's upright frame.
    members : Correspondence
        From vertices of the template to places on the seamless surface.
    quality : float
        See `Registration.quality`.
    """

    upright_from_file: Pose
    vertices_mm: Array
    members: Correspondence
    quality: float


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
    setup: Setup,
    surface: UprightSurface,
    name: str,
    tests: PairTests,
    landmarks_of: LandmarksOf,
    picture: Path,
) -> RegisteredSurface:
    """Register the template to a surface and pair the model's reliable region with it.

    Parameters
    ----------
    setup : Setup
    surface : UprightSurface
    name : str
        Names the surface in messages and in the picture.
    tests : PairTests
    landmarks_of : callable
    picture : Path
        Gets a PNG of what was registered, or of what was seen where that failed.

    Raises
    ------
    CaptureError
        What landmarks, fit and registration raise; ``low_quality``; ``empty_set``.
    """
    model, coloured = setup.model, has_colour(surface.mesh)
    shown = surface.mesh if coloured else clay(surface.mesh)
    capture, cam_from_upright = _rendered(shown, name, setup.config)
    landmarks = None
    try:
        landmarks = landmarks_of(capture, cam_from_upright)
        found = _registration(setup, capture, landmarks, coloured)
        vertices = cam_from_upright.obj_from_cam(found.vertices_cam_mm)
        seen = found.confidence > 0 if tests.seen_only else np.ones(model.vertex_count, dtype=bool)
        members = _paired(model, vertices, surface, model.reliable & seen, tests, name)
    except CaptureError as error:
        write_bytes(picture, encode_png(failure_sheet(capture, error, landmarks)))
        raise
    distance = np.full(model.vertex_count, np.nan)
    index = members.source.vertex_index
    distance[index] = surface.scan.closest(vertices[index]).distance_mm
    write_bytes(picture, encode_png(_picture(model, capture, landmarks, found, distance)))
    return RegisteredSurface(surface.upright_from_file, vertices, members, found.quality)


def _rendered(mesh: TexturedMesh, name: str, config: ProtocolConfig) -> tuple[Capture, Pose]:
    view = view_config(config)
    pose, _ = scan_camera(view, FRONTAL, mesh)
    rgb, depth_mm, intrinsics = render_scan(view, FRONTAL, mesh)
    key = safe_id(name)
    return Capture(key, key, "scan", rgb, depth_mm, intrinsics), pose


def _registration(
    setup: Setup, capture: Capture, landmarks: Landmarks, coloured: bool
) -> Registration:
    config = setup.config
    # Shading in place of colours is nothing that the model's albedo could explain.
    fit = replace(config.fit, use_appearance=config.fit.use_appearance and coloured)
    settings = BuildConfig(fit=fit, registration=config.registration)
    found = register_capture(setup.model, capture, settings, landmarks=landmarks).registration
    if found.quality < MIN_QUALITY:
        raise CaptureError(
            "low_quality",
            f"{capture.capture_id}: the registration has a quality of {found.quality:.2f}, "
            f"wanted {MIN_QUALITY:g}",
        )
    return found


def _paired(
    model: FaceModel,
    vertices_mm: Array,
    surface: UprightSurface,
    face: Array,
    tests: PairTests,
    name: str,
) -> Correspondence:
    try:
        return reliable_correspondence(
            vertices_mm,
            vertex_normals(vertices_mm, model.triangles),
            surface.scan,
            vertex_normals(surface.scan_mm, surface.triangles),
            face,
            border_vertices(surface.triangles, surface.scan.vertex_count),
            tests.max_distance_mm,
            tests.max_normal_deg,
        )
    except ValueError as error:
        raise CaptureError("empty_set", f"{name}: {error}") from None


def _picture(
    model: FaceModel,
    capture: Capture,
    landmarks: Landmarks,
    found: Registration,
    distance_mm: Array,
) -> Array:
    """Show image, landmarks, registration and pairs next to each other."""
    view = face_view(model, capture, found.vertices_cam_mm)
    vertices, triangles = found.vertices_cam_mm, model.triangles
    known = np.isfinite(distance_mm)
    share = known[model.reliable].mean()
    distances = error_picture(capture, vertices, triangles, distance_mm, view=view)
    sides = side_picture(found.shape_obj_mm, triangles, seen=known)
    tiles = [
        ("surface", image_picture(capture, view)),
        ("landmarks", landmark_picture(capture, landmarks, view)),
        ("registered template", edge_overlay(model, capture, landmarks, vertices, view)),
        (f"paired ({share:.0%}): distance", distances),
        ("template, blue where not paired", sides),
    ]
    title = f"{capture.capture_id}   quality {found.quality:.2f}"
    return contact_sheet(tiles, title=title, height=300)
