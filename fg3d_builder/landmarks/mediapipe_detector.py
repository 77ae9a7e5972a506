"""MediaPipe Face Mesh: 478 points, dense around eyes, brows and lips.

A single pass places points on the two sides of a face differently and jumps with the crop
that its face finder happens to choose. So the face is looked at several times, through
slightly turned, scaled and mirrored windows, and the points are averaged; their scatter
decides how far each is trusted.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import cv2
import numpy as np

from fg3d_builder.errors import MissingDependencyError
from fg3d_builder.landmarks.edges import MEDIAPIPE, mediapipe_mirror
from fg3d_builder.landmarks.network_detector import NetworkDetector
from fg3d_builder.records import Array, Landmarks

_STDERR = threading.Lock()
_FINDER_MAX_PX = 1280
_MAX_FACES = 4
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


class MediaPipeDetector(NetworkDetector):
    """478 points, of which 468 are on the skin; deterministic.

    Parameters
    ----------
    min_confidence : float
        Least confidence of MediaPipe's face finder and of the median point; below it there is
        "no_face".
    """

    name = "mediapipe"
    scheme = MEDIAPIPE
    title = "MediaPipe"

    def __init__(self, min_confidence: float = 0.5) -> None:
        super().__init__()
        self.min_confidence = min_confidence
        self._mirror = mediapipe_mirror()

    def detect_image(self, rgb: Array) -> Landmarks | None:
        """Return the landmarks of the largest face in an image (H, W, 3) uint8, or None."""
        image = np.ascontiguousarray(rgb)
        first = self._find(image)
        if first is None:
            return None
        size = float(np.ptp(first, axis=0).max())
        looks = [self._look(image, first, look) for look in _LOOKS]
        points = np.array([p for p in looks if p is not None])
        if 2 * len(points) < len(_LOOKS):
            return None
        mean = points.mean(axis=0)
        # Two independent coordinates, each scattered about the mean of the looks.
        scatter = np.sqrt(((points - mean) ** 2).sum(axis=2).mean(axis=0))
        confidence = np.exp(-((scatter / (_SCATTER_SHARE * size)) ** 2))
        confidence *= len(points) / len(_LOOKS)
        height, width = image.shape[:2]
        inside = np.all((mean >= -0.5) & (mean <= [width - 0.5, height - 0.5]), axis=1)
        confidence = np.where(inside, confidence, 0.0)
        if float(np.median(confidence)) < self.min_confidence:
            return None
        return Landmarks(MEDIAPIPE, mean, confidence, self.name)

    def _find(self, image: Array) -> Array | None:
        """First points of the largest face, from the first window that shows one."""
        height, width = image.shape[:2]
        for left, top, share_x, share_y in _SEARCH:
            extent = max(share_x * width, share_y * height)
            factor = min(1.0, _FINDER_MAX_PX / extent)
            matrix = np.array(
                [[factor, 0.0, -factor * left * width], [0.0, factor, -factor * top * height]]
            )
            size = (round(factor * share_x * width), round(factor * share_y * height))
            whole = (left, top, share_x, share_y) == (0.0, 0.0, 1.0, 1.0) and factor == 1.0
            faces = self._faces(image if whole else warped(image, matrix, size))
            if faces:
                largest = max(faces, key=lambda f: float(np.prod(np.ptp(f, axis=0))))
                return largest if whole else unwarped(largest, matrix)
        return None

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
            unwarped(face, matrix)[self._mirror if look.mirrored else slice(None)]
            for face in self._faces(warped(image, matrix, (_WINDOW_PX, _WINDOW_PX)))
        ]
        if not faces:
            return None
        best = min(faces, key=lambda face: float(np.abs(face - near).mean()))
        reach = 0.15 * float((high - low).max())
        return best if float(np.abs(best - near).mean()) < reach else None

    def _open(self) -> Any:
        return _open_mesh(self.min_confidence)

    def _faces(self, image: Array) -> list[Array]:
        """All faces of an image, each (478, 2) pixels with pixel centres at integers."""
        with _silenced_stderr():
            result = self.networks().process(np.ascontiguousarray(image))
        height, width = image.shape[:2]
        return [
            np.array([(p.x * width - 0.5, p.y * height - 0.5) for p in face.landmark])
            for face in result.multi_face_landmarks or ()
        ]


def _open_mesh(min_confidence: float) -> Any:
    try:
        from mediapipe.python.solutions.face_mesh import FaceMesh
    except ImportError as error:
        raise MissingDependencyError(
            "landmarks: the detector 'mediapipe' needs the package mediapipe 0.10.21, "
            f"installed without its dependency pins ({error})"
        ) from error
    return FaceMesh(
        static_image_mode=True,
        refine_landmarks=True,
        max_num_faces=_MAX_FACES,
        min_detection_confidence=min_confidence,
    )


@contextlib.contextmanager
def _silenced_stderr() -> Iterator[None]:
    """Keep the C++ library's log off the terminal; it obeys no setting before its start."""
    # Two threads at once could restore each other's closed terminal.
    with _STDERR:
        sys.stderr.flush()
        saved = os.dup(2)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, 2)
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            os.close(nowhere)


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
