"""Looking up textures without aliasing: bilinear samples of a pyramid, level by footprint.

Texture coordinates run from 0 to 1, u to the right and v up, (0, 0) at the lower left corner
of the lower left texel, as in OBJ files. Outside of that range a texture repeats.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from fg3d_builder.geometry.meshes import signed_areas
from fg3d_builder.records import Array
from fg3d_builder.rendering.shading import linear_from_srgb


@dataclass(frozen=True)
class TexturePyramid:
    """A texture in linear light at its own size and at every halving of it.

    Attributes
    ----------
    levels : tuple of (H, W, 3) float32
        The first is the texture itself; each next one averages 2 x 2 texels.
    """

    levels: tuple[Array, ...]

    @classmethod
    def from_srgb(cls, texture: Array) -> TexturePyramid:
        """Build the pyramid of an (H, W, 3) uint8 sRGB texture."""
        levels = [linear_from_srgb(texture)]
        while min(levels[-1].shape[:2]) > 1:
            height, width = levels[-1].shape[:2]
            size = (max(1, width // 2), max(1, height // 2))
            levels.append(cv2.resize(levels[-1], size, interpolation=cv2.INTER_AREA))
        return cls(tuple(levels))

    def sample(self, uv: Array, texels_per_pixel: Array) -> Array:
        """Return the (k, 3) linear RGB at `uv` (k, 2), trilinear.

        Parameters
        ----------
        uv : (k, 2) float
        texels_per_pixel : (k,) float
            Side length of a pixel's footprint in texels of the full texture; the pyramid
            level is its base-2 logarithm.
        """
        level = np.clip(np.log2(np.maximum(texels_per_pixel, 1e-6)), 0, len(self.levels) - 1)
        lower = np.floor(level).astype(int)
        out = np.zeros((len(uv), 3))
        for i in np.unique(lower):
            here = lower == i
            weight = (level[here] - i)[:, None]
            color = sample_bilinear(self.levels[i], uv[here]).astype(np.float64)
            if weight.any():
                coarse = self.levels[min(i + 1, len(self.levels) - 1)]
                color = (1 - weight) * color + weight * sample_bilinear(coarse, uv[here])
            out[here] = color
        return out


def sample_bilinear(texture: Array, uv: Array) -> Array:
    """Return (k, c) bilinear samples of a texture (H, W, c) at `uv` (k, 2).

    Written out because `cv2.remap` rounds positions to 1/32 texel.
    """
    height, width = texture.shape[:2]
    u, v = np.asarray(uv, dtype=np.float64).T
    # Coordinates on the far border stay there; only what is beyond it wraps around.
    u = np.where((u < 0) | (u > 1), u - np.floor(u), u)
    v = np.where((v < 0) | (v > 1), v - np.floor(v), v)
    x = np.clip(u * width - 0.5, 0, width - 1)
    y = np.clip((1.0 - v) * height - 0.5, 0, height - 1)
    left, top = x.astype(int), y.astype(int)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    a, b = (x - left)[:, None], (y - top)[:, None]
    upper = (1 - a) * texture[top, left] + a * texture[top, right]
    lower = (1 - a) * texture[bottom, left] + a * texture[bottom, right]
    return np.asarray((1 - b) * upper + b * lower)


def footprint_texels(
    corners_px: Array, corners_uv: Array, texture_height: int, texture_width: int
) -> Array:
    """Return the (m,) side length of one pixel in texels, per triangle.

    The square root of the ratio of the triangle's areas on texture and image.

    Parameters
    ----------
    corners_px, corners_uv : (m, 3, 2) float
        Projected corners, and their texture coordinates.
    """
    on_image = np.abs(signed_areas(corners_px))
    on_texture = np.abs(signed_areas(corners_uv * (texture_width, texture_height)))
    return np.sqrt(on_texture / np.maximum(on_image, 5e-10))
