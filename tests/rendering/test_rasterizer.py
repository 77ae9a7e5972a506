"""The compiled rasteriser against the obvious one, and against geometry."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import trimesh
from hard_meshes import KINDS, kinds_and_seeds, scene
from hypothesis import given, settings
from hypothesis import strategies as st

from fg3d_builder.geometry.camera import cam_from_depth, intrinsics_matrix
from fg3d_builder.geometry.meshes import vertex_normals
from fg3d_builder.records import Array
from fg3d_builder.rendering.rasterizer import interpolate, rasterize, visible_vertices
from fg3d_builder.rendering.rasterizer_reference import rasterize_reference

INTRINSICS = intrinsics_matrix(60.0, 60.0, 23.5, 17.5)
HEIGHT, WIDTH = 36, 48


def soup(seed: int, count: int) -> tuple[Array, Array]:
    """Random triangles, some across the image's border, some behind the camera."""
    rng = np.random.default_rng(seed)
    centre = rng.uniform([-40, -30, -20], [40, 30, 150], size=(count, 1, 3))
    vertices = (centre + rng.normal(scale=12.0, size=(count, 3, 3))).reshape(-1, 3)
    return vertices, np.arange(3 * count).reshape(-1, 3)


def square_at(half_width: float, z: float) -> Array:
    """Corners of a square that faces the camera."""
    h = half_width
    return np.array([[-h, -h, z], [-h, h, z], [h, -h, z], [h, h, z]])


@settings(max_examples=25, deadline=None)
@given(kinds_and_seeds, st.booleans(), st.sampled_from([np.int32, np.int64, np.uint16]))
def test_equals_the_reference_to_the_bit(
    kind_and_seed: tuple[str, int], cull: bool, dtype: type
) -> None:
    hard = scene(*kind_and_seed)
    fast = rasterize(*hard._replace(triangles=hard.triangles.astype(dtype)), cull)
    with np.errstate(all="ignore"):
        slow = rasterize_reference(*hard, cull)
    for found, wanted in zip(fast, slow, strict=True):
        assert found.dtype == wanted.dtype
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("kind", list(KINDS))
def test_hard_scenes_are_seen_at_all(kind: str) -> None:
    assert sum((rasterize(*scene(kind, s), False).triangle >= 0).sum() for s in range(20)) > 100


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_shared_edges_are_covered_exactly_once(seed: int, on_pixels: bool) -> None:
    """Each triangle of a flat mesh rendered alone: pixel counts add up to one everywhere.

    With vertices on pixel centres every edge hits pixels, the case that leaves pinholes.
    """
    rng = np.random.default_rng(seed)
    x, y = np.meshgrid(np.linspace(4, 44, 7), np.linspace(3, 33, 6))
    px = np.stack([x.ravel(), y.ravel()], axis=1)
    px += rng.uniform(-1.4, 1.4, size=px.shape)
    px = np.rint(px) if on_pixels else px
    vertices = np.concatenate([(px - INTRINSICS[:2, 2]) / 60.0 * 100.0, np.full((42, 1), 100.0)], 1)
    n = np.arange(42).reshape(6, 7)
    a, b, c, d = n[:-1, :-1].ravel(), n[:-1, 1:].ravel(), n[1:, :-1].ravel(), n[1:, 1:].ravel()
    triangles = np.concatenate([np.stack([a, c, b], 1), np.stack([b, c, d], 1)])
    counts = np.zeros((HEIGHT, WIDTH), dtype=int)
    for triangle in triangles:
        alone = rasterize(vertices, triangle[None], INTRINSICS, HEIGHT, WIDTH, False)
        counts += alone.triangle >= 0
    assert counts[8:28, 10:38].min() == 1
    assert counts.max() == 1


def test_depth_of_a_slanted_plane_is_exact() -> None:
    vertices = np.array([[-90.0, -90, 150], [90, -90, 250], [0, 120, 200]])
    fragments = rasterize(vertices, np.array([[0, 1, 2]]), INTRINSICS, HEIGHT, WIDTH, False)
    seen = fragments.triangle >= 0
    assert seen.sum() > 300
    normal = np.cross(vertices[1] - vertices[0], vertices[2] - vertices[0])
    points = cam_from_depth(fragments.depth_mm.astype(np.float64), INTRINSICS)[seen]
    offset = (points - vertices[0]) @ (normal / np.linalg.norm(normal))
    # Corners are rounded to 1/256 pixel; at this distance that is 0.01 mm.
    assert np.abs(offset).max() < 0.02
    lifted = interpolate(fragments, np.array([[0, 1, 2]]), vertices)[seen]
    assert np.abs(lifted - points).max() < 0.02


def test_nearer_triangle_hides_the_farther() -> None:
    vertices = np.concatenate([square_at(50.0, 200.0), square_at(50.0, 120.0)])
    faces = np.array([[0, 1, 2], [2, 1, 3]])
    fragments = rasterize(vertices, np.concatenate([faces, faces + 4]), INTRINSICS, HEIGHT, WIDTH)
    assert set(np.unique(fragments.triangle)) <= {-1, 2, 3}
    np.testing.assert_allclose(np.nanmax(fragments.depth_mm), 120.0, rtol=1e-6)


def test_back_faces_are_culled_only_on_request() -> None:
    vertices = np.array([[-50.0, -50, 100], [-50, 50, 100], [50, -50, 100]])
    front, back = np.array([[0, 1, 2]]), np.array([[0, 2, 1]])
    assert (rasterize(vertices, front, INTRINSICS, HEIGHT, WIDTH).triangle >= 0).any()
    assert not (rasterize(vertices, back, INTRINSICS, HEIGHT, WIDTH).triangle >= 0).any()
    assert (rasterize(vertices, back, INTRINSICS, HEIGHT, WIDTH, False).triangle >= 0).any()


def test_visible_half_of_a_sphere() -> None:
    sphere = trimesh.creation.icosphere(subdivisions=4, radius=40.0)
    centre = np.array([0.0, 0.0, 400.0])
    vertices = sphere.vertices + centre
    camera = intrinsics_matrix(500.0, 500.0, 79.5, 79.5)
    normals = vertex_normals(vertices, sphere.faces)
    seen = visible_vertices(vertices, sphere.faces, normals, camera, 160, 160)
    rays = vertices / np.linalg.norm(vertices, axis=1, keepdims=True)
    cosine = np.einsum("nd,nd->n", sphere.vertices / 40.0, rays)
    # Steeper than 75 degrees, half a pixel is more depth than the tolerance: seen or not.
    assert seen[cosine < -0.26].all()
    assert not seen[cosine > 0.01].any()


def test_hidden_vertices_are_not_visible() -> None:
    vertices = np.concatenate([square_at(20.0, 200.0), square_at(50.0, 120.0)])
    faces = np.array([[0, 1, 2], [2, 1, 3]])
    triangles = np.concatenate([faces, faces + 4])
    camera = intrinsics_matrix(60.0, 60.0, 49.5, 49.5)
    normals = vertex_normals(vertices, triangles)
    seen = visible_vertices(vertices, triangles, normals, camera, 100, 100)
    assert seen.tolist() == [False] * 4 + [True] * 4


def test_vertices_outside_the_image_are_not_visible() -> None:
    vertices = np.array([[-500.0, -50, 100], [-500, 50, 100], [-400, -50, 100]])
    triangles = np.array([[0, 1, 2]])
    normals = vertex_normals(vertices, triangles)
    assert not visible_vertices(vertices, triangles, normals, INTRINSICS, HEIGHT, WIDTH).any()


@pytest.mark.parametrize("attribute", [1, 3])
def test_interpolation_reproduces_affine_attributes(attribute: int) -> None:
    vertices, triangles = soup(3, 12)
    fragments = rasterize(vertices, triangles, INTRINSICS, HEIGHT, WIDTH, False)
    matrix = np.random.default_rng(1).normal(size=(3, attribute))
    seen = fragments.triangle >= 0
    values = interpolate(fragments, triangles, vertices @ matrix)
    points = interpolate(fragments, triangles, vertices)
    np.testing.assert_allclose(values[seen], points[seen] @ matrix, atol=1e-9)
    assert not values[~seen].any()


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.uint8])
@pytest.mark.parametrize("channels", [1, 3, 9])
def test_interpolation_is_the_weighted_sum_of_the_corners(dtype: type, channels: int) -> None:
    hard = scene("smaller_than_pixels", 5)
    fragments = rasterize(*hard, False)
    values = np.random.default_rng(2).uniform(0, 200, (len(hard.vertices_cam_mm), channels))
    attributes = values.astype(dtype)
    found = interpolate(fragments, hard.triangles, attributes)
    assert found.dtype == np.float64
    for row, column in np.argwhere(fragments.triangle >= 0):
        corners = attributes[hard.triangles[fragments.triangle[row, column]]]
        exact = fragments.barycentric[row, column].astype(np.float64) @ corners.astype(np.float64)
        rtol = 1e-14 if dtype == np.float64 else 1e-6
        np.testing.assert_allclose(found[row, column], exact, rtol=rtol)
    assert not found[fragments.triangle < 0].any()
    half = interpolate(fragments, hard.triangles, attributes, np.float32)
    np.testing.assert_array_equal(half, found.astype(np.float32))


def test_indices_outside_the_mesh_are_refused() -> None:
    vertices = np.array([[-50.0, -50, 100], [-50, 50, 100], [50, -50, 100]])
    for wrong in ([0, 1, 3], [0, -1, 2]):
        with pytest.raises(IndexError, match="vertex that does not exist"):
            rasterize(vertices, np.array([wrong]), INTRINSICS, HEIGHT, WIDTH)
    fragments = rasterize(vertices, np.array([[0, 1, 2]]), INTRINSICS, HEIGHT, WIDTH)
    with pytest.raises(IndexError, match="vertex that does not exist"):
        interpolate(fragments, np.array([[0, 1, 2]]), vertices[:2])
    with pytest.raises(IndexError, match="triangle that does not exist"):
        interpolate(fragments, np.zeros((0, 3), dtype=np.int32), vertices)


def test_threads_render_side_by_side() -> None:
    hard = [scene(kind, 9) for kind in KINDS]
    alone = [rasterize(*one) for one in hard]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda one: rasterize(*one), hard * 5))
    for found, wanted in zip(together, alone * 5, strict=True):
        np.testing.assert_array_equal(found.triangle, wanted.triangle)
        np.testing.assert_array_equal(found.depth_mm, wanted.depth_mm)


def test_no_triangles_give_background() -> None:
    for vertices in (np.zeros((0, 3)), np.ones((4, 3))):
        empty = rasterize(vertices, np.zeros((0, 3), np.int32), INTRINSICS, HEIGHT, WIDTH)
        assert np.all(empty.triangle == -1)
        assert np.isnan(empty.depth_mm).all()
