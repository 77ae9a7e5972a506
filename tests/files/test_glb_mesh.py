"""glb files of other programs: what glTF says is read, the rest is refused by its name."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from foreign_meshes import CORNERS, POINTS, UV_DOWN, Glb, square, textured_square

from fg3d_builder.errors import CaptureError
from fg3d_builder.files.mesh_io import read_mesh

PIXELS = np.random.default_rng(3).integers(0, 256, (8, 4, 3), dtype=np.uint8)
UV = np.column_stack([UV_DOWN[:, 0], 1 - UV_DOWN[:, 1]])


def uv_of(mesh: Any) -> np.ndarray:
    """Texture coordinates of the four points, in order."""
    found = np.full((4, 2), np.nan)
    found[mesh.triangles.ravel()] = mesh.uv[mesh.uv_triangles.ravel()]
    return found


def test_a_plain_one(tmp_path: Path) -> None:
    mesh = read_mesh(square().written(tmp_path / "mesh.glb"))
    np.testing.assert_array_equal(mesh.vertices, POINTS)
    np.testing.assert_array_equal(mesh.triangles, CORNERS)
    assert mesh.vertex_colors is None
    mesh = read_mesh(textured_square(PIXELS).written(tmp_path / "mesh.glb"))
    np.testing.assert_array_equal(mesh.textures[0], PIXELS)
    np.testing.assert_array_equal(uv_of(mesh), UV)


@pytest.mark.parametrize("kind", ["i2", "u2", "i1", "u1"])
def test_quantised_positions_are_normalised(tmp_path: Path, kind: str) -> None:
    largest = np.iinfo(kind).max
    glb = Glb()
    stored = np.rint(POINTS * largest).astype(kind)
    glb.mesh({"POSITION": glb.array(stored, normalized=True)}, indices=glb.array(CORNERS.ravel()))
    glb.node(mesh=0, scale=[100.0, 100.0, 100.0], translation=[1.0, 2.0, 3.0])
    glb.table["extensionsRequired"] = ["KHR_mesh_quantization"]
    mesh = read_mesh(glb.written(tmp_path / "mesh.glb"))
    wanted = 100 * POINTS + [1, 2, 3]
    np.testing.assert_allclose(mesh.vertices, wanted, atol=100 * 0.51 / largest)
    # Not normalised, they are whole numbers in the unit of the node.
    glb.table["accessors"][0].pop("normalized")
    mesh = read_mesh(glb.written(tmp_path / "mesh.glb"))
    np.testing.assert_allclose(mesh.vertices, 100.0 * stored + [1, 2, 3])


def test_the_texture_coordinates_that_the_material_names(tmp_path: Path) -> None:
    glb = textured_square(PIXELS, "TEXCOORD_1", texCoord=1)
    attributes = glb.table["meshes"][0]["primitives"][0]["attributes"]
    attributes["TEXCOORD_0"] = glb.array(np.zeros((4, 2), np.float32))
    mesh = read_mesh(glb.written(tmp_path / "mesh.glb"))
    np.testing.assert_array_equal(uv_of(mesh), UV)
    # The extension's own number wins over the material's.
    about = glb.table["materials"][0]["pbrMetallicRoughness"]["baseColorTexture"]
    about["extensions"] = {"KHR_texture_transform": {"texCoord": 0}}
    mesh = read_mesh(glb.written(tmp_path / "mesh.glb"))
    np.testing.assert_array_equal(uv_of(mesh), [[0, 1]] * 4)


def test_texture_transforms(tmp_path: Path) -> None:
    transform = {"offset": [0.25, 0.5], "scale": [0.5, 2.0], "rotation": np.pi / 2}
    glb = textured_square(PIXELS, extensions={"KHR_texture_transform": transform})
    glb.table["extensionsRequired"] = ["KHR_texture_transform"]
    mesh = read_mesh(glb.written(tmp_path / "mesh.glb"))
    u, v = (UV_DOWN * [0.5, 2.0]).T
    # A quarter turn counter-clockwise, as one sees it with v down: (1, 0) goes up.
    wanted = np.column_stack([v + 0.25, 1 - (-u + 0.5)])
    np.testing.assert_allclose(uv_of(mesh), wanted, atol=1e-6)


def test_interleaved_and_sparse_arrays(tmp_path: Path) -> None:
    glb = Glb()
    rows = np.zeros(4, [("p", "<f4", 3), ("pad", "<u4"), ("uv", "<f4", 2)])
    rows["p"], rows["uv"] = POINTS, UV_DOWN
    view = glb.view(rows.tobytes(), byteStride=24)
    row = {"bufferView": view, "componentType": 5126, "count": 4}
    glb.table["accessors"] += [
        {**row, "type": "VEC3"},
        {**row, "type": "VEC2", "byteOffset": 16},
        {
            "componentType": 5126,
            "type": "VEC3",
            "count": 4,
            "sparse": {
                "count": 2,
                "indices": {"bufferView": glb.view(b"\1\3"), "componentType": 5121},
                "values": {"bufferView": glb.view(POINTS[[1, 3]].tobytes())},
            },
        },
    ]
    indices = glb.array(CORNERS.ravel())
    material = glb.texture(PIXELS)
    glb.mesh({"POSITION": 0, "TEXCOORD_0": 1}, indices=indices, material=material)
    glb.mesh({"POSITION": 2}, indices=indices)
    glb.node(mesh=0)
    glb.node(mesh=1)
    mesh = read_mesh(glb.written(tmp_path / "mesh.glb"))
    sparse = POINTS * [[0], [1], [0], [1]]
    np.testing.assert_array_equal(mesh.vertices, np.concatenate([POINTS, sparse]))
    np.testing.assert_array_equal(mesh.uv[:4], UV)


def test_nodes_move_turn_and_mirror(tmp_path: Path) -> None:
    glb = square()
    inner = glb.node(in_scene=False, mesh=0, scale=[-1.0, 1.0, 1.0])
    matrix = np.eye(4)
    matrix[:3, 3] = [0, 0, 7]
    half = np.sqrt(0.5)
    outer = glb.node(in_scene=False, rotation=[0.0, 0.0, half, half], children=[inner])
    glb.node(matrix=matrix.T.ravel().tolist(), children=[outer])
    mesh = read_mesh(glb.written(tmp_path / "mesh.glb"))
    mirrored = POINTS * [-1, 1, 1]
    turned = np.column_stack([-mirrored[:, 1], mirrored[:, 0], mirrored[:, 2] + 7])
    np.testing.assert_allclose(mesh.vertices, np.concatenate([POINTS, turned]), atol=1e-6)
    np.testing.assert_array_equal(mesh.triangles[2:], CORNERS[:, ::-1].astype(int) + 4)


@pytest.mark.parametrize(
    ("mode", "wanted"), [(5, [[0, 1, 2], [1, 3, 2]]), (6, [[0, 1, 2], [0, 2, 3]])]
)
def test_strips_and_fans(tmp_path: Path, mode: int, wanted: list[list[int]]) -> None:
    glb = Glb()
    glb.mesh({"POSITION": glb.array(POINTS)}, mode=mode)
    glb.node(mesh=0)
    found = read_mesh(glb.written(tmp_path / "mesh.glb")).triangles
    as_wanted = [
        row.tolist() in [np.roll(w, k).tolist() for k in range(3)]
        for row, w in zip(found, wanted, strict=True)
    ]
    assert all(as_wanted)


def test_vertex_colours_and_plain_materials(tmp_path: Path) -> None:
    glb = Glb()
    colors = np.array(
        [[1, 2, 3, 255], [255, 0, 9, 255], [7, 77, 0, 9], [200, 100, 50, 0]], np.uint8
    )
    attributes = {"POSITION": glb.array(POINTS), "COLOR_0": glb.array(colors, normalized=True)}
    glb.mesh(attributes, indices=glb.array(CORNERS.ravel()))
    glb.mesh({"POSITION": 0}, indices=2, material=0)
    glb.table["materials"] = [{"pbrMetallicRoughness": {"baseColorFactor": [1.0, 0.0, 1.0, 1.0]}}]
    glb.node(mesh=0)
    glb.node(mesh=1)
    found = read_mesh(glb.written(tmp_path / "mesh.glb")).vertex_colors
    assert found is not None
    np.testing.assert_array_equal(found, [*colors[:, :3], *[[255, 0, 255]] * 4])


@pytest.mark.parametrize(
    "name",
    ["KHR_texture_basisu", "ACME_x"],
)
def test_a_required_extension_is_refused_by_its_name(tmp_path: Path, name: str) -> None:
    glb = square()
    glb.table["extensionsRequired"] = ["KHR_mesh_quantization", name]
    with pytest.raises(CaptureError, match=name) as caught:
        read_mesh(glb.written(tmp_path / "mesh.glb"))
    assert caught.value.code == "unreadable_mesh"
    assert "KHR_mesh_quantization" not in caught.value.message


def test_an_image_of_another_kind_is_named(tmp_path: Path) -> None:
    glb = textured_square(PIXELS)
    glb.table["textures"] = [{"extensions": {"KHR_texture_basisu": {"source": 0}}}]
    with pytest.raises(CaptureError, match="KHR_texture_basisu"):
        read_mesh(glb.written(tmp_path / "mesh.glb"))
    assert len(read_mesh(tmp_path / "mesh.glb", colours=False).triangles) == 2


def _accessor(**changes: Any) -> Callable[[Glb], Any]:
    return lambda glb: glb.table["accessors"][0].update(changes)


def _empty_array(glb: Glb) -> None:
    glb.table["accessors"][0] = {"componentType": 5126, "type": "VEC3", "count": 10**12}


def _instances(glb: Glb) -> None:
    glb.table["nodes"] = [{"mesh": 0} for _ in range(300_000)]
    glb.table["scenes"][0]["nodes"] = list(range(300_000))
    glb.table["accessors"][0] = {"componentType": 5126, "type": "VEC3", "count": 10_000}


def _circle(glb: Glb) -> None:
    glb.table["nodes"][0]["children"] = [0]


BROKEN: dict[str, tuple[Callable[[Glb], Any], str]] = {
    "count": (_accessor(count=10**12), "declared"),
    "negative count": (_accessor(count=-1), "count is -1"),
    "count of a text": (_accessor(count="many"), "count is 'many'"),
    "offset": (_accessor(byteOffset=10**9), "declared"),
    "component": (_accessor(componentType=5130), "componentType"),
    "type": (_accessor(type="MAT4"), "type is 'MAT4'"),
    "no bytes for it": (_empty_array, "without bytes"),
    "instances": (_instances, "repeat"),
    "nodes in a circle": (_circle, "twice"),
    "view": (lambda glb: glb.table["bufferViews"][0].update(byteLength=10**12), "buffer of"),
    "stride": (lambda glb: glb.table["bufferViews"][0].update(byteStride=10**9), "declared"),
    "buffer": (lambda glb: glb.table.update(buffers=[{"byteLength": 10**12}]), "are there"),
    "no buffer": (lambda glb: glb.table.update(buffers=[]), "buffers"),
    "no mesh": (lambda glb: glb.table.update(meshes=[]), "meshes"),
    "no scene": (lambda glb: glb.table.update(scene=9), "scenes"),
    "matrix": (lambda glb: glb.table["nodes"][0].update(matrix=[1, 2]), "matrix"),
    "rotation": (lambda glb: glb.table["nodes"][0].update(rotation=[0, 0, 0, 0]), "mesh.glb"),
    "infinite scale": (lambda glb: glb.table["nodes"][0].update(scale=[1e999, 1, 1]), "scale"),
    "points": (lambda glb: glb.table["meshes"][0]["primitives"][0].update(mode=0), "no triangles"),
    "index": (
        lambda glb: glb.table["meshes"][0]["primitives"][0].update(indices=0),
        "whole numbers",
    ),
    "list for object": (lambda glb: glb.table.update(nodes=[[]]), "nodes"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_declared_is_held_against_what_is_there(tmp_path: Path, name: str) -> None:
    spoil, words = BROKEN[name]
    glb = square()
    spoil(glb)
    file = glb.written(tmp_path / "mesh.glb")
    tracemalloc.start()
    try:
        with pytest.raises(CaptureError) as caught:
            read_mesh(file)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert caught.value.code == "unreadable_mesh"
    assert str(file) in caught.value.message
    assert words in caught.value.message
    assert peak < 10 * file.stat().st_size + 400e6 * (name == "instances") + 1e6


def test_files_beside_it_only(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.bin").write_bytes(bytes(100))
    for uri, code in (
        ("../secret.bin", "outside_folder"),
        ("%2e%2e/secret.bin", "outside_folder"),
        ("gone.bin", "missing_file"),
    ):
        glb = square()
        glb.table["buffers"] = [{"byteLength": 10, "uri": uri}]
        with pytest.raises(CaptureError) as caught:
            read_mesh(glb.written(tmp_path / "in" / "mesh.glb"))
        assert caught.value.code == code
