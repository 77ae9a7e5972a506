"""glb files with Draco and meshopt, made by the encoders of the packages that decode them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from foreign_meshes import Glb
from scipy.spatial import KDTree

from fg3d_builder.errors import CaptureError
from fg3d_builder.files import gltf_decoders
from fg3d_builder.files.mesh_io import TexturedMesh, read_mesh

DRACO, MESHOPT = "KHR_draco_mesh_compression", "EXT_meshopt_compression"
PIXELS = np.random.default_rng(3).integers(0, 256, (8, 4, 3), dtype=np.uint8)

ball = trimesh.creation.icosphere(subdivisions=3)
POINTS = (np.asarray(ball.vertices) * [75.0, 105.0, 90.0]).astype(np.float32)
CORNERS = np.asarray(ball.faces).astype(np.uint32)
UV = (0.5 + 0.45 * np.asarray(ball.vertices)[:, :2]).astype(np.float32)
COLOURS = np.rint(127 + 120 * np.asarray(ball.vertices)).astype(np.uint8)

needs_draco = pytest.mark.skipif(
    importlib.util.find_spec("DracoPy") is None, reason="DracoPy is not installed"
)
needs_meshopt = pytest.mark.skipif(
    importlib.util.find_spec("meshopt") is None, reason="meshopt is not installed"
)


def accessor(glb: Glb, component: int, kind: str, count: int, **more: Any) -> int:
    glb.table["accessors"].append(
        {"componentType": component, "type": kind, "count": count, **more}
    )
    return len(glb.table["accessors"]) - 1


def draco_ball(preserve_order: bool = True, textured: bool = True, **more: Any) -> Glb:
    import DracoPy

    glb = Glb()
    extra = {"tex_coord": UV.astype(np.float64)} if textured else {"colors": COLOURS}
    data = DracoPy.encode(
        POINTS, CORNERS, preserve_order=preserve_order, quantization_bits=16, **extra, **more
    )
    found = {a["attribute_type"]: a["unique_id"] for a in DracoPy.decode(data).attributes}
    attributes = {"POSITION": accessor(glb, 5126, "VEC3", len(POINTS))}
    ids = {"POSITION": found[0]}
    if textured:
        attributes["TEXCOORD_0"] = accessor(glb, 5126, "VEC2", len(POINTS))
        ids["TEXCOORD_0"] = found[3]
    else:
        attributes["COLOR_0"] = accessor(glb, 5121, "VEC3", len(POINTS), normalized=True)
        ids["COLOR_0"] = found[2]
    indices = accessor(glb, 5123, "SCALAR", CORNERS.size)
    extensions = {DRACO: {"bufferView": glb.view(data), "attributes": ids}}
    material = {"material": glb.texture(PIXELS)} if textured else {}
    glb.mesh(attributes, indices=indices, extensions=extensions, **material)
    glb.node(mesh=0)
    glb.table["extensionsRequired"] = [DRACO]
    return glb


def packed_view(glb: Glb, values: np.ndarray, mode: str, name: str = MESHOPT, **more: Any) -> int:
    """Add a buffer view that is compressed, with a fallback buffer that has no data."""
    import meshopt

    version = 1 if name.startswith("KHR") else 0
    data = meshopt.encode_gltf_buffer(values, mode, version)
    packed = glb.view(data)
    row = glb.table["bufferViews"].pop(packed)
    stride = values.nbytes // len(values)
    about = {**row, "mode": mode, "byteStride": stride, "count": len(values), **more}
    view = {"buffer": 1, "byteOffset": 0, "byteLength": values.nbytes, "extensions": {name: about}}
    if mode == "ATTRIBUTES":
        view["byteStride"] = stride
    glb.table["bufferViews"].append(view)
    return packed


def meshopt_ball(name: str = MESHOPT, triangles: str = "TRIANGLES") -> Glb:
    """Positions quantised to 16 bits, texture coordinates as floats, indices of 16 bits."""
    glb = Glb()
    largest = float(np.abs(POINTS).max())
    stored = np.zeros((len(POINTS), 4), np.int16)
    stored[:, :3] = np.rint(POINTS / largest * 32767)
    position = packed_view(glb, stored, "ATTRIBUTES", name)
    attributes = {
        "POSITION": accessor(glb, 5122, "VEC3", len(POINTS), bufferView=position, normalized=True),
        "TEXCOORD_0": accessor(
            glb, 5126, "VEC2", len(POINTS), bufferView=packed_view(glb, UV, "ATTRIBUTES", name)
        ),
    }
    corners = packed_view(glb, CORNERS.astype(np.uint16).reshape(-1), triangles, name)
    indices = accessor(glb, 5123, "SCALAR", CORNERS.size, bufferView=corners)
    glb.mesh(attributes, indices=indices, material=glb.texture(PIXELS))
    glb.node(mesh=0, scale=[largest] * 3)
    glb.table["extensionsRequired"] = [name, "KHR_mesh_quantization"]
    return glb


def written(glb: Glb, path: Path) -> Path:
    if len({view["buffer"] for view in glb.table["bufferViews"]}) > 1:
        fallback = {"byteLength": 10**6, "extensions": {MESHOPT: {"fallback": True}}}
        glb.table["buffers"] = [{"byteLength": len(glb.binary)}, fallback]
    return glb.written(path)


def corners_of(mesh: TexturedMesh) -> np.ndarray:
    """Places and texture coordinates (v down) of all corners, sorted."""
    uv = mesh.uv[mesh.uv_triangles] * [1, -1] + [0, 1]
    rows = np.concatenate([mesh.vertices[mesh.triangles], uv], axis=-1).reshape(-1, 5)
    return rows[np.lexsort(np.round(rows, 3).T)]


@needs_draco
def test_draco_in_the_order_of_the_file(tmp_path: Path) -> None:
    mesh = read_mesh(written(draco_ball(), tmp_path / "mesh.glb"))
    # 16 bits over the 210 mm of the largest side.
    np.testing.assert_allclose(mesh.vertices, POINTS, atol=0.51 * 210 / 65535)
    np.testing.assert_array_equal(mesh.triangles, CORNERS)
    np.testing.assert_allclose(mesh.uv * [1, -1] + [0, 1], UV, atol=1e-4)
    np.testing.assert_array_equal(mesh.textures[0], PIXELS)


@needs_draco
def test_draco_in_its_own_order(tmp_path: Path) -> None:
    """Edgebreaker renumbers vertices: the surface and what is on it stay."""
    mesh = read_mesh(written(draco_ball(preserve_order=False), tmp_path / "mesh.glb"))
    assert len(mesh.vertices) == len(POINTS)
    far, place = KDTree(POINTS).query(mesh.vertices)
    assert far.max() < 0.01
    np.testing.assert_allclose(mesh.uv * [1, -1] + [0, 1], UV[place], atol=1e-4)
    found = np.sort(np.sort(place[mesh.triangles], axis=1), axis=0)
    np.testing.assert_array_equal(found, np.sort(np.sort(CORNERS, axis=1), axis=0))


@needs_draco
def test_draco_colours(tmp_path: Path) -> None:
    mesh = read_mesh(written(draco_ball(textured=False), tmp_path / "mesh.glb"))
    assert mesh.vertex_colors is not None
    np.testing.assert_array_equal(mesh.vertex_colors, COLOURS)


@needs_draco
def test_what_draco_gives_is_held_against_what_is_declared(tmp_path: Path) -> None:
    def message(change: Any) -> str:
        glb = draco_ball()
        change(glb)
        with pytest.raises(CaptureError) as caught:
            read_mesh(written(glb, tmp_path / "mesh.glb"))
        assert caught.value.code == "unreadable_mesh"
        return caught.value.message

    def ids(glb: Glb) -> dict[str, int]:
        return glb.table["meshes"][0]["primitives"][0]["extensions"][DRACO]["attributes"]

    def accessors(glb: Glb) -> list[dict[str, Any]]:
        return glb.table["accessors"]

    triangles = f"{len(CORNERS)} triangles in it, the accessor declares 3 corners"
    assert triangles in message(lambda glb: accessors(glb)[2].update(count=3))
    assert "5 vertices declared" in message(lambda glb: accessors(glb)[0].update(count=5))
    assert "corners declared" in message(lambda glb: accessors(glb)[2].update(count=10**12))
    assert "no POSITION of 3 numbers" in message(lambda glb: ids(glb).update(POSITION=77))
    assert "no POSITION of 2" in message(lambda glb: accessors(glb)[0].update(type="VEC2"))
    view = {"byteLength": 400}
    cut = message(lambda glb: glb.table["bufferViews"][0].update(view))
    assert f"{DRACO}: " in cut
    assert "no data of version 2.2" in message(
        lambda glb: setattr(glb, "binary", b"draco" + glb.binary[5:])
    )
    strips = message(lambda glb: glb.table["meshes"][0]["primitives"][0].update(mode=5))
    assert "mode 5" in strips


@needs_draco
def test_what_is_there_uncompressed_needs_no_decoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gltf_decoders.importlib.util, "find_spec", lambda name: None)
    glb = draco_ball()
    for index, values in enumerate((POINTS, UV, CORNERS.astype(np.uint16).ravel())):
        glb.table["accessors"][index]["bufferView"] = glb.view(values.tobytes())
    glb.table["extensionsRequired"] = []
    mesh = read_mesh(written(glb, tmp_path / "mesh.glb"))
    np.testing.assert_array_equal(mesh.vertices, POINTS)


@pytest.mark.parametrize(
    ("name", "hint"),
    [(DRACO, "DracoPy: pip install 'fg3d-builder[draco]'"),
     (MESHOPT, "meshopt: pip install 'fg3d-builder[meshopt]'"),
     ("KHR_meshopt_compression", "meshopt: pip install 'fg3d-builder[meshopt]'")],
)  # fmt: skip
def test_a_missing_decoder_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, hint: str
) -> None:
    monkeypatch.setattr(gltf_decoders.importlib.util, "find_spec", lambda name: None)
    glb = Glb()
    glb.table["extensionsRequired"] = [name]
    with pytest.raises(CaptureError) as caught:
        read_mesh(glb.written(tmp_path / "mesh.glb"))
    assert f"requires the glTF extension {name}, which needs the package {hint}" in str(
        caught.value
    )


@needs_meshopt
@pytest.mark.parametrize("name", [MESHOPT, "KHR_meshopt_compression"])
@pytest.mark.parametrize("mode", ["TRIANGLES", "INDICES"])
def test_meshopt(tmp_path: Path, name: str, mode: str) -> None:
    mesh = read_mesh(written(meshopt_ball(name, mode), tmp_path / "mesh.glb"))
    np.testing.assert_allclose(mesh.vertices, POINTS, atol=0.51 * 105 / 32767)
    np.testing.assert_allclose(mesh.uv * [1, -1] + [0, 1], UV, atol=1e-7)
    # The triangle codec turns the corners of a triangle around, never the triangle over.
    turned = np.stack([np.roll(CORNERS, k, axis=1) for k in range(3)])
    assert (turned == mesh.triangles).all(axis=-1).any(axis=0).all()
    np.testing.assert_array_equal(mesh.textures[0], PIXELS)


@needs_meshopt
def test_meshopt_filters(tmp_path: Path) -> None:
    import meshopt

    glb = Glb()
    rows = meshopt.encode_filter_exp(POINTS, 18)
    view = packed_view(glb, rows, "ATTRIBUTES", filter="EXPONENTIAL")
    position = accessor(glb, 5126, "VEC3", len(POINTS), bufferView=view)
    glb.mesh({"POSITION": position}, indices=glb.array(CORNERS.astype(np.uint16).ravel()))
    glb.node(mesh=0)
    glb.table["extensionsRequired"] = [MESHOPT]
    mesh = read_mesh(written(glb, tmp_path / "mesh.glb"))
    # 18 bits, signed, of the largest of a vertex's three numbers.
    np.testing.assert_allclose(mesh.vertices, POINTS, atol=105 / 2**16)


@needs_meshopt
def test_what_meshopt_gives_is_held_against_what_is_declared(tmp_path: Path) -> None:
    def message(**changes: Any) -> str:
        glb = meshopt_ball()
        view = glb.table["bufferViews"][0]
        for name, value in changes.items():
            place = view if name in view and name != "byteStride" else view["extensions"][MESHOPT]
            place[name] = value
        with pytest.raises(CaptureError) as caught:
            read_mesh(written(glb, tmp_path / "mesh.glb"))
        return caught.value.message

    assert "mode is 'BEST'" in message(mode="BEST")
    assert "declares 5136 bytes" in message(count=10)
    assert "elements of 0 bytes" in message(byteStride=0)
    assert "-1 elements" in message(count=-1)
    assert "cannot stand for 80000000" in message(count=10**7, byteLength=8 * 10**7)
    assert f"{MESHOPT}: " in message(filter="SHARP")
    glb = meshopt_ball()
    glb.table["bufferViews"][0]["extensions"][MESHOPT]["byteLength"] = 300
    with pytest.raises(CaptureError, match=MESHOPT):
        read_mesh(written(glb, tmp_path / "mesh.glb"))


@pytest.mark.data
@pytest.mark.parametrize("case", ["glb-draco", "glb-meshopt"])
def test_files_of_gltf_transform(shared_data: Path, case: str) -> None:
    """The same head, compressed and not, as another program wrote it."""
    folder = shared_data.parent / "cases"
    if not (folder / case / "mesh.glb").is_file():
        pytest.skip(f"{case} not found in {folder}")
    module = "DracoPy" if case == "glb-draco" else "meshopt"
    pytest.importorskip(module)
    plain = read_mesh(folder / "glb-textransform/mesh.glb")
    mesh = read_mesh(folder / case / "mesh.glb")
    assert len(mesh.triangles) == len(plain.triangles)
    # 14 bits over the 214 mm of the largest side: steps of 0.013 mm in each direction.
    assert KDTree(plain.vertices).query(mesh.vertices)[0].max() < 0.016
    a, b = (np.sort(m.vertices[m.triangles].mean(axis=1), axis=0) for m in (plain, mesh))
    assert np.abs(a - b).max() < 0.02
