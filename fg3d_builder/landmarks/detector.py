"""The interface of landmark detectors, and opening one by name."""

from __future__ import annotations

from typing import Protocol

from fg3d_builder.config import ALL_LOOKS, LandmarkConfig
from fg3d_builder.errors import ConfigError
from fg3d_builder.records import Capture, Landmarks


class LandmarkDetector(Protocol):
    """Finds the landmarks of the one face that a capture is about.

    Attributes
    ----------
    name : str
        Goes into `Landmarks.detector`.
    scheme : str
        Scheme of the landmarks it returns, see `fg3d_builder.landmarks.edges`; ``""`` where it
        depends on the capture.
    """

    name: str
    scheme: str

    def detect(self, capture: Capture) -> Landmarks:
        """Return the landmarks of a capture; the same ones every time.

        Raises
        ------
        CaptureError
            ``"no_face"`` or ``"no_annotation"``.
        """
        ...


def open_detector(config: LandmarkConfig) -> LandmarkDetector:
    """Return the detector that `config` names.

    Its library and weights are loaded with the first capture, so a detector may be opened
    before processes are forked.

    Raises
    ------
    ConfigError
        Unknown detector.
    """
    # Each import is as heavy as its library, and only one is needed.
    if config.detector == "mediapipe":
        from fg3d_builder.landmarks.mediapipe_detector import MediaPipeDetector

        return MediaPipeDetector(config.min_confidence)
    if config.detector == "face-alignment":
        from fg3d_builder.landmarks.face_alignment_detector import FaceAlignmentDetector

        return FaceAlignmentDetector(config.weights, config.min_confidence)
    if config.detector == "annotation":
        from fg3d_builder.landmarks.annotation_detector import AnnotationDetector

        return AnnotationDetector()
    raise ConfigError(
        f"landmarks: detector is '{config.detector}'; "
        "known are 'mediapipe', 'face-alignment' and 'annotation'"
    )


def open_view_detector(config: LandmarkConfig, looks: int) -> LandmarkDetector:
    """Return the detector of a network's inputs: for rendered views, and photos to predict from.

    A network is to get the same kind of fit when it is used as when it was trained.

    Parameters
    ----------
    config : LandmarkConfig
    looks : int
        `FullViewConfig.looks`; with `ALL_LOOKS`, and for detectors that look once anyway, it is
        the detector of captures.

    Raises
    ------
    ConfigError
        Unknown detector.
    """
    if config.detector != "mediapipe" or looks == ALL_LOOKS:
        return open_detector(config)
    from fg3d_builder.landmarks.mediapipe_glance import MediaPipeGlance

    return MediaPipeGlance(config.min_confidence, looks)
