"""NoW's metric on meshes and scans whose distances are known."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from fg3d_builder.evaluation import ScanSurface
from fg3d_builder.evaluation.scan_to_mesh import FaceSphere, pooled, scan_to_mesh
from fg3d_builder.evaluation.surface_alignment import KeyPoints, align_to_scan
from fg3d_builder.geometry.alignment import align_similarity
from fg3d_builder.geometry.pose import rotation_from_angles
from fg3d_builder.records import Array, Pose

SEVEN = np.array(
    [
        [-45.0, 30.0, 0.0],
        [-15.0, 30.0, 5.0],
        [15.0, 30.0, 5.0],
        [45.0, 30.0, 0.0],
        [0.0, -10.0, 20.0],
        [-25.0, -40.0, 8.0],
        [25.0, -40.0, 8.0],
    ]
)


def bumpy_face(step_mm: float = 4.0) -> tuple[Array, Array]:
    """A surface without symmetry, 220 mm wide, with a nose."""
    axis = np.arange(-110.0, 110.1, step_mm)
    x, y = (a.ravel() for a in np.meshgrid(axis, axis))
    z = 40.0 - 0.004 * (x**2 + y**2) + 25.0 * np.exp(-((x / 14) ** 2 + ((y + 5) / 20) ** 2))
    z += 3.0 * np.sin(x / 17.0 + 0.4) * np.cos(y / 23.0)
    n = len(axis)
    corner = (np.arange(n - 1)[:, None] * n + np.arange(n - 1)).ravel()
    lower = np.stack([corner, corner + 1, corner + n + 1], axis=1)
    upper = np.stack([corner, corner + n + 1, corner + n], axis=1)
    return np.stack([x, y, z], axis=1), np.concatenate([lower, upper])


def nearest_vertices(vertices: Array, points: Array) -> Array:
    return np.linalg.norm(vertices[None] - points[:, None], axis=2).argmin(axis=1)


def moved(points: Array, scale: float, seed: int = 0) -> Array:
    turn = rotation_from_angles(12.0, -35.0, 70.0)
    return scale * points @ turn.T + np.random.default_rng(seed).uniform(-200, 200, 3)


def test_the_sphere_is_that_of_its_formula() -> None:
    sphere = FaceSphere.of_landmarks(SEVEN)
    # The bridge is at (0, 30, 5): 0.3 of the way from (0, -10, 20).
    assert np.allclose(sphere.centre, [0.0, 2.0, 15.5])
    assert sphere.radius == pytest.approx(1.4 * (90.0 + np.hypot(40.0, 15.0)) / 2)


def test_the_sphere_keeps_exactly_what_is_within_its_radius() -> None:
    sphere = FaceSphere.of_landmarks(SEVEN)
    directions = np.random.default_rng(1).normal(size=(500, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    inner = sphere.centre + (sphere.radius - 1e-6) * directions
    outer = sphere.centre + (sphere.radius + 1e-6) * directions
    assert sphere.holds(inner).all()
    assert not sphere.holds(outer).any()


@pytest.mark.parametrize("scale", [0.01, 1.0, 3.0])
def test_a_scan_that_was_moved_has_no_error(scale: float) -> None:
    vertices, triangles = bumpy_face()
    at = nearest_vertices(vertices, SEVEN)
    prediction = moved(vertices, scale)
    # Landmarks that were picked 3 mm off: the refinement takes the error out.
    picked = prediction[at] + scale * np.random.default_rng(2).normal(size=(7, 3)) * 3.0
    found = scan_to_mesh(ScanSurface(prediction, triangles), picked, vertices, vertices[at])
    assert found.converged
    assert found.distance_mm.max() < 1e-4
    assert found.scan_from_mesh.scale == pytest.approx(1.0 / scale, rel=1e-6)
    sphere = FaceSphere.of_landmarks(vertices[at])
    assert len(found.distance_mm) == sphere.holds(vertices).sum()


def test_another_triangulation_of_the_same_surface_has_no_error() -> None:
    vertices, triangles = bumpy_face(8.0)
    scan, _ = trimesh.remesh.subdivide(vertices, triangles)
    at = nearest_vertices(scan, SEVEN)
    prediction = moved(vertices, 0.1)
    landmarks = moved(scan[at], 0.1)
    found = scan_to_mesh(ScanSurface(prediction, triangles), landmarks, scan, scan[at])
    assert found.distance_mm.max() < 1e-4


def test_a_plane_one_millimetre_off_is_one_millimetre_off() -> None:
    """Two sheets in a plane, the scan's right one 2 mm up: the best fit is 1 mm off everywhere.

    Nothing in a plane resists sliding, and turning does not help where sheets are alternating.
    """
    axis = np.arange(-120.0, 120.1, 10.0)
    x, y = (a.ravel() for a in np.meshgrid(axis, axis))
    plane = np.stack([x, y, np.zeros_like(x)], axis=1)
    mesh = np.array([[-500.0, -500, 0], [500, -500, 0], [500, 500, 0], [-500, 500, 0]])
    triangles = np.array([[0, 1, 2], [0, 2, 3]])
    checker = np.where((np.round(x / 10) + np.round(y / 10)) % 2 == 0, 1.0, -1.0)
    scan = plane + np.stack([0 * x, 0 * x, checker], axis=1)
    flat = SEVEN * [1.0, 1.0, 0.0]
    found = scan_to_mesh(ScanSurface(mesh, triangles), flat, scan, flat)
    assert np.median(found.distance_mm) == pytest.approx(1.0, abs=0.02)
    assert found.distance_mm.mean() == pytest.approx(1.0, abs=0.02)


def test_distances_are_from_the_scan_to_the_mesh() -> None:
    """A mesh that reaches farther than the scan gains and loses nothing."""
    vertices, triangles = bumpy_face()
    at = nearest_vertices(vertices, SEVEN)
    far = np.array([[0.0, 0, -900], [50, 0, -900], [0, 50, -900]])
    more = np.concatenate([vertices, far])
    faces = np.concatenate([triangles, len(vertices) + np.array([[0, 1, 2]])])
    noisy = vertices + [0.0, 0.0, 1.0] * np.random.default_rng(3).normal(size=(len(vertices), 1))
    alone = scan_to_mesh(ScanSurface(vertices, triangles), vertices[at], noisy, noisy[at])
    with_more = scan_to_mesh(ScanSurface(more, faces), vertices[at], noisy, noisy[at])
    assert np.allclose(alone.distance_mm, with_more.distance_mm)


def test_without_scale_a_small_mesh_is_too_small() -> None:
    """A sphere of 100 mm against one of 98 mm about the same centre: 2 mm, or 0 with scale."""
    ball = trimesh.creation.icosphere(subdivisions=5, radius=1.0)
    mesh = ScanSurface(98.0 * ball.vertices, ball.faces)
    corners = nearest_vertices(np.asarray(ball.vertices), SEVEN / 60.0)
    scan = 100.0 * np.asarray(ball.vertices)
    landmarks = scan[corners]
    pose = Pose(1.0, np.eye(3), np.zeros(3))
    rigid = align_to_scan(mesh, scan, pose, fix_scale=True)
    assert np.allclose(rigid.distance, 2.0, atol=1e-3)
    free = scan_to_mesh(mesh, 0.98 * landmarks, scan, landmarks)
    assert free.distance_mm.max() < 1e-4


def test_the_refinement_is_a_minimum() -> None:
    """No small turn, shift or growth of the refined prediction lowers the squared distances."""
    vertices, triangles = bumpy_face()
    at = nearest_vertices(vertices, SEVEN)
    rng = np.random.default_rng(4)
    scan = vertices + rng.normal(size=vertices.shape)
    mesh = ScanSurface(vertices, triangles)
    found = scan_to_mesh(mesh, vertices[at], scan, scan[at])
    inside = scan[FaceSphere.of_landmarks(scan[at]).holds(scan)]
    best = (found.distance_mm**2).mean()

    def cost(pose: Pose) -> float:
        near = mesh.closest(pose.obj_from_cam(inside))
        return float((pose.scale * near.distance_mm) @ (pose.scale * near.distance_mm)) / len(
            inside
        )

    assert cost(found.scan_from_mesh) == pytest.approx(best, rel=1e-9)
    for _ in range(20):
        near = align_similarity(inside, inside + 0.02 * rng.normal(size=3) + 1e-4 * inside)
        turn = rotation_from_angles(*rng.normal(size=3) * 0.02) @ rotation_from_angles(0, 0, 0)
        pose = found.scan_from_mesh
        other = Pose(
            near.scale * pose.scale,
            turn @ pose.rotation,
            near.scale * turn @ pose.translation_mm + near.translation_mm,
        )
        assert cost(other) > best


def test_key_points_pull() -> None:
    """A plane slides freely until key points hold it."""
    mesh = np.array([[-500.0, -500, 0], [500, -500, 0], [500, 500, 0], [-500, 500, 0]])
    surface = ScanSurface(mesh, np.array([[0, 1, 2], [0, 2, 3]]))
    scan = np.random.default_rng(5).uniform(-50, 50, (300, 3)) * [1.0, 1.0, 0.0]
    here = np.array([[0.0, 0, 0], [30, 0, 0], [0, 30, 0]])
    there = here @ rotation_from_angles(0.0, 0.0, 10.0).T * [1.0, -1.0, -1.0] + [5.0, 3.0, 0.0]
    start = Pose(1.0, np.eye(3), np.array([0.0, 0.0, 2.0]))
    found = align_to_scan(
        surface, scan, start, fix_scale=True, key_points=KeyPoints(here, there, 10.0)
    )
    assert found.distance.max() < 1e-5
    assert np.abs(found.scan_from_mesh.cam_from_obj(here) - there).max() < 1e-4


def test_pooled_statistics_weigh_every_vertex_the_same() -> None:
    found = pooled([np.array([1.0, 2.0, 3.0]), np.array([10.0])])
    assert (found.images, found.vertices) == (2, 4)
    assert found.median_mm == 2.5
    assert found.mean_mm == 4.0
    assert found.std_mm == pytest.approx(np.std([1, 2, 3, 10]))
    assert np.isnan(pooled([]).median_mm)


def test_what_cannot_be_measured_is_refused() -> None:
    vertices, triangles = bumpy_face(20.0)
    mesh = ScanSurface(vertices, triangles)
    with pytest.raises(ValueError, match="seven finite landmarks"):
        scan_to_mesh(mesh, SEVEN, vertices, SEVEN[:6])
    with pytest.raises(ValueError, match="on one line"):
        scan_to_mesh(mesh, SEVEN * [1.0, 0.0, 0.0], vertices, SEVEN)
    with pytest.raises(ValueError, match="0 vertices of the scan are within"):
        scan_to_mesh(mesh, SEVEN, vertices + 1e4, SEVEN)
