"""ply files of other programs: colours and textures are read, wrong counts are found."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fg3d_builder.errors import CaptureError
from fg3d_builder.files.mesh_io import mesh_with_colors, read_mesh, write_mesh
from fg3d_builder.files.obj_writer import write_textured_obj

PIXELS = np.random.default_rng(3).integers(0, 256, (4, 4, 3), dtype=np.uint8)
POINTS = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], dtype="<f4")


def header(form: str, vertices: int, faces: int, comment: str = "", more: str = "") -> bytes:
    lines = ["ply", f"format {form} 1.0", *([comment] if comment else [])]
    lines += [f"element vertex {vertices}", *(f"property float {axis}" for axis in "xyz")]
    lines += [f"element face {faces}", "property list uchar int vertex_indices"]
    return "\n".join([*lines, *([more] if more else []), "end_header", ""]).encode()


def textured(name: str) -> bytes:
    comment, more = f"comment TextureFile {name}", "property list uchar float texcoord"
    corners, uv = np.array([0, 1, 2], "<i4"), np.array([0, 0, 1, 0, 0, 1], "<f4")
    face = b"\x03" + corners.tobytes() + b"\x06" + uv.tobytes()
    return header("binary_little_endian", 3, 2, comment, more) + POINTS.tobytes() + 2 * face


def test_a_texture_beside_it_is_read(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "my skin.png")
    (tmp_path / "mesh.ply").write_bytes(textured("my skin.png"))
    mesh = read_mesh(tmp_path / "mesh.ply")
    np.testing.assert_array_equal(mesh.textures[0], PIXELS)
    corners = mesh.vertices[mesh.triangles[0]]
    np.testing.assert_allclose(mesh.uv[mesh.uv_triangles[0]], corners[:, :2], atol=1e-6)


@pytest.mark.parametrize(
    ("name", "code"), [("../skin.png", "outside_folder"), ("gone.png", "missing_file")]
)
def test_a_texture_elsewhere_is_not(tmp_path: Path, name: str, code: str) -> None:
    (tmp_path / "in").mkdir()
    Image.fromarray(PIXELS).save(tmp_path / "skin.png")
    (tmp_path / "in/mesh.ply").write_bytes(textured(name))
    with pytest.raises(CaptureError, match=name) as caught:
        read_mesh(tmp_path / "in/mesh.ply")
    assert caught.value.code == code
    assert len(read_mesh(tmp_path / "in/mesh.ply", colours=False).vertices) == 3


@pytest.mark.parametrize(
    "data",
    [
        header("binary_little_endian", 10**9, 1) + POINTS.tobytes(),
        header("binary_little_endian", 3, 10**12) + POINTS.tobytes(),
        header("binary_little_endian", -3, 1) + POINTS.tobytes(),
        header("ascii", 10**9, 10**9) + b"0 0 0\n",
        header("binary_little_endian", 3, 1).replace(b"uchar", b"uint")
        + POINTS.tobytes()
        + b"\xff\xff\xff\x7f" * 4,
        header("ascii", 3, 1).replace(b"float x", b"quad x") + b"0 0 0\n" * 9,
        b"ply\n" + b"comment x\n" * 20_000,
    ],
)
def test_counts_are_held_against_the_file(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "mesh.ply").write_bytes(data)
    tracemalloc.start()
    try:
        with pytest.raises(CaptureError, match=r"mesh\.ply") as caught:
            read_mesh(tmp_path / "mesh.ply")
        assert tracemalloc.get_traced_memory()[1] < 5e6
    finally:
        tracemalloc.stop()
    assert caught.value.code == "unreadable_mesh"


def test_the_unit_is_in_a_comment(tmp_path: Path) -> None:
    mesh = mesh_with_colors(POINTS, np.array([[0, 1, 2]]))
    write_mesh(tmp_path / "mesh.ply", mesh, unit_mm=10.0)
    assert b"\ncomment unit: 10 mm\n" in (tmp_path / "mesh.ply").read_bytes()
    np.testing.assert_array_equal(read_mesh(tmp_path / "mesh.ply").vertices, POINTS)
    write_mesh(tmp_path / "mesh.glb", mesh, unit_mm=10.0)
    np.testing.assert_allclose(100 * read_mesh(tmp_path / "mesh.glb").vertices, POINTS, atol=1e-6)
    write_textured_obj(tmp_path / "a.obj", POINTS, mesh.triangles, POINTS[:, :2], PIXELS)
    assert (tmp_path / "a.obj").read_text().startswith("# unit: 1 mm\n")
    np.testing.assert_array_equal(read_mesh(tmp_path / "a.obj").vertices, POINTS)
