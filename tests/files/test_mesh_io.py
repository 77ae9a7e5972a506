"""Meshes are read exactly, and written so that other readers get the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import open3d
import pytest
import trimesh
from PIL import Image

from fg3d_builder.errors import CaptureError
from fg3d_builder.files.mesh_io import (
    GREY,
    TexturedMesh,
    colors_at_vertices,
    mesh_with_colors,
    mesh_with_texture,
    read_mesh,
    write_mesh,
)
from fg3d_builder.files.obj_reader import parse_mtl, parse_obj

TRIANGLES = np.array([[0, 1, 2], [2, 1, 3]], dtype=np.int32)
VERTICES = np.array([[0.1, 0, 0], [1, 0.123456789, 0], [0, 1, 1 / 3], [1, 1, 0.5]])
UV = np.array([[0.125, 0.125], [0.875, 0.125], [0.125, 0.875], [0.875, 0.875]])


def texture() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (4, 4, 3), dtype=np.uint8)


def write_obj(folder: Path, text: str, mtl: str = "") -> Path:
    (folder / "mesh.obj").write_text(text)
    if mtl:
        (folder / "mesh.mtl").write_text(mtl)
    return folder / "mesh.obj"


def test_obj_keeps_numbers_order_and_duplicates() -> None:
    lines = ["# comment", "v 0.1 -2e-3 3", "v 0.1 -2e-3 3", "v 7.0000001 8 9", "v 1 1 1"]
    lines += ["vt 0.25 0.75 0", "vt 1 0", "vn 0 0 1"]
    lines += ["usemtl skin", "f 3/1/1 2/2/1 1/1/1", "g nose left", "f -1//1 -2//1 1//1"]
    lines += ["usemtl cloth", "f 1 2 3 4", "g", "usemtl skin", "f 1/-1 2/-2 3/1", "g nose"]
    mesh = parse_obj("\r\n".join(lines).encode())
    expected = [[0.1, -2e-3, 3.0], [0.1, -2e-3, 3.0], [7.0000001, 8.0, 9.0], [1.0, 1.0, 1.0]]
    assert mesh.vertices.tolist() == expected
    assert mesh.uv.tolist() == [[0.25, 0.75], [1.0, 0.0]]
    assert mesh.sizes.tolist() == [3, 3, 4, 3]
    assert mesh.corners[6:10].tolist() == [[0, -1], [1, -1], [2, -1], [3, -1]]
    assert mesh.material.tolist() == [0, 0, 1, 0]
    assert mesh.materials == ("skin", "cloth")
    assert mesh.group.tolist() == [-1, 0, 0, 1]
    assert mesh.groups == ("nose", "")
    triangles, uv_triangles, polygon = mesh.fans()
    assert triangles.tolist() == [[2, 1, 0], [3, 2, 0], [0, 1, 2], [0, 2, 3], [0, 1, 2]]
    none = [-1, -1, -1]
    assert uv_triangles.tolist() == [[0, 1, 0], none, none, none, [1, 0, 0]]
    assert polygon.tolist() == [0, 1, 2, 2, 3]
    bare = parse_obj("\n".join(lines).encode(), vertices_only=True)
    assert bare.vertices.tolist() == expected
    assert (bare.sizes.size, bare.uv.size, bare.materials) == (0, 0, ())


def test_obj_numbers_are_those_of_python() -> None:
    values = np.random.default_rng(0).normal(size=(2000, 3)) * 10.0 ** np.arange(-1, 2)
    text = "".join(f"v {x!r} {y!r} {z!r}\n" for x, y, z in values.tolist())
    np.testing.assert_array_equal(parse_obj(text.encode()).vertices, values)


def test_mtl_options_and_blanks_in_names() -> None:
    text = "newmtl a\nKd 0.5 0.25 1\nmap_Kd -s 1 1 1 -clamp on my skin.jpg\nnewmtl b\nKd 1 0 0\n"
    found = parse_mtl(text)
    assert found["a"].image == "my skin.jpg"
    assert found["a"].diffuse.tolist() == [0.5, 0.25, 1.0]
    assert found["b"].image == ""


def test_obj_with_texture_and_plain_material(tmp_path: Path) -> None:
    Image.fromarray(texture()).save(tmp_path / "skin.png")
    text = "mtllib mesh.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nv 1 1 0\nvt 0 0\nvt 1 0\nvt 0 1\n"
    text += "usemtl skin\nf 1/1 2/2 3/3\nusemtl cloth\nf 3 2 4\n"
    mtl = "newmtl skin\nmap_Kd skin.png\nnewmtl cloth\nKd 1 0.2 0\n"
    mesh = read_mesh(write_obj(tmp_path, text, mtl))
    np.testing.assert_array_equal(mesh.textures[0], texture())
    assert mesh.triangle_texture.tolist() == [0, -1]
    assert mesh.vertex_colors is not None
    assert mesh.vertex_colors[3].tolist() == [255, 51, 0]


def test_obj_with_vertex_colors(tmp_path: Path) -> None:
    text = "v 0 0 0 1 0 0\nv 1 0 0 0 1 0\nv 0 1 0 0 0 0.2\nf 1 2 3\n"
    mesh = read_mesh(write_obj(tmp_path, text))
    assert mesh.vertex_colors is not None
    assert mesh.vertex_colors.tolist() == [[255, 0, 0], [0, 255, 0], [0, 0, 51]]


@pytest.mark.parametrize(
    ("name", "data", "problem"),
    [
        ("mesh.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\n", "no triangles"),
        ("mesh.obj", b"v 0 0\nf 1 1 1\n", "v line without 3 numbers"),
        ("mesh.obj", b"v 0 x 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", "no list of numbers"),
        ("mesh.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 4\n", "vertex that does not exist"),
        ("mesh.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 0\n", "line 4"),
        ("mesh.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2\n", "2 corners"),
        ("mesh.obj", b"v 0 0 nan\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", "not finite"),
        ("mesh.obj", b"v 0 0 1e38\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", "units from the origin"),
        ("mesh.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1/9 2/9 3/9\n", "texture coordinate"),
        ("mesh.obj", bytes(range(256)) * 9, "no triangles"),
        ("mesh.ply", b"ply\nformat ascii 1.0\nelement vertex 3\n", ""),
        ("mesh.ply", b"rubbish" * 50, ""),
        ("mesh.glb", b"glTF" + bytes(40), ""),
        ("mesh.glb", b"rubbish" * 50, ""),
        ("mesh.glb", b"", ""),
        ("mesh.stl", b"", "expected one of .obj, .glb, .ply"),
    ],
)
def test_garbage_is_named(tmp_path: Path, name: str, data: bytes, problem: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(CaptureError) as caught:
        read_mesh(tmp_path / name)
    assert caught.value.code == "unreadable_mesh"
    assert str(tmp_path / name) in caught.value.message
    assert problem in caught.value.message


def test_missing_mesh_and_missing_texture(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match=r"none\.obj") as caught:
        read_mesh(tmp_path / "none.obj")
    assert caught.value.code == "missing_file"
    text = "mtllib mesh.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nusemtl s\nf 1/1 2/1 3/1\n"
    file = write_obj(tmp_path, text, "newmtl s\nmap_Kd gone.jpg\n")
    with pytest.raises(CaptureError, match=r"mesh\.obj: the material 's' .*'gone\.jpg'") as caught:
        read_mesh(file)
    assert caught.value.code == "missing_file"


def test_truncated_glb_is_found(tmp_path: Path) -> None:
    file = tmp_path / "mesh.glb"
    write_mesh(file, mesh_with_texture(VERTICES, TRIANGLES, UV, texture()))
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(CaptureError, match=r"mesh\.glb") as caught:
        read_mesh(file)
    assert caught.value.code == "unreadable_mesh"


def test_glb_round_trip(tmp_path: Path) -> None:
    write_mesh(tmp_path / "mesh.glb", mesh_with_texture(VERTICES, TRIANGLES, UV, texture()))
    found = read_mesh(tmp_path / "mesh.glb")
    in_metres = (VERTICES * 0.001).astype(np.float32)
    np.testing.assert_array_equal(found.vertices, in_metres)
    np.testing.assert_array_equal(found.triangles, TRIANGLES)
    np.testing.assert_allclose(found.uv[found.uv_triangles], UV[TRIANGLES], atol=1e-6)
    np.testing.assert_array_equal(found.textures[0], texture())


def test_glb_node_transforms_are_applied(tmp_path: Path) -> None:
    scene = trimesh.Scene()
    move = trimesh.transformations.translation_matrix([10, 20, 30])
    mirror = np.diag([-1.0, 2.0, 2.0, 1.0])
    for name, transform in (("moved", move), ("mirrored", mirror)):
        part = trimesh.Trimesh(VERTICES, TRIANGLES, process=False)
        scene.add_geometry(part, node_name=name, geom_name=name, transform=transform)
    (tmp_path / "mesh.glb").write_bytes(scene.export(file_type="glb"))
    mesh = read_mesh(tmp_path / "mesh.glb")
    wanted = np.concatenate([np.add(VERTICES, [10, 20, 30]), VERTICES * [-1, 2, 2]])
    np.testing.assert_allclose(mesh.vertices, wanted, atol=1e-6)
    # A mirrored part keeps its outside outside.
    np.testing.assert_array_equal(mesh.triangles, [*TRIANGLES, *(TRIANGLES[:, ::-1] + 4)])


def test_glb_repeats_vertices_on_seams_after_all_others(tmp_path: Path) -> None:
    uv = np.concatenate([UV, UV[1:3] * 0.5])
    mesh = TexturedMesh(
        vertices=VERTICES,
        triangles=TRIANGLES,
        uv=uv,
        uv_triangles=np.array([[0, 1, 2], [5, 4, 3]], dtype=np.int32),
        textures=(texture(),),
        triangle_texture=np.zeros(2, np.int32),
    )
    write_mesh(tmp_path / "mesh.glb", mesh)
    found = read_mesh(tmp_path / "mesh.glb")
    assert len(found.vertices) == 6
    np.testing.assert_allclose(1000 * found.vertices[:4], VERTICES, atol=1e-6)
    corners = 1000 * found.vertices[found.triangles]
    np.testing.assert_allclose(corners, VERTICES[TRIANGLES], atol=1e-6)
    corners_uv = found.uv[found.uv_triangles]
    np.testing.assert_allclose(corners_uv, uv[mesh.uv_triangles], atol=1e-6)


def test_ply_round_trip_with_colors(tmp_path: Path) -> None:
    colors = np.array([[1, 2, 3], [255, 0, 9], [7, 77, 0], [200, 100, 50]], dtype=np.uint8)
    write_mesh(tmp_path / "mesh.ply", mesh_with_colors(VERTICES, TRIANGLES, colors))
    found = read_mesh(tmp_path / "mesh.ply")
    np.testing.assert_array_equal(found.vertices, VERTICES.astype(np.float32))
    np.testing.assert_array_equal(found.triangles, TRIANGLES)
    assert found.vertex_colors is not None
    np.testing.assert_array_equal(found.vertex_colors, colors)
    other = open3d.io.read_triangle_mesh(str(tmp_path / "mesh.ply"))
    np.testing.assert_allclose(np.asarray(other.vertices), VERTICES, atol=1e-6)
    np.testing.assert_array_equal(np.asarray(other.triangles), TRIANGLES)
    np.testing.assert_array_equal(np.rint(255 * np.asarray(other.vertex_colors)), colors)


def test_ply_of_a_textured_mesh_takes_its_colors_from_the_texture(tmp_path: Path) -> None:
    mesh = mesh_with_texture(VERTICES, TRIANGLES, UV, texture())
    # The coordinates are the centres of the corner texels; row 0 of the image is at the top.
    wanted = [texture()[3, 0], texture()[3, 3], texture()[0, 0], texture()[0, 3]]
    np.testing.assert_array_equal(colors_at_vertices(mesh), wanted)
    write_mesh(tmp_path / "mesh.ply", mesh)
    np.testing.assert_array_equal(read_mesh(tmp_path / "mesh.ply").vertex_colors, wanted)


def test_mesh_without_colors_is_grey(tmp_path: Path) -> None:
    mesh = mesh_with_colors(VERTICES, TRIANGLES)
    assert (colors_at_vertices(mesh) == GREY).all()


def test_unknown_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected \.ply or \.glb"):
        write_mesh(tmp_path / "mesh.stl", mesh_with_colors(VERTICES, TRIANGLES))


@pytest.mark.data
def test_facefuns_scans_share_their_numbering(shared_data: Path) -> None:
    names = ("facefuns-f18/mesh.obj", "facefuns-m66/mesh.glb")
    first, second = (read_mesh(shared_data / "scans" / n) for n in names)
    for mesh in (first, second):
        assert mesh.vertices.shape == (30204, 3)
        assert mesh.textures[0].shape == (1024, 1024, 3)
    np.testing.assert_array_equal(first.triangles, second.triangles)
    lines = (shared_data / "scans" / names[0]).read_text().splitlines()
    raw = [line.split()[1:] for line in lines if line.startswith("v ")]
    np.testing.assert_array_equal(first.vertices, np.array(raw, dtype=float))


@pytest.mark.data
def test_point_cloud_is_no_mesh(shared_data: Path) -> None:
    with pytest.raises(CaptureError, match="no triangles") as caught:
        read_mesh(shared_data / "captures" / "sven-fused-reference.ply")
    assert caught.value.code == "unreadable_mesh"
