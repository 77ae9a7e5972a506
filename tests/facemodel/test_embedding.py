"""Embeddings by detection on renderings: geometry by itself, then the whole on ICT-FaceKit."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from fg3d_builder.facemodel.embedding import (
    mediapipe_embedding,
    robust_mean,
    with_embeddings,
)
from fg3d_builder.facemodel.ict import import_ict
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.facemodel.showing import Scene, nearest_on_surface, trace_back
from fg3d_builder.geometry.camera import intrinsics_matrix, px_from_cam
from fg3d_builder.geometry.meshes import surface_points, vertex_normals
from fg3d_builder.geometry.pose import rotation_from_angles
from fg3d_builder.landmarks.edges import (
    MEDIAPIPE,
    MEDIAPIPE_CURVES,
    MEDIAPIPE_OF_IBUG,
    mediapipe_mirror,
)
from fg3d_builder.landmarks.mediapipe_detector import MediaPipeDetector
from fg3d_builder.records import Array
from fg3d_builder.rendering.rasterizer import interpolate, rasterize
from fg3d_builder.rendering.shading import srgb_from_linear

CAMERA = intrinsics_matrix(900.0, 900.0, 199.5, 199.5)


def bumpy_sheet() -> tuple[Array, Array]:
    """A sheet of 40 by 40 vertices, 200 mm wide, facing +z."""
    x, y = np.meshgrid(np.linspace(-100, 100, 40), np.linspace(-100, 100, 40))
    z = 12 * np.sin(x / 30) * np.cos(y / 25)
    number = np.arange(1600).reshape(40, 40)
    a, b, c, d = number[:-1, :-1], number[:-1, 1:], number[1:, 1:], number[1:, :-1]
    triangles = np.concatenate(
        [np.stack([a, b, c], axis=-1).reshape(-1, 3), np.stack([a, c, d], axis=-1).reshape(-1, 3)]
    )
    return np.column_stack([x.ravel(), y.ravel(), z.ravel()]), triangles.astype(np.int32)


def posed(vertices: Array, yaw_deg: float) -> Array:
    return np.asarray(vertices @ rotation_from_angles(0, yaw_deg, 0).T + [0.0, 0.0, 600.0])


def test_scenes_share_a_detector_that_forgets_what_it_saw(default: FaceModel) -> None:
    """One for each stayed in memory for good; what it saw before does not count."""
    albedo = default.albedo()

    def seen(scene: Scene, shape: Array) -> Array:
        scene.frame(shape, albedo)
        spots = scene.show(shape, albedo, 0, (0.0, 0.0), 0)
        assert spots is not None
        return scene.on_shape(spots, shape)

    one, other = (Scene(name, default.triangles) for name in ("one", "other"))
    assert one.detector is other.detector
    first = seen(one, default.mean)
    seen(other, default.shape(2.0 * default.id_sd))
    assert np.array_equal(seen(one, default.mean), first, equal_nan=True)


@pytest.mark.parametrize("yaw_deg", [0.0, 20.0])
def test_tracing_back_undoes_projection(yaw_deg: float) -> None:
    vertices, triangles = bumpy_sheet()
    random = np.random.default_rng(0)
    vertices_cam = posed(vertices, yaw_deg)
    fragments = rasterize(vertices_cam, triangles, CAMERA, 400, 400)
    pixels = random.uniform(110, 290, (300, 2))
    spots = trace_back(pixels, fragments, vertices_cam, triangles, CAMERA)
    points = surface_points(vertices_cam, triangles, spots.triangle, spots.barycentric)
    assert np.abs(px_from_cam(points, CAMERA) - pixels).max() < 1e-6
    # Known surface points come back to within a fraction of a pixel (0.7 mm).
    index = random.integers(0, len(triangles), 400)
    weights = random.dirichlet([1, 1, 1], 400)
    true = surface_points(vertices_cam, triangles, index, weights)
    seen = px_from_cam(true, CAMERA)
    facing = vertex_normals(vertices_cam, triangles)[triangles[index, 0], 2] < -0.5
    # Beside the border, the nearest pixel may show the background.
    inner = np.abs(vertices[triangles[index], :2]).max(axis=(1, 2)) < 98
    shown = facing & inner & np.all((seen > 5) & (seen < 394), axis=1)
    found = trace_back(seen[shown], fragments, vertices_cam, triangles, CAMERA)
    back = surface_points(vertices_cam, triangles, found.triangle, found.barycentric)
    assert np.linalg.norm(back - true[shown], axis=1).max() < 0.25


def test_tracing_back_beside_the_sheet_is_nan() -> None:
    vertices, triangles = bumpy_sheet()
    vertices_cam = posed(vertices, 0.0)
    around = np.vstack([triangles, triangles + len(vertices)])
    both = np.vstack([vertices_cam, vertices_cam * [0.3, 0.3, 0.9]])  # hides the middle
    fragments = rasterize(both, around, CAMERA, 400, 400)
    pixels = np.array([[2.0, 2.0], [199.0, 199.0], [-50.0, 4.0], [100.0, 280.0]])
    spots = trace_back(pixels, fragments, vertices_cam, triangles, CAMERA)
    assert np.isnan(spots.barycentric).all(axis=1).tolist() == [True, True, True, False]


def test_robust_mean_ignores_strays() -> None:
    random = np.random.default_rng(0)
    places = np.array([10.0, 20.0, 30.0]) + 0.2 * random.standard_normal((30, 3, 3))
    places[:6, 0] += 40.0
    places[:16, 1] = np.nan
    place, spread = robust_mean(places)
    assert np.abs(place[0] - [10, 20, 30]).max() < 0.15
    assert np.isinf(spread[1])
    assert 0.1 < spread[2] < 0.6


def test_nearest_keeps_to_allowed_triangles() -> None:
    vertices, triangles = bumpy_sheet()
    centres = vertices[triangles].mean(axis=1)
    allowed = centres[:, 0] < 0
    points = centres[::37] + np.array([0, 0, 1e-3])
    spots = nearest_on_surface(points, vertices, triangles, allowed)
    assert allowed[spots.triangle].all()
    near = surface_points(vertices, triangles, spots.triangle, spots.barycentric)
    left = points[:, 0] < -5
    assert np.abs(near - points)[left].max() < 2e-3
    assert spots.barycentric.min() >= 0


@pytest.fixture(scope="module")
def plain(shared_data: Path) -> FaceModel:
    return import_ict(shared_data / "ict_facekit")


@pytest.fixture(scope="module")
def embedded(plain: FaceModel) -> FaceModel:
    return with_embeddings(plain, subjects=3)


@pytest.mark.data
def test_embedding_is_where_the_68_landmarks_are(embedded: FaceModel) -> None:
    """ICT-FaceKit brings 68 landmarks placed by hand: an independent truth."""
    ours = embedded.embeddings[MEDIAPIPE]
    place = dict(
        zip(
            ours.point_index.tolist(),
            ours.points(embedded.mean, embedded.triangles),
            strict=True,
        )
    )
    truth = embedded.embeddings["ibug68"].points(embedded.mean, embedded.triangles)
    error = {
        i: np.linalg.norm(place[MEDIAPIPE_OF_IBUG[i]] - truth[i])
        for i in range(17, 68)
        if MEDIAPIPE_OF_IBUG[i] in place
    }
    corners = [error[i] for i in (36, 39, 42, 45, 48, 54)]
    assert max(corners) < 3.0
    assert np.mean([error[i] for i in range(36, 48)]) < 2.5
    assert np.mean([error[i] for i in (51, 57, 62, 66)]) < 1.5
    assert np.mean(list(error.values())) < 4.0


@pytest.mark.data
def test_embedding_covers_the_edges_and_is_symmetric(embedded: FaceModel) -> None:
    ours = embedded.embeddings[MEDIAPIPE]
    assert len(embedded.edge_points[MEDIAPIPE]) > 95
    assert len(ours.point_index) > 350
    points = ours.points(embedded.mean, embedded.triangles)
    mirror = mediapipe_mirror()
    at = {int(p): i for i, p in enumerate(ours.point_index)}
    pairs = [(at[p], at[int(mirror[p])]) for p in at if int(mirror[p]) in at]
    left, right = np.array(pairs).T
    asymmetry = np.linalg.norm(points[left] - points[right] * [-1, 1, 1], axis=1)
    # The mean of ICT-FaceKit is symmetric to the last digit.
    assert np.quantile(asymmetry, 0.95) < 0.1


@pytest.mark.data
def test_inner_lips_lie_on_their_own_lip(embedded: FaceModel) -> None:
    """When the mouth opens, the two inner edges part as the lips do."""
    gape = np.zeros(len(embedded.exp_names))
    gape[embedded.exp_names.index("jawOpen")] = 0.6
    ours = embedded.embeddings[MEDIAPIPE]
    points = ours.points(embedded.shape(None, gape), embedded.triangles)
    at = {int(p): i for i, p in enumerate(ours.point_index)}
    truth = embedded.embeddings["ibug68"].points(embedded.shape(None, gape), embedded.triangles)
    gap = truth[62, 1] - truth[66, 1]
    lower = MEDIAPIPE_CURVES["inner_lips"].points[2:9]
    upper = MEDIAPIPE_CURVES["inner_lips"].points[12:19][::-1]
    parted = [points[at[u], 1] - points[at[w], 1] for u, w in zip(upper, lower, strict=True)]
    assert min(parted) > 0.2 * gap
    assert parted[3] > 0.85 * gap


@pytest.mark.data
def test_detection_on_a_new_rendering_meets_the_embedding(embedded: FaceModel) -> None:
    """Render, detect, compare with the projected embedding: the loop that a fit relies on."""
    random = np.random.default_rng(11)
    shape = embedded.shape(0.6 * random.standard_normal(len(embedded.id_sd)))
    rotation = rotation_from_angles(4.0, 10.0, -3.0)
    vertices = (shape - shape[embedded.reliable].mean(axis=0)) @ rotation.T + [0.0, 0.0, 600.0]
    camera = intrinsics_matrix(1400.0, 1400.0, 319.5, 319.5)
    fragments = rasterize(vertices, embedded.triangles, camera, 640, 640)
    normals = vertex_normals(vertices, embedded.triangles)
    lit = embedded.albedo_mean * (0.4 - 0.8 * np.minimum(normals[:, 2:], 0))
    image = interpolate(fragments, embedded.triangles, lit)
    image[fragments.triangle < 0] = 0.2
    found = MediaPipeDetector().detect_image(srgb_from_linear(image))
    assert found is not None
    edges = embedded.embeddings[MEDIAPIPE].subset(embedded.edge_points[MEDIAPIPE])
    projected = px_from_cam(edges.points(vertices, embedded.triangles), camera)
    error_mm = (projected - found.points_px[edges.point_index]) * 600 / 1400
    assert np.median(np.linalg.norm(error_mm, axis=1)) < 2.0
    # No common shift: neither the pixel convention nor the embedding is off as a whole.
    assert np.abs(np.median(error_mm, axis=0)).max() < 0.8


@pytest.mark.data
def test_embedding_is_deterministic(plain: FaceModel) -> None:
    shapes, albedos = plain.mean[None], plain.albedo_mean[None]
    one, edges_one = mediapipe_embedding(plain, shapes, albedos)
    two, edges_two = mediapipe_embedding(plain, shapes, albedos)
    assert np.array_equal(one.triangle, two.triangle)
    assert np.array_equal(one.barycentric, two.barycentric)
    assert np.array_equal(edges_one, edges_two)


def faceless(plain: FaceModel) -> FaceModel:
    """The same sheet, flattened and without features."""
    flat = plain.mean * [1.0, 1.0, 0.0]
    return dataclasses.replace(
        plain, name="plate", mean=flat, embeddings={}, edge_points={},
        albedo_mean=np.full_like(plain.albedo_mean, 0.4),
    )  # fmt: skip


@pytest.mark.data
def test_a_model_without_a_face_says_what_to_do(plain: FaceModel) -> None:
    with pytest.raises(ValueError, match=r"'plate': no face is found.*store one in the model file"):
        with_embeddings(faceless(plain), subjects=0)


def test_points_are_found_in_the_order_that_they_are_asked_for(default: FaceModel) -> None:
    everywhere = default.embeddings["ibug68"]
    some = default.embedded("ibug68", [45, 36])
    assert some.point_index.tolist() == [45, 36]
    points = everywhere.points(default.mean, default.triangles)
    rows = [everywhere.point_index.tolist().index(number) for number in (45, 36)]
    np.testing.assert_array_equal(some.points(default.mean, default.triangles), points[rows])
    with pytest.raises(ValueError, match=r"no place for the points \[99\] of ibug68"):
        default.embedded("ibug68", [36, 99])
