"""Detectors, edge curves and checks -> `Landmarks`."""

from fg3d_builder.landmarks.checks import check_depth_on_face
from fg3d_builder.landmarks.detector import LandmarkDetector, open_detector
from fg3d_builder.landmarks.face_size import check_face_size

__all__ = ["LandmarkDetector", "check_depth_on_face", "check_face_size", "open_detector"]
