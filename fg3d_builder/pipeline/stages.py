"""Stages 1 to 5 over a chunk of captures: records in, records and failures out."""

from __future__ import annotations

import contextlib
import importlib
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from fg3d_builder.captures import CaptureEntry, CaptureSource
from fg3d_builder.config import FitConfig, LandmarkConfig, RegistrationConfig
from fg3d_builder.errors import CaptureError
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.facemodel.storage import load_model
from fg3d_builder.files.sealed import damaged
from fg3d_builder.fitting.landmark_fit import fit_landmarks
from fg3d_builder.landmarks import check_depth, open_detector, open_view_detector
from fg3d_builder.landmarks.detector import LandmarkDetector
from fg3d_builder.pipeline.each_capture import StageResult, run_each
from fg3d_builder.pipeline.groups import fuse_all
from fg3d_builder.pipeline.register import fit_face, register_face
from fg3d_builder.records import Array, Capture, CoarseFit, Landmarks, Registration
from fg3d_builder.report.paper import message_card
from fg3d_builder.report.sheets import failure_sheet


@dataclass(frozen=True)
class CaptureFits:
    """What the fitting stage knows of a capture.

    Attributes
    ----------
    initial : CoarseFit
        From landmarks alone: what a network gets of a photo.
    coarse : CoarseFit
        From landmarks and depth: where the registration starts.
    """

    initial: CoarseFit
    coarse: CoarseFit


def load_captures(source: CaptureSource, entries: Iterable[CaptureEntry]) -> StageResult[Capture]:
    """Load some captures of one source."""
    by_id = {entry.capture_id: entry for entry in entries}
    subjects = {name: entry.subject_id for name, entry in by_id.items()}

    def picture(name: str, error: CaptureError) -> Array:
        return message_card([f"{name}: {error.code}", error.message], height=140, width=640)

    return run_each("captures", subjects, lambda name: source.load(by_id[name]), picture)


def detect_landmarks(
    captures: Mapping[str, Capture], config: LandmarkConfig
) -> StageResult[Landmarks]:
    """Detect the landmarks of each capture and check that depth shows a face there."""
    detector = shared_detector(config)
    found: dict[str, Landmarks] = {}

    def detect(name: str) -> Landmarks:
        found[name] = detector.detect(captures[name])
        check_depth(captures[name], found[name])
        return found[name]

    def picture(name: str, error: CaptureError) -> Array:
        return failure_sheet(captures[name], error, found.get(name))

    return run_each("landmarks", _subjects(captures), detect, picture)


def fit_coarse(
    model: FaceModel,
    captures: Mapping[str, Capture],
    landmarks: Mapping[str, Landmarks],
    config: FitConfig,
) -> StageResult[CaptureFits]:
    """Fit the 3DMM to each capture that has landmarks: without and with depth."""

    def fit(name: str) -> CaptureFits:
        capture, points = captures[name], landmarks[name]
        initial = fit_landmarks(model, points, capture.intrinsics, config)
        return CaptureFits(initial, fit_face(model, capture, points, config))

    def picture(name: str, error: CaptureError) -> Array:
        return failure_sheet(captures[name], error, landmarks[name])

    chosen = {name: captures[name] for name in landmarks}
    return run_each("fitting", _subjects(chosen), fit, picture)


def register_all(
    model: FaceModel,
    captures: Mapping[str, Capture],
    landmarks: Mapping[str, Landmarks],
    fits: Mapping[str, CaptureFits],
    config: RegistrationConfig,
    fused: bool = False,
) -> StageResult[Registration]:
    """Register the template to each capture that has a coarse fit.

    `fused`: then also to all captures of one subject and expression together, see `fuse_all`.
    """

    def one(name: str) -> Registration:
        return register_face(model, captures[name], landmarks[name], fits[name].coarse, config)

    def picture(name: str, error: CaptureError) -> Array:
        coarse = fits[name].coarse
        vertices = coarse.pose.cam_from_obj(coarse.shape_obj_mm)
        return failure_sheet(captures[name], error, landmarks[name], vertices, model.triangles)

    chosen = {name: captures[name] for name in fits}
    result = run_each("registration", _subjects(chosen), one, picture)
    if fused:
        start = time.perf_counter()
        coarse = {name: fits[name].coarse for name in result.records}
        result.records = fuse_all(model, captures, landmarks, coarse, result.records, config)
        for name in result.records:
            result.seconds[name] += (time.perf_counter() - start) / len(result.records)
    return result


@lru_cache(maxsize=2)
def cached_model(path: Path) -> FaceModel:
    """Load a build's copy of the face model, once per process.

    Raises
    ------
    DamagedFileError
        It was set aside: the build makes it again.
    """
    seen = path.stat()
    try:
        return load_model(path)
    except ValueError as error:
        raise damaged(path, str(error), seen) from None


@lru_cache(maxsize=1)
def shared_detector(config: LandmarkConfig) -> LandmarkDetector:
    """Open the detector of captures once per process."""
    return open_detector(config)


@lru_cache(maxsize=1)
def shared_view_detector(config: LandmarkConfig, looks: int) -> LandmarkDetector:
    """Open the detector of views once per process."""
    return open_view_detector(config, looks)


def load_detector_library(config: LandmarkConfig) -> None:
    """Import the library of a detector, without opening a network, which no fork survives.

    One that is not installed is no error here: the detector says what is missing.
    """
    with contextlib.suppress(ImportError):
        importlib.import_module(_LIBRARIES.get(config.detector, __name__))


_LIBRARIES = {
    "mediapipe": "mediapipe.python.solutions.face_mesh",
    "face-alignment": "face_alignment",
}
"""What detectors import with their first image, which takes half a second or more."""


def _subjects(captures: Mapping[str, Capture]) -> dict[str, str]:
    return {name: capture.subject_id for name, capture in captures.items()}
