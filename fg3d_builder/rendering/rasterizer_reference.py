"""The slow, obvious rasteriser that the fast ones are tested against."""

from __future__ import annotations

import numpy as np

from fg3d_builder.geometry.camera import px_from_cam
from fg3d_builder.records import Array
from fg3d_builder.rendering.fragments import NEAR_MM, SUBPIXEL, Fragments


def rasterize_reference(
    vertices_cam_mm: Array,
    triangles: Array,
    intrinsics: Array,
    height: int,
    width: int,
    cull_back_faces: bool = True,
) -> Fragments:
    """Do what `rasterize` does, one triangle at a time over the whole image, in numpy.

    Every sum and quotient is taken in the same order as there, so that both agree to the bit.

    `cull_back_faces` leaves out triangles that are seen from behind.
    """
    vertices = np.asarray(vertices_cam_mm, dtype=np.float64)
    points_px = np.round(px_from_cam(vertices, intrinsics) * SUBPIXEL) / SUBPIXEL
    grid_x, grid_y = np.meshgrid(np.arange(width, dtype=float), np.arange(height, dtype=float))
    index = np.full((height, width), -1, dtype=np.int32)
    barycentric = np.zeros((height, width, 3), dtype=np.float32)
    nearest = np.zeros((height, width))
    for t, corner in enumerate(np.asarray(triangles)):
        z = vertices[corner, 2]
        if not np.all(z > NEAR_MM) or not np.all(np.isfinite(points_px[corner])):
            continue
        (ax, ay), (bx, by), (cx, cy) = points_px[corner]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        # Counter-clockwise from outside is negative in an image whose y points down.
        if area == 0 or not np.isfinite(area) or (cull_back_faces and area > 0):
            continue
        sign = np.sign(area)
        weights = []
        inside = np.ones((height, width), dtype=bool)
        for px, py, qx, qy in ((bx, by, cx, cy), (cx, cy, ax, ay), (ax, ay, bx, by)):
            dx, dy = sign * (qx - px), sign * (qy - py)
            w = dx * (grid_y - py) - dy * (grid_x - px)
            owns_border = dy < 0 or (dy == 0 and dx > 0)
            inside &= (w > 0) | ((w == 0) & owns_border)
            weights.append(w * (1.0 / abs(area)))
        over_z = np.stack(weights, axis=-1) / z
        inverse = over_z[..., 0] + over_z[..., 1] + over_z[..., 2]
        closer = inside & (inverse > nearest)
        index[closer] = t
        barycentric[closer] = over_z[closer] / inverse[closer, None]
        nearest[closer] = inverse[closer]
    with np.errstate(divide="ignore"):
        depth = np.where(index >= 0, 1.0 / nearest, np.nan)
    return Fragments(index, barycentric, depth.astype(np.float32))
