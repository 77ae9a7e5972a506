"""What processes are forked with: it is not made again."""

from __future__ import annotations

import numpy as np
import pytest

from fg3d_builder.config import BuildConfig
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.fitting.landmark_fit import solved_landmarks
from fg3d_builder.pipeline.preloading import (
    preload_fits,
    preload_registrations,
    preload_transforms,
)
from fg3d_builder.pipeline.view_samples import projected_landmarks
from fg3d_builder.records import Pose
from fg3d_builder.registration.membrane import shared_pattern
from fg3d_builder.transform.target_shape import TargetShapes

CONFIG = BuildConfig()
SOLVER = CONFIG.registration.solver


def forbid(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Let functions of the package fail."""

    def made_again(*_: object, **__: object) -> None:
        raise AssertionError("made again")

    for name in names:
        monkeypatch.setattr(f"fg3d_builder.{name}", made_again)


def test_rows_of_landmarks_are_there(toy_model: FaceModel, monkeypatch: pytest.MonkeyPatch) -> None:
    preload_fits(toy_model, CONFIG)
    forbid(monkeypatch, "fitting.landmark_fit.embedded_rows")
    camera = np.array([[500.0, 0, 160], [0, 500, 120], [0, 0, 1]])
    pose = Pose(1.0, np.diag([1.0, -1.0, -1.0]), np.array([10.0, 5.0, 700.0]))
    for scheme in toy_model.embeddings:
        points = projected_landmarks(toy_model, scheme, pose.cam_from_obj(toy_model.mean), camera)
        fitted = solved_landmarks(toy_model, points, camera, CONFIG.fit)
        assert fitted.landmark_error_px < 0.1


def test_systems_of_registrations_are_analysed(
    toy_model: FaceModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    preload_registrations(toy_model, CONFIG)
    forbid(monkeypatch, "registration.membrane.analyze")
    assert len(shared_pattern(toy_model.triangles, toy_model.vertex_count, SOLVER).edges)


def test_parts_of_new_shapes_are_there(
    toy_model: FaceModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    preload_transforms(toy_model, CONFIG)
    forbid(
        monkeypatch, "transform.target_shape.PartBlender", "transform.target_shape.IdentityPrior"
    )
    TargetShapes(toy_model, SOLVER)
