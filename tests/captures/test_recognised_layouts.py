"""Every layout's own files are recognised as that, whatever else has such names."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.drill import layout_readers_a, layout_readers_b, layout_readers_c
from benchmarks.drill.readers import Reader
from fg3d_builder.captures.layouts.known import LAYOUTS
from fg3d_builder.captures.recognition import recognise

PROJECT = Path(__file__).resolve().parents[2]

KINDS = {
    "range.abs": "frgc",
    "range.abs.gz": "frgc",
    "range.bnt": "bosphorus",
    "record3d": "record3d",
    "record3d, EXR": "record3d",
    "portrait, jpg": "portrait",
    "arkit, depth": "arkit",
    "standardcyborg, frame": "standardcyborg",
    "synthhuman, depth": "synthhuman",
    "realsense, both cameras": "realsense",
    "realsense, Open3D's camera": "realsense",
    "kinect, of the software": "kinect",
    "kinect, Orbbec": "kinect",
    "biwi, depth": "biwi",
    "realsense_ply": "realsense_ply",
    "mesh.wrl": "scan",
    "draco.glb": "scan",
}
"""What the drill's small valid files are, by the names of their readers."""

TREES = {
    "bu3dfe": ("F0001/F0001_AN01WH_F3D.wrl",),
    "casia3d": ("3D-Face-WRL/001/001-001.wrl",),
    "bp4d": ("F001/T1/0000.obj", "F001/T1/0001.obj"),
    "florence": ("subject_01/Model/frontal1/obj/110920150452.obj",),
    "headspace": ("subjects/00001/12345678901.obj", "subjects/00001/person00001.txt"),
    "facescape": ("1/models_reg/1_neutral.obj", "1/models_reg/1_neutral.jpg"),
    "scan": ("anna/scan.obj", "ben/face.ply"),
}


def readers() -> dict[str, Reader]:
    parts = (layout_readers_a, layout_readers_b, layout_readers_c)
    return {reader.name: reader for part in parts for reader in part.readers()}


@pytest.mark.parametrize("name", KINDS)
def test_files_of_sensors_and_sets(name: str, tmp_path: Path) -> None:
    try:
        readers()[name].make(tmp_path)
    except ImportError as error:  # a package that writes this format is not installed
        pytest.skip(str(error))
    assert {found.kind for found in recognise(tmp_path)} == {KINDS[name]}


@pytest.mark.parametrize("kind", TREES)
def test_names_of_sets_of_scans(kind: str, tmp_path: Path) -> None:
    """By the names alone: a set whose first files are damaged is still that set."""
    for name in TREES[kind]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert {found.kind for found in recognise(tmp_path)} == {kind}


def test_every_layout_is_tried() -> None:
    assert set(LAYOUTS) <= {*KINDS.values(), *TREES}


def test_terms_are_named_on_a_page() -> None:
    for layout in LAYOUTS.values():
        if layout.terms:
            page = (PROJECT / layout.terms).read_text(encoding="utf-8")
            assert "Whom to ask" in page
            assert layout.kind in page
