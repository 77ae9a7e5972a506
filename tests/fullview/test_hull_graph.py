"""Smooth fields over a head's outside, against dense solutions and by their symmetry."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from head_scene import Look, head_scene

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.fullview.hull_graph import FIRM, REST, STIFFNESS, HullGraph, hull_graph
from fg3d_builder.geometry.meshes import vertex_normals


@pytest.fixture(scope="module")
def graph(default: FaceModel) -> HullGraph:
    made = hull_graph(default, "cholmod")
    assert made is not None
    return made


def mirrored(model: FaceModel, graph: HullGraph) -> np.ndarray:
    """The vertex (n + c,) on the other side of each."""
    from scipy.spatial import cKDTree

    face = cKDTree(model.mean).query(model.mean * [-1.0, 1.0, 1.0])[1]
    return np.concatenate([face, graph.surround.mirror + graph.n])


def test_nothing_moves_on_the_face(default: FaceModel, graph: HullGraph) -> None:
    assert graph.given.sum() == default.reliable.sum()
    rng = np.random.default_rng(0)
    count = len(graph.given)
    field = graph.near(rng.normal(size=count), np.ones(count), REST)
    np.testing.assert_array_equal(field[graph.given], 0.0)
    assert np.abs(field[~graph.given]).min() > 0
    np.testing.assert_array_equal(graph.grown(np.ones(count))[graph.given], 0.0)


def test_a_constant_stays_one(graph: HullGraph) -> None:
    count = len(graph.given)
    field = graph.near(np.full(count, 7.0), np.full(count, FIRM))
    np.testing.assert_allclose(field[~graph.given], 7.0, atol=0.05)
    shift = np.array([3.0, -4.0, 5.0])
    carried = graph.followed(np.tile(shift, (len(graph.surround.skirt), 1)))
    ends = np.linalg.norm(carried - shift, axis=1)
    assert ends[graph.surround.skirt].max() < 0.01
    # Far away the model's own shape holds a little.
    assert 0.0 < ends.max() < np.linalg.norm(shift)
    assert np.median(ends) < 0.5 * np.linalg.norm(shift)


def test_the_energy_is_least(graph: HullGraph) -> None:
    """Any other field has a larger sum of squares; it is quadratic, so one step tells."""
    rng = np.random.default_rng(3)
    count = len(graph.given)
    target, weight = rng.normal(size=count), (rng.uniform(size=count) < 0.1) * 2.0
    field = graph.near(target, weight, REST)
    tri = graph.triangles
    pairs = np.unique(np.sort(tri[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1), axis=0)
    corner = graph.triangles[graph.surround.skirt_triangle]
    tie = np.stack([np.repeat(graph.surround.skirt + graph.n, 3), corner.ravel()], axis=1)
    pairs = np.concatenate([pairs, tie[graph.surround.skirt_barycentric.ravel() > 0]])

    def slope(values: np.ndarray) -> np.ndarray:
        out = (weight * (values - target) + REST * values) * ~graph.given
        step = STIFFNESS * (values[pairs[:, 0]] - values[pairs[:, 1]])
        np.add.at(out, pairs[:, 0], step)
        np.add.at(out, pairs[:, 1], -step)
        return out * ~graph.given

    assert np.abs(slope(field)).max() < 1e-6 * np.abs(slope(np.zeros(count))).max()


def test_symmetric_data_make_symmetric_fields(default: FaceModel, graph: HullGraph) -> None:
    other = mirrored(default, graph)
    rng = np.random.default_rng(1)
    target, weight = rng.normal(size=(2, len(other)))
    target, weight = target + target[other], np.abs(weight + weight[other])
    field = graph.near(target, weight, REST)
    np.testing.assert_allclose(field[other], field, atol=1e-9)
    np.testing.assert_allclose(graph.scalp[other], graph.scalp, atol=1e-9)


def test_the_prior_of_hair_grows_from_none_on_the_face(
    default: FaceModel, graph: HullGraph
) -> None:
    surround = graph.surround
    np.testing.assert_allclose(graph.scalp[graph.n :], surround.scalp, atol=0.02)
    sheet = graph.scalp[: graph.n]
    assert sheet.max() > 0.1
    assert sheet.min() > -0.01
    assert sheet[default.mean[:, 1] < 0].max() < 0.3


def test_an_ear_is_closed_over_by_a_flat_cover(default: FaceModel, graph: HullGraph) -> None:
    surround = graph.surround
    hole = (surround.ear > 0.05) & (surround.mean[:, 0] > 0)
    closed = graph.closed_over(surround.mean, hole)
    np.testing.assert_allclose(closed[~hole], surround.mean[~hole], atol=0.05)
    assert surround.mean[hole, 0].max() - closed[hole, 0].max() > 8.0
    tri = surround.triangles[hole[surround.triangles].all(axis=1)]
    used = np.unique(tri)
    bend, before = (
        vertex_normals(v, surround.triangles)[used] @ [1.0, 0.0, 0.0]
        for v in (closed, surround.mean)
    )
    assert np.mean(before < 0.5) > 0.3
    assert np.mean(bend < 0.5) < 0.1


def test_steps_grow_to_their_full_size(graph: HullGraph) -> None:
    steps = np.zeros(len(graph.given))
    one = graph.n + int(np.argmax(graph.surround.scalp))
    steps[one] = 5.0
    grown = graph.grown(steps)
    assert grown[one] == 5.0
    assert (grown >= steps).all()
    assert (grown > 0).sum() > 20
    assert grown.max() == 5.0


def test_both_solvers_agree(default: FaceModel, graph: HullGraph) -> None:
    slow = hull_graph(default, "superlu")
    assert slow is not None
    rng = np.random.default_rng(2)
    target, weight = rng.normal(size=(2, len(graph.given)))
    fields = [g.near(target, np.abs(weight), REST) for g in (graph, slow)]
    np.testing.assert_allclose(*fields, atol=1e-9)


def test_a_model_keeps_its_graph_and_one_without_surround_has_none() -> None:
    model = head_scene(Look()).model
    assert hull_graph(model, "cholmod") is hull_graph(model, "cholmod")
    assert hull_graph(dataclasses.replace(model, surround=None), "cholmod") is None
