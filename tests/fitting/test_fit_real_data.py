"""The fit on real captures and scans, with a real detector and a real model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fg3d_builder.captures.folder import read_capture
from fg3d_builder.captures.scan import ScanSource
from fg3d_builder.config import FitConfig, SourceConfig
from fg3d_builder.facemodel.embedding import with_embeddings
from fg3d_builder.facemodel.ict import import_ict
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.fitting import fit_capture, fit_landmarks
from fg3d_builder.geometry.alignment import align_similarity
from fg3d_builder.geometry.pose import angles_from_rotation
from fg3d_builder.landmarks.mediapipe_detector import MediaPipeDetector

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def detector() -> MediaPipeDetector:
    return MediaPipeDetector()


@pytest.fixture(scope="module")
def ict(shared_data: Path) -> FaceModel:
    return with_embeddings(import_ict(shared_data / "ict_facekit"), subjects=2)


@pytest.mark.parametrize("name", ["sven-052", "sven-072"])
def test_a_real_sensor_frame(
    shared_data: Path, ict: FaceModel, detector: MediaPipeDetector, name: str
) -> None:
    capture = read_capture(shared_data / "captures" / name)
    landmarks = detector.detect(capture)
    fit = fit_capture(ict, capture, landmarks, FitConfig())
    assert fit.converged
    assert fit.landmark_error_px < 2.5  # On a face of 150 px.
    assert fit.depth_error_mm < 1.0
    assert np.abs(fit.alpha_id / ict.id_sd).max() < 4.0
    alone = fit_landmarks(ict, landmarks, capture.intrinsics, FitConfig())
    assert alone.landmark_error_px < 2.0
    # Landmarks alone know the distance as well as they know the size of a head.
    assert alone.pose.translation_mm[2] == pytest.approx(fit.pose.translation_mm[2], rel=0.08)


def test_two_views_of_a_scan_give_one_shape(
    shared_data: Path, ict: FaceModel, detector: MediaPipeDetector
) -> None:
    source = ScanSource(
        SourceConfig(
            kind="scan",
            path=str(shared_data / "scans"),
            include=("facefuns-f36",),
            views=((0.0, 0.0), (0.0, 30.0)),
        )
    )
    captures = [source.load(entry) for entry in source.entries()]
    fits = [fit_capture(ict, c, detector.detect(c), FitConfig()) for c in captures]
    for fit in fits:
        assert fit.landmark_error_px < 3.0  # On a face of 300 px.
        assert fit.depth_error_mm < 0.6
    yaws = [angles_from_rotation(fit.pose.rotation)[1] for fit in fits]
    assert yaws[1] - yaws[0] == pytest.approx(30.0, abs=1.5)
    shapes = [fit.shape_obj_mm[ict.reliable] for fit in fits]
    onto = align_similarity(shapes[1], shapes[0], fix_scale=True)
    apart = np.linalg.norm(onto.cam_from_obj(shapes[1]) - shapes[0], axis=1)
    assert apart.mean() < 0.8
