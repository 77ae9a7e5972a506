"""What is counted of faces found in turned views, and how far points are off."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.turned_detection import METHODS, TRUTH, figures_of, total, true_points
from benchmarks.turned_heads import SYNTHETIC, Frontal, LitHead
from fg3d_builder.captures.synthetic import SyntheticSource, render_capture
from fg3d_builder.config import LandmarkConfig, SourceConfig
from fg3d_builder.facemodel import FaceModel
from fg3d_builder.fullview.views import CAPTURED, ViewCamera
from fg3d_builder.landmarks import open_detector
from fg3d_builder.records import CoarseFit, Registration


def test_points_count_where_a_face_is_found_in_view_and_truth() -> None:
    ours, profiling = METHODS
    true_px = np.array([[10.0, 10.0], [20.0, 10.0]])
    numbers = np.array([2, 0])
    in_truth = np.array([[20.0, 13.0], [99.0, 99.0], [10.0, 13.0]])
    in_view = in_truth + np.array([0.0, 1.0])
    rows = figures_of({TRUTH: in_truth, ours: in_view, profiling: None}, numbers, true_px)
    assert rows[0]["truth_px"] == pytest.approx(3.0)
    assert rows[0]["view_px"] == pytest.approx(4.0)
    assert rows[0]["between_px"] == pytest.approx(1.0)
    missed = figures_of({TRUTH: None, ours: in_view, profiling: None}, numbers, true_px)
    named = [{"kind": "heads", "turn": "+0 +45", **row} for row in (*rows, *missed)]
    found = {(row["turn"], row["method"]): row for row in total(named)}
    assert found["all", ours] == found["+0 +45", ours] | {"turn": "all"}
    counts = [found["all", ours][name] for name in ("views", "in_truth", "in_view")]
    assert counts == [2, 1, 2]
    assert found["all", ours]["view_px"] == pytest.approx(4.0)
    assert found["all", profiling]["view_px"] is None
    assert found["all", profiling]["in_view"] == 0


def test_true_points_are_where_the_detector_sees_them(default: FaceModel) -> None:
    config = SourceConfig(subjects=1, captures_per_subject=1, seed=31, max_yaw_deg=5.0)
    source = SyntheticSource(config)
    (entry,) = source.entries()
    subject, scene = source.scene(entry)
    capture = render_capture(config, subject, scene, entry.capture_id, entry.subject_id)
    head = LitHead.of(subject, scene, capture)
    # Neither is looked at where a synthetic capture knows its vertices.
    registration, initial = Registration.__new__(Registration), CoarseFit.__new__(CoarseFit)
    frontal = Frontal(SYNTHETIC, capture, registration, initial, head)
    camera = ViewCamera(
        CAPTURED, np.eye(3), np.zeros(3), np.eye(3), capture.intrinsics, 640, scene.pose
    )
    numbers, px = true_points(default, frontal, camera)
    detected = open_detector(LandmarkConfig()).detect(capture).points_px[numbers]
    # MediaPipe itself is one to two per cent of the face's width off, here some 3 of 250 pixels.
    assert np.linalg.norm(px - detected, axis=1).mean() < 5.0
