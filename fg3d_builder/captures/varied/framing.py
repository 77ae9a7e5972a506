"""Distance, focal length and place of a face in the picture, drawn so that they go together."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fg3d_builder.config import SourceConfig
from fg3d_builder.errors import ConfigError
from fg3d_builder.geometry.camera import intrinsics_matrix
from fg3d_builder.records import Array

FACE_MM = (210.0, 150.0)
"""Height (chin to hair line) and width of an adult's face, by which its size is chosen."""

_PICTURE_SHARE = 0.8
"""Largest part of the picture's height and width that a face takes up."""
_FREE_SHARE = 0.6
"""Part of the room beside the face by which it may be off the middle."""


class Framing(NamedTuple):
    """Where the camera is.

    Attributes
    ----------
    intrinsics : (3, 3) float64
    center_cam_mm : (3,) float64
        Middle of the face in the camera frame.
    """

    intrinsics: Array
    center_cam_mm: Array


def draw_framing(config: SourceConfig, rng: np.random.Generator) -> Framing:
    """Draw distance, focal length and the face's place in the picture.

    Parameters
    ----------
    config : SourceConfig
        Its `variety` says how far they vary.
    rng : numpy.random.Generator

    Raises
    ------
    ConfigError
        No distance of the range shows a face in the sizes that are allowed.
    """
    height, width = config.image_size
    nearest, farthest = reachable_distances_mm(config)
    distance = float(np.exp(rng.uniform(np.log(nearest), np.log(farthest))))
    small, large = _face_px(config)
    low, high = _focal_range(config)
    low = max(low, small * distance / FACE_MM[0])
    high = min(high, large * distance / FACE_MM[0])
    focal = float(np.exp(rng.uniform(np.log(low), np.log(max(low, high)))))
    extent = np.array([FACE_MM[1], FACE_MM[0]]) * focal / distance
    free = np.maximum(np.array([width, height]) - extent, 0.0) / 2.0
    aside = _FREE_SHARE * free * rng.uniform(-1.0, 1.0, size=2) * distance / focal
    intrinsics = intrinsics_matrix(focal, focal, (width - 1) / 2.0, (height - 1) / 2.0)
    return Framing(intrinsics, np.array([*aside, distance]))


def reachable_distances_mm(config: SourceConfig) -> tuple[float, float]:
    """Return the part of the distances at which some focal length shows a face as it should be.

    Raises
    ------
    ConfigError
        There is none.
    """
    nearest, farthest = config.variety.distances_mm
    small, large = _face_px(config)
    low, high = _focal_range(config)
    first = max(nearest, FACE_MM[0] * low / large)
    last = min(farthest, FACE_MM[0] * high / small)
    if small >= large or first >= last:
        raise ConfigError(
            f"sources.variety.face_px: no camera with focal lengths of {low:.0f} to {high:.0f} px "
            f"shows faces of {small:.0f} to {large:.0f} px at {nearest:.0f} to {farthest:.0f} mm; "
            f"at {nearest:.0f} mm they have {FACE_MM[0] * low / nearest:.0f} px or more, at "
            f"{farthest:.0f} mm {FACE_MM[0] * high / farthest:.0f} px or fewer"
        )
    return first, last


def _focal_range(config: SourceConfig) -> tuple[float, float]:
    spread = config.variety.focal_spread
    return config.focal_px * (1.0 - spread), config.focal_px * (1.0 + spread)


def _face_px(config: SourceConfig) -> tuple[float, float]:
    """Smallest and largest height of a face in pixels; the picture holds it whole."""
    height, width = config.image_size
    small, large = config.variety.face_px
    return small, min(large, _PICTURE_SHARE * min(height, width * FACE_MM[0] / FACE_MM[1]))
