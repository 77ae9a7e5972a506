"""Turn and distance of a face, by a few landmarks and their depth, against the truth."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from seen_faces import seen_faces

from fg3d_builder.config import SourceConfig
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.geometry.pose import angles_from_rotation
from fg3d_builder.landmarks.face_pose import face_angles_deg, face_distance_mm

CONFIG = SourceConfig(
    subjects=3,
    captures_per_subject=2,
    seed=5,
    image_size=(320, 240),
    focal_px=450.0,
    max_yaw_deg=35.0,
)


@pytest.mark.parametrize("scheme", ["mediapipe478", "ibug68"])
def test_angles_are_right_within_what_faces_differ(default: FaceModel, scheme: str) -> None:
    """Noses and brows differ between people by some degrees of pitch, less of yaw."""
    for capture, landmarks in seen_faces(default, scheme, CONFIG):
        found = face_angles_deg(capture, landmarks)
        assert found is not None
        assert capture.truth is not None
        true = angles_from_rotation(capture.truth.pose.rotation)
        assert np.abs(np.subtract(found, true)).max() < 8.0
        assert abs(found[1] - true[1]) < 5.0
        distance = face_distance_mm(capture, landmarks)
        assert distance is not None
        nose = capture.truth.vertices_cam_mm[:, 2]
        assert nose.min() - 5 < distance < np.median(nose)


def test_without_depth_nothing_is_said(default: FaceModel) -> None:
    capture, landmarks = seen_faces(default, "ibug68", CONFIG)[0]
    empty = dataclasses.replace(capture, depth_mm=np.full_like(capture.depth_mm, np.nan))
    assert face_angles_deg(empty, landmarks) is None
    assert face_distance_mm(empty, landmarks) is None
