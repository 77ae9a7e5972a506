"""SynthHuman's samples: centimetres, the matrix in text, names, broken files."""

from __future__ import annotations

import importlib.util
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fg3d_builder.captures.layouts.synthhuman import find, frame
from fg3d_builder.errors import CaptureError, MissingDependencyError
from fg3d_builder.records import Array
from tests.captures.layouts.phone_writers import png, shot

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("OpenEXR") is None, reason="OpenEXR is not installed"
)
SHOT = shot(96, 128)


def write_exr(path: Path, channels: dict[str, Array], compression: str = "ZIP") -> None:
    import OpenEXR

    header = {"compression": getattr(OpenEXR, f"{compression}_COMPRESSION"),
              "type": OpenEXR.scanlineimage}  # fmt: skip
    OpenEXR.File(header, channels).write(str(path))


def write(folder: Path, number: int = 12, background_cm: float = 1e10, **exr: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"rgb_{number:07d}.png").write_bytes(png(SHOT.rgb))
    depth_cm = np.nan_to_num(SHOT.depth_mm / 10.0, nan=background_cm).astype(np.float32)
    write_exr(folder / f"depth_{number:07d}.exr", {"Y": depth_cm}, **exr)
    np.savetxt(folder / f"cam_{number:07d}.txt", SHOT.intrinsics)


@pytest.mark.parametrize("compression", ["NO", "ZIP", "PIZ"])
@pytest.mark.parametrize("background_cm", [1e10, 0.0, np.inf])
def test_a_sample_is_exact(tmp_path: Path, compression: str, background_cm: float) -> None:
    write(tmp_path, background_cm=background_cm, compression=compression)
    (item,) = find(tmp_path)
    assert (item.name, item.subject, item.expression) == ("0000012", "0000012", "neutral")
    assert item.sequence == ""
    read = frame(item)
    np.testing.assert_array_equal(read.rgb, SHOT.rgb)
    np.testing.assert_allclose(read.depth_mm, SHOT.depth_mm, rtol=3e-7)
    np.testing.assert_allclose(read.intrinsics, SHOT.intrinsics, rtol=1e-12)


def test_a_pose_before_the_intrinsics_is_skipped(tmp_path: Path) -> None:
    write(tmp_path / "SynthHuman_0000")
    rows = np.eye(4).tolist() + SHOT.intrinsics.tolist()
    text = "\n".join(" ".join(map(repr, row)) for row in rows)
    (tmp_path / "SynthHuman_0000/cam_0000012.txt").write_text(text)
    (item,) = find(tmp_path)
    assert item.name == "SynthHuman_0000-0000012"
    np.testing.assert_allclose(frame(item).intrinsics, SHOT.intrinsics, rtol=1e-12)


def test_half_precision_and_other_channel_names(tmp_path: Path) -> None:
    write(tmp_path)
    depth_cm = np.nan_to_num(SHOT.depth_mm / 10.0).astype(np.float16)
    write_exr(tmp_path / "depth_0000012.exr", {"B": depth_cm * 0, "G": depth_cm * 0, "R": depth_cm})
    # Half precision holds 11 bits: 0.16 mm at 40 cm.
    np.testing.assert_allclose(frame(find(tmp_path)[0]).depth_mm, SHOT.depth_mm, atol=0.17)


def huge(folder: Path) -> None:
    path = folder / "depth_0000012.exr"
    data = bytearray(path.read_bytes())
    at = data.index(b"dataWindow\0box2i\0") + len(b"dataWindow\0box2i\0") + 4
    data[at : at + 16] = struct.pack("<4i", 0, 0, 2**30, 2**30)
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "code", "text"),
    [
        (lambda p: (p / "depth_0000012.exr").unlink(), "missing_file", r"depth_0000012\.exr"),
        (lambda p: (p / "cam_0000012.txt").unlink(), "missing_file", r"cam_0000012\.txt"),
        (lambda p: (p / "cam_0000012.txt").write_text("1 2 3"), "bad_field", "three rows"),
        (lambda p: (p / "cam_0000012.txt").write_text("nan 0 0\n" * 3), "bad_field", "finite"),
        (
            lambda p: (p / "depth_0000012.exr").write_bytes(b"\x76\x2f\x31\x01" + bytes(50)),
            "unreadable_image",
            r"exr: its header",
        ),
        (lambda p: (p / "depth_0000012.exr").write_bytes(b""), "unreadable_image", "no EXR"),
        (huge, "unreadable_image", "1073741825 x 1073741825"),
        (
            lambda p: write_exr(p / "depth_0000012.exr", {"Y": np.ones((64, 48), np.float32)}),
            "size_mismatch",
            "48 x 64 pixels, colour 96 x 128",
        ),
        (
            lambda p: write_exr(p / "depth_0000012.exr", {"Y": np.ones((128, 96), np.uint32)}),
            "unreadable_image",
            "real numbers",
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, damage: Any, code: str, text: str) -> None:
    write(tmp_path)
    damage(tmp_path)
    with pytest.raises(CaptureError, match=text) as caught:
        frame(find(tmp_path)[0])
    assert caught.value.code == code


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path)
    monkeypatch.setitem(sys.modules, "OpenEXR", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'fg3d-builder\[exr\]'"):
        frame(find(tmp_path)[0])
