"""What a phone makes of the light: one colour per pixel, noise, smoothing, sharpening, JPEG."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from fg3d_builder.config import VarietyConfig
from fg3d_builder.records import Array
from fg3d_builder.rendering.shading import srgb_from_linear

_SHOT_NOISE = 0.016
"""Standard deviation at white of noise from the number of photons; its variance is proportional
to the light."""
_READ_NOISE = 0.004
"""Standard deviation of what the sensor's electronics add."""
_SENSOR_GAINS = np.array([1.9, 1.0, 1.7])
"""Red and blue pixels receive less light; the camera multiplies them, and their noise."""
_YCC_FROM_RGB = np.array(
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]]
)


@dataclass(frozen=True)
class PhoneCamera:
    """What happens to a picture between lens and file.

    Attributes
    ----------
    blur_px : float
        Standard deviation of the lens's blur.
    noise : float
        Multiplies the standard deviations of the noise.
    chroma_blur_px : float
        How far the camera smooths colour differences against the noise.
    sharpening : float
        How much of the detail is added once more.
    contrast : float
        Of an S-shaped tone curve; 0 leaves tones as they are.
    jpeg_quality : int
    """

    blur_px: float
    noise: float
    chroma_blur_px: float
    sharpening: float
    contrast: float
    jpeg_quality: int

    def picture(self, linear: Array, rng: np.random.Generator) -> Array:
        """Return the (H, W, 3) uint8 picture of linear light (H, W, 3); `rng` draws its noise."""
        sharp = cv2.GaussianBlur(linear.astype(np.float32), (0, 0), self.blur_px)
        color = demosaiced(self._noisy_mosaic(sharp, rng)) * _SENSOR_GAINS.astype(np.float32)
        srgb = srgb_from_linear(np.clip(color, 0.0, 1.0)).astype(np.float32) / 255.0
        srgb = self._smoothed_colour(srgb)
        srgb += self.sharpening * (srgb - cv2.GaussianBlur(srgb, (0, 0), 1.2))
        centred = np.clip(srgb, 0.0, 1.0) - 0.5
        srgb = 0.5 + centred * (1.0 + self.contrast * (1.0 - 4.0 * centred**2))
        return compressed(
            np.rint(255.0 * np.clip(srgb, 0.0, 1.0)).astype(np.uint8), self.jpeg_quality
        )

    def _noisy_mosaic(self, linear: Array, rng: np.random.Generator) -> Array:
        """(H, W) as the sensor counts it: one colour per pixel, with noise."""
        raw = _bayer(linear / _SENSOR_GAINS.astype(np.float32))
        sigma = self.noise * np.sqrt(_SHOT_NOISE**2 * np.maximum(raw, 0.0) + _READ_NOISE**2)
        noisy = raw + sigma * rng.standard_normal(raw.shape)
        return np.asarray(noisy.astype(np.float32))

    def _smoothed_colour(self, srgb: Array) -> Array:
        ycc = srgb @ _YCC_FROM_RGB.T.astype(np.float32)
        ycc[..., 1:] = cv2.GaussianBlur(ycc[..., 1:], (0, 0), self.chroma_blur_px)
        return np.asarray(ycc @ np.linalg.inv(_YCC_FROM_RGB).T.astype(np.float32))


def draw_camera(config: VarietyConfig, rng: np.random.Generator) -> PhoneCamera:
    """Draw a phone's camera, as good as the light lets it be."""
    low, high = config.jpeg_quality
    return PhoneCamera(
        blur_px=rng.uniform(0.3, 1.0),
        noise=config.noise * float(np.exp(rng.uniform(np.log(0.15), np.log(1.5)))),
        chroma_blur_px=rng.uniform(0.6, 2.0),
        sharpening=rng.uniform(0.0, 0.8),
        contrast=rng.uniform(0.0, 0.25),
        jpeg_quality=int(rng.integers(low, high + 1)),
    )


def compressed(rgb: Array, quality: int) -> Array:
    """Return a picture (H, W, 3) uint8 as a JPEG file gives it back; quality 1 to 100."""
    coded = cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    decoded = cv2.imdecode(coded, cv2.IMREAD_COLOR)
    return np.ascontiguousarray(np.asarray(decoded)[..., ::-1])


def demosaiced(mosaic: Array) -> Array:
    """Return the (H, W, 3) float32 colours of an RGGB mosaic (H, W) by normalised averaging.

    Missing colours are means of the nearest pixels that have them, weighted by (1, 2, 1) in each
    direction: bilinear interpolation, as simple cameras do it.
    """
    kernel = np.array([1.0, 2.0, 1.0], np.float32)
    out = np.empty((*mosaic.shape, 3), np.float32)
    for channel, own in enumerate(_bayer_masks(mosaic.shape)):
        weight = own.astype(np.float32)
        total = cv2.sepFilter2D(mosaic * weight, -1, kernel, kernel)
        share = cv2.sepFilter2D(weight, -1, kernel, kernel)
        out[..., channel] = np.where(own, mosaic, total / share)
    return out


def _bayer(color: Array) -> Array:
    out = np.empty(color.shape[:2], np.float32)
    for channel, own in enumerate(_bayer_masks(color.shape[:2])):
        out[own] = color[own, channel]
    return out


def _bayer_masks(shape: tuple[int, ...]) -> list[Array]:
    """Pixels (H, W) of red, green and blue in an RGGB mosaic."""
    row, column = np.ogrid[: shape[0], : shape[1]]
    even_row, even_column = row % 2 == 0, column % 2 == 0
    return [even_row & even_column, even_row ^ even_column, ~even_row & ~even_column]
