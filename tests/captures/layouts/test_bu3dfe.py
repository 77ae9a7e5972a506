"""BU-3DFE: face sets with a picture, and six expressions at four levels in their names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fg3d_builder.captures.layouts.bu3dfe import LAYOUT
from fg3d_builder.captures.opening import open_source
from fg3d_builder.config import FramesConfig, SourceConfig
from fg3d_builder.errors import CaptureError
from tests.captures.layouts.scan_writers import bumpy_head, colour_ramp, write_vrml


def write_scan(folder: Path, stem: str, url: str = "own", kind: str = "F3D") -> Path:
    file = folder / f"{stem}_{kind}.wrl"
    write_vrml(file, bumpy_head(), f"{stem}_F3D.bmp" if url == "own" else url)
    Image.fromarray(colour_ramp()).save(folder / f"{stem}_F3D.bmp")
    return file


@pytest.mark.parametrize("url", ["own", "C:\\\\3dMD\\\\export\\\\face.bmp", "elsewhere.bmp"])
def test_round_trip(tmp_path: Path, url: str) -> None:
    write_scan(tmp_path / "F0001", "F0001_AN01WH", url)
    (item,) = LAYOUT.find(tmp_path)
    assert LAYOUT.mesh is not None
    head, found = bumpy_head(), LAYOUT.mesh(item)
    np.testing.assert_allclose(found.vertices, head.vertices, rtol=0, atol=0.5e-6)  # six decimals
    np.testing.assert_array_equal(found.triangles, head.triangles)
    np.testing.assert_allclose(found.uv, head.uv, rtol=0, atol=0.5e-6)
    np.testing.assert_array_equal(found.textures[0], colour_ramp())


def test_names_tell_subject_expression_and_level(tmp_path: Path) -> None:
    for stem in ("F0001_NE00WH", "F0001_AN01WH", "F0001_AN04WH", "M0044_SU04AE", "M0044_XX01AE"):
        write_scan(tmp_path / stem[:5], stem)
    write_scan(tmp_path / "F0001", "F0001_AN01WH", kind="RAW")
    write_scan(tmp_path / "F0001", "F0001_HA02WH", kind="RAW")
    (tmp_path / "F0001" / "F0001_AN01WH_F2D.bmp").write_bytes(b"")
    found = {item.name: item for item in LAYOUT.find(tmp_path)}
    told = {
        name: (i.subject, i.expression, i.sequence, i.frame, i.peak) for name, i in found.items()
    }
    assert told == {
        "F0001_AN01WH": ("F0001", "anger-1", "F0001-anger", 1, False),
        "F0001_AN04WH": ("F0001", "anger-4", "F0001-anger", 4, True),
        "F0001_HA02WH": ("F0001", "happiness-2", "F0001-happiness", 2, False),
        "F0001_NE00WH": ("F0001", "neutral", "", 0, False),
        "M0044_SU04AE": ("M0044", "surprise-4", "M0044-surprise", 4, True),
        "M0044_XX01AE": ("M0044", "-1", "M0044-", 1, False),
    }
    sexes = {name[0]: item.sex for name, item in found.items()}
    assert sexes == {"F": "female", "M": "male"}
    assert found["F0001_AN01WH"].files[0].name == "F0001_AN01WH_F3D.wrl"
    assert found["F0001_HA02WH"].files[0].name == "F0001_HA02WH_RAW.wrl"
    assert "'XX' is none of AN" in found["M0044_XX01AE"].refusal


def test_peak_frames_are_those_of_level_four(tmp_path: Path) -> None:
    for stem in ("F0001_NE00WH", *(f"F0001_AN0{k}WH" for k in range(1, 5))):
        write_scan(tmp_path / "F0001", stem)
    config = SourceConfig(kind="bu3dfe", path=str(tmp_path), frames=FramesConfig("peak"))
    entries = open_source(config).entries()
    assert [entry.capture_id for entry in entries] == [
        "F0001_AN04WH_pitch0_yaw0",
        "F0001_NE00WH_pitch0_yaw0",
    ]


def test_what_is_missing_or_broken_is_named(tmp_path: Path) -> None:
    file = write_scan(tmp_path / "F0001", "F0001_AN01WH")
    (item,) = LAYOUT.find(tmp_path)
    assert LAYOUT.mesh is not None
    (tmp_path / "F0001/F0001_AN01WH_F3D.bmp").unlink()
    with pytest.raises(CaptureError, match=r"F0001_AN01WH_F3D\.bmp") as caught:
        LAYOUT.mesh(item)
    assert caught.value.code == "missing_file"
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(CaptureError, match="list of numbers that does not end") as caught:
        LAYOUT.mesh(item)
    assert caught.value.code == "unreadable_mesh"
    assert str(file) in caught.value.message
