"""Two models' faces on each other: where the truth is known, and whichever is named first."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from fg3d_builder.config import FaceModelConfig
from fg3d_builder.facemodel.model import Embedding, FaceModel
from fg3d_builder.facemodel.model_pairs import Correspondence, correspondence
from fg3d_builder.facemodel.shape_export import ShapeExport
from fg3d_builder.geometry.meshes import vertex_normals
from fg3d_builder.heads.library import get_model
from fg3d_builder.records import Array


def numbered_anew(model: FaceModel, shape: Array, seed: int) -> tuple[FaceModel, Array]:
    """The model around another mean, its vertices in another order; and that order."""
    order = np.random.default_rng(seed).permutation(model.vertex_count)
    place = np.argsort(order)
    triangles = place[model.triangles].astype(np.int32)
    changed = dataclasses.replace(
        model,
        name="numbered anew",
        mean=shape[order],
        triangles=triangles,
        id_basis=model.id_basis[order],
        exp_basis=model.exp_basis[order],
        albedo_mean=model.albedo_mean[order],
        albedo_basis=model.albedo_basis[order],
        uv=model.uv[order],
        parts=model.parts[order],
        rigid=model.rigid[order],
        reliable=model.reliable[order],
        contour_lines=(),
        surround=None,
    )
    return changed, order


@pytest.fixture(scope="module")
def pair(default: FaceModel) -> tuple[FaceModel, FaceModel, Array, Correspondence]:
    """The embedded model and another person in another order of vertices."""
    alpha = default.id_sd * np.random.default_rng(3).standard_normal(len(default.id_sd))
    other, order = numbered_anew(default, default.shape(0.7 * alpha), seed=4)
    return default, other, order, correspondence(default, other)


def test_known_places_are_found(
    pair: tuple[FaceModel, FaceModel, Array, Correspondence],
) -> None:
    model, other, order, found = pair
    places = found.second_on_first
    at = places.on(model.mean, vertex_normals(model.mean, model.triangles))
    away = np.linalg.norm(at - model.mean[order], axis=1)
    reliable = other.reliable & places.there
    assert reliable.sum() > 0.99 * other.reliable.sum()
    # Two people's skin is told apart by landmarks and bending alone: it slides a little.
    assert np.median(away[reliable]) < 0.9
    assert np.percentile(away[reliable], 95) < 3.2


def test_the_order_of_two_models_does_not_matter(
    pair: tuple[FaceModel, FaceModel, Array, Correspondence],
) -> None:
    model, other, _, found = pair
    exchanged = correspondence(other, model)
    for one, same in zip(found, exchanged.swapped(), strict=True):
        np.testing.assert_array_equal(one.corners, same.corners)
        np.testing.assert_array_equal(one.barycentric, same.barycentric)


def test_models_without_common_landmarks_are_refused(default: FaceModel) -> None:
    few = Embedding(np.arange(3, dtype=np.int32), np.arange(3, dtype=np.int32), np.eye(3))
    other, _ = numbered_anew(default, default.mean, seed=1)
    bare = dataclasses.replace(other, name="bare", embeddings={"ibug68": few}, edge_points={})
    # Which of them is named first is as the pair is matched, by the size of their sheets.
    with pytest.raises(ValueError, match="have 3 landmarks in common, at least 20") as caught:
        correspondence(default, bare)
    assert "'bare'" in str(caught.value)
    assert f"'{default.name}'" in str(caught.value)


def test_models_of_one_topology_correspond_by_number(default: FaceModel) -> None:
    shape = default.shape(default.id_sd)
    again = ShapeExport(default, default)(shape)
    np.testing.assert_allclose(again, shape, atol=1e-9)


@pytest.mark.data
def test_shapes_come_back_from_ict_facekit(default: FaceModel, shared_data: Path) -> None:
    ict = get_model(FaceModelConfig("ict", str(shared_data / "ict_facekit")))
    pair = correspondence(default, ict)
    there, back = (
        ShapeExport(default, ict, pair=pair),
        ShapeExport(ict, default, pair=pair.swapped()),
    )
    random = np.random.default_rng(0)
    for number in range(4):
        alpha_id = default.id_sd * random.standard_normal(len(default.id_sd))
        alpha_exp = (number % 2) * default.exp_sd * random.standard_normal(len(default.exp_sd))
        shape = default.shape(alpha_id, np.clip(alpha_exp, default.exp_lower, default.exp_upper))
        away = np.linalg.norm(back(there(shape)) - shape, axis=1)[default.reliable]
        assert away.mean() < 0.07
        assert np.mean(away < 0.3) > 0.985
        assert away.max() < 1.5  # in the folds of the lids, which ICT-FaceKit has coarser
