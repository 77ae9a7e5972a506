"""MediaPipe Face Mesh: 478 points, dense around eyes, brows and lips.

A single pass places points on the two sides of a face differently and jumps with the crop
that its face finder happens to choose. So the face is looked at several times, through
slightly turned, scaled and mirrored windows, and the points are averaged; their scatter
decides how far each is trusted.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from fg3d_builder.landmarks.edges import MEDIAPIPE, mediapipe_mirror
from fg3d_builder.landmarks.mediapipe_networks import FaceNetworks
from fg3d_builder.landmarks.network_detector import NetworkDetector
from fg3d_builder.records import Array, Landmarks

NAME, TITLE = "mediapipe", "MediaPipe"

_FINDER_MAX_PX = 1280
_WINDOW_PX = 512
_FACE_SHARE = 0.55
_SCATTER_SHARE = 0.02


class _Look(NamedTuple):
    """One window: rotation in degrees, scale, shift as a share of the window, mirrored."""

    angle_deg: float
    scale: float
    shift_x: float
    shift_y: float
    mirrored: bool


_LOOKS = tuple(
    _Look(*look, mirrored)
    for look in (
        (-9.0, 0.92, 0.04, 0.03),
        (9.0, 1.08, -0.04, -0.03),
        (-3.0, 1.18, -0.02, 0.04),
        (3.0, 0.84, 0.02, -0.04),
    )
    for mirrored in (False, True)
)

# (left, top, width, height) as shares of the image: all of it, a wider frame for a face that
# fills it, then closer looks for a small one.
_SEARCH = (
    (0.0, 0.0, 1.0, 1.0),
    (-0.35, -0.35, 1.7, 1.7),
    (0.2, 0.2, 0.6, 0.6),
    *((x, y, 0.5, 0.5) for y in (0.0, 0.25, 0.5) for x in (0.0, 0.25, 0.5)),
)


class MediaPipePoints(NetworkDetector):
    """478 points, of which 468 are on the skin, by several looks; deterministic.

    Parameters
    ----------
    min_confidence : float
        Least confidence of MediaPipe's face finder and of the median point; below it there is
        "no_face".

    Attributes
    ----------
    mirror : (478,) int
        Which point of a mirrored face is which.
    """

    name = NAME
    scheme = MEDIAPIPE
    title = TITLE

    def __init__(self, min_confidence: float = 0.5) -> None:
        super().__init__()
        self.min_confidence = min_confidence
        self.mirror = mediapipe_mirror()

    def detect_image(self, rgb: Array) -> Landmarks | None:
        """Return the landmarks of the largest face in an image (H, W, 3) uint8, or None."""
        image = np.ascontiguousarray(rgb)
        first = first_look(self.networks(), image)
        if first is None:
            return None
        size = float(np.ptp(first, axis=0).max())
        return averaged(self._looks(image, first), size, image.shape[:2], self.min_confidence)

    @abstractmethod
    def _looks(self, image: Array, first: Array) -> list[Array | None]:
        """Look at the face with points (478, 2) px in an image; None where a look sees none."""

    def _open(self) -> FaceNetworks:
        return FaceNetworks(self.min_confidence)


class MediaPipeDetector(MediaPipePoints):
    """The points from eight windows, each of which the face is found in anew: for captures."""

    def _looks(self, image: Array, first: Array) -> list[Array | None]:
        return [self._look(image, first, look) for look in _LOOKS]

    def _look(self, image: Array, near: Array, look: _Look) -> Array | None:
        """Points of the face at `near`, seen through one window."""
        low, high = near.min(axis=0), near.max(axis=0)
        factor = _WINDOW_PX * _FACE_SHARE / float((high - low).max()) * look.scale
        angle = np.deg2rad(look.angle_deg)
        linear = factor * np.array(
            [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        )
        middle = (_WINDOW_PX - 1) / 2 + _WINDOW_PX * np.array([look.shift_x, look.shift_y])
        shift = middle - linear @ ((low + high) / 2)
        if look.mirrored:
            linear = np.diag([-1.0, 1.0]) @ linear
            shift = np.array([_WINDOW_PX - 1 - shift[0], shift[1]])
        matrix = np.column_stack([linear, shift])
        faces = [
            unwarped(face, matrix)[self.mirror if look.mirrored else slice(None)]
            for face in self.networks().faces(warped(image, matrix, (_WINDOW_PX, _WINDOW_PX)))
        ]
        if not faces:
            return None
        best = min(faces, key=lambda face: float(np.abs(face - near).mean()))
        reach = 0.15 * float((high - low).max())
        return best if float(np.abs(best - near).mean()) < reach else None


def first_look(networks: FaceNetworks, image: Array) -> Array | None:
    """Return the points (478, 2) of the largest face, from the first window that shows one.

    Parameters
    ----------
    networks : FaceNetworks
    image : (H, W, 3) uint8
    """
    height, width = image.shape[:2]
    for left, top, share_x, share_y in _SEARCH:
        extent = max(share_x * width, share_y * height)
        factor = min(1.0, _FINDER_MAX_PX / extent)
        matrix = np.array(
            [[factor, 0.0, -factor * left * width], [0.0, factor, -factor * top * height]]
        )
        size = (round(factor * share_x * width), round(factor * share_y * height))
        whole = (left, top, share_x, share_y) == (0.0, 0.0, 1.0, 1.0) and factor == 1.0
        faces = networks.faces(image if whole else warped(image, matrix, size))
        if faces:
            largest = max(faces, key=lambda f: float(np.prod(np.ptp(f, axis=0))))
            return largest if whole else unwarped(largest, matrix)
    return None


def averaged(
    looks: Sequence[Array | None], size_px: float, shape: tuple[int, int], min_confidence: float
) -> Landmarks | None:
    """Return the mean of what several looks at one face saw, trusted by how well they agree.

    Parameters
    ----------
    looks : sequence of (478, 2) float64 or None
        None where a look saw no face.
    size_px : float
        Larger extent of the face.
    shape : (int, int)
        Height and width of the image; points outside of it are not trusted at all.
    min_confidence : float

    Returns
    -------
    Landmarks or None
        None where most looks saw no face, or the median point is trusted less than allowed.
    """
    points = np.array([look for look in looks if look is not None])
    if 2 * len(points) < len(looks):
        return None
    mean = points.mean(axis=0)
    # Two independent coordinates, each scattered about the mean of the looks.
    scatter = np.sqrt(((points - mean) ** 2).sum(axis=2).mean(axis=0))
    confidence = np.exp(-((scatter / (_SCATTER_SHARE * size_px)) ** 2))
    confidence *= len(points) / len(looks)
    height, width = shape
    inside = np.all((mean >= -0.5) & (mean <= [width - 0.5, height - 0.5]), axis=1)
    confidence = np.where(inside, confidence, 0.0)
    if float(np.median(confidence)) < min_confidence:
        return None
    return Landmarks(MEDIAPIPE, mean, confidence, NAME)


def warped(image: Array, matrix: Array, size: tuple[int, int]) -> Array:
    """Resample an image at the pixels ``matrix @ (x, y, 1)``; shrunk first against aliasing."""
    shrink = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    if shrink < 0.5:
        small = (
            max(1, round(image.shape[1] * 2 * shrink)),
            max(1, round(image.shape[0] * 2 * shrink)),
        )
        factor = np.array(small) / np.array(image.shape[1::-1])
        image = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
        # Pixel centres: x_small = factor * (x + 0.5) - 0.5.
        linear = matrix[:, :2] / factor
        shift = matrix[:, 2] + linear @ (0.5 - 0.5 * factor)
        matrix = np.column_stack([linear, shift])
    flags = cv2.INTER_LINEAR
    border = cv2.BORDER_REPLICATE
    return np.asarray(cv2.warpAffine(image, matrix, size, flags=flags, borderMode=border))


def unwarped(points: Array, matrix: Array) -> Array:
    """Return where points (k, 2) of an image that was `warped` by a (2, 3) matrix came from."""
    return np.asarray(np.linalg.solve(matrix[:, :2], (points - matrix[:, 2]).T).T)
