"""Taking the pixels of a view back to the picture: where from, how stretched, and whether seen."""

from __future__ import annotations

import numba
import numpy as np

from fg3d_builder.fullview.sampling import singular_values

OCCLUSION_MM = 2.0
"""A surface point that is this far behind the first one on its ray is hidden."""

TRUSTED_SHARE = 1.4
"""Pixels stretched by this factor less than the largest stretch are trusted fully."""

GRAZING = 0.05
"""Cosine of the angle below which the picture's own pixel mixes the face with what is behind."""


@numba.njit(cache=True, nogil=True, error_model="numpy")
def traced(  # type: ignore[no-untyped-def]
    triangle,
    barycentric,
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
    """Take the pixels of a view back to the picture.

    The pixel's ray ``r`` meets the triangle's plane ``N.x = D`` at ``r D / (N.r)``; that and
    the projection into the picture are differentiated by the pixel.

    Parameters
    ----------
    triangle : (S, S) int32
        What each pixel of the view shows: a row of `triangles`; negative where there is none.
    barycentric : (S, S, 3) float32
    triangles : (m, 3) int32
    face_count : int
        So many of them, the first, are the face's.
    source, view : (v, 3) float64
        Vertices in the camera frames of the capture and of the view, mm.
    rotation : (3, 3) float64
        From the capture's camera frame to that of the view.
    view_intrinsics, source_intrinsics : (3, 3) float64
        Pinhole matrices of view and picture, pixels.
    normals : (n, 3) float64
        Of the face's vertices, which are the first ones, in the capture's camera frame.
    first, shown, first_intrinsics
        ``first_mm``, ``shown`` and ``first_intrinsics`` of `Source`: what lies before what.
    unit : float
        Pixels of the view that share one of the picture where the view is not turned.
    max_stretch : float
        What is drawn out further than by this factor, against that, is not trusted.

    Returns
    -------
    (S, S, 2), (S, S, 2, 2), (S, S), (S, S) float32
        Place in the picture, its derivatives by the view's pixel, depth in the view in mm: NaN
        where no triangle is; trust in [0, 1]: 1 off the face, 0 where no triangle is.
    """
    rows, columns = triangle.shape
    place = np.empty((rows, columns, 2), np.float32)
    jacobian = np.empty((rows, columns, 2, 2), np.float32)
    distance = np.full((rows, columns), np.float32(np.nan))
    trust = np.zeros((rows, columns), np.float32)
    fx, fy = source_intrinsics[0, 0], source_intrinsics[1, 1]
    cx, cy = source_intrinsics[0, 2], source_intrinsics[1, 2]
    wide, high = 1.0 / view_intrinsics[0, 0], 1.0 / view_intrinsics[1, 1]
    r00, r01, r02 = rotation[0, 0], rotation[0, 1], rotation[0, 2]
    r10, r11, r12 = rotation[1, 0], rotation[1, 1], rotation[1, 2]
    r20, r21, r22 = rotation[2, 0], rotation[2, 1], rotation[2, 2]
    for row in range(rows):
        down = (row - view_intrinsics[1, 2]) * high
        for column in range(columns):
            number = triangle[row, column]
            if number < 0:
                place[row, column] = np.nan
                jacobian[row, column] = np.nan
                continue
            # Without a sign, so that no index is looked at from the end.
            i, j, m = (
                np.uintp(triangles[number, 0]),
                np.uintp(triangles[number, 1]),
                np.uintp(triangles[number, 2]),
            )
            wi, wj, wm = barycentric[row, column]
            x = wi * source[i, 0] + wj * source[j, 0] + wm * source[m, 0]
            y = wi * source[i, 1] + wj * source[j, 1] + wm * source[m, 1]
            z = wi * source[i, 2] + wj * source[j, 2] + wm * source[m, 2]
            x, y, near = x / z, y / z, 1.0 / z
            place[row, column, 0] = fx * x + cx
            place[row, column, 1] = fy * y + cy
            px, py, pz = view[j, 0] - view[i, 0], view[j, 1] - view[i, 1], view[j, 2] - view[i, 2]
            qx, qy, qz = view[m, 0] - view[i, 0], view[m, 1] - view[i, 1], view[m, 2] - view[i, 2]
            nx, ny, nz = py * qz - pz * qy, pz * qx - px * qz, px * qy - py * qx
            right = (column - view_intrinsics[0, 2]) * wide
            along = nx * right + ny * down + nz
            far = wi * view[i, 2] + wj * view[j, 2] + wm * view[m, 2]
            distance[row, column] = far
            slide = far / along if along != 0.0 else 0.0
            # The step of the point in the view's frame, by a pixel to the right and one down.
            s, t = -nx * wide * slide, -ny * high * slide
            ax, ay, az = right * s + far * wide, down * s, s
            bx, by, bz = right * t, down * t + far * high, t
            # Back to the capture's frame: the rotation's transpose.
            ux, uy = r00 * ax + r10 * ay + r20 * az, r01 * ax + r11 * ay + r21 * az
            uz = r02 * ax + r12 * ay + r22 * az
            vx, vy = r00 * bx + r10 * by + r20 * bz, r01 * bx + r11 * by + r21 * bz
            vz = r02 * bx + r12 * by + r22 * bz
            a, b = fx * (ux - x * uz) * near, fx * (vx - x * vz) * near
            c, d = fy * (uy - y * uz) * near, fy * (vy - y * vz) * near
            jacobian[row, column, 0, 0], jacobian[row, column, 0, 1] = a, b
            jacobian[row, column, 1, 0], jacobian[row, column, 1, 1] = c, d
            if number >= face_count:
                trust[row, column] = 1.0
                continue
            nx = wi * normals[i, 0] + wj * normals[j, 0] + wm * normals[m, 0]
            ny = wi * normals[i, 1] + wj * normals[j, 1] + wm * normals[m, 1]
            nz = wi * normals[i, 2] + wj * normals[j, 2] + wm * normals[m, 2]
            length = np.sqrt((nx * nx + ny * ny + nz * nz) * (x * x + y * y + 1.0))
            if -(nx * x + ny * y + nz) / max(length, 1e-12) < GRAZING:
                continue
            u = int(np.rint(first_intrinsics[0, 0] * x + first_intrinsics[0, 2]))
            v = int(np.rint(first_intrinsics[1, 1] * y + first_intrinsics[1, 2]))
            pictured = 0 <= v < first.shape[0] and 0 <= u < first.shape[1]
            if pictured and z <= first[v, u] + OCCLUSION_MM:
                _, least = singular_values(a, b, c, d)
                # In terms of the inverse, which is the cosine for a surface turned to face us.
                share = (max_stretch * max(least * unit, 1e-6) - 1.0) / (TRUSTED_SHARE - 1.0)
                trust[row, column] = min(1.0, max(0.0, share)) * shown[v, u]
    return place, jacobian, distance, trust


@numba.njit(cache=True, nogil=True)
def pixels_for_one(jacobian, unit):  # type: ignore[no-untyped-def]
    """Pixels of a view that share one pixel of the picture, (S, S) float32; 0 where nothing is.

    In the direction in which they are most, against `unit`; `jacobian` is that of `traced`.
    """
    rows, columns = jacobian.shape[:2]
    out = np.zeros((rows, columns), np.float32)
    for row in range(rows):
        for column in range(columns):
            a, b = jacobian[row, column, 0]
            c, d = jacobian[row, column, 1]
            _, least = singular_values(a, b, c, d)
            # False for what is not a number.
            if least >= 0.0:
                out[row, column] = 1.0 / (max(least, 1e-6) * unit)
    return out


@numba.njit(cache=True, nogil=True)
def places_where(where, vertices, triangles, triangle, barycentric):  # type: ignore[no-untyped-def]
    """Points (k, 3) on a mesh at the k pixels of the mask `where` (S, S), row by row."""
    count = 0
    for row in range(where.shape[0]):
        for column in range(where.shape[1]):
            count += where[row, column]
    out = np.empty((count, 3))
    k = 0
    for row in range(where.shape[0]):
        for column in range(where.shape[1]):
            if not where[row, column]:
                continue
            a, b, c = triangles[triangle[row, column]]
            u, v, w = barycentric[row, column]
            for axis in range(3):
                out[k, axis] = u * vertices[a, axis] + v * vertices[b, axis] + w * vertices[c, axis]
            k += 1
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
