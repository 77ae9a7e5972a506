"""`registration.solver` is the solver of every sparse system of a build, not of the ICP alone."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
from toy_build import build_model, toy_capture

from fg3d_builder.config import (
    BuildConfig,
    FullViewConfig,
    LandmarkConfig,
    RegistrationConfig,
    ShardConfig,
    StiffnessLevel,
)
from fg3d_builder.errors import MissingDependencyError
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.fullview.image_mesh import image_mesh
from fg3d_builder.layout import BuildLayout
from fg3d_builder.pipeline.augmentation import ChunkInput, PreparedCapture, make_transforms
from fg3d_builder.pipeline.augmentation_report import draw_transforms
from fg3d_builder.pipeline.stages import detect_landmarks, fit_coarse, register_all
from fg3d_builder.transform.donors import DONATED_PARTS, DonorFace
from fg3d_builder.transform.target_shape import TargetShapes
from fg3d_builder.transform.transformed import moved_mesh

LEVELS = (StiffnessLevel(50.0, 5.0, 2), StiffnessLevel(5.0, 2.0, 2))


def config_with(solver: str) -> BuildConfig:
    return BuildConfig(
        landmarks=LandmarkConfig(detector="annotation"),
        registration=RegistrationConfig(levels=LEVELS, solver=solver),
        fullview=FullViewConfig(yaw_steps_deg=(30.0,), pitch_steps_deg=()),
        shards=ShardConfig(image_size=64),
    )


@pytest.fixture(scope="module")
def model() -> FaceModel:
    return build_model()


@pytest.fixture
def without_cholmod(monkeypatch: pytest.MonkeyPatch) -> None:
    """Importing scikit-sparse fails, as where it is not installed."""
    monkeypatch.setitem(sys.modules, "sksparse", None)


def chunk_of(model: FaceModel, config: BuildConfig) -> ChunkInput:
    captures = {f"s{i}-0": toy_capture(model, i, 0) for i in range(2)}
    landmarks = detect_landmarks(captures, config.landmarks).records
    fits = fit_coarse(model, captures, landmarks, config.fit).records
    registered = register_all(model, captures, landmarks, fits, config.registration)
    assert not registered.failures
    return ChunkInput(captures, landmarks, fits, registered.records)


def donor_faces(chunk: ChunkInput) -> dict[str, DonorFace]:
    return {
        name: DonorFace(name, r.shape_obj_mm, r.alpha_exp, r.confidence)
        for name, r in chunk.registrations.items()
    }


def test_a_build_with_superlu_needs_no_cholmod(model: FaceModel, without_cholmod: None) -> None:
    config = config_with("superlu")
    chunk = chunk_of(model, config)
    draws = {"s0-0": [[dict.fromkeys(DONATED_PARTS, "s1-0")]]}
    made = make_transforms(model, chunk, draws, donor_faces(chunk), config)
    assert not made.failures
    captured = chunk.captures["s0-0"], chunk.registrations["s0-0"]
    prepared = PreparedCapture(model, *captured, config)
    sheet = draw_transforms(prepared, list(made.records.values()))
    assert sheet.std() > 1.0


def test_a_build_with_cholmod_uses_it_for_target_shapes(
    model: FaceModel, without_cholmod: None
) -> None:
    nothing = ChunkInput({}, {}, {}, {})
    with pytest.raises(MissingDependencyError, match="scikit-sparse"):
        make_transforms(model, nothing, {}, {}, config_with("cholmod"))


def test_both_solvers_give_the_same_shape_and_background(model: FaceModel) -> None:
    config = config_with("cholmod")
    chunk = chunk_of(model, config)
    host, donor = chunk.registrations["s0-0"], chunk.registrations["s1-0"]
    shapes, backgrounds = [], []
    mesh = image_mesh(model, chunk.captures["s0-0"], host, config.fullview)
    for solver in ("cholmod", "superlu"):
        target = TargetShapes(model, solver).make(host, dict.fromkeys(DONATED_PARTS, donor))
        assert target is not None
        shapes.append(target.shape_obj_mm)
        moved = moved_mesh(mesh, host.pose.cam_from_obj(shapes[0]), solver)
        assert moved is not None
        backgrounds.append(moved[1].source_px)
    assert np.abs(shapes[0] - host.shape_obj_mm).max() > 0.5
    np.testing.assert_allclose(shapes[1], shapes[0], atol=1e-7)
    np.testing.assert_allclose(backgrounds[1], backgrounds[0], atol=1e-7)


def test_the_transforms_identity_covers_the_solver(tmp_path: Path) -> None:
    first, second = (
        BuildLayout(tmp_path, config_with(solver), "model").stage_digest("transform")
        for solver in ("cholmod", "superlu")
    )
    assert first != second
    same = dataclasses.replace(config_with("cholmod"), name="other")
    assert BuildLayout(tmp_path, same, "model").stage_digest("transform") == first
