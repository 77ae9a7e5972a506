"""Stages over a chunk: one bad capture is a failure with a picture, the others go on."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
from toy_build import build_model, toy_capture

from fg3d_builder.captures import CaptureEntry, open_source
from fg3d_builder.captures.folder import write_capture
from fg3d_builder.config import (
    FitConfig,
    LandmarkConfig,
    RegistrationConfig,
    SourceConfig,
    StiffnessLevel,
)
from fg3d_builder.errors import CaptureError, ConfigError
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.pipeline.each_capture import StageResult, run_each
from fg3d_builder.pipeline.stages import (
    detect_landmarks,
    fit_coarse,
    load_captures,
    load_detector_library,
    register_all,
)
from fg3d_builder.records import Array, Capture

ANNOTATION = LandmarkConfig(detector="annotation")


@pytest.fixture(scope="module")
def model() -> FaceModel:
    return build_model()


@pytest.fixture(scope="module")
def captures(model: FaceModel) -> dict[str, Capture]:
    made = [toy_capture(model, subject, 0) for subject in range(2)]
    return {capture.capture_id: capture for capture in made}


def codes(result: StageResult[object]) -> dict[str, str]:
    assert set(result.pictures) == {f.capture_id for f in result.failures}
    for picture in result.pictures.values():
        assert picture.dtype == np.uint8
        assert picture.std() > 1  # something is drawn
    return {f.capture_id: f.code for f in result.failures}


def test_unreadable_captures_are_failures(tmp_path: Path, captures: dict[str, Capture]) -> None:
    for name, capture in captures.items():
        write_capture(tmp_path / name, capture)
    (tmp_path / "s0-0/color.png").write_bytes(b"\x89PNG\r\n")
    source = SourceConfig(kind="folder", path=str(tmp_path))
    entries = [CaptureEntry(n, n[:2], str(tmp_path / n)) for n in captures]
    result = load_captures(open_source(source), entries)
    assert list(result.records) == ["s1-0"]
    assert codes(result) == {"s0-0": "unreadable_image"}
    assert "s0-0/color.png" in result.failures[0].message
    assert result.failures[0].subject_id == "s0"
    assert set(result.seconds) == {"s0-0", "s1-0"}


def test_a_face_without_depth_is_a_failure(captures: dict[str, Capture]) -> None:
    blind = np.full_like(captures["s0-0"].depth_mm, np.nan)
    blind[:9] = 800.0
    bad = {**captures, "s0-0": dataclasses.replace(captures["s0-0"], depth_mm=blind)}
    result = detect_landmarks(bad, ANNOTATION)
    assert list(result.records) == ["s1-0"]
    assert codes(result) == {"s0-0": "no_depth_on_face"}


def test_a_bug_costs_one_capture(
    captures: dict[str, Capture], model: FaceModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    landmarks = detect_landmarks(captures, ANNOTATION).records

    def fit(model: FaceModel, capture: Capture, *rest: object) -> object:
        if capture.capture_id == "s0-0":
            raise ZeroDivisionError("made up")
        return "fitted"

    monkeypatch.setattr("fg3d_builder.pipeline.stages.fit_face", fit)
    result = fit_coarse(model, captures, landmarks, FitConfig())
    assert result.records["s1-0"].coarse == "fitted"
    assert codes(result) == {"s0-0": "internal_error"}
    assert result.failures[0].message == "ZeroDivisionError: made up"


def test_a_wrong_setting_stops_everything(captures: dict[str, Capture]) -> None:
    with pytest.raises(ConfigError, match="nonesuch"):
        detect_landmarks(captures, LandmarkConfig(detector="nonesuch"))


def test_captures_pass_through_all_stages(captures: dict[str, Capture], model: FaceModel) -> None:
    """Registered vertices lie closer to the truth than those of the 3DMM fit."""
    landmarks = detect_landmarks(captures, ANNOTATION).records
    fits = fit_coarse(model, captures, landmarks, FitConfig()).records
    levels = (StiffnessLevel(50.0, 5.0, 2), StiffnessLevel(5.0, 2.0, 2))
    settings = RegistrationConfig(levels=levels)
    result = register_all(model, captures, landmarks, fits, settings)
    assert list(result.records) == ["s0-0", "s1-0"]
    for registration in result.records.values():
        error = registration.surface_error_mm[registration.visible & model.reliable]
        # The depth is the model's own surface with 0.3 mm of noise.
        assert np.nanmedian(error) < 0.3


def test_a_picture_that_cannot_be_drawn_stops_nothing() -> None:
    def work(name: str) -> str:
        if name == "bad":
            raise CaptureError("no_face", "no face in it")
        return name

    def picture(_name: str, _error: CaptureError) -> Array:
        raise ValueError("no room for it")

    result = run_each("landmarks", {"bad": "anna", "good": "ben"}, work, picture)
    assert result.records == {"good": "good"}
    assert [(f.capture_id, f.code) for f in result.failures] == [("bad", "no_face")]
    assert np.ptp(result.pictures["bad"]) > 100  # the reason in letters


def test_the_library_of_a_detector_is_imported_ahead() -> None:
    load_detector_library(LandmarkConfig(detector="mediapipe"))
    load_detector_library(ANNOTATION)  # has none
    assert hasattr(sys.modules["mediapipe.python.solutions.face_mesh"], "FaceMesh")
