"""The walk on the depth mesh against a search of all triangles."""

from __future__ import annotations

import numpy as np
import open3d as o3d
import pytest
from toy_faces import HEIGHT, INTRINSICS, WIDTH, make_scene

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.geometry.meshes import compact_triangles, vertex_normals
from fg3d_builder.records import Array
from fg3d_builder.registration.surface_search import SurfaceSearch
from fg3d_builder.rendering.depth_surface import DepthSurface


def mesh_of(surface: DepthSurface) -> tuple[Array, Array, Array]:
    """Points, triangles and pixels of the valid part of a surface."""
    column, row = surface.vertex_px.T
    kept = surface.triangles[surface.valid[row, column][surface.triangles].all(axis=1)]
    used, triangles = compact_triangles(kept, len(surface.vertex_px))
    return surface.fitted_cam_mm[row[used], column[used]], triangles, surface.vertex_px[used]


def exhaustive(points: Array, triangles: Array, queries: Array) -> Array:
    """Closest points by Embree, in single precision about a local origin."""
    origin = points.mean(axis=0)
    scene = o3d.t.geometry.RaycastingScene(nthreads=1)
    scene.add_triangles((points - origin).astype(np.float32), triangles.astype(np.uint32))
    answer = scene.compute_closest_points((queries - origin).astype(np.float32))
    return np.asarray(answer["points"].numpy() + origin)


@pytest.mark.parametrize("yaw", [0.0, 35.0])
def test_the_walk_finds_what_an_exhaustive_search_finds(model: FaceModel, yaw: float) -> None:
    """Points up to 8 mm off a noisy face: all but a few in a thousand, and those nearly."""
    scene = make_scene(model, model.mean, yaw=yaw, noise_mm=0.5)
    surface = DepthSurface.from_depth(scene.capture.depth_mm, INTRINSICS)
    points, triangles, pixels = mesh_of(surface)
    search = SurfaceSearch(points, triangles, pixels, INTRINSICS, HEIGHT, WIDTH)
    normals = vertex_normals(scene.truth_cam_mm, model.triangles)
    facing = np.einsum("nd,nd->n", normals, scene.truth_cam_mm) < 0
    seen = np.flatnonzero(facing & model.reliable)
    off = np.random.default_rng(1).uniform(-8.0, 8.0, len(seen))
    queries = scene.truth_cam_mm[seen] + off[:, None] * normals[seen]
    targets, index, weights = search.closest(queries)
    corners = points[triangles[index]]
    np.testing.assert_allclose(np.einsum("kc,kcd->kd", weights, corners), targets, atol=1e-9)
    assert weights.min() >= 0.0
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, atol=1e-12)
    least = np.linalg.norm(exhaustive(points, triangles, queries) - queries, axis=1)
    found = np.linalg.norm(targets - queries, axis=1)
    assert np.all(found > least - 1e-3)
    assert np.mean(found > least + 0.01) < 0.01
    assert np.quantile(found - least, 0.999) < 0.5


def test_regions_of_a_triangle() -> None:
    """Inside, beside each edge, beyond each corner of one triangle that faces the camera."""
    points = np.array([[0.0, 0.0, 500.0], [0.0, 4.0, 500.0], [4.0, 0.0, 500.0]])
    pixels = np.rint(points[:, :2] / 500.0 * 900.0 + [320, 240]).astype(int)
    triangle = np.array([[0, 1, 2]], dtype=np.int32)
    search = SurfaceSearch(points, triangle, pixels, INTRINSICS, HEIGHT, WIDTH)
    queries = np.array(
        [[1.0, 1, 503], [-2, 1, 501], [1, -2, 499], [3, 3, 500], [-1, -1, 502], [-1, 6, 500]]
    )
    expected = [[1, 1], [0, 1], [1, 0], [2, 2], [0, 0], [0, 4]]
    targets, _, _ = search.closest(queries)
    np.testing.assert_allclose(targets[:, :2], expected, atol=1e-12)
    np.testing.assert_allclose(targets[:, 2], 500.0)


def test_holes_are_bridged_to_the_nearest_surface() -> None:
    """A point over a hole finds the rim, one over the image's border the surface's edge."""
    depth = np.full((HEIGHT, WIDTH), 500.0)
    depth[200:260, 300:360] = np.nan
    points, triangles, pixels = mesh_of(DepthSurface.from_depth(depth, INTRINSICS))
    search = SurfaceSearch(points, triangles, pixels, INTRINSICS, HEIGHT, WIDTH)
    pitch = 500.0 / 900.0
    queries = np.array([[(303 - 319.5) * pitch, (230 - 239.5) * pitch, 500.0], [400.0, 0, 500.0]])
    targets, _, _ = search.closest(queries)
    least = exhaustive(points, triangles, queries)
    np.testing.assert_allclose(
        np.linalg.norm(targets - queries, axis=1),
        np.linalg.norm(least - queries, axis=1),
        atol=0.01,
    )
