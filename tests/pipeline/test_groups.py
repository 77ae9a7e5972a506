"""Groups of captures: who belongs together, and that a group's failure costs nothing."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from toy_build import build_model, toy_capture

from fg3d_builder.config import (
    FitConfig,
    LandmarkConfig,
    RegistrationConfig,
    StiffnessLevel,
)
from fg3d_builder.errors import CaptureError
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.pipeline.groups import groups_of
from fg3d_builder.pipeline.stages import detect_landmarks, fit_coarse, register_all
from fg3d_builder.records import Capture, Registration

SETTINGS = RegistrationConfig(levels=(StiffnessLevel(50.0, 5.0, 2), StiffnessLevel(5.0, 2.0, 2)))


@pytest.fixture(scope="module")
def model() -> FaceModel:
    return build_model()


@pytest.fixture(scope="module")
def captures(model: FaceModel) -> dict[str, Capture]:
    """Two of one subject, one of another, and one of the first with another expression."""
    made = [toy_capture(model, *which, still=True) for which in ((0, 0), (0, 1), (1, 0), (0, 2))]
    made[3] = dataclasses.replace(made[3], expression="smile")
    return {capture.capture_id: capture for capture in made}


def registered(model: FaceModel, captures: dict[str, Capture]) -> dict[str, Registration]:
    landmarks = detect_landmarks(captures, LandmarkConfig(detector="annotation")).records
    fits = fit_coarse(model, captures, landmarks, FitConfig()).records
    return register_all(model, captures, landmarks, fits, SETTINGS, fused=True).records


def test_one_subject_in_one_expression_shares_a_shape(
    model: FaceModel, captures: dict[str, Capture]
) -> None:
    found = registered(model, captures)
    assert list(found) == ["s0-0", "s0-1", "s1-0", "s0-2"]
    counts = {name: r.fusion.captures if r.fusion else 0 for name, r in found.items()}
    assert counts == {"s0-0": 2, "s0-1": 2, "s1-0": 1, "s0-2": 1}
    np.testing.assert_array_equal(found["s0-0"].shape_obj_mm, found["s0-1"].shape_obj_mm)
    assert np.abs(found["s0-0"].shape_obj_mm - found["s0-2"].shape_obj_mm).max() > 0.1


def test_groups_are_in_order(captures: dict[str, Capture]) -> None:
    chosen = dict.fromkeys(["s0-2", "s0-1", "s0-0"])
    groups = groups_of(captures, chosen)  # type: ignore[arg-type]
    assert groups == {("s0", "smile"): ["s0-2"], ("s0", "neutral"): ["s0-1", "s0-0"]}


def test_a_group_that_cannot_be_fused_keeps_its_registrations(
    model: FaceModel, captures: dict[str, Capture], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*arguments: object) -> object:
        raise CaptureError("registration_failed", "made up")

    monkeypatch.setattr("fg3d_builder.pipeline.groups.fuse", failing)
    found = registered(model, captures)
    assert [r.fusion.captures if r.fusion else 0 for r in found.values()] == [1, 1, 1, 1]


def test_a_capture_that_fails_does_not_lose_its_group(
    model: FaceModel, captures: dict[str, Capture]
) -> None:
    third = toy_capture(model, 0, 3, still=True)
    blind = np.full_like(third.depth_mm, np.nan)
    blind[:9] = 800.0
    broken = dataclasses.replace(third, depth_mm=blind)
    found = registered(model, {**captures, "s0-3": broken})
    assert "s0-3" not in found
    assert found["s0-0"].fusion is not None
    assert found["s0-0"].fusion.captures == 2
