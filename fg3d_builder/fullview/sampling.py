"""Sampling a picture under the footprint of a view's pixels.

Where one pixel of the view shows about one of the picture, a cubic spline keeps it sharp;
larger footprints are averaged from several samples, and of a halved picture where even
their shorter side is large.

The picture is averaged as it is encoded, in sRGB, as the crop of a base image is: views and
base images of one capture then look alike, and where one pixel of the picture becomes one of
the view, light has no part in it.

A pixel's three colours are spread out in one integer: multiplied by a weight and added they stay
apart, so that one product weighs all three. Weights of a bilinear sample are whole parts of
`WHOLE`, which changes no colour by more than a tenth of a grey level.
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

_PART = 1.0 / np.maximum(np.arange(MAX_TAPS + 1.0), 1.0)
"""Share of a footprint's side that one of so many samples stands for."""

DEFOCUS_PX = 3.0
"""Beyond the border the blur's width is the distance from it over this."""


ROUNDED_PX = 1e-3
"""Distance from the border within which samples are held to it: more than rounding moves them."""

FIELD = 21
"""Bits of the integer that each colour of a pixel takes where it is weighed."""

WHOLE = 13
"""Binary digits of a sample's weights: a byte times their sum is just within a `FIELD`."""


@dataclass(frozen=True)
class PicturePyramid:
    """A picture at its own size and at halvings of it, packed into one array.

    Attributes
    ----------
    pixels : (p,) uint32
        Levels one after the other, each row by row; red in the lowest byte, then green and blue.
    start, height, width : (l,) int64
        First pixel and size of each level.
    """

    pixels: Array
    start: Array
    height: Array
    width: Array

    @classmethod
    def of(cls, rgb: Array) -> PicturePyramid:
        """Build the pyramid of an (H, W, 3) uint8 picture."""
        sizes = [rgb.shape[:2]]
        while min(sizes[-1]) >= 16:
            sizes.append((sizes[-1][0] // 2, sizes[-1][1] // 2))
        height, width = np.array(sizes, dtype=np.int64).T
        start = np.concatenate([[0], np.cumsum(height * width)[:-1]])
        pixels = np.empty(int((height * width).sum()), np.uint32)
        level = np.ascontiguousarray(rgb)
        for first, (rows, columns) in zip(start, sizes, strict=True):
            if (rows, columns) != rgb.shape[:2]:
                level = cv2.resize(level, (columns, rows), interpolation=cv2.INTER_AREA)
            _pack(level.reshape(-1, 3), pixels[first : first + rows * columns])
        return cls(pixels, start, height, width)

    def sample(self, points_px: Array, jacobian: Array) -> Array:
        """Return (k, 3) uint8 colours, averaged over footprints; see `sample_some`."""
        out = np.empty((len(points_px), 3), np.uint8)
        self.sample_some(points_px, jacobian, np.ones(len(points_px), dtype=bool), out)
        return out

    def sample_some(self, points_px: Array, jacobian: Array, wanted: Array, out: Array) -> None:
        """Write colours, averaged over footprints, where they are wanted.

        Parameters
        ----------
        points_px : (k, 2) float
            Beyond the border the picture goes on with its border's colours, the more blurred
            the further: mirrored, it would show a second face beside a face near the border.
        jacobian : (k, 2, 2) float
            Derivatives of the position in the picture by the pixel of the view:
            ``jacobian[:, :, 0]`` is the step to the view's next pixel to the right.
        wanted : (k,) bool
        out : (k, 3) uint8
        """
        _sample(
            self.pixels,
            self.start,
            self.height,
            self.width,
            np.ascontiguousarray(points_px, dtype=np.float32),
            np.ascontiguousarray(jacobian, dtype=np.float32),
            wanted,
            out,
        )


@numba.njit(cache=True, nogil=True)
def _pack(rgb, pixels):  # type: ignore[no-untyped-def]
    for k in range(len(rgb)):
        red, green, blue = np.uint32(rgb[k, 0]), np.uint32(rgb[k, 1]), np.uint32(rgb[k, 2])
        pixels[k] = red | (green << np.uint32(8)) | (blue << np.uint32(16))


@numba.njit(cache=True, inline="always")
def _spread(pixel):  # type: ignore[no-untyped-def]
    whole = np.uint64(pixel)
    green = (whole & np.uint64(0xFF00)) << np.uint64(FIELD - 8)
    blue = (whole & np.uint64(0xFF0000)) << np.uint64(2 * FIELD - 16)
    return (whole & np.uint64(0xFF)) | green | blue


@numba.njit(cache=True, inline="always")
def _bytes(pixel):  # type: ignore[no-untyped-def]
    mask = np.uint32(0xFF)
    green = np.int64((pixel >> np.uint32(8)) & mask)
    return np.int64(pixel & mask), green, np.int64(pixel >> np.uint32(16))


@numba.njit(cache=True, inline="always")
def _unpacked(packed):  # type: ignore[no-untyped-def]
    mask = np.uint64((1 << FIELD) - 1)
    green = np.int64((packed >> np.uint64(FIELD)) & mask)
    return np.int64(packed & mask), green, np.int64(packed >> np.uint64(2 * FIELD))


@numba.njit(cache=True)
def singular_values(a, b, c, d):  # type: ignore[no-untyped-def]
    """The larger and the smaller singular value of the matrix ((a, b), (c, d))."""
    p = np.sqrt((a + d) * (a + d) + (c - b) * (c - b))
    q = np.sqrt((a - d) * (a - d) + (c + b) * (c + b))
    return 0.5 * (p + q), 0.5 * abs(p - q)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _sample(pixels, start, height, width, points, jacobian, wanted, out):  # type: ignore[no-untyped-def]
    last = len(start) - 1
    for k in range(len(points)):
        if not wanted[k]:
            continue
        x = min(max(points[k, 0], -0.5), width[0] - 0.5)
        y = min(max(points[k, 1], -0.5), height[0] - 0.5)
        a, b, c, d = jacobian[k, 0, 0], jacobian[k, 0, 1], jacobian[k, 1, 0], jacobian[k, 1, 1]
        red, green, blue = 0.0, 0.0, 0.0
        if (x != points[k, 0] or y != points[k, 1]) and last > 0:
            _, small = singular_values(a, b, c, d)
            beyond = np.hypot(points[k, 0] - x, points[k, 1] - y)
            blurred = min(np.log2(1.0 + max(small, beyond / DEFOCUS_PX)), float(last))
            level = min(int(blurred), last - 1)
            for up in range(2):
                weight = blurred - level if up else 1.0 - blurred + level
                scale = 0.5 ** (level + up)
                h, w = height[level + up], width[level + up]
                u, v = (x + 0.5) * scale - 0.5, (y + 0.5) * scale - 0.5
                r, g, bl = _cubic(pixels, start[level + up], h, w, u, v)
                red, green, blue = red + weight * r, green + weight * g, blue + weight * bl
        else:
            level, scale = 0, 1.0
            # Squares of the footprint's sides; the smaller singular value exceeds neither.
            along, across = a * a + c * c, b * b + d * d
            if min(along, across) >= 4.0:
                _, small = singular_values(a, b, c, d)
                while level < last and small * scale >= 2.0:
                    level, scale = level + 1, 0.5 * scale
                    along, across = 0.25 * along, 0.25 * across
            h, w, here = height[level], width[level], start[level]
            # Pixel centres of a halved picture lie between those of the full one.
            u, v = (x + 0.5) * scale - 0.5, (y + 0.5) * scale - 0.5
            a, b, c, d = a * scale, b * scale, c * scale, d * scale
            n, m = _taps(along), _taps(across)
            if n * m == 1:
                red, green, blue = _cubic(pixels, here, h, w, u, v)
            else:
                a, b, c, d = a * _PART[n], b * _PART[m], c * _PART[n], d * _PART[m]
                wide = 0.5 * (abs((n - 1) * a) + abs((m - 1) * b))
                high = 0.5 * (abs((n - 1) * c) + abs((m - 1) * d))
                within = (u - wide >= ROUNDED_PX) & (u + wide < w - 1 - ROUNDED_PX)
                within &= (v - high >= ROUNDED_PX) & (v + high < h - 1 - ROUNDED_PX)
                u -= 0.5 * ((n - 1) * a + (m - 1) * b)
                v -= 0.5 * ((n - 1) * c + (m - 1) * d)
                reds, greens, blues = 0, 0, 0
                for i in range(n):
                    for j in range(m):
                        x, y = u + i * a + j * b, v + i * c + j * d
                        if within:
                            r, g, bl = _linear_within(pixels, here, w, x, y)
                        else:
                            r, g, bl = _linear(pixels, here, h, w, x, y)
                        reds, greens, blues = reds + r, greens + g, blues + bl
                share = _PART[n] * _PART[m] / (1 << WHOLE)
                red, green, blue = reds * share, greens * share, blues * share
        out[k, 0] = np.uint8(min(255.0, max(0.0, red)) + 0.5)
        out[k, 1] = np.uint8(min(255.0, max(0.0, green)) + 0.5)
        out[k, 2] = np.uint8(min(255.0, max(0.0, blue)) + 0.5)


@numba.njit(cache=True, inline="always")
def _taps(square):  # type: ignore[no-untyped-def]
    """Samples along a side of a footprint, of which the square is given: no root, no branch."""
    count = 1
    for more in range(1, MAX_TAPS):
        count += square > (more * TAP_PX) ** 2
    return count


@numba.njit(cache=True, inline="always")
def _linear(pixels, start, height, width, x, y):  # type: ignore[no-untyped-def]
    """Bilinear sample, times two to the power of `WHOLE`; beyond the border its value goes on."""
    x = min(max(x, 0.0), width - 1.0)
    y = min(max(y, 0.0), height - 1.0)
    left, top = int(x), int(y)
    # Without a sign, so that no index is looked at from the end.
    right = np.uintp(1 if left + 1 < width else 0)
    below = np.uintp(width if top + 1 < height else 0)
    return _weighed(pixels, np.uintp(start + top * width + left), right, below, x - left, y - top)


@numba.njit(cache=True, inline="always")
def _linear_within(pixels, start, width, x, y):  # type: ignore[no-untyped-def]
    """Do what `_linear` does, at a place between four pixels."""
    left, top = int(x), int(y)
    p = np.uintp(start + top * width + left)
    return _weighed(pixels, p, np.uintp(1), np.uintp(width), x - left, y - top)


@numba.njit(cache=True, inline="always")
def _weighed(pixels, p, right, below, across, down):  # type: ignore[no-untyped-def]
    """Weighed sum of a pixel and its neighbours to the right and below, so many pixels on."""
    q, r = p + right, p + below
    whole = 1 << WHOLE
    s, t = int(across * whole + 0.5), int(down * whole + 0.5)
    # Rounded down, so that none is below zero; those of a row, and all, have an exact sum.
    c, d = (whole - t) * s >> WHOLE, t * s >> WHOLE
    a, b = whole - t - c, t - d
    total = np.uint64(a) * _spread(pixels[p]) + np.uint64(c) * _spread(pixels[q])
    total += np.uint64(b) * _spread(pixels[r]) + np.uint64(d) * _spread(pixels[r + right])
    return _unpacked(total)


@numba.njit(cache=True, error_model="numpy")
def _cubic(pixels, start, height, width, x, y):  # type: ignore[no-untyped-def]
    """Sample of the Catmull-Rom spline through the pixels; beyond the border its value goes on."""
    left, top = int(np.floor(x)), int(np.floor(y))
    a0, a1, a2, a3 = _cubic_weights(x - left)
    red, green, blue = 0.0, 0.0, 0.0
    b0, b1, b2, b3 = _cubic_weights(y - top)
    i0 = np.uintp(min(max(left - 1, 0), width - 1))
    i1 = np.uintp(min(max(left, 0), width - 1))
    i2 = np.uintp(min(max(left + 1, 0), width - 1))
    i3 = np.uintp(min(max(left + 2, 0), width - 1))
    for k in range(4):
        row = np.uintp(start + min(max(top - 1 + k, 0), height - 1) * width)
        b = b0 if k == 0 else b1 if k == 1 else b2 if k == 2 else b3
        r0, g0, bl0 = _bytes(pixels[row + i0])
        r1, g1, bl1 = _bytes(pixels[row + i1])
        r2, g2, bl2 = _bytes(pixels[row + i2])
        r3, g3, bl3 = _bytes(pixels[row + i3])
        red += b * (a0 * r0 + a1 * r1 + a2 * r2 + a3 * r3)
        green += b * (a0 * g0 + a1 * g1 + a2 * g2 + a3 * g3)
        blue += b * (a0 * bl0 + a1 * bl1 + a2 * bl2 + a3 * bl3)
    return red, green, blue


@numba.njit(cache=True, inline="always")
def _cubic_weights(t):  # type: ignore[no-untyped-def]
    return (
        t * (-0.5 + t * (1.0 - 0.5 * t)),
        1.0 + t * t * (-2.5 + 1.5 * t),
        t * (0.5 + t * (2.0 - 1.5 * t)),
        t * t * (-0.5 + 0.5 * t),
    )
