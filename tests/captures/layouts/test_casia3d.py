"""CASIA-3D FaceV1: coloured face sets; those of faces that are turned away are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from fg3d_builder.captures.layouts.casia3d import FRONTAL_DEG, LAYOUT
from fg3d_builder.captures.opening import open_source
from fg3d_builder.captures.synthetic import draw_subject, whole_head
from fg3d_builder.config import SourceConfig
from fg3d_builder.errors import CaptureError
from fg3d_builder.files.textured_mesh import TexturedMesh, mesh_with_colors
from fg3d_builder.geometry.meshes import triangle_normals
from fg3d_builder.rendering.shading import srgb_from_linear
from tests.captures.layouts.scan_writers import bumpy_head, colour_ramp, write_vrml


@pytest.fixture(scope="module")
def head() -> TexturedMesh:
    """A synthetic head with the colours of its skin, upright, in millimetres."""
    subject = draw_subject(12)
    shape = subject.head.shape(np.zeros(len(subject.action_names)))
    vertices, triangles, albedo = whole_head(subject, shape)
    return mesh_with_colors(vertices, triangles, srgb_from_linear(albedo))


def scanned(head: TexturedMesh, yaw_deg: float, pitch_deg: float = 0.0) -> TexturedMesh:
    """What a scanner 700 mm before a turned head has of it, which looks down its -z axis."""
    turn = Rotation.from_euler("YX", [yaw_deg, -pitch_deg], degrees=True).as_matrix()
    vertices = head.vertices @ turn.T
    front = triangle_normals(vertices, head.triangles)[:, 2] > 0.1
    return replace(
        head,
        vertices=vertices - [0.0, 0.0, 700.0],
        triangles=head.triangles[front],
        uv_triangles=head.uv_triangles[front],
        triangle_texture=head.triangle_texture[front],
    )


def write_scan(root: Path, name: str, mesh: TexturedMesh) -> Path:
    file = root / "3D-Face-WRL" / name[:3] / f"{name}.wrl"
    write_vrml(file, mesh, colours=mesh.vertex_colors)
    return file


def test_round_trip(tmp_path: Path, head: TexturedMesh) -> None:
    scan = scanned(head, 0.0)
    write_scan(tmp_path, "001-001", scan)
    source = open_source(SourceConfig(kind="casia3d", path=str(tmp_path), image_size=(320, 240)))
    (entry,) = source.entries()
    assert (entry.capture_id, entry.subject_id) == ("001-001_pitch0_yaw0", "001")
    (item,) = LAYOUT.find(tmp_path)
    assert item.expression == "unlabelled"
    assert LAYOUT.mesh is not None
    found = LAYOUT.mesh(item)
    np.testing.assert_allclose(found.vertices, scan.vertices, rtol=0, atol=0.5e-6)  # six decimals
    np.testing.assert_array_equal(found.vertex_colors, scan.vertex_colors)
    nose_mm = float(np.nanmin(source.load(entry).depth_mm))
    used = found.vertices[np.unique(found.triangles)]
    middle = (used[:, 2].max() + used[:, 2].min()) / 2.0
    nose = used[np.abs(used[:, 1]) < 60.0, 2].max()  # the chest below it is not in the picture
    assert nose_mm == pytest.approx(550.0 + middle - nose, abs=0.5)


@pytest.mark.parametrize(("yaw", "pitch"), [(8, 0), (0, -6), (-25, 0), (0, 25)])
def test_faces_that_are_turned_away_are_refused(
    tmp_path: Path, head: TexturedMesh, yaw: float, pitch: float
) -> None:
    file = write_scan(tmp_path, "001-020", scanned(head, yaw, pitch))
    (item,) = LAYOUT.find(tmp_path)
    assert LAYOUT.mesh is not None
    if max(abs(yaw), abs(pitch)) < FRONTAL_DEG:
        LAYOUT.mesh(item)
        return
    with pytest.raises(CaptureError, match="the face is turned by yaw") as caught:
        LAYOUT.mesh(item)
    assert caught.value.code == "refused"
    assert str(file) in caught.value.message


def test_what_shows_no_face_is_refused(tmp_path: Path) -> None:
    write_scan(tmp_path, "001-036", replace(bumpy_head(), vertex_colors=None))
    (item,) = LAYOUT.find(tmp_path)
    assert LAYOUT.mesh is not None
    with pytest.raises(CaptureError, match="no face is seen from the front") as caught:
        LAYOUT.mesh(item)
    assert caught.value.code == "refused"


def test_names_labels_and_pictures(tmp_path: Path) -> None:
    for name in ("001-001", "001-006", "123-038"):
        write_scan(tmp_path, name, bumpy_head())
    pictures = tmp_path / "3D-Face-BMP/001"
    pictures.mkdir(parents=True)
    Image.fromarray(colour_ramp()).save(pictures / "001-006.bmp")
    table = "name,expression,refused\n001-006,smile,\n123-038,,glasses\n"
    (tmp_path / "labels.csv").write_text(table)
    first, second, third = LAYOUT.find(tmp_path)
    assert [i.subject for i in (first, second, third)] == ["001", "001", "123"]
    assert [i.expression for i in (first, second, third)] == ["unlabelled", "smile", "unlabelled"]
    assert third.refusal == "glasses"
    assert second.files[1] == pictures / "001-006.bmp"
    assert len(first.files) == 1
