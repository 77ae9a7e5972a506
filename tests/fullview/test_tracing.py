"""Pixels taken back to the picture: places, derivatives and stretch against differences."""

from __future__ import annotations

import numpy as np
import pytest
from head_scene import CONFIG, INTRINSICS, SIZE, Look, head_scene, source_of

from fg3d_builder.fullview.tracing import pixels_for_one, places_where, stretches, traced
from fg3d_builder.geometry.camera import px_from_cam
from fg3d_builder.geometry.meshes import normalized
from fg3d_builder.geometry.pose import rotation_from_angles
from fg3d_builder.rendering.rasterizer import rasterize


def test_places_are_the_weighted_corners() -> None:
    rng = np.random.default_rng(0)
    vertices, triangles = rng.normal(size=(20, 3)), rng.integers(0, 20, (9, 3))
    number, weights = rng.integers(0, 9, (5, 10)), rng.dirichlet([1, 1, 1], (5, 10))
    where = rng.random((5, 10)) < 0.5
    expected = np.einsum("kc,kcd->kd", weights[where], vertices[triangles[number[where]]])
    found = places_where(where, vertices, triangles, number, weights)
    np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize("turn", [(0.0, 30.0), (15.0, 0.0)])
def test_derivatives_are_those_of_finite_differences(turn: tuple[float, float]) -> None:
    """Where neighbouring pixels show one triangle, the ray of each meets its plane."""
    source, camera = source_of(Look(701)), head_scene(Look(701)).camera(*turn)
    mesh = source.mesh
    view = camera.view_from_cam(source.vertices_cam_mm)
    found = rasterize(view, mesh.face_triangles, camera.intrinsics, SIZE, SIZE)
    inside = found.triangle >= 0
    pixel = np.argwhere(inside)
    images = traced(
        found.triangle, found.barycentric, source.triangles,
        mesh.face_triangle_count, source.vertices_cam_mm, view, camera.rotation,
        camera.intrinsics, mesh.intrinsics, source.normals_cam, source.first_mm, source.shown,
        source.first_intrinsics, float(camera.px_crop_from_px[0, 0]), CONFIG.max_stretch,
    )  # fmt: skip
    place, jacobian, depth, trust = (image[inside] for image in images)
    least = np.linalg.svd(jacobian, compute_uv=False)[:, 1]
    unit = float(camera.px_crop_from_px[0, 0])
    stretch = pixels_for_one(images[1], unit)
    assert (stretch[~inside] == 0.0).all()
    stretch = stretch[inside]
    np.testing.assert_allclose(stretch, 1.0 / np.maximum(least, 1e-6) / unit, rtol=1e-3)
    np.testing.assert_allclose(depth, found.depth_mm[inside], rtol=1e-5)
    assert 0.0 <= trust.min() <= trust.max() <= 1.0
    # The same plane, met by the ray of a place a little to the side.
    corner = view[source.triangles[found.triangle[inside]]]
    normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])

    def back(columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
        ray = np.stack([columns, rows, np.ones(len(rows))], axis=1)
        ray = ray @ np.linalg.inv(camera.intrinsics).T
        far = np.einsum("kd,kd->k", normal, corner[:, 0]) / np.einsum("kd,kd->k", normal, ray)
        points = (far[:, None] * ray - camera.translation_mm) @ camera.rotation
        return px_from_cam(points, INTRINSICS)

    row, column = pixel.T.astype(float)
    steep = np.abs(normalized(normal)[:, 2]) > 0.2
    np.testing.assert_allclose(place[steep], back(column, row)[steep], atol=0.03)
    for axis, (right, down) in enumerate(((1e-3, 0.0), (0.0, 1e-3))):
        ahead, behind = back(column + right, row + down), back(column - right, row - down)
        slope = (ahead - behind) / 2e-3
        np.testing.assert_allclose(jacobian[steep, :, axis], slope[steep], rtol=0.01, atol=0.01)


def test_stretch_is_how_much_larger_a_small_disc_becomes() -> None:
    rng = np.random.default_rng(1)
    points = rng.uniform([-60, -60, 500], [60, 60, 700], (40, 3))
    normals = normalized(np.stack([*rng.uniform(-0.6, 0.6, (2, 40)), -np.ones(40)], axis=1))
    rotation, shift = rotation_from_angles(10.0, 35.0, 0.0), np.array([300.0, -90.0, 120.0])
    flip = np.diag([1.0, -1.0, -1.0])
    rotation = flip @ rotation
    found = stretches(points, normals, rotation, shift)
    side = normalized(np.cross(normals, [0.0, 1.0, 0.0]))
    other = np.cross(normals, side)

    def area(to_view: bool) -> np.ndarray:
        corners = []
        for a, b in ((0, 0), (1e-3, 0), (0, 1e-3)):
            p = points + a * side + b * other
            p = p @ rotation.T + shift if to_view else p
            corners.append(p[:, :2] / p[:, 2:])
        u, v = corners[1] - corners[0], corners[2] - corners[0]
        return np.asarray(u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0])

    ratio = area(True) / area(False)
    turned = points @ rotation.T + shift
    facing = np.einsum("nd,nd->n", normals @ rotation.T, turned) < 0
    assert facing.sum() > 5
    good = facing & (turned[:, 2] > 1.0)
    np.testing.assert_allclose(found[good], ratio[good], rtol=1e-3)
    assert np.isinf(found[~good]).all()
