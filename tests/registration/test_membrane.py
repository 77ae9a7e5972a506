"""The membrane's equations against dense algebra, and against the affine maps it stands for."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from toy_faces import Scene, bump, make_scene

from fg3d_builder.captures import open_source
from fg3d_builder.config import (
    FaceModelConfig,
    FitConfig,
    RegistrationConfig,
    SensorConfig,
    SourceConfig,
)
from fg3d_builder.errors import ConfigError
from fg3d_builder.facemodel.model import Embedding, FaceModel
from fg3d_builder.geometry.camera import px_from_cam
from fg3d_builder.heads.library import get_model
from fg3d_builder.pipeline.register import fit_face, register_face
from fg3d_builder.records import Array, Landmarks, Registration
from fg3d_builder.registration.deformation import LENGTH_MM, Targets
from fg3d_builder.registration.membrane import Membrane, shared_pattern
from fg3d_builder.registration.register import register
from fg3d_builder.rendering.depth_surface import DepthSurface

TRIANGLES = np.array([[0, 1, 2], [1, 3, 2], [2, 3, 4], [3, 5, 4]], dtype=np.int32)
POINTS = Embedding(
    np.arange(3, dtype=np.int32),
    np.array([0, 2, 3], dtype=np.int32),
    np.array([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0], [0.1, 0.1, 0.8]]),
)


def vertices(seed: int) -> Array:
    return 60.0 * np.random.default_rng(seed).normal(size=(6, 3))


def dense_minimum(
    template: Array, edges: Array, stiffness: Array, targets: Targets
) -> tuple[Array, Array]:
    """Least squares over (t, A) row by row; returns the minimiser and its displacements."""
    n = len(template)
    x = (template - template.mean(axis=0)) / LENGTH_MM
    displaced = np.concatenate([np.eye(n), x], axis=1)
    rows, sides = [], []
    for (low, high), s in zip(edges, stiffness, strict=True):
        row = np.zeros(n + 3)
        row[low], row[high] = s, -s
        rows.append(row)
        sides.append(np.zeros(targets.pulls_mm.shape[1]))
    for i, weight in enumerate(targets.weights):
        rows.append(np.sqrt(weight) * displaced[i])
        sides.append(targets.pulls_mm[i] / np.sqrt(weight))
    if targets.point_weights is not None and targets.point_offsets_mm is not None:
        for p, weight in enumerate(targets.point_weights):
            corners = TRIANGLES[POINTS.triangle[p]]
            rows.append(np.sqrt(weight) * POINTS.barycentric[p] @ displaced[corners])
            sides.append(np.sqrt(weight) * targets.point_offsets_mm[p])
    solution = np.linalg.lstsq(np.array(rows), np.array(sides), rcond=None)[0]
    return solution, displaced @ solution


@pytest.mark.parametrize("solver", ["cholmod", "superlu"])
@pytest.mark.parametrize("with_points", [True, False])
def test_solution_is_the_least_squares_minimum(with_points: bool, solver: str) -> None:
    rng = np.random.default_rng(3)
    template = vertices(0)
    membrane = Membrane(template, TRIANGLES, POINTS, solver)
    stiffness = rng.uniform(0.5, 2.0, len(membrane.edges))
    targets = Targets(rng.uniform(0.1, 1.0, 6), rng.normal(size=(6, 2)))
    if with_points:
        targets = targets._replace(
            point_weights=rng.uniform(1, 5, 3), point_offsets_mm=rng.normal(size=(3, 2))
        )
    expected, displaced = dense_minimum(template, membrane.edges, stiffness, targets)
    got = membrane.solve(stiffness, targets)
    np.testing.assert_allclose(membrane.offsets_mm(got), displaced, atol=1e-6)
    np.testing.assert_allclose(got, expected, atol=1e-4)


def test_affine_motion_costs_nothing_and_is_reproduced() -> None:
    rng = np.random.default_rng(1)
    template = vertices(1)
    membrane = Membrane(template, TRIANGLES, POINTS, "cholmod")
    wanted = template @ rng.normal(size=(3, 3)) + rng.normal(size=3)
    stiffness = np.full(len(membrane.edges), 100.0)
    got = membrane.solve(stiffness, Targets(np.full(6, 0.5), 0.5 * wanted))
    np.testing.assert_allclose(membrane.offsets_mm(got), wanted, atol=1e-4)
    assert membrane.stiffness_energy(got, stiffness) < 1e-6


def test_one_analysis_serves_every_template_of_a_topology() -> None:
    first = shared_pattern(TRIANGLES, 6, "cholmod")
    assert shared_pattern(TRIANGLES.copy(), 6, "cholmod") is first
    assert shared_pattern(TRIANGLES[:, ::-1].copy(), 6, "cholmod") is not first


def with_method(model: FaceModel, scene: Scene, method: str) -> Registration:
    config = dataclasses.replace(RegistrationConfig(), method=method)
    return register(model, scene.capture, scene.landmarks, scene.coarse, config)


@pytest.mark.parametrize("yaw", [0.0, 30.0])
def test_membrane_agrees_with_affine_maps(model: FaceModel, yaw: float) -> None:
    """0.15 mm apart on the visible face, mean, where both move the template by millimetres."""
    relief = 4.0 * bump(model.mean, (25, 0), 22) - 3.0 * bump(model.mean, (-20, -30), 18)
    shape = model.mean + relief[:, None] * [0.1, 0.0, 1.0]
    scene = make_scene(model, shape, yaw=yaw, noise_mm=0.3, shift_mm=(0.4, -0.4, 1.5))
    fast, reference = (with_method(model, scene, m) for m in ("membrane", "affine"))
    seen = reference.visible & model.reliable
    apart = np.linalg.norm(fast.vertices_cam_mm - reference.vertices_cam_mm, axis=1)[seen]
    start = scene.coarse.pose.cam_from_obj(model.mean)
    moved = np.linalg.norm(reference.vertices_cam_mm - start, axis=1)[seen]
    assert moved.mean() > 1.2
    assert apart.mean() < 0.15
    errors = [
        np.linalg.norm(r.vertices_cam_mm - scene.truth_cam_mm, axis=1)[seen].mean()
        for r in (fast, reference)
    ]
    assert errors[0] < 1.05 * errors[1]


def test_membrane_agrees_with_affine_maps_on_the_default_model() -> None:
    """A noisy synthetic capture: 0.15 mm apart on the visible face, and as near the truth."""
    model = get_model(FaceModelConfig())
    sensor = SensorConfig(kind="structured_light", seed=3)
    source = open_source(SourceConfig(subjects=1, captures_per_subject=1, seed=51, sensor=sensor))
    capture = source.load(source.entries()[0])
    truth = capture.truth
    assert truth is not None
    embedding = model.embeddings["mediapipe478"]
    px = np.zeros((int(embedding.point_index.max()) + 1, 2))
    on_face = px_from_cam(
        embedding.points(truth.vertices_cam_mm, model.triangles), capture.intrinsics
    )
    px[embedding.point_index] = on_face + np.random.default_rng(0).normal(0, 1.5, on_face.shape)
    confidence = np.zeros(len(px))
    confidence[embedding.point_index] = 1.0
    landmarks = Landmarks("mediapipe478", px, confidence, "truth")
    surface = DepthSurface.from_depth(capture.depth_mm, capture.intrinsics)
    coarse = fit_face(model, capture, landmarks, FitConfig(), surface)
    fast, reference = (
        register_face(model, capture, landmarks, coarse, RegistrationConfig(method=method), surface)
        for method in ("membrane", "affine")
    )
    seen = truth.visible & model.reliable
    apart = np.linalg.norm(fast.vertices_cam_mm - reference.vertices_cam_mm, axis=1)[seen]
    assert apart.mean() < 0.15
    errors = [
        np.linalg.norm(r.vertices_cam_mm - truth.vertices_cam_mm, axis=1)[seen].mean()
        for r in (fast, reference)
    ]
    assert errors[0] < 1.02 * errors[1]


def test_unknown_method_is_named(model: FaceModel) -> None:
    with pytest.raises(ConfigError, match="'spline'"):
        with_method(model, make_scene(model, model.mean), "spline")
