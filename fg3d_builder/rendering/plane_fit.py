"""Planes fitted to windows of a depth image: normals and positions with the noise averaged out."""

from __future__ import annotations

import numba
import numpy as np

from fg3d_builder.records import Array

NORMAL_ERROR = 0.04
"""Standard deviation in radians that noise may leave in a normal; decides the fit's window."""

MIN_WINDOW_PX, MAX_WINDOW_PX = 1.5, 6.0


def fitted_planes(
    depth_mm: Array, noise_mm: Array, intrinsics: Array, wanted: Array, max_slope: float
) -> tuple[Array, Array]:
    """Fit a plane to each wanted pixel's window; return its normal and the plane at the pixel.

    Inverse depth is affine in the pixel on a plane, so three numbers per pixel suffice:
    ``1/z = n . ((u - cx)/fx, (v - cy)/fy, 1)`` with the plane ``n . X = 1``. The window is
    as wide as the noise demands: the slope of a plane fitted to a disc of radius r with
    pixels of pitch p has standard deviation ``1.13 sigma p / r^2``.

    Parameters
    ----------
    depth_mm, noise_mm : (H, W) float64
        NaN where there is no depth.
    intrinsics : (3, 3) float64
    wanted : (H, W) bool
        Pixels to fit; all pixels are evidence.
    max_slope : float
        Neighbours that a slope steeper than this, beyond the noise, would have to join do not
        belong to the surface.

    Returns
    -------
    normals_cam : (H, W, 3) float64
        Unit, towards the camera; NaN where there is no fit.
    fitted_cam_mm : (H, W, 3) float64
        Points of the planes on the pixels' viewing rays.
    """
    fx, fy, cx, cy = (float(intrinsics[k]) for k in ((0, 0), (1, 1), (0, 2), (1, 2)))
    with np.errstate(divide="ignore"):
        inverse = 1.0 / depth_mm
    return _fit_planes(inverse, noise_mm, wanted, fx, fy, cx, cy, max_slope, _DISTANCE)


_DISTANCE = np.hypot(*np.indices((int(MAX_WINDOW_PX) + 2,) * 2))


@numba.njit(cache=True, error_model="numpy", fastmath={"contract", "reassoc", "arcp", "nsz"})
def _fit_planes(inverse, noise, wanted, fx, fy, cx, cy, max_slope, distance):  # type: ignore[no-untyped-def]
    """Weighted affine fit ``du, dv, value at the centre`` to inverse depth, per wanted pixel."""
    height, width = inverse.shape
    normals = np.full((height, width, 3), np.nan)
    fitted = np.full((height, width, 3), np.nan)
    for row in range(height):
        for column in range(width):
            centre = inverse[row, column]
            if not wanted[row, column] or not np.isfinite(centre):
                continue
            pitch = 1.0 / (centre * np.sqrt(fx * fy))
            r = np.sqrt(1.13 * noise[row, column] / (pitch * NORMAL_ERROR))
            r = min(max(r, MIN_WINDOW_PX), MAX_WINDOW_PX)
            r2, reach = r * r, int(np.ceil(r))
            # Another surface: further in depth than any slope explains.
            slope, slack = max_slope * pitch * centre**2, 4.0 * noise[row, column] * centre**2
            falloff = 1.0 / ((r + 0.5) * (r + 0.5))
            ww = wx = wy = xx = xy = yy = h0 = h1 = h2 = 0.0
            count = 0
            for dy in range(-min(reach, row), min(reach, height - 1 - row) + 1):
                y, y2 = float(dy), float(dy * dy)
                if y2 > r2:
                    continue
                across = int(np.sqrt(r2 - y2))
                row_w = row_x = row_xx = row_h = row_hx = 0.0
                for dx in range(-min(across, column), min(across, width - 1 - column) + 1):
                    step = inverse[row + dy, column + dx] - centre
                    # NaN, no depth, fails the comparison.
                    if abs(step) <= slope * distance[abs(dy), abs(dx)] + slack:
                        x = float(dx)
                        w = 1.0 - (x * x + y2) * falloff
                        row_w += w
                        row_x += w * x
                        row_xx += w * x * x
                        row_h += w * step
                        row_hx += w * x * step
                        count += 1
                ww += row_w
                wx += row_x
                wy += y * row_w
                xx += row_xx
                xy += y * row_x
                yy += y2 * row_w
                h0 += row_hx
                h1 += y * row_h
                h2 += row_h
            if count < 4:
                continue
            # Cramer's rule for the symmetric 3 x 3 system.
            c00, c01, c02 = yy * ww - wy * wy, wx * wy - xy * ww, xy * wy - yy * wx
            c11, c12, c22 = xx * ww - wx * wx, xy * wx - xx * wy, xx * yy - xy * xy
            determinant = xx * c00 + xy * c01 + wx * c02
            if determinant <= 1e-9 * ww**3:
                continue
            du = (c00 * h0 + c01 * h1 + c02 * h2) / determinant
            dv = (c01 * h0 + c11 * h1 + c12 * h2) / determinant
            at = centre + (c02 * h0 + c12 * h1 + c22 * h2) / determinant
            normal_x, normal_y = du * fx, dv * fy
            normal_z = at + du * (cx - column) + dv * (cy - row)
            length = np.sqrt(normal_x**2 + normal_y**2 + normal_z**2)
            normals[row, column, 0] = -normal_x / length
            normals[row, column, 1] = -normal_y / length
            normals[row, column, 2] = -normal_z / length
            fitted[row, column, 0] = (column - cx) / (fx * at)
            fitted[row, column, 1] = (row - cy) / (fy * at)
            fitted[row, column, 2] = 1.0 / at
    return normals, fitted
