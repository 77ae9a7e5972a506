"""Bosphorus: range images around their own middle, with places in a picture."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fg3d_builder.captures.layouts.bosphorus import LAYOUT
from fg3d_builder.errors import CaptureError
from fg3d_builder.files.bnt_range_image import read_bnt
from fg3d_builder.rendering.texture import sample_bilinear
from tests.captures.layouts.scan_writers import range_image, write_bnt


def write_scan(folder: Path, stem: str, **options: object) -> Path:
    points, ab, picture = range_image()
    write_bnt(folder / f"{stem}.bnt", points, ab, **options)
    Image.fromarray(picture).save(folder / f"{stem}.png")
    return folder / f"{stem}.bnt"


def test_round_trip(tmp_path: Path) -> None:
    points, ab, picture = range_image()
    file = write_scan(tmp_path / "bs000", "bs000_N_N_0")
    image = read_bnt(file)
    np.testing.assert_array_equal(image.points, points)  # doubles
    np.testing.assert_array_equal(image.uv, ab * [1, -1] + [0, 1])
    (item,) = LAYOUT.find(tmp_path)
    assert LAYOUT.mesh is not None
    mesh = LAYOUT.mesh(item)
    there = np.isfinite(points).all(axis=-1)
    np.testing.assert_array_equal(mesh.vertices, points[there])
    # The picture's colour at a vertex is that of the pixel that its place is in.
    row, column = np.nonzero(there)
    colour = sample_bilinear(mesh.textures[0].astype(float), mesh.uv)
    pixel = picture[6 * row, 6 * column].astype(float)
    assert np.abs(colour - pixel).max() < 0.6  # half a pixel of a ramp of one level a pixel
    normal = np.cross(
        mesh.vertices[mesh.triangles[:, 1]] - mesh.vertices[mesh.triangles[:, 0]],
        mesh.vertices[mesh.triangles[:, 2]] - mesh.vertices[mesh.triangles[:, 0]],
    )
    assert (normal[:, 2] > 0).mean() > 0.99  # towards the camera, which z points to


def test_another_size_than_is_declared(tmp_path: Path) -> None:
    points, _, _ = range_image()
    file = write_scan(tmp_path, "bs000_N_N_0", size=(61, 48))
    np.testing.assert_array_equal(read_bnt(file).points, points)


def test_names_tell_subject_expression_and_what_is_refused(tmp_path: Path) -> None:
    names = {
        "bs000_N_N_0": ("neutral", False),
        "bs000_N_N_1": ("neutral", False),
        "bs000_E_HAPPY_0": ("happy", False),
        "bs000_LFAU_12LW_0": ("LFAU_12LW", False),
        "bs000_UFAU_43_0": ("UFAU_43", False),
        "bs000_CAU_A12A15_0": ("CAU_A12A15", False),
        "bs104_YR_R10_0": ("neutral", False),
        "bs104_YR_R45_0": ("neutral", True),
        "bs104_YR_L90_0": ("neutral", True),
        "bs104_PR_SU_0": ("neutral", False),
        "bs104_PR_D_0": ("neutral", True),
        "bs104_CR_RD_0": ("neutral", True),
        "bs104_O_EYE_0": ("neutral", True),
        "bs104_IGN_x_0": ("neutral", True),
        "bs104_ZZ_x_0": ("neutral", True),
    }
    for name in names:
        (tmp_path / name[:5]).mkdir(exist_ok=True)
        (tmp_path / name[:5] / f"{name}.bnt").write_bytes(b"")
    (tmp_path / "bs104/bs104_N_N_0.lm3").write_bytes(b"")
    found = {item.name: (item.expression, bool(item.refusal)) for item in LAYOUT.find(tmp_path)}
    assert found == names
    assert {item.subject for item in LAYOUT.find(tmp_path)} == {"bs000", "bs104"}


def _header(data: bytes, **fields: int) -> bytes:
    rows, columns, zmin, length = struct.unpack_from("<HHdH", data)
    at = 14 + length
    (numbers,) = struct.unpack_from("<I", data, at)
    told = {"rows": rows, "columns": columns, "zmin": zmin, "length": length, "numbers": numbers}
    told.update(fields)
    head = struct.pack("<HHdH", told["rows"], told["columns"], told["zmin"], told["length"])
    return head + data[14:at] + struct.pack("<I", told["numbers"]) + data[at + 4 :]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda data: data[:9], "too few for a .bnt file"),
        (lambda data: data[:-8], "but .* are there"),
        (lambda data: _header(data, numbers=2**32 - 1), "4294967295 numbers are declared"),
        (lambda data: _header(data, numbers=7), "not five planes"),
        (lambda data: _header(data, numbers=0), "not five planes"),
        (lambda data: _header(data, numbers=5 * 1000), "60 rows and 48 columns are declared"),
        (lambda data: _header(data[:100], length=65535), "a name of 65535 bytes"),
        (lambda data: _header(data, zmin=float("nan")), "z-minimum"),
        (lambda data: data[:-8] + struct.pack("<d", 1.5), "not between 0 and 1"),
        (lambda data: data[:-8] + struct.pack("<d", np.inf), "not finite"),
        (lambda data: b"", "too few"),
    ],
)
def test_broken_range_images_are_named(tmp_path: Path, change, problem: str) -> None:
    file = write_scan(tmp_path, "bs000_N_N_0")
    file.write_bytes(change(file.read_bytes()))
    (item,) = LAYOUT.find(tmp_path)
    assert LAYOUT.mesh is not None
    with pytest.raises(CaptureError, match=problem) as caught:
        LAYOUT.mesh(item)
    assert caught.value.code == "unreadable_image"
    assert str(file) in caught.value.message


def test_missing_picture_and_no_points(tmp_path: Path) -> None:
    points, ab, _ = range_image()
    file = write_scan(tmp_path, "bs000_N_N_0")
    (item,) = LAYOUT.find(tmp_path)
    assert LAYOUT.mesh is not None
    write_bnt(file, np.full_like(points, np.nan), ab)
    with pytest.raises(CaptureError, match="no three neighbouring points") as caught:
        LAYOUT.mesh(item)
    assert caught.value.code == "no_depth"
    item.files[1].unlink()
    with pytest.raises(CaptureError, match=r"bs000_N_N_0\.png") as caught:
        LAYOUT.mesh(item)
    assert caught.value.code == "missing_file"
