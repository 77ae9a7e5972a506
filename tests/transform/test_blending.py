from __future__ import annotations

import numpy as np
import pytest
from toy_models import labelled, toy_model

from fg3d_builder.facemodel.model import PARTS, FaceModel
from fg3d_builder.geometry.meshes import vertex_areas
from fg3d_builder.records import Array
from fg3d_builder.transform.blending import HOLD_MM, PartBlender, cotangent_weights
from fg3d_builder.transform.donors import DONATED_PARTS


@pytest.fixture(scope="module")
def model() -> FaceModel:
    return labelled(toy_model())


@pytest.fixture(scope="module")
def blender(model: FaceModel) -> PartBlender:
    return PartBlender(model, "cholmod")


def face(model: FaceModel, seed: int) -> Array:
    rng = np.random.default_rng(seed)
    return model.shape(model.id_sd * rng.standard_normal(len(model.id_sd)))


def test_masks_are_a_partition(blender: PartBlender, model: FaceModel) -> None:
    total = sum(blender.masks.values())
    assert np.all(total <= 1 + 1e-9)
    for part, mask in blender.masks.items():
        inside = model.parts == PARTS.index(part)
        assert mask.min() >= 0
        assert mask[inside].mean() > 0.6
        assert mask[~inside].mean() < 0.06


def test_a_face_fused_with_itself_stays(blender: PartBlender, model: FaceModel) -> None:
    host = face(model, 1)
    fused = blender.blend(host, dict.fromkeys(DONATED_PARTS, host))
    assert np.allclose(fused, host, atol=1e-9)


def test_where_a_donor_stands_does_not_matter(blender: PartBlender, model: FaceModel) -> None:
    host, donor = face(model, 1), face(model, 2)
    near = blender.blend(host, {"nose": donor})
    far = blender.blend(host, {"nose": donor + np.array([7.0, -3.0, 2.0])})
    assert np.allclose(near, far, atol=1e-8)


def test_the_donors_form_arrives_and_the_rest_stays(blender: PartBlender, model: FaceModel) -> None:
    host = face(model, 1)
    bump = 6.0 * np.exp(-((model.mean[:, :2] / 9.0) ** 2).sum(axis=1)) * (model.mean[:, 2] > 0)
    donor = host + np.outer(bump, [0.0, 0.0, 1.0])
    moved = (blender.blend(host, {"nose": donor}) - host)[:, 2]
    far = (blender.masks["nose"] < 1e-3) & (bump < 1e-3)
    # A bump well inside the part keeps its height; its base may sink a little.
    assert moved.max() - np.median(moved[far]) == pytest.approx(bump.max(), rel=0.1)
    assert np.abs(moved[far]).max() < 0.5


def test_no_seam_between_parts_of_different_donors(blender: PartBlender, model: FaceModel) -> None:
    host = face(model, 1)
    shifted = {part: host + np.array([0.0, 0.0, 10.0 * i]) for i, part in enumerate(DONATED_PARTS)}
    fused = blender.blend(host, shifted)
    # Donors that differ by position alone have no gradient to give.
    assert np.allclose(fused, host, atol=1e-8)


def test_the_solution_is_the_minimum_of_its_energy(blender: PartBlender, model: FaceModel) -> None:
    host = face(model, 3)
    donors = {part: face(model, 4 + i) for i, part in enumerate(DONATED_PARTS)}

    edges, weights = cotangent_weights(model.mean, model.triangles)
    first, second = edges.T
    own = np.maximum(1.0 - sum(blender.masks.values()), 0.0)
    hold = vertex_areas(model.mean, model.triangles) * own**2 / HOLD_MM**2

    def energy(shape: Array) -> float:
        d = shape - host
        wanted = np.zeros((len(first), 3))
        for part, donor in donors.items():
            mask = 0.5 * (blender.masks[part][first] + blender.masks[part][second])
            moved = donor - host
            wanted += mask[:, None] * (moved[first] - moved[second])
        residual = d[first] - d[second] - wanted
        held = float((hold[:, None] * d**2).sum())
        return float((weights[:, None] * residual**2).sum()) + held

    fused = blender.blend(host, donors)
    lowest = energy(fused)
    rng = np.random.default_rng(0)
    for _ in range(5):
        assert energy(fused + 0.01 * rng.standard_normal(fused.shape)) > lowest


def test_cotangent_weights_measure_linear_functions_exactly() -> None:
    # The Dirichlet energy of x over a flat unit square is its area.
    grid = np.linspace(0, 1, 6)
    x, y = np.meshgrid(grid, grid)
    vertices = np.stack([x.ravel(), y.ravel(), np.zeros(36)], axis=1)
    quads = np.array([[i * 6 + j, i * 6 + j + 1] for i in range(5) for j in range(5)])
    lower = np.concatenate([quads, quads[:, 1:] + 6], axis=1)
    upper = np.stack([quads[:, 0], quads[:, 1] + 6, quads[:, 0] + 6], axis=1)
    edges, weights = cotangent_weights(vertices, np.concatenate([lower, upper]))
    for function in (vertices[:, 0], vertices[:, 1], vertices[:, 0] - 2 * vertices[:, 1]):
        gradient = np.ptp(function[[0, 5]]) ** 2 + np.ptp(function[[0, 30]]) ** 2
        energy = float(weights @ (function[edges[:, 0]] - function[edges[:, 1]]) ** 2)
        # Diagonals have the weight 0, raised to the least one.
        assert energy == pytest.approx(gradient, rel=3e-3)
