from __future__ import annotations

import numpy as np
import pytest
from toy_models import toy_model

from fg3d_builder.evaluation import Correspondence, Places, interocular_mm, outer_eye_corners
from fg3d_builder.facemodel.model import Embedding

SQUARE = np.array([[0.0, 0, 0], [10, 0, 0], [10, 10, 0], [0, 10, 0]])
TRIANGLES = np.array([[0, 1, 2], [0, 2, 3]], dtype=np.int32)


def test_places_lie_at_vertices_and_between_them() -> None:
    at = Places.at_vertices(np.array([2, 0]), 4)
    np.testing.assert_array_equal(at.points(SQUARE), SQUARE[[2, 0]])
    np.testing.assert_array_equal(at.vertex_index, [2, 0])
    on = Places.on_triangles(TRIANGLES, np.array([1, 0]), [[0.5, 0.5, 0], [0.2, 0.3, 0.5]], 4)
    np.testing.assert_allclose(on.points(SQUARE), [[5, 5, 0], [8, 5, 0]], atol=1e-12)
    with pytest.raises(ValueError, match="between vertices"):
        _ = on.vertex_index


def test_vertices_that_no_place_needs_may_be_anything() -> None:
    vertices = SQUARE.copy()
    vertices[1] = np.nan
    places = Places.at_vertices(np.array([0, 2]), 4)
    np.testing.assert_array_equal(places.points(vertices), SQUARE[[0, 2]])
    with pytest.raises(ValueError, match="the scan: 1 of the points"):
        Places.at_vertices(np.array([0, 1]), 4).points(vertices, "the scan")


@pytest.mark.parametrize("shape", [(3, 3), (5, 3), (4, 2)])
def test_another_mesh_is_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"reconstruction: vertices of shape"):
        Places.at_vertices(np.array([0]), 4).points(np.zeros(shape), "reconstruction")


@pytest.mark.parametrize(
    "barycentric", [[[0.5, 0.6, 0.0]], [[1.2, -0.2, 0.0]], [[np.nan, 0.5, 0.5]]]
)
def test_what_is_no_place_is_refused(barycentric: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="barycentric"):
        Places.on_triangles(TRIANGLES, np.array([0]), barycentric, 4)


def test_vertices_beyond_the_mesh_are_refused() -> None:
    for index in (4, -1):
        with pytest.raises(ValueError, match="on a mesh of 4"):
            Places.at_vertices(np.array([index]), 4)
    with pytest.raises(ValueError, match="vertex numbers"):
        Places.at_vertices(np.array([True, False]), 4)


def test_correspondence_refuses_what_does_not_pair() -> None:
    two, three = Places.at_vertices(np.arange(2), 4), Places.at_vertices(np.arange(3), 4)
    with pytest.raises(ValueError, match="2 places on the reconstruction, 3 on the truth"):
        Correspondence.of(two, three)
    with pytest.raises(ValueError, match="empty"):
        Correspondence.same_topology(np.zeros(4, bool))
    with pytest.raises(ValueError, match="empty"):
        Correspondence.of(two, two, np.zeros(2))
    for weights in ([1.0, -1.0], [1.0, np.nan], [1.0, np.inf]):
        with pytest.raises(ValueError, match="finite and not negative"):
            Correspondence.of(two, two, np.array(weights))


def test_same_topology_pairs_the_members_with_weight_1() -> None:
    pairs = Correspondence.same_topology(np.array([True, False, True, True]))
    np.testing.assert_array_equal(pairs.source.vertex_index, [0, 2, 3])
    np.testing.assert_array_equal(pairs.target.vertex_index, [0, 2, 3])
    np.testing.assert_array_equal(pairs.weights, [1.0, 1.0, 1.0])


def test_interocular_distance_is_that_of_the_ibug_points_37_and_46() -> None:
    model = toy_model()
    rng = np.random.default_rng(5)
    shape = model.shape(model.id_sd * rng.normal(size=len(model.id_sd)))
    points = model.embeddings["ibug68"].points(shape, model.triangles)
    row = {int(p): i for i, p in enumerate(model.embeddings["ibug68"].point_index)}
    expected = np.linalg.norm(points[row[36]] - points[row[45]])
    assert interocular_mm(shape, outer_eye_corners(model)) == pytest.approx(expected, rel=1e-12)
    # The subject's right eye has the smaller x.
    right, left = outer_eye_corners(model).points(shape)
    assert right[0] < left[0]


def test_eye_corners_must_exist_and_differ() -> None:
    with pytest.raises(ValueError, match="coincide"):
        interocular_mm(SQUARE, Places.at_vertices(np.array([1, 1]), 4))
    with pytest.raises(ValueError, match="two eye corners"):
        interocular_mm(SQUARE, Places.at_vertices(np.array([1]), 4))
    broken = SQUARE.copy()
    broken[1] = np.inf
    with pytest.raises(ValueError, match="not finite"):
        interocular_mm(broken, Places.at_vertices(np.array([0, 1]), 4))
    model = toy_model()
    embedding = model.embeddings["ibug68"]
    without = embedding.subset(np.setdiff1d(embedding.point_index, [45]))
    model.embeddings["ibug68"] = without
    with pytest.raises(ValueError, match=r"no place for the points \[45\] of ibug68"):
        outer_eye_corners(model)
    del model.embeddings["ibug68"]
    with pytest.raises(ValueError, match=r"no place for the points \[36, 45\] of ibug68"):
        outer_eye_corners(model)


def test_places_agree_with_a_models_embedding() -> None:
    model = toy_model()
    embedding: Embedding = model.embeddings["ibug68"]
    places = Places.on_triangles(
        model.triangles, embedding.triangle, embedding.barycentric, model.vertex_count
    )
    expected = embedding.points(model.mean, model.triangles)
    np.testing.assert_allclose(places.points(model.mean), expected, atol=1e-12)
