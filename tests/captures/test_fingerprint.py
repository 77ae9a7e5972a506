"""Fingerprints of captures: they follow the files at a location."""

from __future__ import annotations

from pathlib import Path

import pytest

from fg3d_builder.captures.neighbours import Neighbours
from fg3d_builder.captures.source import fingerprint
from fg3d_builder.config import digest


def test_fingerprint_follows_the_files(tmp_path: Path) -> None:
    (tmp_path / "color.png").write_bytes(b"1")
    before = fingerprint(str(tmp_path))
    assert fingerprint(str(tmp_path)) == before
    (tmp_path / "color.png").write_bytes(b"22")
    assert fingerprint(str(tmp_path)) != before
    assert fingerprint("seed 3") != fingerprint("seed 4")


def test_a_file_that_may_be_read_at_last_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a capture copied with wrong permissions would stay a failure for ever."""
    (tmp_path / "color.png").write_bytes(b"1")
    before = fingerprint(str(tmp_path))
    monkeypatch.setattr("os.access", lambda path, mode: False)  # as not even root can arrange
    refused = fingerprint(str(tmp_path))
    monkeypatch.undo()
    assert refused != before == fingerprint(str(tmp_path))


def test_fingerprint_of_a_mesh_follows_its_texture(tmp_path: Path) -> None:
    mesh = tmp_path / "scan.obj"
    mesh.write_text("v 0 0 0")
    (tmp_path / "skin.jpg").write_bytes(b"1")
    (tmp_path / "other.obj").write_text("v 1 1 1")
    before = fingerprint(str(mesh))
    (tmp_path / "other.obj").write_text("v 2 2 2 2")
    assert fingerprint(str(mesh)) == before
    (tmp_path / "skin.jpg").write_bytes(b"22")
    assert fingerprint(str(mesh)) != before


def test_of_a_folder_with_one_mesh_all_images_count(tmp_path: Path) -> None:
    """Byte for byte: a build's folder is full of products with names that depend on it."""
    for name in ("scan.obj", "scan.mtl", "skin.jpg", "b.PNG", "notes.txt"):
        (tmp_path / name).write_text(name)
    about = [
        (name, len(name), (tmp_path / name).stat().st_mtime_ns)
        for name in ("b.PNG", "scan.mtl", "scan.obj", "skin.jpg")
    ]
    mesh = str(tmp_path / "scan.obj")
    assert fingerprint(mesh) == digest(mesh, about)


TEXTURES = {
    "a.png": "a",  # by its whole name
    "a_left.jpg": "a",  # begins with it
    "atlas.png": "bd",  # does not: "a" is followed by a letter; named by b, and d names nothing
    "Skin of B.png": "bd",  # named by b alone; who has no file of materials may name any
    "c-1-2.png": "c-1",  # "c" is another's, which is shorter
    "common.png": "d",
}
"""Images, and the meshes that have them."""


@pytest.mark.parametrize("image", TEXTURES)
def test_in_a_folder_of_many_meshes_each_follows_its_own_images(tmp_path: Path, image: str) -> None:
    meshes = ["a.obj", "b.obj", "c.obj", "c-1.obj", "d.obj"]
    for name in (*meshes, *TEXTURES):
        (tmp_path / name).write_text("1")
    for name in ("a", "c", "c-1"):
        (tmp_path / f"{name}.mtl").write_text(f"newmtl skin\nmap_Kd {name}.png\n")
    text = "newmtl x\nmap_Kd -s 1 1 1 maps\\Skin of B.png\nmap_Kd atlas.png\n"
    (tmp_path / "b.mtl").write_text(text)

    def all_of_them(neighbours: Neighbours) -> dict[str, str]:
        return {m: fingerprint(str(tmp_path / m), neighbours=neighbours) for m in meshes}

    before = all_of_them(Neighbours())
    (tmp_path / image).write_text("22")
    after = all_of_them(Neighbours())
    changed = {name.removesuffix(".obj") for name in meshes if before[name] != after[name]}
    wanted = {"c-1"} if TEXTURES[image] == "c-1" else set(TEXTURES[image])
    assert changed == wanted
