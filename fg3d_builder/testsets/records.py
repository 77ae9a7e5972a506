"""What a protocol consists of: scans, images of the scanned people, and how to measure."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from fg3d_builder.config import FitConfig, LandmarkConfig, RegistrationConfig
from fg3d_builder.config.quantities import (
    DistanceMm,
    FocalPx,
    MaxNormalDeg,
    PictureSize,
    PositiveMm,
)
from fg3d_builder.evaluation.reliable import MAX_DISTANCE_MM, MAX_NORMAL_DEG
from fg3d_builder.records import Array


class GivenLandmarks(NamedTuple):
    """Landmarks that a data set gives on a scan.

    Attributes
    ----------
    ibug : (k,) int64
        Their numbers among iBUG's 68 points.
    points : (k, 3) float64
        In the scan's frame and unit.
    """

    ibug: Array
    points: Array


@dataclass(frozen=True)
class ProtocolScan:
    """A subject's raw scan, the ground truth of all images of the subject.

    Attributes
    ----------
    subject : str
        Unique in the protocol; used in file names.
    mesh_file : Path
    unit_mm : float
        Length of the file's unit; 0 finds it from the outer eye corners.
    landmarks : GivenLandmarks or None
    """

    subject: str
    mesh_file: Path
    unit_mm: float
    landmarks: GivenLandmarks | None = None


@dataclass(frozen=True)
class ProtocolImage:
    """One image to reconstruct a face from: a photo, or a view to be rendered from the scan.

    Attributes
    ----------
    image_id : str
        Relative path without suffix, ``/`` between folders; other methods name their meshes
        after it.
    subject : str
    photo : Path or None
        None where the image is a rendering of the scan.
    pitch_deg, yaw_deg : float or None
        Angles that the protocol states; None where it does not and the fit estimates them.
    """

    image_id: str
    subject: str
    photo: Path | None
    pitch_deg: float | None
    yaw_deg: float | None


class Unusable(NamedTuple):
    """An image or subject that is not there or has no ground truth: no method's fault.

    Attributes
    ----------
    name, subject : str
        The image's id, or the subject where none of its images is usable.
    code, reason : str
        See `fg3d_builder.errors.CaptureError`.
    """

    name: str
    subject: str
    code: str
    reason: str


@dataclass(frozen=True)
class Protocol:
    """A data set as an evaluation sees it.

    Attributes
    ----------
    name : str
        ``"florence"``, ``"now"`` or ``"stirling"``.
    scans : dict of str to ProtocolScan
        By subject.
    images : tuple of ProtocolImage
        Sorted by `ProtocolImage.image_id`.
    missing : tuple of Unusable
        What the folder lacks; counted in the report.
    """

    name: str
    scans: dict[str, ProtocolScan]
    images: tuple[ProtocolImage, ...]
    missing: tuple[Unusable, ...] = ()

    def by_subject(self) -> dict[str, list[ProtocolImage]]:
        """Return the images of each subject."""
        found: dict[str, list[ProtocolImage]] = {}
        for image in self.images:
            found.setdefault(image.subject, []).append(image)
        return found


@dataclass(frozen=True)
class ProtocolConfig:
    """How images are rendered, registered, fitted and measured.

    landmarks: detector for images and for scans.
    fit: 3DMM fit to images (without depth) and to scans.
    registration: registration of the template to a scan.
    image_size, focal_px, distance_mm: camera of rendered images; the size is (height, width).
    max_distance_mm, max_normal_deg: thresholds of the set C.
    max_landmark_mm: a registration whose embedded points are further than this from the data
        set's own landmarks, on average, is no ground truth.
    """

    landmarks: LandmarkConfig = field(default_factory=LandmarkConfig)
    fit: FitConfig = field(default_factory=FitConfig)
    registration: RegistrationConfig = field(default_factory=RegistrationConfig)
    image_size: PictureSize = (640, 480)
    focal_px: FocalPx = 900.0
    distance_mm: DistanceMm = 550.0
    max_distance_mm: PositiveMm = MAX_DISTANCE_MM
    max_normal_deg: MaxNormalDeg = MAX_NORMAL_DEG
    max_landmark_mm: PositiveMm = 8.0
