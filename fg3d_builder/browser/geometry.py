"""What the viewer draws: depth as points, and meshes, all in the object frame.

In that frame S* (Eq. 11) is the registered mesh, upright and undeformed by the pose, and the
measured points are brought there by the same pose. So depth, registration, 3DMM and new faces lie
one upon the other, however the head was turned.

Arrays travel as base64 of little-endian float32, int32 or uint8.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from fg3d_builder.browser.records import Registered
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.geometry.camera import cam_from_px, px_from_cam
from fg3d_builder.records import Array, Capture, Registration
from fg3d_builder.rendering.image_samples import sampled
from fg3d_builder.report.figures import spread, vertex_error_mm
from fg3d_builder.report.pictures import NO_VALUE, error_colours

MOST_POINTS = 30_000
"""Measured points that are drawn; a browser without a graphics card turns these fluently."""

AROUND_MM = 45.0
"""So far around the face's box measured points are shown."""


def topology(model: FaceModel) -> dict[str, Any]:
    """Return the triangles, which all meshes of a build share."""
    return {"triangles": _packed(model.triangles, "<i4"), "vertices": model.vertex_count}


def shapes(found: Registered) -> dict[str, Any]:
    """Return points, meshes and values at vertices as JSON values; see `fg3d_builder.records`.

    ``points``: ``xyz`` (mm) and ``rgb``. ``meshes``: name and ``xyz`` of each. ``values``: name,
    unit, upper end of the colour scale, value at each vertex (NaN where there is none) and the
    colour of that; they belong to the first mesh. ``rgb``: colour of each vertex in the photo.
    """
    registration, model = found.registration, found.model
    error = np.where(registration.visible, registration.surface_error_mm, np.nan)
    values = [
        _values("distance to depth", "mm", 3.0, error),
        _values("confidence", "", 1.0, registration.confidence),
        _values("S* beside the 3DMM", "mm", 5.0, np.linalg.norm(registration.delta_obj_mm, axis=1)),
    ]
    truth = found.capture.truth
    if truth is not None and truth.topology_hash == registration.topology_hash:
        wrong = vertex_error_mm(registration.vertices_cam_mm, truth, model)
        values.append(_values("error to truth", "mm", 6.0, wrong))
    meshes = [
        ("registration (S*)", registration.shape_obj_mm),
        ("3DMM fitted to S*", registration.coarse_obj_mm),
        *(
            (f"new face {number}", made.shape.shape_obj_mm)
            for number, made in enumerate(found.shapes, 1)
        ),
    ]
    points, colours = measured_points(found.capture, registration)
    return {
        "topology": registration.topology_hash,
        "points": {"xyz": _packed(points, "<f4"), "rgb": _packed(colours, "|u1")},
        "meshes": [{"name": name, "xyz": _packed(xyz, "<f4")} for name, xyz in meshes],
        "values": values,
        "rgb": _packed(photo_colours(found.capture, registration), "|u1"),
    }


def measured_points(capture: Capture, registration: Registration) -> tuple[Array, Array]:
    """Return (k, 3) measured points around the face, mm, and their (k, 3) uint8 colours.

    At most `MOST_POINTS`, drawn at random: every n-th would show a pattern.
    """
    rows, columns = np.nonzero(np.isfinite(capture.depth_mm))
    px = np.stack([columns, rows], axis=-1).astype(np.float64)
    camera = cam_from_px(px, capture.depth_mm[rows, columns], capture.intrinsics)
    points = registration.pose.obj_from_cam(camera)
    shape = registration.shape_obj_mm
    low, high = shape.min(axis=0) - AROUND_MM, shape.max(axis=0) + AROUND_MM
    near = np.flatnonzero(np.all((points >= low) & (points <= high), axis=1))
    if len(near) > MOST_POINTS:
        near = np.random.default_rng(0).choice(near, MOST_POINTS, replace=False)
    return points[near], capture.rgb[rows[near], columns[near]]


def photo_colours(capture: Capture, registration: Registration) -> Array:
    """Return the (n, 3) uint8 colours of the vertices in the photo; grey where it shows none."""
    px = px_from_cam(registration.vertices_cam_mm, capture.intrinsics)
    height, width = capture.rgb.shape[:2]
    shown = registration.visible & np.all((px >= 0) & (px <= [width - 1, height - 1]), axis=1)
    colours = np.tile(np.array(NO_VALUE, np.uint8), (len(px), 1))
    colours[shown] = np.rint(sampled(capture.rgb, px[shown]))
    return colours


def _values(name: str, unit: str, top: float, values: Array) -> dict[str, Any]:
    known = spread(values)
    said = "mean {mean:.2f}, median {median:.2f}, 95 % {p95:.2f}".format(**known) if known else ""
    return {
        "name": name,
        "unit": unit,
        "top": top,
        "rgb": _packed(np.rint(error_colours(values, top)), "|u1"),
        "said": f"{said} {unit}".strip(),
        "at": _packed(values, "<f4"),
    }


def _packed(values: Array, dtype: str) -> str:
    return base64.b64encode(np.ascontiguousarray(values, dtype).tobytes()).decode()
