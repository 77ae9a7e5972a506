"""Florence, Headspace and FaceScape: trees, people and expressions, and textured OBJ of each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fg3d_builder.captures.layouts import facescape, florence, headspace
from fg3d_builder.captures.layouts.layout import Layout
from fg3d_builder.captures.opening import open_source
from fg3d_builder.config import SourceConfig
from fg3d_builder.errors import CaptureError
from fg3d_builder.testsets.florence import find_scan, list_images
from tests.captures.layouts.scan_writers import bumpy_head, colour_ramp

HEAD = bumpy_head()


def write_scan(file: Path, image: str, materials: str, kd: str = "0.8 0.8 0.8") -> Path:
    """Write an OBJ with six decimals, its materials and its image."""
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"mtllib {materials}"]
    lines += [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in HEAD.vertices]
    lines += [f"vt {u:.6f} {v:.6f}" for u, v in HEAD.uv]
    lines += ["usemtl material_0"]
    lines += ["f " + " ".join(f"{i + 1}/{i + 1}" for i in t) for t in HEAD.triangles]
    file.write_text("\n".join(lines) + "\n")
    material = f"newmtl material_0\nKa 0 0 0\nKd {kd}\nmap_Kd {image}\n"
    (file.parent / materials).write_text(material)
    quality = {"quality": 98, "subsampling": 0} if image.endswith("jpg") else {}
    Image.fromarray(colour_ramp()).save(file.parent / image, **quality)
    return file


def check_scan(layout: Layout, root: Path, number: int = 0) -> None:
    """What is read back is what was written: six decimals, and the image's own loss."""
    assert layout.mesh is not None
    found = layout.mesh(layout.find(root)[number])
    np.testing.assert_allclose(found.vertices, HEAD.vertices, rtol=0, atol=0.5e-6)
    np.testing.assert_array_equal(found.triangles, HEAD.triangles)
    np.testing.assert_allclose(found.uv, HEAD.uv, rtol=0, atol=0.5e-6)
    assert np.abs(found.textures[0].astype(int) - colour_ramp()).max() <= 6
    assert layout.unit_mm == 1.0


def error_of(layout: Layout, root: Path) -> str:
    assert layout.mesh is not None
    with pytest.raises(CaptureError) as caught:
        layout.mesh(layout.find(root)[0])
    return f"{caught.value.code}: {caught.value.message}"


def test_florence(tmp_path: Path) -> None:
    for subject, scan, stem in (
        ("subject_01", "frontal1", "110920150452"),
        ("subject_01", "frontal2", "110920150531"),
        ("subject_53", "frontal1", "110921"),
    ):
        place = tmp_path / subject / "Model" / scan / "obj"
        write_scan(place / f"{stem}.obj", f"{stem}.jpg", f"{stem}.mtl")
    (tmp_path / "subject_02" / "Video").mkdir(parents=True)
    items = florence.LAYOUT.find(tmp_path)
    assert [(i.name, i.subject, i.expression) for i in items] == [
        ("subject_01-frontal1", "subject_01", "neutral"),
        ("subject_01-frontal2", "subject_01", "neutral"),
        ("subject_53-frontal1", "subject_53", "neutral"),
    ]
    assert [f.name for f in items[0].files] == [
        "110920150452.obj", "110920150452.jpg", "110920150452.mtl",
    ]  # fmt: skip
    check_scan(florence.LAYOUT, tmp_path)
    # The test set of the same files takes one scan of each person.
    assert {image.subject for image in list_images(tmp_path)} == {
        "subject_01", "subject_02", "subject_53",
    }  # fmt: skip
    assert find_scan(tmp_path, "subject_01")[0] == items[0].files[0]
    items[0].files[1].unlink()
    assert "missing_file: " in error_of(florence.LAYOUT, tmp_path)
    assert "110920150452.jpg" in error_of(florence.LAYOUT, tmp_path)


def write_headspace(root: Path, sid: str, capture: str, text: str | None) -> Path:
    folder = root / "headspaceOnline" / "subjects" / sid
    scan = write_scan(folder / f"{capture}.obj", f"{capture}.bmp", f"{capture}.mtl")
    (folder / f"ldmks{capture}.txt").write_text("1 2 3\n" * 68)
    if text is not None:
        (folder / f"person{sid}.txt").write_text(text)
    return scan


def test_headspace(tmp_path: Path) -> None:
    about = "gender:f\nage:31\nbeardDescriptor:none\nexpression:{}\nqualityDescriptor:none\n"
    write_headspace(tmp_path, "00001", "140214105033", about.format("neutral"))
    write_headspace(tmp_path, "00002", "140214111122", about.format(" slight smile "))
    write_headspace(tmp_path, "00003", "140215093000", "gender:m\n")
    write_headspace(tmp_path, "01519", "140216120000", None)
    items = headspace.LAYOUT.find(tmp_path)
    assert [(i.name, i.subject, i.expression) for i in items] == [
        ("00001-140214105033", "00001", "neutral"),
        ("00002-140214111122", "00002", "slight smile"),
        ("00003-140215093000", "00003", "unlabelled"),
        ("01519-140216120000", "01519", "unlabelled"),
    ]
    assert [i.sex for i in items] == ["female", "female", "male", ""]
    assert [f.name for f in items[0].files] == [
        "140214105033.obj", "140214105033.bmp", "140214105033.mtl", "person00001.txt",
    ]  # fmt: skip
    check_scan(headspace.LAYOUT, tmp_path)
    (items[0].files[2]).unlink()  # the materials: the picture has the scan's name
    check_scan(headspace.LAYOUT, tmp_path)
    (items[0].files[1]).unlink()
    assert "missing_file: " in error_of(headspace.LAYOUT, tmp_path)


def test_a_description_that_cannot_be_read_refuses_the_scan(tmp_path: Path) -> None:
    write_headspace(tmp_path, "00001", "140214105033", f"expression:{'x' * 99}\n")
    source = open_source(SourceConfig(kind="headspace", path=str(tmp_path)))
    with pytest.raises(CaptureError, match=r"person00001\.txt: field 'expression': 99 characters"):
        source.load(source.entries()[0])


def write_facescape(root: Path, sid: str, name: str) -> Path:
    folder = root / "facescape_trainset_001_100" / sid / "models_reg"
    # The published materials have a black diffuse colour under their image.
    return write_scan(folder / f"{name}.obj", f"{name}.jpg", f"{name}.obj.mtl", kd="0 0 0")


def test_facescape(tmp_path: Path) -> None:
    for sid, name in (("1", "1_neutral"), ("1", "10_dimpler"), ("1", "3_mouth_stretch"),
                      ("12", "1_neutral"), ("2", "20_brow_lower")):  # fmt: skip
        write_facescape(tmp_path, sid, name)
    dpmap = tmp_path / "facescape_trainset_001_100" / "1" / "dpmap" / "1_neutral.png"
    dpmap.parent.mkdir()
    dpmap.write_bytes(b"")
    items = facescape.LAYOUT.find(tmp_path)
    assert [(i.name, i.subject, i.expression) for i in items] == [
        ("1-1_neutral", "1", "neutral"),
        ("1-3_mouth_stretch", "1", "mouth_stretch"),
        ("1-10_dimpler", "1", "dimpler"),
        ("2-20_brow_lower", "2", "brow_lower"),
        ("12-1_neutral", "12", "neutral"),
    ]
    assert [f.name for f in items[0].files] == [
        "1_neutral.obj", "1_neutral.jpg", "1_neutral.obj.mtl",
    ]  # fmt: skip
    check_scan(facescape.LAYOUT, tmp_path)
    # Also as people unpack it: without the folder of the models.
    write_scan(tmp_path / "flat" / "007" / "1_neutral.obj", "1_neutral.jpg", "1_neutral.obj.mtl")
    (item,) = facescape.LAYOUT.find(tmp_path / "flat")
    assert (item.name, item.subject) == ("7-1_neutral", "7")
    items[0].files[2].unlink()
    check_scan(facescape.LAYOUT, tmp_path)  # by the picture's name
    items[0].files[0].write_text("v 0 0\n")
    assert "unreadable_mesh: " in error_of(facescape.LAYOUT, tmp_path)
