"""The measured surface as a mesh: without gaps from its camera, cut at jumps, coarse where flat."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from head_scene import Look, bare_head, head_scene, hull_of

from fg3d_builder.fullview.captured_surface import GRAZING, CapturedSurface, captured_surface
from fg3d_builder.fullview.measured_head import MeasuredHead
from fg3d_builder.geometry.camera import cam_from_depth, intrinsics_matrix, px_from_cam
from fg3d_builder.geometry.meshes import normalized, triangle_normals
from fg3d_builder.records import Array
from fg3d_builder.rendering.rasterizer import rasterize

HEIGHT, WIDTH = 61, 81
CAMERA = intrinsics_matrix(300.0, 300.0, (WIDTH - 1) / 2, (HEIGHT - 1) / 2)
ROW, COLUMN = np.mgrid[:HEIGHT, :WIDTH]
NOTHING = np.zeros((HEIGHT, WIDTH), dtype=bool)


def seen(depth: Array, head: Array, face: Array = NOTHING, noise: float = 0.0) -> MeasuredHead:
    """A head of this depth, with the normals that a plane through neighbours has."""
    points = cam_from_depth(depth, CAMERA)
    right, down = np.gradient(points, axis=1), np.gradient(points, axis=0)
    normals = normalized(np.cross(down, right).reshape(-1, 3)).reshape(points.shape)
    normals *= -np.sign((normals * points).sum(axis=2, keepdims=True))
    return bare_head(
        np.where(head, depth, np.nan),
        CAMERA,
        noise_mm=np.full(depth.shape, noise),
        normals_cam=normals,
        head=head,
        face=face,
        background=~head,
        pure=head,
        rim=head & (cv2.erode(head.astype(np.uint8), np.ones((3, 3), np.uint8)) == 0),
    )


def drawn(surface: CapturedSurface) -> Array:
    """Depth (h, w) of the surface seen from its own camera."""
    found = rasterize(surface.vertices_cam_mm, surface.triangles, CAMERA, HEIGHT, WIDTH)
    return np.asarray(found.depth_mm)


def inner_edges(surface: CapturedSurface) -> Array:
    """Which vertices well inside of the disc are at an edge."""
    px = px_from_cam(surface.vertices_cam_mm, CAMERA)
    return surface.edge[np.hypot(px[:, 0] - 40, px[:, 1] - 30) < 22]


def span_mm(surface: CapturedSurface) -> Array:
    """Depth (t,) that each triangle spans."""
    return np.ptp(surface.vertices_cam_mm[surface.triangles, 2], axis=1)


DISC = np.hypot(COLUMN - 40, ROW - 30) < 24.3
"""No row or column of its border is at a multiple of a block's side."""


def tilted(along: float, down: float) -> Array:
    """Depth of a plane."""
    x, y = (COLUMN - CAMERA[0, 2]) / 300.0, (ROW - CAMERA[1, 2]) / 300.0
    return np.asarray(600.0 / (1.0 - along * x - down * y))


@pytest.mark.parametrize("slopes", [(0.0, 0.0), (0.8, -0.5)])
def test_a_plane_is_a_few_large_blocks(slopes: tuple[float, float]) -> None:
    depth = tilted(*slopes)
    surface = captured_surface(seen(depth, DISC))
    assert len(surface.triangles) < 0.35 * 2 * DISC.sum()
    np.testing.assert_allclose(drawn(surface)[DISC], depth[DISC], atol=0.35)
    assert np.isfinite(drawn(surface))[DISC].all()
    rough = depth + np.random.default_rng(0).normal(0, 1.0, depth.shape)
    fine = captured_surface(seen(rough, DISC))
    assert len(fine.triangles) > 0.8 * 2 * DISC.sum()
    error = np.abs(drawn(fine) - rough)[DISC]
    assert np.mean(error < 1e-3) > 0.99
    assert error.max() < 1.0
    # What differs from a plane by its noise alone is a plane.
    smooth = captured_surface(seen(rough, DISC, noise=4.0))
    assert len(smooth.triangles) < 0.4 * len(fine.triangles)


def test_triangles_are_cut_where_depth_jumps() -> None:
    depth = np.where(COLUMN < 40, 500.0, 560.0) + 0.3 * ROW
    surface = captured_surface(seen(depth, DISC))
    assert span_mm(surface).max() < 3.0
    np.testing.assert_allclose(drawn(surface)[DISC], depth[DISC], atol=0.5)
    # The nearer side goes on by one pixel at its own depth, and the farther one below it.
    gap = np.isfinite(drawn(surface)) & ~DISC
    assert not gap[:, :15].any()
    beside = surface.vertices_cam_mm[surface.triangles].mean(axis=1)
    column = px_from_cam(beside, CAMERA)[:, 0]
    between = (column > 39) & (column < 40)
    assert between.sum() > 80
    assert (beside[between, 2] < 530).any()
    assert (beside[between, 2] > 530).any()


def test_a_slope_is_no_jump_and_noise_makes_none() -> None:
    steep = 600.0 + 7.0 * COLUMN
    surface = captured_surface(seen(steep, DISC))
    assert len(inner_edges(surface)) > 20
    assert not inner_edges(surface).any()
    noisy = 600.0 + np.random.default_rng(1).normal(0, 6.0, DISC.shape)
    torn, whole = (inner_edges(captured_surface(seen(noisy, DISC, noise=n))) for n in (0.0, 6.0))
    assert whole.mean() < 0.02
    assert torn.mean() > 0.2


def test_normals_face_the_camera_and_are_the_measured_ones() -> None:
    depth = tilted(0.8, -0.5)
    head = seen(depth, DISC)
    surface = captured_surface(head)
    sight = normalized(surface.vertices_cam_mm)
    cosine = -np.einsum("nd,nd->n", surface.normals_cam, sight)
    np.testing.assert_allclose(np.linalg.norm(surface.normals_cam, axis=1), 1.0, atol=1e-9)
    true = -normalized(np.array([[0.8, -0.5, -1.0]]))[0]
    true *= -np.sign(true[2])
    np.testing.assert_allclose(surface.normals_cam @ true, 1.0, atol=1e-3)
    # Unknown ones look at the camera, and those that look away are turned until they just do not.
    odd = head.normals_cam.copy()
    odd[20:30], odd[30:40] = np.nan, [0.0, 0.0, 1.0]
    surface = captured_surface(head._replace(normals_cam=odd))
    sight = normalized(surface.vertices_cam_mm)
    cosine = -np.einsum("nd,nd->n", surface.normals_cam, sight)
    assert cosine.min() > 0.9 * GRAZING
    row = np.rint(px_from_cam(surface.vertices_cam_mm, CAMERA)[:, 1])
    np.testing.assert_allclose(cosine[(row > 20) & (row < 29)], 1.0, atol=1e-9)
    # Counter-clockwise seen from the camera.
    corner = surface.vertices_cam_mm[surface.triangles]
    flat = triangle_normals(surface.vertices_cam_mm, surface.triangles)
    assert (np.einsum("td,td->t", flat, corner.mean(axis=1)) < 0).all()


def test_edge_is_the_heads_end_and_what_is_carried_beyond_a_jump() -> None:
    depth = np.where(COLUMN < 40, 500.0, 560.0)
    surface = captured_surface(seen(depth, DISC))
    px = px_from_cam(surface.vertices_cam_mm, CAMERA)
    inside = 24.3 - np.hypot(px[:, 0] - 40, px[:, 1] - 30)
    jump = np.abs(px[:, 0] - 39.5) < 0.6
    assert surface.edge[inside < 0.0].all()
    assert not surface.edge[(inside > 2.5) & ~jump].any()
    near, far = surface.vertices_cam_mm[:, 2] < 530, surface.vertices_cam_mm[:, 2] > 530
    assert surface.edge[near & (px[:, 0] > 39.5) & (inside > 2)].all()
    assert surface.edge[far & (px[:, 0] < 39.5) & (inside > 2)].all()


def test_the_face_is_left_out() -> None:
    face = np.hypot(COLUMN - 40, ROW - 30) < 12
    surface = captured_surface(seen(np.full((HEIGHT, WIDTH), 600.0), DISC, face))
    depth = drawn(surface)
    well_inside = np.hypot(COLUMN - 40, ROW - 30) < 10
    assert not np.isfinite(depth[well_inside]).any()
    assert np.isfinite(depth[DISC & ~face]).all()


@pytest.mark.parametrize(
    "look", [Look(), Look(702, 0.0, 8.0, False, 60.0), Look(703, 30.0, 12.0, True)]
)
def test_with_the_face_it_covers_every_pixel_of_a_head(look: Look) -> None:
    scene = head_scene(look)
    head, _ = hull_of(look)
    surface = captured_surface(head)
    n = scene.model.vertex_count
    face = scene.registration.vertices_cam_mm
    vertices = np.concatenate([face, surface.vertices_cam_mm])
    triangles = np.concatenate([scene.model.triangles, surface.triangles + n])
    found = rasterize(vertices, triangles, head.intrinsics, *head.head.shape)
    shown = head.head & np.isfinite(head.depth_mm)
    shown[-1], shown[:, -1] = False, False  # a pixel on a triangle's lower border is not its own
    assert (found.triangle >= 0)[shown].all()
    # Beyond the head's end it goes on by a pixel and no more.
    around = np.pad(shown, 1)
    grown = np.any(
        [
            around[1 + i : -1 + i or None, 1 + j : -1 + j or None]
            for i in (-1, 0, 1)
            for j in (-1, 0, 1)
        ],
        axis=0,
    )
    assert not ((found.triangle >= len(scene.model.triangles)) & ~grown).any()
    error = np.abs(found.depth_mm - head.depth_mm)[shown]
    assert np.median(error) < 0.05
    assert np.quantile(error, 0.99) < 4.0
