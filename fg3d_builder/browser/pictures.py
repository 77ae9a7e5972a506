"""The pictures of one capture: what a contact sheet shows, each drawn when it is asked for."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from fg3d_builder.browser.records import Face, Registered
from fg3d_builder.files.encoding import decode_image, encode_jpeg
from fg3d_builder.records import Array
from fg3d_builder.report.figures import vertex_error_mm
from fg3d_builder.report.pictures import (
    Window,
    depth_picture,
    error_picture,
    image_picture,
    landmark_picture,
    overlay_picture,
    side_picture,
)
from fg3d_builder.report.sheets import edge_overlay, face_view

HEIGHT, THUMBNAIL = 420, 220
"""Of pictures, in pixels."""

TRUTH_MM = 6.0
"""Upper end of the colour scale of errors to the truth; see `report.sheets`."""

_QUALITY = 88


def picture(found: Registered, kind: str) -> bytes:
    """Draw one of `KINDS` and encode it as JPEG."""
    view = face_view(found.model, found.capture, found.registration.vertices_cam_mm, HEIGHT)
    return encode_jpeg(_DRAWN[kind](found, view), _QUALITY)


def thumbnail(found: Face, kind: str) -> bytes:
    """Draw what a list shows of a capture: ``"registration"``, ``"error"`` or ``"photo"``."""
    view = face_view(found.model, found.capture, found.registration.vertices_cam_mm, HEIGHT)
    drawn = _THUMBNAILS[kind](found, view)
    size = (round(drawn.shape[1] * THUMBNAIL / drawn.shape[0]), THUMBNAIL)
    return encode_jpeg(cv2.resize(drawn, size, interpolation=cv2.INTER_AREA), _QUALITY)


def small(data: bytes) -> bytes:
    """Shrink a picture of a failure, which has several beside each other, to a thumbnail."""
    whole = decode_image(data)
    factor = min(1.0, 2 * THUMBNAIL / whole.shape[1])
    return encode_jpeg(
        cv2.resize(whole, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), _QUALITY
    )


def has_truth(found: Face) -> bool:
    """Tell whether the true vertices of a capture are known, as of synthetic ones."""
    truth = found.capture.truth
    return truth is not None and truth.topology_hash == found.registration.topology_hash


def _photo(found: Face, view: Window) -> Array:
    return image_picture(found.capture, view)


def _depth(found: Registered, view: Window) -> Array:
    return depth_picture(found.capture.depth_mm, view)


def _landmarks(found: Registered, view: Window) -> Array:
    return landmark_picture(found.capture, found.landmarks, view)


def _fit(found: Registered, view: Window) -> Array:
    coarse = found.fits.coarse
    vertices = coarse.pose.cam_from_obj(coarse.shape_obj_mm)
    return overlay_picture(found.capture, vertices, found.model.triangles, view=view)


def _registration(found: Registered, view: Window) -> Array:
    vertices = found.registration.vertices_cam_mm
    return edge_overlay(found.model, found.capture, found.landmarks, vertices, view)


def _error(found: Face, view: Window) -> Array:
    registration = found.registration
    error = np.where(registration.visible, registration.surface_error_mm, np.nan)
    vertices, triangles = registration.vertices_cam_mm, found.model.triangles
    return error_picture(found.capture, vertices, triangles, error, view=view)


def _sides(found: Registered, view: Window) -> Array:
    registration = found.registration
    return side_picture(
        registration.shape_obj_mm,
        found.model.triangles,
        height=view.height,
        seen=registration.confidence,
    )


def _truth(found: Registered, view: Window) -> Array:
    truth, vertices = found.capture.truth, found.registration.vertices_cam_mm
    if truth is None:
        raise ValueError(f"{found.capture.capture_id} has no truth")
    wrong = vertex_error_mm(vertices, truth, found.model)
    triangles = found.model.triangles
    return error_picture(found.capture, vertices, triangles, wrong, view=view, max_mm=TRUTH_MM)


def _shaded_face(found: Face, view: Window) -> Array:
    vertices = found.registration.vertices_cam_mm
    return overlay_picture(found.capture, vertices, found.model.triangles, view=view)


_Drawing = Callable[[Registered, Window], Array]

_DRAWN: dict[str, _Drawing] = {
    "photo": _photo,
    "depth": _depth,
    "landmarks": _landmarks,
    "fit": _fit,
    "registration": _registration,
    "error": _error,
    "truth": _truth,
    "sides": _sides,
}

_THUMBNAILS: dict[str, Callable[[Face, Window], Array]] = {
    "registration": _shaded_face,
    "error": _error,
    "photo": _photo,
}

KINDS = {
    "photo": "photo",
    "depth": "depth",
    "landmarks": "landmarks",
    "fit": "3DMM fit",
    "registration": "registration; edges yellow, detected cyan",
    "error": "distance to depth",
    "truth": "vertex error to the truth",
    "sides": "S* from three sides; blue where nothing was seen",
}
"""Pictures of a registered capture, and what each shows."""
