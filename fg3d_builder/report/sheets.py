"""Contact sheets: everything that the pipeline knows of one capture, at one glance."""

from __future__ import annotations

import numpy as np

from fg3d_builder.errors import CaptureError
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.geometry.camera import px_from_cam
from fg3d_builder.records import Array, Capture, CoarseFit, Landmarks, Registration
from fg3d_builder.registration.edge_points import EdgePoints
from fg3d_builder.report.figures import vertex_error_mm
from fg3d_builder.report.paper import contact_sheet, message_card
from fg3d_builder.report.pictures import (
    PICTURE_HEIGHT,
    Window,
    depth_picture,
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
    error = np.where(registration.visible, registration.surface_error_mm, np.nan)
    tiles = [
        ("image", image_picture(capture, view)),
        ("depth", depth_picture(capture.depth_mm, view)),
        ("landmarks", landmark_picture(capture, landmarks, view)),
        ("3DMM fit", overlay_picture(capture, coarse_cam, triangles, view=view)),
        (
            "registration, edges yellow, targets cyan",
            edge_overlay(model, capture, landmarks, vertices, view),
        ),
        ("distance to depth", error_picture(capture, vertices, triangles, error, view=view)),
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
