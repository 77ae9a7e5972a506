"""Meshes of RealSense's viewer, written as ``rs2::save_to_ply`` writes them."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from fg3d_builder.captures.layouts.layout import Item
from fg3d_builder.captures.layouts.realsense_ply import LAYOUT
from fg3d_builder.captures.scan_view import render_scan
from fg3d_builder.config import SourceConfig
from fg3d_builder.errors import CaptureError
from fg3d_builder.files.textured_mesh import TexturedMesh
from fg3d_builder.geometry.camera import cam_from_depth
from fg3d_builder.geometry.meshes import triangle_normals
from fg3d_builder.records import Array
from tests.captures.layouts.rgbd_scene import HEAD_MM, seen_by, straight_lens

CAMERA = straight_lens(96, 128, 160.0)


def export(
    path: Path,
    flipped: bool = True,
    binary: bool = True,
    normals: bool = False,
    mesh: bool = True,
    wall: bool = True,
) -> tuple[Array, Array]:
    """Write what a camera sees; return points in metres (camera frame) and colours."""
    view = seen_by(CAMERA)
    depth = view.depth_mm if wall else np.where(view.head, view.depth_mm, np.nan)
    grid = cam_from_depth(depth, CAMERA.intrinsics) / 1000.0
    number = np.full(depth.shape, -1)
    known = np.isfinite(depth)
    number[known] = np.arange(known.sum())
    points, colours = grid[known].astype("<f4"), view.rgb[known]
    a, b = number[:-1, :-1], number[:-1, 1:]
    c, d = number[1:, :-1], number[1:, 1:]
    z = grid[..., 2]
    near = [np.abs(u - v) < 0.05 for u, v in (
        (z[:-1, :-1], z[:-1, 1:]), (z[:-1, :-1], z[1:, :-1]), (z[:-1, 1:], z[1:, 1:]),
        (z[1:, :-1], z[1:, 1:]))]  # fmt: skip
    joined = np.all(near, axis=0)
    if flipped:  # later versions
        faces = np.stack([np.stack([a, d, b], -1)[joined], np.stack([d, a, c], -1)[joined]], 1)
    else:
        faces = np.stack([np.stack([a, b, d], -1)[joined], np.stack([d, c, a], -1)[joined]], 1)
    faces = faces.reshape(-1, 3).astype("<i4")
    written = points * np.array([1, -1, -1] if flipped else [1, 1, 1], "<f4")
    header = "ply\nformat " + ("binary_little_endian" if binary else "ascii") + " 1.0\n"
    header += "comment pointcloud saved from Realsense Viewer\n"
    header += f"element vertex {len(points)}\n"
    header += "".join(f"property float32 {axis}\n" for axis in "xyz")
    if normals:
        header += "".join(f"property float32 n{axis}\n" for axis in "xyz")
    header += "".join(f"property uchar {colour}\n" for colour in ("red", "green", "blue"))
    if mesh:
        header += f"element face {len(faces)}\nproperty list uchar int vertex_indices\n"
    data = (header + "end_header\n").encode()
    for point, colour in zip(written, colours, strict=True):
        numbers = [*point, *([0.0, 0.0, 1.0] if normals else [])]
        if binary:
            data += struct.pack(f"<{len(numbers)}f3B", *numbers, *colour)
        else:
            data += (
                " ".join(f"{x:.6g}" for x in numbers) + " {} {} {} \n".format(*colour)
            ).encode()
    for face in faces if mesh else []:
        data += struct.pack("<B3i", 3, *face) if binary else "3 {} {} {} \n".format(*face).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return points.astype(float), colours


def read(path: Path) -> TexturedMesh:
    assert LAYOUT.mesh is not None
    return LAYOUT.mesh(Item("x", "x", (path,)))


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("flipped", [True, False])
def test_both_frames_and_forms(tmp_path: Path, flipped: bool, binary: bool) -> None:
    points, colours = export(tmp_path / "a.ply", flipped, binary)
    mesh = read(tmp_path / "a.ply")
    # y up, z towards the camera; ascii has six digits.
    np.testing.assert_allclose(mesh.vertices, points * [1, -1, -1], atol=0 if binary else 1e-5)
    np.testing.assert_array_equal(mesh.vertex_colors, colours)
    normals = triangle_normals(mesh.vertices, mesh.triangles)
    centers = mesh.vertices[mesh.triangles].mean(axis=1)
    assert (np.einsum("md,md->m", normals, centers) < 0).mean() > 0.99
    # The wall, 0.6 m behind the head and of ten times its triangles, is left out.
    assert centers[:, 2].min() > -(HEAD_MM + 100) / 1000
    assert len(mesh.triangles) > 1000


def test_normals_are_skipped_over(tmp_path: Path) -> None:
    plain, _ = export(tmp_path / "a.ply")
    export(tmp_path / "b.ply", normals=True)
    np.testing.assert_array_equal(
        read(tmp_path / "a.ply").vertices, read(tmp_path / "b.ply").vertices
    )
    assert len(plain)


def test_a_rendering_is_what_the_camera_saw(tmp_path: Path) -> None:
    export(tmp_path / "a.ply", wall=False)
    config = SourceConfig(
        kind="realsense_ply", unit_mm=LAYOUT.unit_mm, distance_mm=HEAD_MM, image_size=(96, 128),
        focal_px=160.0,
    )  # fmt: skip
    _, depth_mm, _ = render_scan(config, (0.0, 0.0), read(tmp_path / "a.ply"))
    view = seen_by(CAMERA)
    shown, seen = depth_mm[np.isfinite(depth_mm)], view.depth_mm[view.head]
    # The same head, as deep as it was, but for its outline.
    assert np.quantile(shown, 0.8) - shown.min() == pytest.approx(
        np.quantile(seen, 0.8) - seen.min(), abs=4.0
    )
    # As large as it looks from where the middle of its box is 600 mm away.
    middle = (np.quantile(seen, 0.99) + seen.min()) / 2
    assert len(shown) == pytest.approx(len(seen) * (middle / HEAD_MM) ** 2, rel=0.1)


def test_people_and_expressions(tmp_path: Path) -> None:
    for name in ("cleo.ply", "anna/1.ply", "ben/smile/2.PLY", "ben/note.txt", ".hidden/3.ply"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("ply\ncomment pointcloud saved from Realsense Viewer\n")
    (tmp_path / "meshlab.ply").write_text("ply\ncomment VCGLIB generated\n")  # kind scan
    found = {(i.name, i.subject, i.expression) for i in LAYOUT.find(tmp_path)}
    assert found == {
        ("cleo", "cleo", "neutral"),
        ("anna-1", "anna", "neutral"),
        ("ben-smile-2", "ben", "smile"),
    }


def test_what_is_no_export_of_a_frame(tmp_path: Path) -> None:
    file = tmp_path / "a.ply"
    export(file, mesh=False)
    with pytest.raises(CaptureError, match=r"a\.ply: no triangles in it, points alone: export"):
        read(file)
    file.write_text(
        "ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\n"
        "property float z\nelement face 1\nproperty list uchar int vertex_indices\nend_header\n"
        "0 0 1\n1 0 1\n0 1 -1\n3 0 1 2\n"
    )
    with pytest.raises(CaptureError, match="on both sides of the camera"):
        read(file)
