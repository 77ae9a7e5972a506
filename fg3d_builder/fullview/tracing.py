"""Taking the pixels of a view back to the picture: where from, how stretched, and whether seen."""

from __future__ import annotations

import numba
import numpy as np

from fg3d_builder.fullview.sampling import singular_values

OCCLUSION_MM = 2.0
"""A surface point that is this far behind the first one on its ray is hidden."""

TRUSTED_SHARE = 2.2
"""Pixels stretched by this factor less than the largest stretch are trusted fully."""

GRAZING = 0.05
"""Cosine of the angle below which the picture's own pixel mixes the face with what is behind."""


@numba.njit(cache=True, nogil=True)
def traced(  # type: ignore[no-untyped-def]
    triangle,
    barycentric,
    pixel,
    triangles,
    face_count,
    source,
    view,
    rotation,
    view_intrinsics,
    source_intrinsics,
    normals,
    first,
    shown,
    first_intrinsics,
    unit,
    max_stretch,
):
    """Take pixels back to the picture.

    Returns the position there (k, 2), its derivatives (k, 2, 2), the depth in the view, the
    trust, and the stretch against `unit`, (k,) each.

    The pixel's ray ``r`` meets the triangle's plane ``N.x = D`` at ``r D / (N.r)``; that and
    the projection into the picture are differentiated by the pixel.
    """
    count = len(triangle)
    place = np.empty((count, 2))
    jacobian = np.empty((count, 2, 2))
    distance = np.empty(count)
    trust = np.ones(count)
    stretch = np.empty(count)
    fx, fy = source_intrinsics[0, 0], source_intrinsics[1, 1]
    cx, cy = source_intrinsics[0, 2], source_intrinsics[1, 2]
    ray = np.ones(3)
    step, normal = np.zeros(3), np.zeros(3)
    for k in range(count):
        i, j, m = triangles[triangle[k]]
        wi, wj, wm = barycentric[k]
        x = wi * source[i, 0] + wj * source[j, 0] + wm * source[m, 0]
        y = wi * source[i, 1] + wj * source[j, 1] + wm * source[m, 1]
        z = wi * source[i, 2] + wj * source[j, 2] + wm * source[m, 2]
        place[k, 0] = fx * x / z + cx
        place[k, 1] = fy * y / z + cy
        px, py, pz = view[j, 0] - view[i, 0], view[j, 1] - view[i, 1], view[j, 2] - view[i, 2]
        qx, qy, qz = view[m, 0] - view[i, 0], view[m, 1] - view[i, 1], view[m, 2] - view[i, 2]
        normal[0], normal[1], normal[2] = py * qz - pz * qy, pz * qx - px * qz, px * qy - py * qx
        ray[0] = (pixel[k, 1] - view_intrinsics[0, 2]) / view_intrinsics[0, 0]
        ray[1] = (pixel[k, 0] - view_intrinsics[1, 2]) / view_intrinsics[1, 1]
        along = normal[0] * ray[0] + normal[1] * ray[1] + normal[2]
        far = wi * view[i, 2] + wj * view[j, 2] + wm * view[m, 2]
        distance[k] = far
        for axis in range(2):
            slope = 1.0 / view_intrinsics[axis, axis]
            slide = normal[axis] * slope / along if along != 0.0 else 0.0
            for c in range(3):
                step[c] = -far * ray[c] * slide
            step[axis] += far * slope
            # Back to the capture's frame: the rotation's transpose.
            dx = rotation[0, 0] * step[0] + rotation[1, 0] * step[1] + rotation[2, 0] * step[2]
            dy = rotation[0, 1] * step[0] + rotation[1, 1] * step[1] + rotation[2, 1] * step[2]
            dz = rotation[0, 2] * step[0] + rotation[1, 2] * step[1] + rotation[2, 2] * step[2]
            jacobian[k, 0, axis] = fx * (dx - x * dz / z) / z
            jacobian[k, 1, axis] = fy * (dy - y * dz / z) / z
        _, least = singular_values(
            jacobian[k, 0, 0], jacobian[k, 0, 1], jacobian[k, 1, 0], jacobian[k, 1, 1]
        )
        stretch[k] = 1.0 / max(least, 1e-6) / unit
        if triangle[k] >= face_count:
            continue
        nx = wi * normals[i, 0] + wj * normals[j, 0] + wm * normals[m, 0]
        ny = wi * normals[i, 1] + wj * normals[j, 1] + wm * normals[m, 1]
        nz = wi * normals[i, 2] + wj * normals[j, 2] + wm * normals[m, 2]
        length = np.sqrt((nx * nx + ny * ny + nz * nz) * (x * x + y * y + z * z))
        facing = -(nx * x + ny * y + nz * z) / max(length, 1e-12)
        drawn_out = 1.0 / max(least * unit, 1e-6)
        # In terms of the inverse, which is the cosine for a surface that is turned to face us.
        trust[k] = min(1.0, max(0.0, (max_stretch / drawn_out - 1.0) / (TRUSTED_SHARE - 1.0)))
        if facing < GRAZING:
            trust[k] = 0.0
        u = int(np.rint(first_intrinsics[0, 0] * x / z + first_intrinsics[0, 2]))
        v = int(np.rint(first_intrinsics[1, 1] * y / z + first_intrinsics[1, 2]))
        pictured = 0 <= v < first.shape[0] and 0 <= u < first.shape[1]
        if not pictured or z > first[v, u] + OCCLUSION_MM:
            trust[k] = 0.0
        else:
            trust[k] *= shown[v, u]
    return place, jacobian, distance, trust, stretch


@numba.njit(cache=True, nogil=True)
def places_on(vertices, triangles, triangle, barycentric):  # type: ignore[no-untyped-def]
    """Points (k, 3) at barycentric coordinates (k, 3) of triangles (k,) of a mesh."""
    out = np.empty((len(triangle), 3))
    for k in range(len(triangle)):
        a, b, c = triangles[triangle[k]]
        u, v, w = barycentric[k]
        for axis in range(3):
            out[k, axis] = u * vertices[a, axis] + v * vertices[b, axis] + w * vertices[c, axis]
    return out


@numba.njit(cache=True, nogil=True)
def stretches(points, normals, rotation, translation):  # type: ignore[no-untyped-def]
    """How much larger a view shows places (v, 3) than the picture that they were seen in.

    By the area of the surface's projections; infinite where the view sees the surface's back.
    """
    out = np.empty(len(points))
    for k in range(len(points)):
        x, y, z = points[k]
        nx, ny, nz = normals[k]
        before = -(nx * x + ny * y + nz * z) / (z * z * z)
        u = rotation[0, 0] * x + rotation[0, 1] * y + rotation[0, 2] * z + translation[0]
        v = rotation[1, 0] * x + rotation[1, 1] * y + rotation[1, 2] * z + translation[1]
        w = rotation[2, 0] * x + rotation[2, 1] * y + rotation[2, 2] * z + translation[2]
        a = rotation[0, 0] * nx + rotation[0, 1] * ny + rotation[0, 2] * nz
        b = rotation[1, 0] * nx + rotation[1, 1] * ny + rotation[1, 2] * nz
        c = rotation[2, 0] * nx + rotation[2, 1] * ny + rotation[2, 2] * nz
        after = -(a * u + b * v + c * w) / (w * w * w)
        out[k] = after / before if before > 0.0 and after > 0.0 and w > 1.0 else np.inf
    return out
