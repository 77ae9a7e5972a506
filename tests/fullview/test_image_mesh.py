"""The picture as one mesh: closed towards the camera, tiled, and true to the depth."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest
from toy_scene import WALL_MM, toy_scene

from fg3d_builder.config import FullViewConfig
from fg3d_builder.fullview.face_profiling import profiled_depth, profiling_mesh
from fg3d_builder.fullview.image_mesh import ImageMesh, image_mesh
from fg3d_builder.fullview.outline import polygon_area
from fg3d_builder.geometry.camera import px_from_cam
from fg3d_builder.geometry.meshes import border_edges

CONFIG = FullViewConfig()
POSES = [(0.0, 0.0), (-12.0, 30.0), (15.0, -48.0)]


@functools.lru_cache(maxsize=8)
def mesh_of(pitch: float, yaw: float, config: FullViewConfig = CONFIG) -> ImageMesh:
    scene = toy_scene(pitch, yaw)
    return image_mesh(scene.model, scene.capture, scene.registration, config)


def flat_areas(mesh: ImageMesh, triangles: np.ndarray) -> np.ndarray:
    a, b, c = (mesh.source_px[triangles[:, i]] for i in range(3))
    u, v = b - a, c - a
    return -(u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]) / 2


@pytest.mark.parametrize("pose", POSES)
def test_background_tiles_the_picture_around_the_outline(pose: tuple[float, float]) -> None:
    mesh = mesh_of(*pose)
    n = mesh.face_vertex_count
    box = np.ptp(mesh.source_px[n:], axis=0)
    face = polygon_area(mesh.source_px[mesh.outline])
    background = flat_areas(mesh, mesh.background_triangles)
    sheet = flat_areas(mesh, mesh.sheet_triangles)
    assert sheet.min() > 0
    assert background.sum() == pytest.approx(box[0] * box[1] - face, rel=1e-9)
    assert sheet.sum() == pytest.approx(box[0] * box[1], rel=1e-9)


@pytest.mark.parametrize("pose", POSES)
def test_every_outline_edge_is_shared_by_background_and_lining(
    pose: tuple[float, float],
) -> None:
    mesh = mesh_of(*pose)
    ring = np.stack([mesh.outline, np.roll(mesh.outline, -1)], axis=1)
    wanted = set(map(tuple, np.sort(ring, axis=1).tolist()))
    found = set(map(tuple, np.sort(border_edges(mesh.background_triangles), axis=1).tolist()))
    assert wanted <= found
    # The only other border is the margin's: the sheet of both is closed but for that.
    rest = np.array(sorted(found - wanted))
    assert mesh.border[rest].all()
    assert mesh.border[border_edges(mesh.sheet_triangles)].all()


@pytest.mark.parametrize("pose", POSES)
def test_vertices_project_to_their_pixels_and_the_face_is_the_registration(
    pose: tuple[float, float],
) -> None:
    scene, mesh = toy_scene(*pose), mesh_of(*pose)
    np.testing.assert_allclose(
        px_from_cam(mesh.vertices_cam_mm, mesh.intrinsics), mesh.source_px, atol=1e-9
    )
    n = mesh.face_vertex_count
    np.testing.assert_array_equal(mesh.vertices_cam_mm[:n], scene.registration.vertices_cam_mm)
    np.testing.assert_array_equal(mesh.face_triangles, scene.model.triangles)


def test_triangles_at_the_outline_are_no_slivers() -> None:
    mesh = mesh_of(0.0, 0.0)
    corners = mesh.source_px[mesh.background_triangles]
    side = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2)
    area = flat_areas(mesh, mesh.background_triangles)
    shape = 4 * np.sqrt(3) * area / (side**2).sum(axis=1)  # 1 for an equilateral triangle
    assert np.quantile(shape, 0.01) > 0.2
    assert shape.min() > 0.05


def test_depth_is_complete_true_on_the_face_and_near_behind_it() -> None:
    scene, mesh = toy_scene(), mesh_of(0.0, 0.0)
    depth = mesh.completed_depth()
    assert np.isfinite(depth).all()
    face = scene.capture.depth_mm < WALL_MM - 1
    np.testing.assert_allclose(depth[face], scene.capture.depth_mm[face], atol=1e-3)
    rim = mesh.vertices_cam_mm[mesh.outline, 2].max()
    assert depth.max() <= rim + CONFIG.step_mm + CONFIG.reach_mm
    # A shallow wall is left where it is.
    near = dataclasses.replace(scene.capture, depth_mm=np.where(face, depth, rim + 30.0))
    true = image_mesh(scene.model, near, scene.registration, CONFIG).completed_depth()
    corner = true[:20, :20]
    np.testing.assert_allclose(corner, rim + 30.0, atol=1.0)


@pytest.mark.parametrize("step", [2, 7])
def test_fewer_pixels_of_the_depth_are_those_of_all(step: int) -> None:
    mesh = mesh_of(0.0, 0.0)
    fewer, every = mesh.completed_depth(step), mesh.completed_depth()[::step, ::step]
    assert fewer.shape == every.shape
    # The rasteriser snaps corners to parts of a pixel: outlines may move by one.
    same = np.abs(fewer - every) < 0.5
    assert same.mean() > 0.98


def test_holes_and_lone_wrong_depths_leave_no_trace() -> None:
    scene = toy_scene()
    clean = mesh_of(0.0, 0.0).completed_depth()
    depth = scene.capture.depth_mm.copy()
    rng = np.random.default_rng(0)
    depth[rng.uniform(size=depth.shape) < 0.3] = np.nan
    wrong = rng.uniform(size=depth.shape) < 0.01
    depth[wrong] = rng.uniform(100, 400, int(wrong.sum()))
    torn = dataclasses.replace(scene.capture, depth_mm=depth)
    mended = image_mesh(scene.model, torn, scene.registration, CONFIG).completed_depth()
    assert np.median(np.abs(mended - clean)) < 5.0
    assert np.quantile(np.abs(mended - clean), 0.99) < 60.0


def test_a_capture_gives_the_same_mesh_every_time() -> None:
    first, second = mesh_of(-12.0, 30.0), mesh_of.__wrapped__(-12.0, 30.0)
    np.testing.assert_array_equal(first.vertices_cam_mm, second.vertices_cam_mm)
    np.testing.assert_array_equal(first.triangles, second.triangles)


def test_profiling_does_not_look_at_the_depth_channel() -> None:
    scene = toy_scene()
    blind = dataclasses.replace(
        scene.capture, depth_mm=np.full_like(scene.capture.depth_mm, np.nan)
    )
    one = profiling_mesh(scene.model, scene.capture, scene.registration, CONFIG)
    other = profiling_mesh(scene.model, blind, scene.registration, CONFIG)
    np.testing.assert_array_equal(one.vertices_cam_mm, other.vertices_cam_mm)
    ring, deep = one.source_px[one.outline], one.vertices_cam_mm[one.outline, 2]
    np.testing.assert_allclose(profiled_depth(ring, ring, deep), deep)
    far = ring.mean(axis=0) + np.array([[1e4, 0.0]])
    np.testing.assert_allclose(profiled_depth(far, ring, deep), deep.mean())
