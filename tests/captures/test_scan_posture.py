"""Scans are turned upright whatever their axes, and their unit is checked by the face."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from fg3d_builder.captures.opening import open_source
from fg3d_builder.captures.scan_posture import scan_unit_mm, upright_scan
from fg3d_builder.captures.synthetic import draw_subject, whole_head
from fg3d_builder.config import SourceConfig
from fg3d_builder.errors import CaptureError
from fg3d_builder.files.mesh_io import TexturedMesh, mesh_with_colors, write_mesh
from fg3d_builder.records import Array
from fg3d_builder.rendering.shading import srgb_from_linear


@pytest.fixture(scope="module")
def head() -> TexturedMesh:
    """A synthetic head with the colours of its skin, upright, in millimetres."""
    subject = draw_subject(12)
    shape = subject.head.shape(np.zeros(len(subject.action_names)))
    vertices, triangles, albedo = whole_head(subject, shape)
    return mesh_with_colors(vertices, triangles, srgb_from_linear(albedo))


def turned(mesh: TexturedMesh, rotation: Array) -> TexturedMesh:
    return replace(mesh, vertices=mesh.vertices @ rotation.T)


def test_an_upright_scan_stays_as_it_is(head: TexturedMesh) -> None:
    for unit in (1.0, 0.0):
        assert upright_scan(head, unit, "head") is head


@pytest.mark.parametrize(
    "angles_deg",
    [
        (90, 0, 0),  # z up, face along -y
        (-90, 180, 0),  # z up, face along y
        (0, 0, 90),
        (0, 180, 0),
        (180, 0, 0),
        pytest.param((90, 0, 90), marks=pytest.mark.slow),
        pytest.param((0, -90, 0), marks=pytest.mark.slow),
    ],
)
def test_the_axis_that_points_up_is_found(
    head: TexturedMesh, angles_deg: tuple[float, float, float]
) -> None:
    rotation = Rotation.from_euler("xyz", angles_deg, degrees=True).as_matrix().round()
    found = upright_scan(turned(head, rotation), 1.0, "head")
    np.testing.assert_allclose(found.vertices, head.vertices, atol=1e-9)


def test_a_scan_that_leans_a_little_stays_as_it_is(head: TexturedMesh) -> None:
    leaning = turned(head, Rotation.from_euler("xyz", (8, 15, 20), degrees=True).as_matrix())
    assert upright_scan(leaning, 1.0, "head") is leaning


@pytest.mark.parametrize(
    ("length_mm", "word"),
    [
        (1000.0, "1000 (metres)"),
        (10.0, "10 (centimetres)"),
        (25.4, "25.4 (inches)"),
        (0.1, "0.1"),
        (2.0, "about"),
        (0.5, "about"),
    ],
)
def test_a_wrong_unit_is_named_with_the_likely_one(
    head: TexturedMesh, length_mm: float, word: str
) -> None:
    scan = replace(head, vertices=head.vertices / length_mm)
    with pytest.raises(CaptureError, match="anna") as caught:
        upright_scan(scan, 1.0, "anna")
    assert caught.value.code == "wrong_unit"
    assert f"unit_mm is 1, but probably {word}" in caught.value.message
    width = float(caught.value.message.split("would be ")[1].split(" mm")[0])
    assert width == pytest.approx(140.0 / length_mm, rel=0.2)
    assert upright_scan(scan, length_mm, "anna") is scan


def test_axes_and_unit_may_both_be_others(head: TexturedMesh) -> None:
    rotation = Rotation.from_euler("x", 90, degrees=True).as_matrix().round()
    scan = replace(turned(head, rotation), vertices=turned(head, rotation).vertices / 1000.0)
    with pytest.raises(CaptureError) as caught:
        upright_scan(scan, 1.0, "anna")
    assert "but probably 1000 (metres)" in caught.value.message
    found = upright_scan(scan, 0.0, "anna")
    np.testing.assert_allclose(1000.0 * found.vertices, head.vertices, atol=1e-9)
    assert scan_unit_mm(found, "anna") == pytest.approx(1000.0, rel=0.15)


def test_without_a_face_only_the_size_of_the_scan_tells() -> None:
    ball = trimesh.creation.icosphere(subdivisions=2)
    scan = mesh_with_colors(np.asarray(ball.vertices) * 110.0, np.asarray(ball.faces))
    assert upright_scan(scan, 1.0, "ball") is scan
    with pytest.raises(CaptureError, match=r"the scan would be 0\.22 mm large") as caught:
        upright_scan(scan, 0.001, "ball")
    assert caught.value.message.endswith("unit_mm is 0.001, but probably 1 (millimetres)")


def test_a_source_turns_and_checks_its_scans(head: TexturedMesh, tmp_path: Path) -> None:
    rotation = Rotation.from_euler("x", 90, degrees=True).as_matrix().round()
    write_mesh(tmp_path / "anna.ply", head)
    write_mesh(tmp_path / "bert.ply", turned(head, rotation))
    write_mesh(tmp_path / "carl.ply", replace(head, vertices=head.vertices / 1000.0))
    config = SourceConfig(
        kind="scan", path=str(tmp_path), image_size=(160, 120), focal_px=225.0, views=((0.0, 0.0),)
    )
    source = open_source(config)
    anna, bert, carl = source.entries()
    wanted, found = source.load(anna), source.load(bert)
    assert wanted.unit_mm == 1.0
    np.testing.assert_allclose(found.depth_mm, wanted.depth_mm, atol=0.01)
    with pytest.raises(CaptureError, match=r"carl\.ply") as caught:
        source.load(carl)
    assert caught.value.code == "wrong_unit"


@pytest.mark.parametrize(
    "look", [lambda m: upright_scan(m, 1.0, "dot"), lambda m: scan_unit_mm(m, "dot")]
)
def test_a_scan_that_is_a_point_is_named(look: Callable[[TexturedMesh], object]) -> None:
    dot = mesh_with_colors(np.ones((3, 3)), np.array([[0, 1, 2]]), np.zeros((3, 3)))
    with pytest.raises(CaptureError, match="dot: all of its triangles lie on one point") as caught:
        look(dot)
    assert caught.value.code == "unreadable_mesh"
