"""The face-alignment package (Bulat and Tzimiropoulos 2017): 68 points.

Its two networks are no part of the package. They are read from a local folder, or the
package downloads them on first use:

* ``2DFAN4-11f355bf06.pth.tar``, the landmark network,
* ``s3fd-619a316812.pth``, the face finder.
"""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from fg3d_builder.errors import MissingDependencyError
from fg3d_builder.landmarks.edges import IBUG
from fg3d_builder.landmarks.network_detector import NetworkDetector
from fg3d_builder.records import Array, Landmarks

NETWORK_FILE = "2DFAN4-11f355bf06.pth.tar"
FINDER_FILE = "s3fd-619a316812.pth"

_ADDRESS = "https://www.adrianbulat.com/downloads/python-fan/"
_FINDER_MAX_PX = 640
_FACE_PX = 320


class FaceAlignmentDetector(NetworkDetector):
    """68 points on visible edges and the visible outline.

    Parameters
    ----------
    weights : str
        Folder with both files, or the path of the landmark network with the face finder
        beside it; empty for the package's own download.
    min_confidence : float
        Least confidence of the face finder; below it there is "no_face". The median point may
        have half of that, as the peak of a heat map is lower than a probability.
    """

    name = "face-alignment"
    scheme = IBUG
    title = "face-alignment"

    def __init__(self, weights: str = "", min_confidence: float = 0.5) -> None:
        super().__init__()
        self.weights = weights
        self.min_confidence = min_confidence

    def detect_image(self, rgb: Array) -> Landmarks | None:
        """Return the landmarks of the largest face in an image (H, W, 3) uint8, or None."""
        networks = self.networks()
        factor = min(1.0, _FINDER_MAX_PX / max(rgb.shape[:2]))
        boxes = networks.face_detector.detect_from_image(_resized(rgb, factor))
        boxes = [box for box in boxes if box[4] >= self.min_confidence]
        if not boxes:
            return None
        box = max(boxes, key=lambda b: float((b[2] - b[0]) * (b[3] - b[1])))
        box = np.append(_scaled(np.reshape(box[:4], (2, 2)), 1 / factor).ravel(), box[4])
        # The package rounds to whole pixels of the image it is given: small faces are
        # enlarged, so that this does not matter.
        zoom = _FACE_PX / max(float(box[3] - box[1]), 1.0)
        near = np.append(_scaled(box[:4].reshape(2, 2), zoom).ravel(), box[4])
        points, scores, _ = networks.get_landmarks_from_image(
            _resized(rgb, zoom), detected_faces=[near], return_landmark_score=True
        )
        # Peak of a heat map; the maps of the image and its mirror image are added up.
        confidence = np.clip(np.asarray(scores[0], dtype=np.float64).ravel() / 2, 0.0, 1.0)
        if float(np.median(confidence)) < 0.5 * self.min_confidence:
            return None
        points_px = _scaled(np.asarray(points[0], dtype=np.float64), 1 / zoom)
        return Landmarks(IBUG, points_px, confidence, self.name)

    def _open(self) -> Any:
        return load_networks(self.weights)


def load_networks(weights: str) -> Any:
    """Return the package's ``FaceAlignment`` with both networks, on the CPU.

    Raises
    ------
    MissingDependencyError
        Names the file that is missing or unusable, and where it belongs.
    """
    try:
        import face_alignment
        import torch
    except ImportError as error:
        raise MissingDependencyError(
            f"landmarks: the detector 'face-alignment' needs the package face-alignment ({error})"
        ) from error
    network, finder = weight_files(weights)

    class Local(face_alignment.FaceAlignment):
        """Reads the landmark network from our file; the package can only download it."""

        def _load_native(self, _name: str, network_size: int, device: str, dtype: Any) -> Any:
            net = face_alignment.api.FAN(network_size)
            net.load_state_dict(torch.load(network, map_location=device, weights_only=True))
            return net.to(device, dtype=dtype).eval()

    try:
        return Local(
            face_alignment.LandmarksType.TWO_D,
            device="cpu",
            face_detector="sfd",
            face_detector_kwargs={"path_to_detector": str(finder)},
            compile=False,
        )
    except (RuntimeError, pickle.UnpicklingError, zipfile.BadZipFile, EOFError, KeyError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise MissingDependencyError(
            f"landmarks: {network} and {finder} are not the weights of face-alignment 2DFAN-4 "
            f"and S3FD: {first}"
        ) from error


def weight_files(weights: str) -> tuple[Path, Path]:
    """Return the files of the landmark network and of the face finder, downloaded if need be.

    Raises
    ------
    MissingDependencyError
    """
    if weights:
        place = Path(weights)
        network = place / NETWORK_FILE if place.is_dir() else place
        files = (network, network.parent / FINDER_FILE)
        for file in files:
            if not file.is_file():
                raise MissingDependencyError(
                    f"landmarks: weights is '{weights}', but there is no {file}; "
                    f"it can be had from {_ADDRESS}{file.name}"
                )
        return files
    import torch.hub

    folder = Path(torch.hub.get_dir()) / "checkpoints"
    for name in (NETWORK_FILE, FINDER_FILE):
        if not (folder / name).is_file():
            _download(name, folder)
    return folder / NETWORK_FILE, folder / FINDER_FILE


def _download(name: str, folder: Path) -> None:
    import torch.hub

    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Goes under a temporary name until it is whole.
        torch.hub.download_url_to_file(_ADDRESS + name, str(folder / name), progress=False)
    except (OSError, RuntimeError) as error:
        raise MissingDependencyError(
            f"landmarks: the detector 'face-alignment' needs {name}, which could not be "
            f"downloaded ({error}). Put {NETWORK_FILE} and {FINDER_FILE} from {_ADDRESS} into "
            f"{folder}, or into a folder that the field 'weights' names; "
            "or use the detector 'mediapipe', which needs no download"
        ) from error


def _resized(rgb: Array, factor: float) -> Array:
    if factor == 1.0:
        return np.ascontiguousarray(rgb)
    size = (max(1, round(rgb.shape[1] * factor)), max(1, round(rgb.shape[0] * factor)))
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(np.ascontiguousarray(rgb), size, interpolation=how))


def _scaled(points: Array, factor: float) -> Array:
    """Pixels of the image resized by `factor`, pixel centres at integers."""
    return np.asarray((points + 0.5) * factor - 0.5)
