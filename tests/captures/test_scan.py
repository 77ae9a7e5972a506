"""Rendered scans: the depth is that of the mesh, the colours those of its texture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import open3d
import pytest
import trimesh

from fg3d_builder.captures.opening import open_source
from fg3d_builder.captures.scan import (
    OUTER_EYE_CORNERS_MM,
    ScanSource,
    read_scan,
    render_scan,
    scan_camera,
    scan_center,
    scan_unit_mm,
)
from fg3d_builder.config import SensorConfig, SourceConfig
from fg3d_builder.errors import CaptureError, ConfigError
from fg3d_builder.files.mesh_io import (
    TexturedMesh,
    mesh_with_colors,
    mesh_with_texture,
    read_mesh,
    write_mesh,
)
from fg3d_builder.geometry.camera import cam_from_px, px_from_cam
from fg3d_builder.geometry.pose import angles_from_rotation

CONFIG = SourceConfig(
    kind="scan", image_size=(160, 120), focal_px=225.0, unit_mm=1.0, views=((0.0, 0.0),)
)


def bumpy_head() -> TexturedMesh:
    """A closed surface about as large as a head, in mm, with a colour ramp as texture."""
    ball = trimesh.creation.icosphere(subdivisions=4)
    direction = np.asarray(ball.vertices)
    bumps = 1.0 + 0.06 * np.sin(7 * direction[:, 0]) * np.cos(5 * direction[:, 1])
    vertices = direction * bumps[:, None] * [75.0, 105.0, 90.0] + [3.0, -8.0, 5.0]
    uv = 0.5 + 0.45 * direction[:, :2]
    v, u = np.mgrid[0:64, 0:64] / 63.0
    image = np.stack([u, 1.0 - v, 0.5 + 0 * u], axis=-1)
    texture = np.rint(255 * image).astype(np.uint8)
    return mesh_with_texture(vertices, np.asarray(ball.faces), uv, texture)


def cast_rays(mesh: TexturedMesh, pose, intrinsics, height: int, width: int):
    """Depth (H, W) and incidence slope by Embree, a renderer of other people's."""
    scene = open3d.t.geometry.RaycastingScene()
    vertices = pose.cam_from_obj(mesh.vertices).astype(np.float32)
    scene.add_triangles(vertices, mesh.triangles.astype(np.uint32))
    y, x = np.mgrid[0:height, 0:width].astype(float)
    rays = cam_from_px(np.stack([x, y], axis=-1), np.ones((height, width)), intrinsics)
    packed = np.concatenate([np.zeros_like(rays), rays], axis=-1).astype(np.float32)
    hit = scene.cast_rays(packed)
    normal = hit["primitive_normals"].numpy()
    away = np.abs(np.einsum("hwd,hwd->hw", normal, rays)) / np.linalg.norm(rays, axis=-1)
    depth = hit["t_hit"].numpy()
    return np.where(np.isfinite(depth), depth, np.nan), away


@pytest.mark.parametrize("view", [(0.0, 0.0), (15.0, 0.0), (-25.0, 40.0)])
def test_depth_is_that_of_ray_casting(view: tuple[float, float]) -> None:
    mesh = bumpy_head()
    pose, _ = scan_camera(CONFIG, view, mesh)
    rgb, depth, intrinsics = render_scan(CONFIG, view, mesh)
    wanted, cosine = cast_rays(mesh, pose, intrinsics, *CONFIG.image_size)
    assert rgb.shape == (160, 120, 3)
    # The rasteriser snaps corners to 1/256 pixel; only pixels on the outline may differ.
    assert np.mean(np.isfinite(depth) != np.isfinite(wanted)) < 2e-3
    both = np.isfinite(depth) & np.isfinite(wanted)
    assert both.sum() > 3000
    error = np.abs(depth - wanted)[both]
    facing = cosine[both] > 0.7
    # Half a snapping step is 1/512 pixel, here 0.005 mm sideways.
    assert np.median(error[facing]) < 1e-3
    assert error[facing].max() < 0.006
    assert error[cosine[both] > 0.2].max() < 0.04


def test_depth_error_falls_with_the_size_of_a_pixel() -> None:
    mesh = bumpy_head()
    config = replace(CONFIG, image_size=(640, 480), focal_px=900.0)
    pose, _ = scan_camera(config, (0.0, 0.0), mesh)
    _, depth, intrinsics = render_scan(config, (0.0, 0.0), mesh)
    wanted, cosine = cast_rays(mesh, pose, intrinsics, 640, 480)
    error = np.abs(depth - wanted)[np.isfinite(depth) & (cosine > 0.7)]
    assert np.percentile(error, 99) < 1e-3


def test_camera_maps_scan_vertices_onto_their_own_depth() -> None:
    mesh = bumpy_head()
    view = (10.0, -20.0)
    pose, intrinsics = scan_camera(CONFIG, view, mesh)
    np.testing.assert_allclose(angles_from_rotation(pose.rotation), (*view, 0.0), atol=1e-9)
    center = pose.cam_from_obj(scan_center(mesh, 1.0))
    np.testing.assert_allclose(center, [0, 0, CONFIG.distance_mm], atol=1e-9)
    _, depth, _ = render_scan(CONFIG, view, mesh)
    vertices = pose.cam_from_obj(mesh.vertices)
    column, row = np.rint(px_from_cam(vertices, intrinsics)).astype(int).T
    behind = vertices[:, 2] - depth[row, column]
    front = np.abs(behind) < 3.0
    # The front half is on the rendered depth; a pixel is 2.4 mm wide, so that a vertex on
    # the steep outline may lie well before the surface at its pixel's centre.
    assert 0.3 < front.mean() < 0.6
    assert np.nanpercentile(behind, 3) > -3.0


def test_positive_yaw_turns_the_face_to_image_right() -> None:
    mesh = bumpy_head()
    nose = np.add(scan_center(mesh, 1.0), [0.0, 0.0, 90.0])
    for view, wanted in (((0.0, 30.0), (45.0, 0.0)), ((30.0, 0.0), (0.0, -45.0))):
        pose, _ = scan_camera(CONFIG, view, mesh)
        np.testing.assert_allclose(pose.cam_from_obj(nose)[:2], wanted, atol=1e-9)


def test_unit_scales_the_world_not_the_picture() -> None:
    mesh = bumpy_head()
    metres = replace(mesh, vertices=mesh.vertices / 1000.0)
    rgb, depth, _ = render_scan(CONFIG, (0.0, 10.0), mesh)
    other_rgb, other_depth, _ = render_scan(replace(CONFIG, unit_mm=1000.0), (0.0, 10.0), metres)
    np.testing.assert_allclose(other_depth, depth, atol=2e-3)
    assert np.mean(other_rgb != rgb) < 1e-3


def test_colours_are_those_of_the_texture() -> None:
    mesh = bumpy_head()
    pose, intrinsics = scan_camera(CONFIG, (0.0, 0.0), mesh)
    rgb, depth, _ = render_scan(CONFIG, (0.0, 0.0), mesh)
    vertices = pose.cam_from_obj(mesh.vertices)
    column, row = np.rint(px_from_cam(vertices, intrinsics)).astype(int).T
    front = (np.abs(vertices[:, 2] - depth[row, column]) < 1.0) & (
        np.abs(mesh.uv - 0.5).max(axis=1) < 0.25
    )
    assert front.sum() > 200
    found = rgb[row, column][front] / 255.0
    # A pixel spans up to 0.015 of the texture.
    np.testing.assert_allclose(found[:, 0], mesh.uv[front, 0], atol=0.03)
    np.testing.assert_allclose(found[:, 1], mesh.uv[front, 1], atol=0.03)


def test_shoulders_do_not_pull_the_camera_off_the_face() -> None:
    head = bumpy_head()
    low = head.vertices.copy()
    low[:, 1] -= 300.0
    both = mesh_with_colors(
        np.concatenate([head.vertices, low]),
        np.concatenate([head.triangles, head.triangles + len(low)]),
    )
    top = head.vertices[:, 1].max()
    np.testing.assert_allclose(scan_center(both, 1.0)[1], top - 130.0)
    np.testing.assert_allclose(scan_center(head, 1.0)[1], -8.0, atol=2.0)


def test_inside_out_scans_are_turned(tmp_path: Path) -> None:
    mesh = bumpy_head()
    write_mesh(tmp_path / "good.ply", mesh)
    write_mesh(tmp_path / "bad.ply", replace(mesh, triangles=mesh.triangles[:, ::-1]))
    good, bad = (read_scan(tmp_path / f"{n}.ply") for n in ("good", "bad"))
    np.testing.assert_array_equal(np.sort(good.triangles, axis=1), np.sort(bad.triangles, axis=1))
    _, depth, _ = render_scan(CONFIG, (0.0, 0.0), good)
    _, turned, _ = render_scan(CONFIG, (0.0, 0.0), bad)
    np.testing.assert_allclose(turned, depth, atol=1e-3)


def test_source_makes_a_capture_of_every_view(tmp_path: Path) -> None:
    mesh = bumpy_head()
    write_mesh(tmp_path / "anna" / "mesh.glb", mesh)
    write_mesh(tmp_path / "anna" / "mesh.ply", mesh)
    write_mesh(tmp_path / "bert" / "smile.ply", mesh)
    write_mesh(tmp_path / "bert" / "still.ply", mesh)
    write_mesh(tmp_path / "carl.ply", mesh)
    (tmp_path / "empty").mkdir()
    (tmp_path / "dora").mkdir()
    (tmp_path / "dora" / "mesh.glb").write_bytes(b"rubbish")
    config = replace(CONFIG, path=str(tmp_path), views=((0.0, 0.0), (-10.0, 22.5)), licence="CC0")
    source = open_source(config)
    views = ("pitch-10_yaw22.5", "pitch0_yaw0")
    names = ("anna", "bert-smile", "bert-still", "carl", "dora")
    wanted = [f"{n}_{v}" for n in names for v in views] + ["empty"]
    entries = {e.capture_id: e for e in source.entries()}
    assert list(entries) == wanted
    assert entries["bert-smile_pitch0_yaw0"].subject_id == "bert"
    assert entries["anna_pitch0_yaw0"].location.endswith("mesh.glb")
    capture = source.load(entries["carl_pitch-10_yaw22.5"])
    assert (capture.subject_id, capture.source, capture.licence) == ("carl", "scan", "CC0")
    rgb, depth, _ = render_scan(config, (-10.0, 22.5), read_mesh(tmp_path / "carl.ply"))
    np.testing.assert_array_equal(capture.rgb, rgb)
    np.testing.assert_array_equal(capture.depth_mm, depth)
    for name, code in (("dora_pitch0_yaw0", "unreadable_mesh"), ("empty", "missing_file")):
        with pytest.raises(CaptureError, match=str(tmp_path)) as caught:
            source.load(entries[name])
        assert caught.value.code == code


def test_a_scan_without_colours_is_shaded_and_said_to_be(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mesh = bumpy_head()
    write_mesh(tmp_path / "anna.ply", mesh_with_colors(mesh.vertices, mesh.triangles))
    source = open_source(replace(CONFIG, path=str(tmp_path)))
    capture = source.load(source.entries()[0])
    assert "anna.ply: no colours in it" in caplog.text
    assert capture.rgb[np.isfinite(capture.depth_mm)].std() > 15


def test_folders_of_one_person_are_one_subject(tmp_path: Path) -> None:
    for name in ("anna", "anna ", "anna\u200b", "Anna"):
        write_mesh(tmp_path / name / "mesh.ply", bumpy_head())
    entries = open_source(replace(CONFIG, path=str(tmp_path))).entries()
    assert sorted(e.subject_id for e in entries) == ["Anna", "anna", "anna", "anna"]
    assert len({e.capture_id for e in entries}) == 4


def test_source_of_one_folder_or_one_file(tmp_path: Path) -> None:
    write_mesh(tmp_path / "anna" / "mesh.ply", bumpy_head())
    for path in (tmp_path / "anna", tmp_path / "anna" / "mesh.ply"):
        source = open_source(replace(CONFIG, path=str(path)))
        subject = "anna" if path.is_dir() else "mesh"
        assert [e.subject_id for e in source.entries()] == [subject]
        assert np.isfinite(source.load(source.entries()[0]).depth_mm).any()


def test_noise_depends_on_the_capture_and_is_repeated_exactly(tmp_path: Path) -> None:
    for name in ("anna", "bert"):
        write_mesh(tmp_path / f"{name}.ply", bumpy_head())
    config = replace(CONFIG, path=str(tmp_path), sensor=SensorConfig("structured_light"))
    first, second = (ScanSource(config) for _ in range(2))
    captures = [first.load(e) for e in first.entries()]
    again = [second.load(e) for e in reversed(second.entries())][::-1]
    for a, b in zip(captures, again, strict=True):
        np.testing.assert_array_equal(a.depth_mm, b.depth_mm)
        np.testing.assert_array_equal(a.rgb, b.rgb)
    np.testing.assert_array_equal(captures[0].rgb, captures[1].rgb)
    assert not np.array_equal(captures[0].depth_mm, captures[1].depth_mm)


def test_bad_configurations_are_named(tmp_path: Path) -> None:
    write_mesh(tmp_path / "anna.ply", bumpy_head())
    with pytest.raises(ConfigError, match=r"sources\.views"):
        ScanSource(replace(CONFIG, path=str(tmp_path), views=((0.0, 0.0), (0.0, 0.0))))
    with pytest.raises(ValueError, match="unit_mm"):
        scan_camera(replace(CONFIG, unit_mm=0.0), (0.0, 0.0), bumpy_head())


def test_unit_of_something_without_a_face_cannot_be_found() -> None:
    with pytest.raises(CaptureError, match=r"ball.*unit_mm") as caught:
        scan_unit_mm(bumpy_head(), "ball")
    assert caught.value.code == "no_unit"


@pytest.mark.data
def test_unit_of_a_scan_is_found_whatever_it_is(shared_data: Path) -> None:
    mesh = read_scan(shared_data / "scans" / "facefuns-f18" / "mesh.obj")
    in_mm = scan_unit_mm(mesh, "f18")
    # This average face has outer eye corners 87 mm apart, where 90 mm are assumed.
    np.testing.assert_allclose(in_mm, OUTER_EYE_CORNERS_MM / 87.1, rtol=0.01)
    inches = replace(mesh, vertices=mesh.vertices / 25.4)
    np.testing.assert_allclose(scan_unit_mm(inches, "f18") / in_mm, 25.4, rtol=1e-3)


@pytest.mark.data
def test_real_scans_face_the_camera(shared_data: Path) -> None:
    scans = SourceConfig(kind="scan", path=str(shared_data / "scans"), include=("facefuns-*",))
    source = open_source(scans)
    entries = source.entries()
    assert len(entries) == 8
    for entry in entries[:2]:
        capture = source.load(entry)
        row, _ = np.unravel_index(np.nanargmin(capture.depth_mm), capture.depth_mm.shape)
        # The nose tip is nearest, a little below the middle of the picture.
        assert 300 < row < 400
        assert np.nanmin(capture.depth_mm) == pytest.approx(484.0, abs=3.0)
        assert np.isfinite(capture.depth_mm).mean() == pytest.approx(0.21, abs=0.03)


@pytest.mark.data
def test_real_scan_depth_is_that_of_ray_casting(shared_data: Path) -> None:
    mesh = read_scan(shared_data / "scans" / "facefuns-m26" / "mesh.glb")
    config = SourceConfig(kind="scan")
    pose, _ = scan_camera(config, (0.0, 15.0), mesh)
    _, depth, intrinsics = render_scan(config, (0.0, 15.0), mesh)
    wanted, cosine = cast_rays(mesh, pose, intrinsics, *config.image_size)
    error = np.abs(depth - wanted)[np.isfinite(depth) & (cosine > 0.7)]
    assert np.percentile(error, 99) < 1e-3
