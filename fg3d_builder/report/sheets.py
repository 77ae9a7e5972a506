"""Contact sheets: everything that the pipeline knows of one capture, at one glance."""

from __future__ import annotations

import numpy as np

from fg3d_builder.errors import CaptureError
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.files.mesh_io import TexturedMesh, mesh_with_colors
from fg3d_builder.geometry.camera import px_from_cam
from fg3d_builder.records import Array, Capture, CoarseFit, Landmarks, Registration
from fg3d_builder.registration.edge_points import EdgePoints
from fg3d_builder.report.figures import vertex_error_mm
from fg3d_builder.report.paper import contact_sheet, joined, message_card
from fg3d_builder.report.pictures import (
    MAX_ERROR_MM,
    PICTURE_HEIGHT,
    Window,
    depth_picture,
    error_colours,
    error_overlay,
    error_picture,
    image_picture,
    landmark_picture,
    overlay_picture,
    side_picture,
    view_of_points,
    whole_view,
)

TILE_HEIGHT = 300
"""Height in pixels of the pictures on a sheet, which are drawn at the size that is shown."""

THUMBNAIL_HEIGHT = 112
"""The same of a thumbnail's, which are shown at two thirds of it: sharp also on a dense screen."""

_MAX_TRUTH_ERROR_MM = 6.0


def capture_sheet(
    model: FaceModel,
    capture: Capture,
    landmarks: Landmarks,
    coarse: CoarseFit,
    registration: Registration,
) -> Array:
    """Show image, depth, landmarks, 3DMM fit, registration, errors and the shape from its sides.

    Where the capture has ground truth of the same topology, the vertex errors of the 3DMM fit
    and of the registration are shown beside each other.
    """
    view = face_view(model, capture, registration.vertices_cam_mm, TILE_HEIGHT)
    triangles = model.triangles
    coarse_cam = coarse.pose.cam_from_obj(coarse.shape_obj_mm)
    vertices = registration.vertices_cam_mm
    error = _distance_mm(registration)
    tiles = [
        ("image", image_picture(capture, view)),
        ("depth", depth_picture(capture.depth_mm, view)),
        ("landmarks", landmark_picture(capture, landmarks, view)),
        ("3DMM fit", overlay_picture(capture, coarse_cam, triangles, view=view)),
        (
            "registration, edges yellow, targets cyan",
            edge_overlay(model, capture, landmarks, vertices, view),
        ),
        (
            "distance to depth, all that is seen",
            error_picture(capture, vertices, triangles, error, view=view),
        ),
    ]
    sides = side_picture(
        registration.shape_obj_mm, triangles, height=TILE_HEIGHT, seen=registration.confidence
    )
    tiles.append(("S*, blue where nothing was seen", sides))
    truth = capture.truth
    if truth is not None and truth.topology_hash == registration.topology_hash:
        for label, shape in (("3DMM fit", coarse_cam), ("registration", vertices)):
            wrong = vertex_error_mm(shape, truth, model)
            picture = error_picture(
                capture, vertices, triangles, wrong, view=view, max_mm=_MAX_TRUTH_ERROR_MM
            )
            tiles.append((f"{label}: vertex error to truth", picture))
    title = f"{capture.capture_id}   subject {capture.subject_id}   {capture.source}"
    title += f"   quality {registration.quality:.2f}"
    title += "" if registration.converged else "   NOT CONVERGED"
    sampling = registration.depth_sampling
    if sampling is not None and sampling.kind != "measured":
        title += f"   depth {sampling.kind} by {sampling.factor_x:.3g} x {sampling.factor_y:.3g}"
    return contact_sheet(tiles, title=title, columns=6, height=TILE_HEIGHT)


def capture_thumbnail(model: FaceModel, capture: Capture, registration: Registration) -> Array:
    """Show the image and, beside it, the registration's distance to the depth as colour."""
    vertices = registration.vertices_cam_mm
    view = face_view(model, capture, vertices, THUMBNAIL_HEIGHT)
    error = error_overlay(
        capture, vertices, model.triangles, _distance_mm(registration), view, MAX_ERROR_MM
    )
    return joined([image_picture(capture, view), error], 1, 2)


def distance_mesh(model: FaceModel, registration: Registration) -> TexturedMesh:
    """Return ``S*`` in the object frame, mm, with the colours of the distance to the depth."""
    colours = np.rint(error_colours(_distance_mm(registration), MAX_ERROR_MM)).astype(np.uint8)
    return mesh_with_colors(registration.shape_obj_mm, model.triangles, colours)


def _distance_mm(registration: Registration) -> Array:
    """(n,) distances to the depth, NaN where the camera does not see the vertex."""
    return np.where(registration.visible, registration.surface_error_mm, np.nan)


def failure_sheet(
    capture: Capture,
    error: CaptureError,
    landmarks: Landmarks | None = None,
    vertices_cam_mm: Array | None = None,
    triangles: Array | None = None,
) -> Array:
    """Show what was seen of a capture that failed, beside the reason."""
    view = whole_view(capture, TILE_HEIGHT)
    tiles = [
        ("image", image_picture(capture, view)),
        ("depth", depth_picture(capture.depth_mm, view)),
    ]
    if landmarks is not None:
        tiles.append(("landmarks", landmark_picture(capture, landmarks, view)))
    if vertices_cam_mm is not None and triangles is not None:
        tiles.append(("3DMM fit", overlay_picture(capture, vertices_cam_mm, triangles, view=view)))
    tiles.append(("reason", message_card([error.code, error.message])))
    return contact_sheet(tiles, title=f"{capture.capture_id}: {error.code}", height=TILE_HEIGHT)


def face_view(
    model: FaceModel, capture: Capture, vertices_cam_mm: Array, height: int = PICTURE_HEIGHT
) -> Window:
    """Show the model's reliable region with some of what is around it."""
    face_px = px_from_cam(vertices_cam_mm[model.reliable], capture.intrinsics)
    return view_of_points(face_px, 1.35, height)


def edge_overlay(
    model: FaceModel, capture: Capture, landmarks: Landmarks, vertices_cam_mm: Array, view: Window
) -> Array:
    """Draw a shape over the image, with the model's edge points (Eq. 9) and their targets.

    Without points where the model has no embedding of the landmarks' scheme; targets that may
    not be used are left out.
    """
    edges = EdgePoints.of(model, landmarks, capture.intrinsics)
    used = edges.confidence > 0
    edges_cam_mm = edges.embedding.points(vertices_cam_mm, model.triangles)
    return overlay_picture(
        capture,
        vertices_cam_mm,
        model.triangles,
        view=view,
        points_px=px_from_cam(edges_cam_mm, capture.intrinsics)[used],
        targets_px=edges.points_px[used],
    )
