"""One capture on its way to a registration: landmarks, coarse fit, settled landmarks, nonrigid ICP.

`register_capture` is the whole way; `fit_face` and `register_face` are its steps, for callers that
keep the coarse fit between them. All work on the capture at a bounded size (see `working`) and
return what they find in the capture's own frame and pixels.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from fg3d_builder.config import BuildConfig, FitConfig, RegistrationConfig
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.fitting.appearance import settled_landmarks
from fg3d_builder.fitting.closed_lids import blinking
from fg3d_builder.fitting.depth_fit import fit_capture
from fg3d_builder.landmarks import check_depth, open_detector
from fg3d_builder.landmarks.detector import LandmarkDetector
from fg3d_builder.pipeline.working import WorkingCapture, working_capture
from fg3d_builder.records import Capture, CoarseFit, Landmarks, Registration
from fg3d_builder.registration.fuse import Frame
from fg3d_builder.registration.register import register
from fg3d_builder.rendering.depth_surface import DepthSurface


@dataclass(frozen=True)
class RegisteredCapture:
    """A capture's registration and what it was made from.

    Attributes
    ----------
    landmarks : Landmarks
        As they were detected or given.
    coarse : CoarseFit
        The 3DMM fit that the registration starts from.
    registration : Registration
    seconds : dict of str to float
        Duration of each step that was necessary: ``"landmarks"``, ``"surface"``,
        ``"fitting"``, ``"registration"``.
    """

    landmarks: Landmarks
    coarse: CoarseFit
    registration: Registration
    seconds: dict[str, float]


def register_capture(
    model: FaceModel,
    capture: Capture,
    config: BuildConfig,
    *,
    landmarks: Landmarks | None = None,
    detector: LandmarkDetector | None = None,
    surface: DepthSurface | None = None,
    coarse: CoarseFit | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> RegisteredCapture:
    """Register a face model to one capture: every step of Sec. 6.1 in a row.

    Parameters
    ----------
    model : FaceModel
    capture : Capture
    config : BuildConfig
        Its `landmarks`, `fit` and `registration` are used.
    landmarks : Landmarks, optional
        Takes the place of detection.
    detector : LandmarkDetector, optional
        Takes the place of the configured one, where the caller has one open.
    surface : DepthSurface, optional
        Surface of the capture's depth, where the caller has it already.
    coarse : CoarseFit, optional
        Takes the place of the coarse fit.
    clock : callable
        Returns seconds; `time.process_time` measures processor time instead.

    Raises
    ------
    CaptureError
        The capture cannot be used: the detector's codes, those of `check_depth`, and those of
        `fit_face` and `register_face`.
    """
    seconds: dict[str, float] = {}
    start = clock()

    def lap(step: str) -> None:
        nonlocal start
        start, before = clock(), start
        seconds[step] = start - before

    if landmarks is None:
        landmarks = (detector or open_detector(config.landmarks)).detect(capture)
        lap("landmarks")
    check_depth(capture, landmarks)
    working = working_capture(capture, landmarks, surface)
    if surface is None:
        lap("surface")
    if coarse is None:
        coarse = _fit(model, working, config.fit)
        lap("fitting")
    registration = _register(model, working, coarse, config.registration)
    lap("registration")
    return RegisteredCapture(landmarks, coarse, registration, seconds)


def fit_face(
    model: FaceModel,
    capture: Capture,
    landmarks: Landmarks,
    config: FitConfig,
    surface: DepthSurface | None = None,
) -> CoarseFit:
    """Fit the 3DMM to a capture's landmarks and depth (Eq. 1 and 2).

    Raises
    ------
    CaptureError
        See `fg3d_builder.fitting.depth_fit.fit_capture`.
    """
    return _fit(model, working_capture(capture, landmarks, surface), config)


def register_face(
    model: FaceModel,
    capture: Capture,
    landmarks: Landmarks,
    coarse: CoarseFit,
    config: RegistrationConfig,
    surface: DepthSurface | None = None,
) -> Registration:
    """Settle the landmarks by the coarse fit, then register from there (Eq. 9 to 11).

    Parameters
    ----------
    model : FaceModel
    capture : Capture
    landmarks : Landmarks
        As they were detected or given, not settled.
    coarse : CoarseFit
    config : RegistrationConfig
    surface : DepthSurface, optional

    Raises
    ------
    CaptureError
        See `fg3d_builder.registration.register.register`.
    """
    return _register(model, working_capture(capture, landmarks, surface), coarse, config)


def _fit(model: FaceModel, working: WorkingCapture, config: FitConfig) -> CoarseFit:
    capture, landmarks = working.capture, working.landmarks
    coarse = fit_capture(model, capture, landmarks, config, working.surface, working.eyes)
    return working.coarse_in_original(coarse)


def _register(
    model: FaceModel, working: WorkingCapture, coarse: CoarseFit, config: RegistrationConfig
) -> Registration:
    capture, landmarks = working.capture, working.landmarks
    settled = settled_landmarks(model, landmarks, coarse, capture.intrinsics)
    able = blinking(model, landmarks.scheme, working.eyes)
    registration = register(able, capture, settled, coarse, config, working.surface, working.eyes)
    return working.registration_in_original(registration)


def frame_to_fuse(
    model: FaceModel, working: WorkingCapture, coarse: CoarseFit, alone: Registration
) -> Frame:
    """Return a registered capture as it is registered again together with others.

    Parameters
    ----------
    model : FaceModel
    working : WorkingCapture
        Of the capture and its landmarks as they were detected or given, not settled.
    coarse : CoarseFit
    alone : Registration
    """
    capture, landmarks = working.capture, working.landmarks
    settled = settled_landmarks(model, landmarks, coarse, capture.intrinsics)
    return Frame(capture, settled, working.surface, alone, working.eyes)
