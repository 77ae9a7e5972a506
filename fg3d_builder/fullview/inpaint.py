"""Painting the part of a turned face that its image never showed (Sec. 6.2, Fig. 8g).

Decisions that the paper leaves open:

* Colours are edited as logarithms of linear light. A correction there is a gain: where the
  model is a little too dark at the border of a lit cheek, it stays too dark by that factor
  into the shade, and no channel falls below zero. A small offset keeps noise in the dark
  from counting.
* The correction fades with the distance from the border: what the model knows of the far
  side (hair line, ear, neck) is worth more there than one border pixel.
* Image pixels seen at a grazing angle are stretched and mixed with the surface behind the
  face. They are painted as well and the two are blended by the soft mask, so that the seam is
  where the image can still be believed.
* Hair, background and the outermost pixels of the face lend no colour.
"""

from __future__ import annotations

import cv2
import numba
import numpy as np

from fg3d_builder.fullview.poisson import corrections
from fg3d_builder.records import Array
from fg3d_builder.rendering.shading import linear_from_srgb, srgb_from_linear

_DARK = 0.02
_NEGLIGIBLE = 1.0 / 255.0
_FADING = 48.0 / 256
"""Distance over which corrections fade, as a part of the picture's longer side."""
_LARGEST = 0.7
"""Largest correction, a factor of two: more is another surface and no difference of light."""
_TOLERANCE = 1e-2
"""Tolerance of the solver: no byte is off by more than one from the exact solution."""


def inpaint_view(
    image_rgb: Array, model_linear: Array, unknown: Array, soft: Array, face: Array
) -> Array:
    """Paint unknown face pixels with the model's, joined to the image without a seam.

    Parameters
    ----------
    image_rgb : (H, W, 3) uint8
        Turned view made of image pixels, sRGB.
    model_linear : (H, W, 3) float
        The same view of the model in linear light. Only pixels of the face are read.
    unknown : (H, W) bool
        Pixels that the capture did not see.
    soft : (H, W) float32
        Weight of the painting in [0, 1], smooth: 0 where the image is believed as it is.
        Unknown pixels count as 1 in any case.
    face : (H, W) bool
        Pixels of the face model. Nothing else is painted or lends colour.

    Returns
    -------
    (H, W, 3) uint8
        sRGB. Pixels outside of the face, and those of weight 0, are `image_rgb` to the bit.
        Unknown regions that touch no believed pixel show the model as it is.
    """
    weight = np.where(unknown, 1.0, np.clip(soft, 0.0, 1.0)) * face
    painted = weight > _NEGLIGIBLE
    if not painted.any():
        return image_rgb.copy()
    box = _box(painted)
    size = max(image_rgb.shape[:2])
    inside = painted[box]
    image, guide = _logarithms(image_rgb[box], model_linear[box], inside, _LOG_OF_BYTE)
    inner = cv2.erode(face.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=1)[box] > 0
    believed = inner & ~inside
    screen = 1.0 / (_FADING * size) ** 2
    step = corrections(image - guide, inside, believed, screen, _TOLERANCE, _LARGEST)
    mixed = _mixed(image, guide, step, weight[box], inside)
    out = image_rgb.copy()
    out[box][inside] = srgb_from_linear(np.exp(mixed) - _DARK)
    return out


@numba.njit(cache=True, nogil=True)
def _mixed(image, guide, step, weight, inside):  # type: ignore[no-untyped-def]
    """Logarithms (k, 3) of a picture, mixed with the corrected guide at the k pixels inside."""
    out = np.empty(step.shape, np.float32)
    k = 0
    for row in range(inside.shape[0]):
        for column in range(inside.shape[1]):
            if inside[row, column]:
                share = np.float32(weight[row, column])
                for c in range(3):
                    model = guide[row, column, c] + step[k, c]
                    out[k, c] = (np.float32(1.0) - share) * image[row, column, c] + share * model
                k += 1
    return out


@numba.njit(cache=True, nogil=True)
def _logarithms(rgb, linear, inside, log_of_byte):  # type: ignore[no-untyped-def]
    """Logarithms (h, w, 3) float32 of both pictures, at the pixels of a mask and beside them."""
    height, width = inside.shape
    image, guide = np.zeros(rgb.shape, np.float32), np.zeros(rgb.shape, np.float32)
    for row in range(height):
        for column in range(width):
            asked = inside[row, column]
            asked |= row > 0 and inside[row - 1, column]
            asked |= row + 1 < height and inside[row + 1, column]
            asked |= column > 0 and inside[row, column - 1]
            asked |= column + 1 < width and inside[row, column + 1]
            if asked:
                for k in range(3):
                    image[row, column, k] = log_of_byte[rgb[row, column, k]]
                    light = min(max(linear[row, column, k], 0.0), 1.0)
                    guide[row, column, k] = np.log(np.float32(light + _DARK))
    return image, guide


def _box(painted: Array) -> tuple[slice, slice]:
    """Bounding box of the painted pixels and the border around them."""
    rows, columns = np.flatnonzero(painted.any(axis=1)), np.flatnonzero(painted.any(axis=0))
    return (
        slice(max(rows[0] - 1, 0), rows[-1] + 2),
        slice(max(columns[0] - 1, 0), columns[-1] + 2),
    )


def _log(linear: Array) -> Array:
    return np.asarray(np.log(np.clip(linear, 0.0, 1.0) + _DARK, dtype=np.float32))


_LOG_OF_BYTE = _log(linear_from_srgb(np.arange(256, dtype=np.uint8)))
