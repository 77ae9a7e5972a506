"""Images between their pixels, and whether they have colours."""

from __future__ import annotations

import cv2
import numpy as np

from fg3d_builder.geometry.camera import px_of_other_grid
from fg3d_builder.records import Array

_BLACK, _ONE_HUE = 20, 0.05
"""Values up to which hue is noise, and the deviation of a hue's logarithms that is one."""

_LOOKED_AT = 8_000

_BAND_PX = 1_000_000
"""So many pixels are looked up at a time."""


def sampled(image: Array, px: Array) -> Array:
    """Interpolate an image (H, W) or (H, W, c) at (..., m, 2) pixels; its border continues."""
    at = px.astype(np.float32)
    if not np.isfinite(at).all():
        at = np.nan_to_num(at, nan=-1e6)
    # Neither side of OpenCV's maps may be longer than 32767.
    x, y = (np.ascontiguousarray(at[..., i].reshape(-1, px.shape[-2]).T) for i in (0, 1))
    found = cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(np.swapaxes(found, 0, 1).reshape(*px.shape[:-1], *image.shape[2:]), float)


def on_other_grid(
    image: Array,
    intrinsics: Array,
    other: Array,
    size: tuple[int, ...],
    interpolation: int,
    outside: float | None = None,
) -> Array:
    """Look an image (H, W) or (H, W, c) of one grid of a camera up on another: (h, w, ...).

    Parameters
    ----------
    image : uint8 or float32
    intrinsics, other : (3, 3) float
        Pinhole matrices of the image's grid and of the wanted one.
    size : (int, int, ...)
        Height and width of the wanted image.
    interpolation : int
        OpenCV's.
    outside : float, optional
        Value beyond the image; its border goes on by default.
    """
    height, width = size[:2]
    corners = np.array([[0.0, 0.0], [width - 1.0, height - 1.0]])
    (left, top), (right, bottom) = px_of_other_grid(corners, other, intrinsics)
    across = np.linspace(left, right, width, dtype=np.float32)
    down = np.linspace(top, bottom, height, dtype=np.float32)
    border = cv2.BORDER_REPLICATE if outside is None else cv2.BORDER_CONSTANT
    value = 0.0 if outside is None else outside
    found = np.empty((height, width, *image.shape[2:]), image.dtype)
    # Some rows at a time: places of a large image take eight times its memory.
    rows = max(1, _BAND_PX // width)
    for first in range(0, height, rows):
        x, y = np.meshgrid(across, down[first : first + rows])
        found[first : first + rows] = cv2.remap(
            image, x, y, interpolation, borderMode=border, borderValue=value
        )
    return found


def has_colour(rgb: Array) -> bool:
    """Whether an image (H, W, 3) uint8 is more than shading: bare geometry is drawn in one hue."""
    height, width = rgb.shape[:2]
    # Hues are a matter of regions: so many pixels, evenly spread, have those of all.
    step = max(1, int(np.sqrt(height * width / _LOOKED_AT)))
    values = rgb[::step, ::step].reshape(-1, 3).astype(np.float64)
    logs = np.log(values[values.min(axis=1) > _BLACK])
    hue = logs - logs.mean(axis=1, keepdims=True)
    return bool(len(hue) and np.quantile(np.abs(hue - np.median(hue, axis=0)), 0.99) > _ONE_HUE)
