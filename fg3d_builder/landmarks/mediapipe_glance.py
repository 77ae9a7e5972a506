"""MediaPipe's points from few looks: for rendered views, and photos that a network predicts from.

The finding look is the first. Each further one shows the landmark network a rectangle around the
points of the first, mirrored in turn, without finding the face anew. A look and a mirrored one
together do not favour a side; `benchmarks.view_looks` measures what each number of looks is worth.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from fg3d_builder.landmarks.mediapipe_detector import MediaPipePoints, unwarped, warped
from fg3d_builder.landmarks.mediapipe_networks import Rectangle, rectangle_around
from fg3d_builder.records import Array

_SHARE = 1.5
"""Side of a rectangle over the face's extent: what MediaPipe itself shows its network."""

_LARGEST_PX = 384
"""Rectangles are shrunk to this side: the network takes every second pixel of it."""

_MARGIN = 1.3
"""Of a shrunk picture around the rectangle, which may be turned and larger by some tenths."""


class _Look(NamedTuple):
    """Scale of the rectangle, and whether the picture is mirrored."""

    scale: float
    mirrored: bool


_AGAIN = (_Look(1.0, True), _Look(1.1, False), _Look(1.1, True))


class MediaPipeGlance(MediaPipePoints):
    """The points by 1, 2 or 4 looks.

    Parameters
    ----------
    min_confidence : float
        See `MediaPipePoints`.
    looks : int
        At least 1, at most 4. A single look knows nothing of its scatter and is trusted wholly.
    """

    def __init__(self, min_confidence: float, looks: int) -> None:
        super().__init__(min_confidence)
        self.looks = looks

    def _looks(self, image: Array, first: Array) -> list[Array | None]:
        near, matrix = _shrunk(image, rectangle_around(first, _SHARE))
        there = first @ matrix[:, :2].T + matrix[:, 2]
        around = rectangle_around(there, _SHARE)
        # The finding look took its pixels from the whole picture: of a large face too few.
        seen = there if near is image else self._look(near, around, _Look(1.0, False))
        looks = [seen, *(self._look(near, around, look) for look in _AGAIN[: self.looks - 1])]
        return [None if points is None else unwarped(points, matrix) for points in looks]

    def _look(self, image: Array, around: Rectangle, look: _Look) -> Array | None:
        side = look.scale * around.side_px
        if not look.mirrored:
            return self.networks().face_in(image, around._replace(side_px=side))
        last = image.shape[1] - 1
        centre = np.array([last - around.centre_px[0], around.centre_px[1]])
        # OpenCV mirrors in a tenth of the time that copying a reversed view takes.
        mirrored = np.asarray(cv2.flip(image, 1))
        points = self.networks().face_in(mirrored, Rectangle(centre, side, -around.angle))
        return None if points is None else points[self.mirror] * [-1.0, 1.0] + [last, 0.0]


def _shrunk(image: Array, around: Rectangle) -> tuple[Array, Array]:
    """Return what is around a face, no larger than the network has use for.

    Returns
    -------
    image : (h, w, 3) uint8
        The given one itself where the face is small enough.
    matrix : (2, 3) float64
        From pixels of the given image to those of the returned one.
    """
    factor = _LARGEST_PX / around.side_px
    if factor >= 1.0:
        return image, np.eye(2, 3)
    side = round(_MARGIN * _LARGEST_PX)
    matrix = np.column_stack([factor * np.eye(2), (side - 1) / 2 - factor * around.centre_px])
    return warped(image, matrix, (side, side)), matrix
