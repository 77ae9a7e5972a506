import itertools

import numpy as np
import pytest

from fg3d_builder.facemodel.model import check_model
from fg3d_builder.facemodel.patches import border_loops
from fg3d_builder.facemodel.surround import mirror_vertices
from fg3d_builder.geometry.meshes import signed_areas, triangle_normals, undirected_edges
from fg3d_builder.heads.default import symmetric_pca
from fg3d_builder.heads.library import default_model


def test_is_valid_and_of_useful_size(default):
    check_model(default)
    assert 8_000 <= default.vertex_count <= 20_000
    assert "CC0" in default.licence


def test_is_one_disk(default):
    triangles = default.triangles
    assert len(border_loops(triangles)) == 1
    assert len(np.unique(triangles)) == default.vertex_count
    euler = default.vertex_count - len(undirected_edges(triangles)) + len(triangles)
    assert euler == 1


def test_edges_are_manifold_and_oriented(default):
    t = default.triangles
    directed = np.concatenate([t[:, [0, 1]], t[:, [1, 2]], t[:, [2, 0]]])
    assert len(np.unique(directed, axis=0)) == len(directed)


def test_no_degenerate_triangles(default):
    area = np.linalg.norm(triangle_normals(default.mean, default.triangles), axis=1) / 2
    assert area.min() > 1e-4
    edges = undirected_edges(default.triangles)
    length = np.linalg.norm(default.mean[edges[:, 0]] - default.mean[edges[:, 1]], axis=1)
    assert 1.0 < np.median(length) < 3.5
    assert length.max() < 9


def test_faces_forward_in_its_frame(default):
    normals = triangle_normals(default.mean, default.triangles)
    assert normals[:, 2].sum() > 0
    marks = default.embeddings["ibug68"].points(default.mean, default.triangles)
    assert marks[45, 0] > 30  # the left eye has positive x
    assert marks[27, 1] > marks[8, 1] + 80  # the nasion is above the chin
    assert marks[30, 2] == pytest.approx(marks[:, 2].max(), abs=3)  # the nose is in front


def test_metric_size(default):
    marks = default.embeddings["ibug68"].points(default.mean, default.triangles)
    assert 84 < np.linalg.norm(marks[36] - marks[45]) < 98
    assert 29 < np.linalg.norm(marks[39] - marks[42]) < 42
    assert 125 < np.linalg.norm(marks[0] - marks[16]) < 150
    assert 42 < np.linalg.norm(marks[48] - marks[54]) < 58


def test_mean_is_symmetric(default):
    mirror = mirror_vertices(default.mean)
    error = default.mean[mirror] - default.mean * [-1, 1, 1]
    assert np.abs(error).max() < 0.01
    albedo = default.albedo_mean[mirror] - default.albedo_mean
    assert np.abs(albedo).max() < 0.01


def test_identity_basis_is_orthonormal_and_ordered(default):
    basis = default.id_basis.reshape(-1, default.id_basis.shape[2])
    assert np.allclose(basis.T @ basis, np.eye(basis.shape[1]), atol=2e-3)
    assert np.all(np.diff(default.id_sd) <= 1e-6)


def test_basis_spans_people_it_has_not_seen_but_not_their_relief(default, population):
    basis = default.id_basis.reshape(-1, default.id_basis.shape[2])
    smooth, bumpy, total, left = [], [], 0.0, 0.0
    for seed in range(700, 712):
        for shape, out in (
            (population.neutral(seed)[1], smooth),
            (population.subject(seed).neutral_obj_mm, bumpy),
        ):
            offset = (shape - default.mean).reshape(-1)
            rest = offset - basis @ (basis.T @ offset)
            out.append(np.linalg.norm(rest.reshape(-1, 3), axis=1).mean())
            if out is smooth:
                total += float(offset @ offset)
                left += float(rest @ rest)
    assert 1 - left / total > 0.97
    assert np.mean(smooth) < 0.6
    assert np.mean(bumpy) > np.mean(smooth) + 0.15
    assert np.mean(bumpy) < 1.5


def test_expressions_move_the_right_places_and_leave_the_border(default, population):
    names = default.exp_names
    assert len(names) == default.exp_basis.shape[2] == 42
    assert not [n for n in names if n.startswith("eyeLook") or n == "tongueOut"]
    marks = default.embeddings["ibug68"]
    jaw = np.zeros(len(names))
    jaw[names.index("jawOpen")] = 1
    closed = marks.points(default.mean, default.triangles)
    opened = marks.points(default.shape(None, jaw), default.triangles)
    assert 12 < closed[57, 1] - opened[57, 1] < 60  # the lower lip goes down
    assert np.linalg.norm(opened[27] - closed[27]) < 0.5  # the nasion stays
    border = border_loops(default.triangles)[0]
    assert np.abs(default.exp_basis[border]).max() < 1e-6
    blink = np.zeros(len(names))
    blink[names.index("eyeBlinkLeft")] = 1
    shut = marks.points(default.shape(None, blink), default.triangles)
    opening = closed[[43, 44], 1].mean() - closed[[46, 47], 1].mean()
    shut_opening = shut[[43, 44], 1].mean() - shut[[46, 47], 1].mean()
    assert shut_opening < 0.4 * opening
    assert np.allclose(shut[[36, 37, 40]], closed[[36, 37, 40]], atol=0.2)


def test_single_actions_have_no_spikes(default):
    edges = undirected_edges(default.triangles)
    length = np.linalg.norm(default.mean[edges[:, 0]] - default.mean[edges[:, 1]], axis=1)
    for e in range(default.exp_basis.shape[2]):
        shape = default.mean + default.exp_basis[:, :, e]
        assert np.linalg.norm(default.exp_basis[:, :, e], axis=1).max() < 50
        new = np.linalg.norm(shape[edges[:, 0]] - shape[edges[:, 1]], axis=1)
        # The seam between the lips stretches over an open mouth; skin does not.
        assert np.quantile(np.abs(new - length), 0.99) < 4.0


def test_chart_is_one_sheet_without_flips(default):
    area = signed_areas(default.uv[default.triangles])
    assert area.min() > 0
    assert default.uv.min() >= 0
    assert default.uv.max() <= 1
    assert area.sum() > 0.75  # a circle fills 0.785 of the square
    surface = np.linalg.norm(triangle_normals(default.mean, default.triangles), axis=1) / 2
    scale = (area / area.sum()) / (surface / surface.sum())
    assert np.quantile(scale, 0.02) > 0.4
    assert np.quantile(scale, 0.98) < 2.0


def test_regions_are_where_they_should_be(default, population):
    assert set(np.unique(default.parts)) == {0, 1, 2, 3, 4}
    assert 0.4 < default.reliable.mean() < 0.8
    assert 0.1 < default.rigid.mean() < 0.4
    assert not np.any(default.rigid & ~default.reliable)
    eyeballs = population.head.eye > 0
    assert not np.any(default.reliable & eyeballs)
    motion = np.sqrt(((default.exp_basis * default.exp_sd) ** 2).sum(axis=(1, 2)))
    assert motion[default.rigid].mean() < 0.3 * motion[default.reliable].mean()
    marks = default.embeddings["ibug68"].points(default.mean, default.triangles)
    for part, points in ((1, marks[36:48]), (2, marks[29:31]), (3, marks[48:60])):
        for point in points:
            nearest = np.argmin(np.linalg.norm(default.mean - point, axis=1))
            assert default.parts[nearest] == part


def test_contour_lines_run_outwards(default):
    assert 15 <= len(default.contour_lines) <= 17
    edges = {tuple(e) for e in undirected_edges(default.triangles).tolist()}
    for line in default.contour_lines:
        assert all(tuple(sorted(p)) in edges for p in itertools.pairwise(line))
        start, end = default.mean[line[0]], default.mean[line[-1]]
        assert end[2] < start[2] - 5  # towards the side of the head or under the chin


def test_landmark_embeddings_are_symmetric_and_complete(default):
    ibug = default.embeddings["ibug68"]
    assert np.array_equal(ibug.point_index, np.arange(68))
    assert len(default.embeddings["mediapipe478"].point_index) > 350
    marks = ibug.points(default.mean, default.triangles)
    mirror = [*range(16, -1, -1), *range(26, 16, -1)]
    error = marks[mirror] * [-1, 1, 1] - marks[:27]
    assert np.linalg.norm(error, axis=1).max() < 4.0


def test_albedo_is_a_reflectance(default):
    assert default.albedo_mean.min() > 0
    assert default.albedo_mean.max() < 1
    marks = default.embeddings["ibug68"].points(default.mean, default.triangles)

    def colour(point):
        return default.albedo_mean[np.argmin(np.linalg.norm(default.mean - point, axis=1))]

    cheek = colour((marks[46] + marks[54]) / 2 + [10, 0, 0])
    around = np.linalg.norm(default.mean - marks[24], axis=1) < 6
    brow = default.albedo_mean[around].min(axis=0)
    lip = colour((marks[57] + marks[66]) / 2)
    assert brow.sum() < 0.75 * cheek.sum()
    assert lip[0] / lip[1] > 1.15 * cheek[0] / cheek[1]


def test_symmetric_pca_matches_plain_pca():
    random = np.random.default_rng(0)
    mirror = np.array([1, 0, 3, 2, 4])
    samples = random.normal(size=(12, 5, 3)) * [3, 2, 1]
    mean, basis, sd = symmetric_pca(iter(samples), 12, mirror, 40)
    both = np.concatenate([samples, samples[:, mirror] * [-1, 1, 1]]).reshape(24, -1)
    centred = both - both.mean(axis=0)
    expected = np.sqrt(np.linalg.eigvalsh(centred.T @ centred / 24))[::-1]
    assert np.allclose(mean.reshape(-1), both.mean(axis=0), atol=1e-6)
    assert np.allclose(sd, expected[: len(sd)], rtol=1e-4)
    flat = basis.reshape(15, -1)
    assert np.allclose(flat.T @ flat, np.eye(len(sd)), atol=1e-4)


@pytest.mark.slow
def test_building_twice_gives_the_same_bits(default, tmp_path):
    again = default_model(tmp_path)
    for name in ("mean", "id_basis", "id_sd", "exp_basis", "albedo_basis", "uv", "rigid"):
        assert np.array_equal(getattr(again, name), getattr(default, name)), name
    for scheme, embedding in default.embeddings.items():
        assert np.array_equal(again.embeddings[scheme].triangle, embedding.triangle)
        assert np.array_equal(again.embeddings[scheme].barycentric, embedding.barycentric)
