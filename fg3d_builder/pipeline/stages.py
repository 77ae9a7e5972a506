"""The stages as functions over a chunk of captures: records in, records and failures out.

One capture that cannot be used never stops the others: what goes wrong with it becomes a
`Failure` with a picture. What would go wrong with every capture, such as a missing package
or a wrong setting, is raised.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Generic, TypeVar

from fg3d_builder.captures import CaptureEntry, open_source
from fg3d_builder.config import FitConfig, LandmarkConfig, RegistrationConfig, SourceConfig
from fg3d_builder.errors import CaptureError, ConfigError, MissingDependencyError
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.facemodel.storage import load_model
from fg3d_builder.fitting.landmark_fit import fit_landmarks
from fg3d_builder.landmarks import open_detector
from fg3d_builder.landmarks.checks import check_depth_on_face
from fg3d_builder.landmarks.detector import LandmarkDetector
from fg3d_builder.pipeline.register import fit_face, register_face
from fg3d_builder.records import Array, Capture, CoarseFit, Failure, Landmarks, Registration
from fg3d_builder.report.paper import message_card
from fg3d_builder.report.sheets import failure_sheet

T = TypeVar("T")

log = logging.getLogger("fg3d")


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


@dataclass
class StageResult(Generic[T]):
    """Outcome of a stage for one chunk.

    Attributes
    ----------
    records : dict of str to T
        By capture id, in the chunk's order.
    failures : list of Failure
        With `Failure.picture` empty; the pictures are beside them.
    pictures : dict of str to (H, W, 3) uint8
        By capture id, of the failures.
    seconds : dict of str to float
        By capture id.
    """

    records: dict[str, T] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    pictures: dict[str, Array] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


def load_captures(source: SourceConfig, entries: Iterable[CaptureEntry]) -> StageResult[Capture]:
    """Load the captures of one source."""
    opened = open_source(source)
    by_id = {entry.capture_id: entry for entry in entries}
    subjects = {name: entry.subject_id for name, entry in by_id.items()}

    def picture(name: str, error: CaptureError) -> Array:
        return message_card([f"{name}: {error.code}", error.message], height=140, width=640)

    return run_each("captures", subjects, lambda name: opened.load(by_id[name]), picture)


def detect_landmarks(
    captures: Mapping[str, Capture], config: LandmarkConfig
) -> StageResult[Landmarks]:
    """Detect the landmarks of each capture and check that there is depth below them."""
    detector = shared_detector(config)
    found: dict[str, Landmarks] = {}

    def detect(name: str) -> Landmarks:
        found[name] = detector.detect(captures[name])
        check_depth_on_face(captures[name], found[name])
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
) -> StageResult[Registration]:
    """Register the template to each capture that has a coarse fit."""

    def one(name: str) -> Registration:
        return register_face(model, captures[name], landmarks[name], fits[name].coarse, config)

    def picture(name: str, error: CaptureError) -> Array:
        coarse = fits[name].coarse
        vertices = coarse.pose.cam_from_obj(coarse.shape_obj_mm)
        return failure_sheet(captures[name], error, landmarks[name], vertices, model.triangles)

    chosen = {name: captures[name] for name in fits}
    return run_each("registration", _subjects(chosen), one, picture)


@lru_cache(maxsize=2)
def cached_model(path: Path) -> FaceModel:
    """Load a face model once per process."""
    return load_model(path)


@lru_cache(maxsize=1)
def shared_detector(config: LandmarkConfig) -> LandmarkDetector:
    """Open a detector once per process."""
    return open_detector(config)


def _subjects(captures: Mapping[str, Capture]) -> dict[str, str]:
    return {name: capture.subject_id for name, capture in captures.items()}


def run_each(
    stage: str,
    subjects: Mapping[str, str],
    work: Callable[[str], T],
    picture: Callable[[str, CaptureError], Array],
) -> StageResult[T]:
    """Do `work` for every capture id in `subjects`; errors become failures."""
    result: StageResult[T] = StageResult()
    for name, subject in subjects.items():
        start = time.perf_counter()
        try:
            result.records[name] = work(name)
        except CaptureError as error:
            _add_failure(result, name, subject, stage, error, picture)
        except (ConfigError, MissingDependencyError, MemoryError):
            raise
        except Exception as error:  # a bug that one capture meets must not cost the others
            log.error("%s: %s failed\n%s", name, stage, traceback.format_exc().rstrip())
            text = f"{type(error).__name__}: {error}"
            wrapped = CaptureError("internal_error", text)
            _add_failure(result, name, subject, stage, wrapped, picture)
        result.seconds[name] = time.perf_counter() - start
    return result


def _add_failure(
    result: StageResult[T],
    name: str,
    subject: str,
    stage: str,
    error: CaptureError,
    picture: Callable[[str, CaptureError], Array],
) -> None:
    result.failures.append(Failure(name, subject, stage, error.code, error.message))
    result.pictures[name] = picture(name, error)
