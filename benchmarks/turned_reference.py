"""What turned views can reach: true surface, every seen pixel kept, plain inpainting elsewhere."""

from __future__ import annotations

import cv2
import numpy as np

from benchmarks.surfaces import Surface
from fg3d_builder.fullview.views import ViewCamera
from fg3d_builder.geometry.camera import px_from_cam
from fg3d_builder.records import Array, Capture

SEEN_TOLERANCE_MM = 2.0
"""A place is seen by the capture unless something lies more than this before it."""

INPAINT_RADIUS_PX = 3.0


def kept_pixels(
    capture: Capture, vertices_cam_mm: Array, triangles: Array, camera: ViewCamera
) -> Array:
    """Turn a capture by its true surface and fill what it does not show by Telea's method.

    Parameters
    ----------
    capture : Capture
    vertices_cam_mm : (v, 3) float
        True surface in the capture's camera frame.
    triangles : (t, 3) int
    camera : ViewCamera

    Returns
    -------
    (S, S, 3) uint8
        Black where the surface is not.
    """
    rows, columns = np.mgrid[: camera.size, : camera.size]
    pixels = np.stack([columns, rows, np.ones_like(rows)], axis=-1).reshape(-1, 3)
    rays = pixels @ np.linalg.inv(camera.intrinsics).T
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    turned = Surface(camera.view_from_cam(vertices_cam_mm), triangles)
    hit_mm = turned.first_hit_mm(rays).astype(np.float64)
    there = np.isfinite(hit_mm)
    places = (rays[there] * hit_mm[there, None] - camera.translation_mm) @ camera.rotation

    far = np.linalg.norm(places, axis=1)
    first = Surface(vertices_cam_mm, triangles).first_hit_mm(places)
    px = px_from_cam(places, capture.intrinsics)
    height, width = capture.rgb.shape[:2]
    inside = ((px >= 0) & (px < [width - 1, height - 1])).all(axis=1)
    seen = (first > far - SEEN_TOLERANCE_MM) & inside

    square = (camera.size, camera.size)
    maps = np.zeros((2, *square), np.float32)
    maps[:, there.reshape(square)] = px.T
    colours = cv2.remap(
        capture.rgb, maps[0], maps[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    shown, hole = np.zeros(square, bool), np.zeros(square, np.uint8)
    shown[there.reshape(square)] = seen
    hole[there.reshape(square)] = ~seen
    rgb = np.where(shown[..., None], colours, 0).astype(np.uint8)
    return np.asarray(cv2.inpaint(rgb, hole, INPAINT_RADIUS_PX, cv2.INPAINT_TELEA))
