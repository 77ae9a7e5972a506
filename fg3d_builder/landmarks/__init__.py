"""Detectors, edge curves and checks -> `Landmarks`."""

from fg3d_builder.landmarks.checks import check_depth_on_face
from fg3d_builder.landmarks.depth_checks import check_depth
from fg3d_builder.landmarks.detector import LandmarkDetector, open_detector, open_view_detector

__all__ = [
    "LandmarkDetector",
    "check_depth",
    "check_depth_on_face",
    "open_detector",
    "open_view_detector",
]
