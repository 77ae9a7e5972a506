"""Sampling a picture under the footprint of a view's pixels.

The picture is averaged as it is encoded, in sRGB, as the crop of a base image is: views and
base images of one capture then look alike, and where one pixel of the picture becomes one of
the view, light has no part in it.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numba
import numpy as np

from fg3d_builder.records import Array

MAX_TAPS = 6
"""Samples along either side of a footprint; longer ones are sampled with gaps."""

TAP_PX = 1.25
"""Length of a footprint that one sample stands for."""

DEFOCUS_PX = 3.0
"""Beyond the border the blur's width is the distance from it over this."""


@dataclass(frozen=True)
class PicturePyramid:
    """A picture at its own size and at halvings of it, packed into one array.

    Attributes
    ----------
    pixels : (p, 3) uint8
        Levels one after the other, each row by row.
    start, height, width : (l,) int64
        Of each level.
    """

    pixels: Array
    start: Array
    height: Array
    width: Array

    @classmethod
    def of(cls, rgb: Array) -> PicturePyramid:
        """Build the pyramid of an (H, W, 3) uint8 picture."""
        levels = [np.ascontiguousarray(rgb)]
        while min(levels[-1].shape[:2]) >= 16:
            rows, columns = levels[-1].shape[:2]
            size = (columns // 2, rows // 2)
            levels.append(cv2.resize(levels[-1], size, interpolation=cv2.INTER_AREA))
        height = np.array([level.shape[0] for level in levels])
        width = np.array([level.shape[1] for level in levels])
        start = np.concatenate([[0], np.cumsum(height * width)[:-1]])
        return cls(np.concatenate([x.reshape(-1, 3) for x in levels]), start, height, width)

    def sample(self, points_px: Array, jacobian: Array) -> Array:
        """Return (k, 3) uint8 colours, averaged over footprints.

        Parameters
        ----------
        points_px : (k, 2) float
            Beyond the border the picture goes on with its border's colours, the more blurred
            the further: mirrored, it would show a second face beside a face near the border.
        jacobian : (k, 2, 2) float
            Derivatives of the position in the picture by the pixel of the view:
            ``jacobian[:, :, 0]`` is the step to the view's next pixel to the right.
        """
        return np.asarray(
            _sample(
                self.pixels,
                self.start,
                self.height,
                self.width,
                np.ascontiguousarray(points_px, dtype=np.float64),
                np.ascontiguousarray(jacobian, dtype=np.float64),
            )
        )


@numba.njit(cache=True)
def singular_values(a, b, c, d):  # type: ignore[no-untyped-def]
    """The larger and the smaller singular value of the matrix ((a, b), (c, d))."""
    p, q = np.hypot(a + d, c - b), np.hypot(a - d, c + b)
    return 0.5 * (p + q), 0.5 * abs(p - q)


@numba.njit(cache=True)
def _sample(pixels, start, height, width, points, jacobian):  # type: ignore[no-untyped-def]
    out = np.empty((len(points), 3), np.uint8)
    total = np.zeros(3)
    weight_x, weight_y = np.zeros(4), np.zeros(4)
    last = len(start) - 1
    for k in range(len(points)):
        x = min(max(points[k, 0], -0.5), width[0] - 0.5)
        y = min(max(points[k, 1], -0.5), height[0] - 0.5)
        beyond = np.hypot(points[k, 0] - x, points[k, 1] - y)
        a, b, c, d = jacobian[k, 0, 0], jacobian[k, 0, 1], jacobian[k, 1, 0], jacobian[k, 1, 1]
        _, small = singular_values(a, b, c, d)
        total[:] = 0.0
        if beyond > 0.0:
            blurred = min(np.log2(1.0 + max(small, beyond / DEFOCUS_PX)), float(last))
            level = min(int(blurred), last - 1) if last > 0 else 0
            share = blurred - level
            for up, weight in ((0, 1.0 - share), (1, share)):
                if weight > 0.0:
                    here = start[level + up]
                    h, w = height[level + up], width[level + up]
                    scale = 0.5 ** (level + up)
                    u, v = (x + 0.5) * scale - 0.5, (y + 0.5) * scale - 0.5
                    _add_cubic(pixels[here:], h, w, u, v, weight, weight_x, weight_y, total)
        else:
            level = min(last, int(np.floor(np.log2(max(small, 1.0)))))
            # Pixel centres of a halved picture lie between those of the full one.
            scale = 0.5**level
            u, v = (x + 0.5) * scale - 0.5, (y + 0.5) * scale - 0.5
            a, b, c, d = a * scale, b * scale, c * scale, d * scale
            n = int(min(MAX_TAPS, max(1.0, np.ceil(np.hypot(a, c) / TAP_PX))))
            m = int(min(MAX_TAPS, max(1.0, np.ceil(np.hypot(b, d) / TAP_PX))))
            here, h, w, weight = start[level], height[level], width[level], 1.0 / (n * m)
            for i in range(n):
                s = (i + 0.5) / n - 0.5
                for j in range(m):
                    t = (j + 0.5) / m - 0.5
                    uu, vv = u + s * a + t * b, v + s * c + t * d
                    _add_cubic(pixels[here:], h, w, uu, vv, weight, weight_x, weight_y, total)
        for channel in range(3):
            out[k, channel] = np.uint8(min(255.0, max(0.0, total[channel])) + 0.5)
    return out


@numba.njit(cache=True)
def _add_cubic(  # type: ignore[no-untyped-def]
    pixels, height, width, x, y, weight, weight_x, weight_y, total
):
    """Add the weighted value of the Catmull-Rom spline through the pixels."""
    x = min(max(x, -4.0), width + 3.0)
    y = min(max(y, -4.0), height + 3.0)
    left, top = int(np.floor(x)), int(np.floor(y))
    _cubic_weights(x - left, weight_x)
    _cubic_weights(y - top, weight_y)
    for r in range(4):
        row = min(max(top - 1 + r, 0), height - 1) * width
        for c in range(4):
            w = weight * weight_y[r] * weight_x[c]
            at = row + min(max(left - 1 + c, 0), width - 1)
            total[0] += w * pixels[at, 0]
            total[1] += w * pixels[at, 1]
            total[2] += w * pixels[at, 2]


@numba.njit(cache=True)
def _cubic_weights(t, out):  # type: ignore[no-untyped-def]
    out[0] = t * (-0.5 + t * (1.0 - 0.5 * t))
    out[1] = 1.0 + t * t * (-2.5 + 1.5 * t)
    out[2] = t * (0.5 + t * (2.0 - 1.5 * t))
    out[3] = t * t * (-0.5 + 0.5 * t)
