"""Faces that are somewhat too large or too small pass with a doubt; much too large ones do not."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fg3d_builder.captures.opening import open_source
from fg3d_builder.config import BuildConfig, LandmarkConfig, SourceConfig
from fg3d_builder.errors import CaptureError
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.landmarks import open_detector
from fg3d_builder.pipeline.register import register_capture
from fg3d_builder.pipeline.stages import detect_landmarks
from fg3d_builder.records import Capture, Landmarks
from fg3d_builder.registration.quality import quality_doubts


@pytest.fixture(scope="module")
def seen() -> list[tuple[Capture, Landmarks]]:
    config = SourceConfig(
        subjects=3, captures_per_subject=1, seed=40, image_size=(320, 240), focal_px=450.0
    )
    source, detector = open_source(config), open_detector(LandmarkConfig())
    captures = [source.load(entry) for entry in source.entries()]
    return [(capture, detector.detect(capture)) for capture in captures]


def scaled(capture: Capture, factor: float) -> Capture:
    depth = (capture.depth_mm * np.float32(factor)).astype(np.float32)
    return dataclasses.replace(capture, depth_mm=depth, truth=None, unit_mm=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("factor", [0.78, 0.8, 1.25, 1.3])
def test_a_constant_factor_gets_a_doubt_about_the_size(
    default: FaceModel, seen: list[tuple[Capture, Landmarks]], factor: float
) -> None:
    config = BuildConfig()
    for capture, landmarks in seen:
        wrong = register_capture(default, scaled(capture, factor), config, landmarks=landmarks)
        figures = wrong.registration.quality_figures
        assert figures is not None
        assert "size" in [doubt.figure for doubt in quality_doubts(figures)]
        assert wrong.registration.quality < 0.5


@pytest.mark.parametrize(("factor", "code"), [(0.5, "wrong_unit"), (1000.0, "wrong_unit")])
def test_registration_and_builds_name_a_wrong_unit(
    default: FaceModel, seen: list[tuple[Capture, Landmarks]], factor: float, code: str
) -> None:
    capture, landmarks = seen[0]
    wrong = scaled(capture, factor)
    with pytest.raises(CaptureError, match="mm wide") as caught:
        register_capture(default, wrong, BuildConfig(), landmarks=landmarks)
    assert caught.value.code == code
    result = detect_landmarks({wrong.capture_id: wrong}, LandmarkConfig())
    assert [failure.code for failure in result.failures] == [code]
    assert result.pictures[wrong.capture_id].ndim == 3
