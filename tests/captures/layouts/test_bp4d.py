"""BP4D: sequences of meshes, frame numbers, and peaks by action units."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fg3d_builder.captures.layouts.bp4d import LAYOUT, Occurrences, peak_frame, read_occurrences
from fg3d_builder.captures.opening import open_source
from fg3d_builder.config import FramesConfig, SourceConfig
from fg3d_builder.errors import CaptureError, ConfigError
from tests.captures.layouts.scan_writers import bumpy_head, colour_ramp, write_obj, write_vrml


def save_picture(file: Path) -> None:
    Image.fromarray(colour_ramp()).save(file, quality=95)


def pixels(file: Path) -> np.ndarray:
    return np.asarray(Image.open(file))


def write_frames(folder: Path, count: int, digits: int = 4) -> None:
    """Frames that are listed alone: small files."""
    folder.mkdir(parents=True)
    for k in range(count):
        (folder / f"{k:0{digits}d}.obj").write_text("v 0 0 0\n")


@pytest.mark.parametrize("way", ["named", "no materials", "materials are gone", "old path", "vrml"])
def test_round_trip(tmp_path: Path, way: str) -> None:
    folder, head = tmp_path / "F001/T1", bumpy_head()
    file = folder / "0007.obj"
    if way == "named":
        write_obj(file, head, "0007.mtl", "0007.jpg")
    elif way == "old path":
        write_obj(file, head, "0007.mtl", "C:/Di3D/0007.jpg")
    elif way == "vrml":
        file = folder / "0007.wrl"
        write_vrml(file, head, "C:\\\\Di3D\\\\0007.jpg")
    else:
        gone = way == "materials are gone"
        write_obj(file, head, "0007.mtl" if gone else "", used=gone)
    save_picture(folder / "0007.jpg")
    (item,) = LAYOUT.find(tmp_path)
    assert (item.name, item.subject, item.expression) == ("F001-T1-0007", "F001", "T1")
    assert item.sex == "female"
    assert (item.sequence, item.frame, item.peak) == ("F001-T1", 7, False)
    assert LAYOUT.mesh is not None
    found = LAYOUT.mesh(item)
    np.testing.assert_allclose(found.vertices, head.vertices, rtol=0, atol=0.5e-6)  # six decimals
    np.testing.assert_array_equal(found.triangles, head.triangles)
    np.testing.assert_allclose(found.uv, head.uv, rtol=0, atol=0.5e-6)
    np.testing.assert_array_equal(found.textures[0], pixels(folder / "0007.jpg"))
    assert (found.triangle_texture == 0).all()


def test_sequences_and_numbers_of_frames(tmp_path: Path) -> None:
    write_frames(tmp_path / "Sequences/F001/T1", 12)
    write_frames(tmp_path / "Sequences/M017/T8", 12, digits=2)
    write_frames(tmp_path / "Sequences/M017/else", 2)
    (tmp_path / "Sequences/M017/T8/0099.jpg").write_bytes(b"")  # a picture without a mesh
    items = LAYOUT.find(tmp_path)
    assert len(items) == 24
    assert [i.frame for i in items] == [*range(12), *range(12)]
    assert {i.sequence for i in items} == {"F001-T1", "M017-T8"}
    assert items[-1].name == "M017-T8-11"

    def drawn(seed: int) -> list[str]:
        frames = FramesConfig("random", 3)
        config = SourceConfig(kind="bp4d", path=str(tmp_path), frames=frames, seed=seed)
        return [entry.capture_id for entry in open_source(config).entries()]

    assert len(drawn(0)) == 6
    assert drawn(0) == drawn(0)
    assert drawn(0) != drawn(1)


def test_the_peak_is_where_most_units_occur(tmp_path: Path) -> None:
    write_frames(tmp_path / "2D+3D/F001/T1", 12)
    write_frames(tmp_path / "2D+3D/F001/T2", 3)
    table = tmp_path / "AUCoding/AU_OCC/F001_T1.csv"
    table.parent.mkdir(parents=True)
    # Frames are numbered from 1 there, and files from 0.
    rows = [
        "0,1,2,4",
        "3,0,0,9",
        "4,1,1,9",
        "5,1,1,0",
        "6,1,0,1",
        "7,0,0,0",
        "10,1,1,9",
        "90,1,1,1",
    ]
    table.write_text("\n".join(rows) + "\n")
    peaks = [item.name for item in LAYOUT.find(tmp_path) if item.peak]
    assert peaks == ["F001-T1-0004"]
    table.write_text("0,1\n3,2\n")
    with pytest.raises(ConfigError, match=r"F001_T1\.csv: line 2: an action unit"):
        LAYOUT.find(tmp_path)
    table.write_text("0,1\n\n3\n")
    with pytest.raises(ConfigError, match=r"F001_T1\.csv: line 3: expected a frame"):
        read_occurrences(table)


def test_no_unit_no_peak() -> None:
    table = Occurrences(np.array([4, 5, 6]), np.array([0, 0, 3]))
    assert peak_frame(table, [4, 5]) is None
    assert peak_frame(table, [9]) is None
    assert peak_frame(table, [4, 5, 6]) == 6


def test_what_is_missing_or_broken_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "F001/T1"
    write_obj(folder / "0000.obj", bumpy_head(), "0000.mtl")
    (item,) = LAYOUT.find(tmp_path)
    assert LAYOUT.mesh is not None
    with pytest.raises(CaptureError, match=r"0000\.mtl") as caught:
        LAYOUT.mesh(item)
    assert caught.value.code == "missing_file"
    (folder / "0000.jpg").write_bytes(b"no picture")
    (item,) = LAYOUT.find(tmp_path)
    with pytest.raises(CaptureError, match=r"0000\.jpg") as caught:
        LAYOUT.mesh(item)
    assert caught.value.code == "unreadable_image"
    (folder / "0000.obj").write_text("v 0 0\n")
    with pytest.raises(CaptureError, match=r"0000\.obj: line 1") as caught:
        LAYOUT.mesh(item)
    assert caught.value.code == "unreadable_mesh"
