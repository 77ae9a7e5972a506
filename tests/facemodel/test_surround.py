"""The head beyond the face: mesh, symmetry, skirt, statistics, storage."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from head_views import torn_and_hidden
from scipy.sparse.csgraph import connected_components

from fg3d_builder.facemodel.model import FaceModel, check_model
from fg3d_builder.facemodel.patches import border_loops
from fg3d_builder.facemodel.storage import load_model, save_model
from fg3d_builder.facemodel.surround import Surround
from fg3d_builder.geometry.closest_points import ScanSurface
from fg3d_builder.geometry.meshes import (
    directed_edges,
    triangle_areas,
    triangle_normals,
    undirected_edges,
    vertex_adjacency,
)
from fg3d_builder.heads.population import HeadPopulation

FLIP = np.array([-1.0, 1.0, 1.0])


@pytest.fixture(scope="module")
def surround(default: FaceModel) -> Surround:
    assert default.surround is not None
    return default.surround


def test_is_one_light_mesh_that_is_closed_above_the_cut(surround: Surround) -> None:
    assert 4_000 < surround.vertex_count <= 6_000
    t = surround.triangles
    assert len(np.unique(t)) == surround.vertex_count
    directed = directed_edges(t)
    assert len(np.unique(directed, axis=0)) == len(directed)
    adjacency = vertex_adjacency(t, surround.vertex_count)
    assert connected_components(adjacency, directed=False)[0] == 1
    assert triangle_areas(surround.mean, t).min() > 1e-3
    # Inner end of the skirt, cut body, two cut arms; a ball with four holes.
    loops = border_loops(t)
    skirt_end = [loop for loop in loops if np.all(np.isin(loop, surround.skirt))]
    assert len(loops) == 4
    assert len(skirt_end) == 1
    cuts = [loop for loop in loops if loop is not skirt_end[0]]
    assert all(surround.mean[loop, 1].max() < -150 for loop in cuts)
    euler = surround.vertex_count - len(undirected_edges(t)) + len(t)
    assert euler == 2 - 4


def test_is_a_head_in_the_object_frame(surround: Surround) -> None:
    low, high = surround.mean.min(axis=0), surround.mean.max(axis=0)
    assert 125 < high[1] < 165  # crown
    assert -150 < low[2] < -90  # back of the head or of the shoulders
    ears = surround.mean[surround.ear > 0.5]
    assert len(ears) > 400
    assert 75 < ears[:, 0].max() < 100
    assert 45 < np.ptp(ears[:, 1]) < 75
    # Outwards: away from the axis of the head.
    upper = np.all(surround.mean[surround.triangles, 1] > 30, axis=1)
    centre = surround.mean[surround.triangles[upper]].mean(axis=1)
    normals = triangle_normals(surround.mean, surround.triangles[upper])
    assert np.mean(np.einsum("ij,ij->i", normals, centre - [0, 30, -10]) > 0) > 0.97


def test_every_part_is_its_own_mirror_image(default: FaceModel, surround: Surround) -> None:
    mirror = surround.mirror
    assert np.abs(surround.mean[mirror] * FLIP - surround.mean).max() < 1e-6
    for name in ("ear", "scalp", "neck"):
        field = getattr(surround, name)
        assert np.array_equal(field[mirror], field)
    mirrored = np.sort(mirror[surround.triangles], axis=1)
    own = np.sort(surround.triangles, axis=1)
    assert set(map(tuple, mirrored.tolist())) == set(map(tuple, own.tolist()))
    for k in range(surround.id_basis.shape[2]):
        column = surround.id_basis[:, :, k]
        image = column[mirror] * FLIP
        error = min(np.abs(image - column).max(), np.abs(image + column).max())
        assert error * default.id_sd[k] < 1e-6


def test_skirt_is_tucked_under_the_face(default: FaceModel, surround: Surround) -> None:
    border = border_loops(default.triangles)[0]
    ring = surround.skirt_depth_mm == 0
    corners = default.triangles[surround.skirt_triangle]
    vertex = corners[np.arange(len(corners)), surround.skirt_barycentric.argmax(axis=1)]
    assert set(vertex[ring]) == set(border.tolist())
    assert 2.0 < surround.skirt_depth_mm.max() < 4.0
    random = np.random.default_rng(1)
    for alpha in (0 * default.id_sd, *random.standard_normal((3, len(default.id_sd)))):
        face = default.shape(alpha * default.id_sd)
        tucked = surround.attached(face, default.triangles)
        assert np.allclose(tucked[ring], face[vertex[ring]], atol=1e-9)
        found = ScanSurface(face, default.triangles).closest(tucked)
        assert np.all(found.distance_mm <= surround.skirt_depth_mm + 1e-6)
        assert np.all(found.distance_mm >= 0.9 * surround.skirt_depth_mm - 0.02)
        # The linear prediction is where the skirt belongs, but for turning normals.
        predicted = surround.shape(alpha * default.id_sd)[surround.skirt]
        assert np.abs(predicted[ring] - face[vertex[ring]]).max() < 0.01
        assert np.linalg.norm(predicted - tucked, axis=1).max() < 0.6


def test_renders_without_a_crack_and_hides_nothing_of_the_face(default: FaceModel) -> None:
    random = np.random.default_rng(2)
    for alpha in (0 * default.id_sd, *random.standard_normal((2, len(default.id_sd)))):
        torn, hidden = torn_and_hidden(default, alpha * default.id_sd)
        assert torn == 0
        assert hidden < 1e-4


def test_attached_follows_any_rigid_frame(default: FaceModel, surround: Surround) -> None:
    turn, shift = np.diag([1.0, -1.0, -1.0]), np.array([10.0, -20.0, 700.0])
    moved = surround.attached(default.mean @ turn.T + shift, default.triangles)
    still = surround.attached(default.mean, default.triangles)
    assert np.allclose(moved, still @ turn.T + shift, atol=1e-8)


def test_predicts_the_heads_of_people_it_has_not_seen(
    default: FaceModel, surround: Surround, population: HeadPopulation
) -> None:
    basis = default.id_basis.reshape(-1, len(default.id_sd))
    source = population.head.context_triangles
    plain, predicted, ears = [], [], []
    for seed in range(700, 724):
        _, face, context = population.neutral(seed)
        alpha = (face - default.mean).reshape(-1) @ basis
        truth = ScanSurface(context, source)
        free = np.setdiff1d(np.flatnonzero(surround.neck < 0.5), surround.skirt)
        plain.append(truth.closest(surround.mean[free]).distance_mm.mean())
        shape = surround.shape(alpha)
        predicted.append(truth.closest(shape[free]).distance_mm.mean())
        ears.append(truth.closest(shape[surround.ear > 0.5]).distance_mm.mean())
    print(f"mean {np.mean(plain):.2f} predicted {np.mean(predicted):.2f} ears {np.mean(ears):.2f}")
    assert np.all(np.array(predicted) < np.array(plain) + 0.1)
    assert np.mean(predicted) < 0.5 * np.mean(plain)
    assert np.mean(predicted) < 2.0


def test_regions_are_where_they_should_be(surround: Surround) -> None:
    x, y, z = surround.mean.T
    assert np.all(surround.scalp[(y > 90) & (z < 60)] > 0.95)  # crown
    back = (z < -60) & (np.abs(x) < 40)
    assert np.all(surround.scalp[back & (y > -25)] > 0.95)
    assert np.all(surround.scalp[(y < -70)] < 0.05)  # below the nape
    assert np.all(surround.scalp[surround.ear > 0.6] < 0.05)
    assert np.all(surround.neck[y < -150] > 0.99)
    assert np.all(surround.neck[surround.scalp > 0.9] < 0.05)
    assert np.all(surround.neck[surround.ear > 0.5] < 0.2)
    for name in ("ear", "scalp", "neck"):
        assert 0 < np.mean(getattr(surround, name)) < 0.7


def test_file_gives_back_what_was_saved(
    default: FaceModel, surround: Surround, tmp_path: Path
) -> None:
    save_model(default, tmp_path / "a.h5")
    again = load_model(tmp_path / "a.h5").surround
    assert again is not None
    for field in dataclasses.fields(Surround):
        assert np.array_equal(getattr(again, field.name), getattr(surround, field.name))
    save_model(dataclasses.replace(default, surround=None), tmp_path / "b.h5")
    assert load_model(tmp_path / "b.h5").surround is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("id_basis", np.zeros((5, 3, 2))),
        ("skirt_triangle", np.array([10**6])),
        ("scalp", np.array([2.0])),
        ("mirror", np.array([0])),
    ],
)
def test_contradictions_are_named(
    default: FaceModel, surround: Surround, name: str, value: np.ndarray
) -> None:
    broken = getattr(surround, name).copy()
    if broken.ndim == 1:
        broken[1] = value[0]
    else:
        broken = value
    wrong = dataclasses.replace(surround, **{name: broken})
    with pytest.raises(ValueError, match=rf"surround\.{name}"):
        check_model(dataclasses.replace(default, surround=wrong))
