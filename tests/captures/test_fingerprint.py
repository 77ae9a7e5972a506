"""Fingerprints of captures: they follow the files at a location."""

from __future__ import annotations

from pathlib import Path

from fg3d_builder.captures.source import fingerprint


def test_fingerprint_follows_the_files(tmp_path: Path) -> None:
    (tmp_path / "color.png").write_bytes(b"1")
    before = fingerprint(str(tmp_path))
    assert fingerprint(str(tmp_path)) == before
    (tmp_path / "color.png").write_bytes(b"22")
    assert fingerprint(str(tmp_path)) != before
    assert fingerprint("seed 3") != fingerprint("seed 4")


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
