"""Blinks and winks of synthetic people, from the capture to the registered lids."""

from __future__ import annotations

import numpy as np
import pytest

from fg3d_builder.captures.synthetic import draw_scene, draw_subject, render_capture
from fg3d_builder.config import BuildConfig, SensorConfig, SourceConfig
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.geometry.camera import px_from_cam
from fg3d_builder.landmarks.edges import MEDIAPIPE
from fg3d_builder.landmarks.eye_strip import lid_pairs
from fg3d_builder.pipeline.register import register_capture
from fg3d_builder.records import Array, Capture, Landmarks

DETECTED_GAP_PX = 3.0
"""What a detector leaves between closed lids, at least."""


def wink(right: float, left: float) -> Capture:
    """Render a person with some share of a blink of either eye."""
    config = SourceConfig(
        kind="synthetic", max_yaw_deg=10.0, sensor=SensorConfig("structured_light", 3)
    )
    subject = draw_subject(31)
    scene = draw_scene(config, subject, 0, np.random.default_rng(4))
    scene.weights.update(eyeBlinkRight=right, eyeBlinkLeft=left)
    return render_capture(config, subject, scene, "wink", "someone")


def detected(model: FaceModel, capture: Capture) -> Landmarks:
    """Return what a detector says: true points, but lids never closer than some pixels."""
    assert capture.truth is not None
    embedding = model.embeddings[MEDIAPIPE]
    vertices = capture.truth.vertices_cam_mm.astype(np.float64)
    points, confidence = np.zeros((478, 2)), np.zeros(478)
    places = embedding.points(vertices, model.triangles)
    points[embedding.point_index] = px_from_cam(places, capture.intrinsics)
    confidence[embedding.point_index] = 1.0
    for lids in lid_pairs(MEDIAPIPE):
        gap = points[lids.lower, 1] - points[lids.upper, 1]
        missing = 0.5 * np.maximum(DETECTED_GAP_PX - gap, 0.0)
        points[lids.upper, 1] -= missing
        points[lids.lower, 1] += missing
    return Landmarks(MEDIAPIPE, points, confidence, "test")


def gaps_mm(model: FaceModel, shape_obj_mm: Array) -> Array:
    """(2, 7) distances between paired lid points of the right and the left eye."""
    return np.array(
        [
            np.linalg.norm(
                model.embedded(MEDIAPIPE, lids.upper).points(shape_obj_mm, model.triangles)
                - model.embedded(MEDIAPIPE, lids.lower).points(shape_obj_mm, model.triangles),
                axis=1,
            )
            for lids in lid_pairs(MEDIAPIPE)
        ]
    )


@pytest.mark.parametrize("closed", [(True, True), (True, False), (False, True), (False, False)])
def test_lids_meet_where_the_eye_is_closed_and_there_alone(
    default: FaceModel, closed: tuple[bool, bool]
) -> None:
    capture = wink(*(1.0 * shut for shut in closed))
    assert capture.truth is not None
    found = register_capture(
        default, capture, BuildConfig(), landmarks=detected(default, capture)
    ).registration
    wanted = gaps_mm(default, capture.truth.shape_obj_mm.astype(np.float64))
    for shut, gap, true in zip(closed, gaps_mm(default, found.shape_obj_mm), wanted, strict=True):
        if shut:
            assert gap.max() < 1.0
        else:
            assert np.abs(gap - true).mean() < 0.7
