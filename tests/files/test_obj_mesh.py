"""obj files as other programs write them: what is legal is read, what is missing is named."""

from __future__ import annotations

import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fg3d_builder.errors import CaptureError
from fg3d_builder.files.mesh_io import GREY, read_mesh
from fg3d_builder.files.obj_reader import parse_mtl, parse_obj

PIXELS = np.random.default_rng(3).integers(0, 256, (4, 4, 3), dtype=np.uint8)
POINTS = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 1 1 0\nvt 0 0\nvt 1 0\nvt 0 1\nvt 1 1\n"
FACES = "f 1/1 2/2 3/3\nf 3/3 2/2 4/4\n"


def write(folder: Path, text: str, mtl: str = "", image: str = "skin.png") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "mesh.obj").write_text(text)
    if mtl:
        (folder / "mesh.mtl").write_text(mtl)
    Image.fromarray(PIXELS).save(folder / image)
    return folder / "mesh.obj"


def failure(file: Path) -> CaptureError:
    with pytest.raises(CaptureError) as caught:
        read_mesh(file)
    return caught.value


def test_tabs_and_lines_that_go_on_are_read(tmp_path: Path) -> None:
    text = "mtllib\tmesh.mtl\n# C:\\scans\\\n" + POINTS.replace(" ", "\t") + "usemtl\tskin\n"
    text += "f\t1/1 2/2 \\\n3/3\r\nf 3/3\t2/2\t4/4\r\n"
    mesh = read_mesh(write(tmp_path, text, "newmtl\tskin\nKd\t1\t1\t1\nmap_Kd\tskin.png\n"))
    np.testing.assert_array_equal(mesh.textures[0], PIXELS)
    assert mesh.triangles.tolist() == [[0, 1, 2], [2, 1, 3]]
    assert mesh.triangle_texture.tolist() == [0, 0]
    only_returns = parse_obj((POINTS + FACES).replace("\n", "\r").encode())
    assert len(only_returns.sizes) == 2


def colours(folder: Path, rows: list[str]) -> np.ndarray:
    lines = [f"v {i % 2} {i // 2} 0 {row}".rstrip() for i, row in enumerate(rows)]
    found = read_mesh(write(folder, "\n".join([*lines, "f 1 2 3", "f 3 2 4\n"]))).vertex_colors
    assert found is not None
    return found


def test_colours_of_0_to_255(tmp_path: Path) -> None:
    rows = ["0 128 255", "1 2 3", "0 0 0", "255 255 255"]
    wanted = [[0, 128, 255], [1, 2, 3], [0, 0, 0], [255, 255, 255]]
    assert colours(tmp_path, rows).tolist() == wanted
    assert colours(tmp_path, ["0 0.5 1", "1 1 1", "0 0 0", "1.0 0 0"])[0].tolist() == [0, 128, 255]
    # A little above 1 is bright, not a byte.
    assert colours(tmp_path, ["1.2 0.5 1", "1 1 1", "0 0 0", "1 0 0"])[0].tolist() == [
        255,
        128,
        255,
    ]
    with pytest.raises(CaptureError, match="colour of 65535"):
        colours(tmp_path, ["65535 0 0", "1 1 1", "0 0 0", "1 0 0"])
    with pytest.raises(CaptureError, match="not finite"):
        colours(tmp_path, ["inf 0 0", "1 1 1", "0 0 0", "1 0 0"])


def test_vertices_without_a_colour_take_that_of_their_neighbours(tmp_path: Path) -> None:
    found = colours(tmp_path, ["", "1 0 0", "0 0 1", "0 1 0"])
    assert found.tolist() == [[128, 0, 128], [255, 0, 0], [0, 0, 255], [0, 255, 0]]
    # A fourth number alone is a weight; a seventh one is opacity.
    assert colours(tmp_path, ["1", "1 0 0 1", "0 0 1 0.5", "0 1 0"])[0].tolist() == [128, 0, 128]
    far = read_mesh(write(tmp_path, "v 9 9 9\nv 9 8 9\nv 8 9 9\nv 0 0 0 1 0 0\nf 1 2 3\n"))
    assert far.vertex_colors is not None
    assert far.vertex_colors[:3].tolist() == [[GREY] * 3] * 3


def test_one_number_is_a_grey() -> None:
    assert parse_mtl("newmtl a\nKd 0.8\n")["a"].diffuse.tolist() == [0.8, 0.8, 0.8]
    for words in ("1 2", "a b c", "nan nan nan", "spectral x.rfl"):
        with pytest.raises(ValueError, match="material a: Kd"):
            parse_mtl(f"newmtl a\nKd {words}\n")
    assert (
        parse_mtl("newmtl a\nmap_Kd -s 2 -o 1 1 -clamp on my skin.png\n")["a"].image
        == "my skin.png"
    )


def test_missing_materials_are_named(tmp_path: Path) -> None:
    error = failure(write(tmp_path / "a", f"mtllib mesh.mtl\n{POINTS}usemtl skin\n{FACES}"))
    assert error.code == "missing_file"
    assert "'skin'" in error.message
    assert "mesh.mtl" in error.message
    text = f"mtllib mesh.mtl\n{POINTS}usemtl Skin\n{FACES}"
    error = failure(write(tmp_path / "b", text, "newmtl skin\nmap_Kd skin.png\n"))
    assert error.code == "missing_file"
    assert "'Skin', but it is not in mesh.mtl" in error.message
    error = failure(write(tmp_path / "c", f"{POINTS}usemtl skin\n{FACES}"))
    assert "no file of materials" in error.message
    # Nothing needs it: no face has the material, or the vertices have colours.
    text = f"mtllib mesh.mtl\nusemtl other\n{POINTS}usemtl skin\n{FACES}"
    read_mesh(write(tmp_path / "d", text, "newmtl skin\nmap_Kd skin.png\n"))
    coloured = (
        "mtllib gone.mtl\nv 0 0 0 1 0 0\nv 1 0 0 1 0 0\nv 0 1 0 1 0 0\nusemtl skin\nf 1 2 3\n"
    )
    read_mesh(write(tmp_path / "e", coloured))
    # Who needs the shape alone gets it.
    assert len(read_mesh(tmp_path / "a" / "mesh.obj", colours=False).triangles) == 2


def test_names_with_blanks_and_several_libraries(tmp_path: Path) -> None:
    for name, material in (("my skin.mtl", "skin"), ("a.mtl", "a"), ("b.mtl", "skin")):
        (tmp_path / name).write_text(f"newmtl {material}\nmap_Kd skin.png\n")
    for line in ("my skin.mtl", "a.mtl b.mtl", "./b.mtl"):
        text = f"mtllib {line}\n{POINTS}usemtl skin\n{FACES}"
        assert len(read_mesh(write(tmp_path, text)).textures) == 1


@pytest.mark.parametrize(
    "name",
    [
        "/etc/hostname.png",
        "C:\\scans\\skin.png",
        "..\\secret.png",
        "../secret.png",
        "a/../../secret.png",
        "link.png",
    ],
)
def test_textures_and_materials_are_read_within_the_folder_only(tmp_path: Path, name: str) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "secret.png")
    (tmp_path / "secret.mtl").write_text("newmtl skin\nKd 1 1 1\n")
    text = f"mtllib mesh.mtl\n{POINTS}usemtl skin\n{FACES}"
    file = write(tmp_path / "in", text, f"newmtl skin\nmap_Kd {name}\n")
    (tmp_path / "in" / "link.png").symlink_to(tmp_path / "secret.png")
    error = failure(file)
    assert error.code == "outside_folder"
    assert name.replace("\\", "/") in error.message
    if name.startswith("C:"):  # the file that was meant lies beside the mesh
        assert "'skin.png' is there" in error.message
    file.write_text(f"mtllib ../secret.mtl\n{POINTS}usemtl skin\n{FACES}")
    assert failure(file).code == "outside_folder"


BROKEN = {
    "long number": (f"v {'1' * 10**6} 0 0\n{POINTS}{FACES}", "line 1: a v line of 1000002 digits"),
    "huge index": (f"{POINTS}f 1 2 {'9' * 70}\n", "line 9: not a face"),
    "index beyond any array": (f"{POINTS}f 1 2 {2**31 + 1}\n", "line 9"),
    "index of 10,000 digits": (f"{POINTS}f 1 2 {'9' * 10_000}\n", "line 9"),
    "index beyond the vertices": (f"{POINTS}f 1 2 9\n", "does not exist"),
    "negative index beyond": (f"{POINTS}f -9 1 2\n", "line 9"),
    "two corners": (f"{POINTS}f 1 2\n", "2 corners"),
    "two numbers": (f"v 1 2\n{POINTS}{FACES}", "line 1: a v line without 3"),
    "a word": (f"v 1 x 2\n{POINTS}{FACES}", "line 1: a v line that is no list of numbers"),
    "nan": (f"v 1 nan 2\n{POINTS}{FACES}", "not finite"),
    "zeros": ("\0" * 10**6, "no triangles"),
    "backslashes": ("v 0 0 0\\\n" * 10**5, "a v line that is no list"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_ones_are_named_soon_and_cheaply(tmp_path: Path, name: str) -> None:
    text, words = BROKEN[name]
    file = write(tmp_path, text)
    start = time.perf_counter()
    tracemalloc.start()
    try:
        error = failure(file)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert error.code == "unreadable_mesh"
    assert words in error.message
    assert peak < 20 * len(text) + 2e6
    assert time.perf_counter() - start < 20


def test_memory_is_a_small_multiple_of_the_file() -> None:
    rng = np.random.default_rng(0)
    vertices = "".join(f"v {x:.3f} {y:.3f} {z:.3f}\n" for x, y, z in rng.normal(size=(30_000, 3)))
    faces = "".join(f"f {a} {b} {c}\n" for a, b, c in rng.integers(1, 30_001, (60_000, 3)))
    data = (vertices + faces).encode()
    tracemalloc.start()
    mesh = parse_obj(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(mesh.sizes) == 60_000
    assert peak < 5 * len(data)
