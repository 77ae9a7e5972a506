"""Recordings as Record3D writes them: sizes, intrinsics, confidence, names, broken files."""

from __future__ import annotations

import importlib.util
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from benchmarks.drill.portrait_files import jpeg
from fg3d_builder.captures.layouts.record3d import find, frame
from fg3d_builder.errors import CaptureError
from fg3d_builder.rendering.measured_surface import measured_surface
from tests.captures.layouts.phone_writers import packed, r3d_metadata, shot, write_r3d

SELFIE = shot(96, 128)
LIDAR = shot(48, 64)


def test_face_camera_frames_are_exact(tmp_path: Path) -> None:
    further = SELFIE.depth_mm + 3.0
    write_r3d(tmp_path / "anna_smile.r3d", SELFIE, [SELFIE.depth_mm, further])
    first, second = find(tmp_path)
    assert (first.name, first.subject, first.expression) == ("anna_smile-00000", "anna", "smile")
    assert (first.sequence, first.frame, second.frame) == ("anna_smile", 0, 1)
    read = frame(first)
    # float32 metres have seven digits.
    np.testing.assert_allclose(read.depth_mm, SELFIE.depth_mm, rtol=3e-7)
    np.testing.assert_allclose(frame(second).depth_mm, further, rtol=3e-7)
    np.testing.assert_allclose(read.intrinsics, SELFIE.intrinsics, rtol=1e-12)
    stored = np.array(Image.open(io.BytesIO(jpeg(SELFIE.rgb))))
    np.testing.assert_array_equal(read.rgb, stored)


def test_larger_selfie_colour_repeats_depth(tmp_path: Path) -> None:
    large = shot(288, 384)
    write_r3d(tmp_path / "anna.r3d", large, [SELFIE.depth_mm])
    read = frame(find(tmp_path)[0])
    wanted = SELFIE.depth_mm.repeat(3, axis=0).repeat(3, axis=1)
    np.testing.assert_allclose(read.depth_mm, wanted, rtol=3e-7)
    np.testing.assert_allclose(read.intrinsics, large.intrinsics, rtol=1e-12)


def test_lidar_depth_comes_onto_the_colour_and_registration_has_its_samples(tmp_path: Path) -> None:
    colour = shot(180, 240)  # 3.75 times, as 720 x 960 over 192 x 256
    confidence = np.full(LIDAR.depth_mm.shape, 2, np.uint8)
    confidence[30:33, 20:24] = 0
    confidence[40, 20] = 1
    write_r3d(tmp_path / "anna.r3d", colour, [LIDAR.depth_mm], confidence)
    read = frame(find(tmp_path)[0])
    off = np.abs(read.depth_mm - colour.depth_mm)
    assert np.nanmedian(off) < 0.15
    head = np.isfinite(colour.depth_mm).astype(np.uint8)
    inner = cv2.erode(head, np.ones((13, 13))) > 0
    holes = np.isnan(read.depth_mm) & inner
    rows, columns = np.nonzero(holes)
    # Low confidence alone: samples 20 to 23 and 30 to 32, and what would be interpolated from them.
    assert columns.min() >= 19 * 3.75
    assert columns.max() <= 25 * 3.75
    assert rows.min() >= 29 * 3.75
    assert rows.max() <= 34 * 3.75
    surface = measured_surface(read.depth_mm, read.intrinsics, 100.0, 600.0)
    assert surface.sampling.kind == "interpolated"
    assert surface.sampling.factor_x == pytest.approx(3.75, abs=0.05)


def test_intrinsics_of_each_frame_count_and_fit_the_pictures_size(tmp_path: Path) -> None:
    own = [[115.0, 116.0, 40.0, 60.0], [118.0, 119.0, 41.0, 61.0]]
    depths = [SELFIE.depth_mm] * 3
    write_r3d(tmp_path / "a.r3d", SELFIE, depths, perFrameIntrinsicCoeffs=own)
    items = find(tmp_path)
    np.testing.assert_allclose(frame(items[1]).intrinsics[[0, 1, 0, 1], [0, 1, 2, 2]], own[1])
    # None is noted for the third.
    np.testing.assert_allclose(frame(items[2]).intrinsics, SELFIE.intrinsics, rtol=1e-12)
    # The picture is twice as large as noted: the same view.
    double = shot(192, 256)
    write_r3d(tmp_path / "a.r3d", SELFIE, [SELFIE.depth_mm], picture=jpeg(double.rgb))
    np.testing.assert_allclose(frame(items[0]).intrinsics, double.intrinsics, rtol=1e-9)


def test_old_recordings_do_not_note_the_depths_size(tmp_path: Path) -> None:
    lidar = shot(192, 256)
    write_r3d(
        tmp_path / "a.r3d",
        shot(384, 512),
        [lidar.depth_mm],
        dw=None,
        dh=None,
        perFrameIntrinsicCoeffs=None,
    )
    read = frame(find(tmp_path)[0])
    wanted = lidar.depth_mm.repeat(2, axis=0).repeat(2, axis=1)
    np.testing.assert_allclose(read.depth_mm, wanted, rtol=3e-7)
    write_r3d(tmp_path / "a.r3d", SELFIE, [LIDAR.depth_mm], dw=None, dh=None)
    with pytest.raises(CaptureError, match="without fields 'dw' and 'dh' one of 96 x 128, 192 x"):
        frame(find(tmp_path)[0])


def test_people_by_folder_or_by_the_files_name(tmp_path: Path) -> None:
    for name in ("anna/2024-05-18--10-30-00.r3d", "anna/smile.r3d", "ben-2.r3d", "2024-05-18.R3D"):
        write_r3d(tmp_path / name, SELFIE, [SELFIE.depth_mm])
    found = [(item.name, item.subject, item.expression) for item in find(tmp_path)]
    assert found == [
        ("2024-05-18-00000", "2024", "neutral"),
        ("anna-2024-05-18--10-30-00-00000", "anna", "neutral"),
        ("anna-smile-00000", "anna", "smile"),
        ("ben-2-00000", "ben", "neutral"),
    ]
    assert [item.subject for item in find(tmp_path / "ben-2.r3d")] == ["ben"]


def rewritten(path: Path, changes: dict[str, bytes | None]) -> None:
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in (members | changes).items():
            if data is not None:
                archive.writestr(name, data)


def of_metadata(**changes: object) -> Callable[[], dict[str, bytes | None]]:
    def make() -> dict[str, bytes | None]:
        return {"metadata": json.dumps(r3d_metadata(SELFIE, SELFIE.depth_mm, **changes)).encode()}

    return make


@pytest.mark.parametrize(
    ("changes", "code", "text"),
    [
        (lambda: {"metadata": None}, "missing_file", "'metadata' is not in it"),
        (lambda: {"metadata": b"{"}, "bad_json", "'metadata': no valid JSON"),
        (lambda: {"metadata": b"[" * 100_000}, "bad_json", "nested too deeply"),
        (lambda: {"metadata": b"[]"}, "bad_json", "expected an object"),
        (lambda: {"rgbd/0.jpg": None}, "missing_file", r"'rgbd/0\.jpg' is not in it"),
        (lambda: {"rgbd/0.depth": None}, "missing_file", r"'rgbd/0\.depth' is not in it"),
        (lambda: {"rgbd/0.depth": packed(bytes(8))}, "unreadable_image", "8 bytes in the LZFSE"),
        (lambda: {"rgbd/0.depth": bytes(99)}, "unreadable_image", "no LZFSE stream"),
        (lambda: {"rgbd/0.conf": packed(bytes(8))}, "unreadable_image", r"0\.conf'"),
        (lambda: {"rgbd/0.depth": bytes(2**27)}, "unreadable_image", "134217728 bytes, at most"),
        (lambda: {"rgbd/0.jpg": b"GIF89a"}, "unreadable_image", r"rgbd/0\.jpg'"),
        (of_metadata(dw=2**40), "bad_field", "field 'metadata.dw'"),
        (of_metadata(w=None), "missing_field", "field 'metadata.w'"),
        (of_metadata(w=200), "size_mismatch", "200 x 128 and 96 x 128"),
        (of_metadata(dw=20, dh=10), "unreadable_image", "more bytes than expected"),
        (of_metadata(perFrameIntrinsicCoeffs=[[1, 2, 3]]), "bad_field", r"Coeffs\[0\]'"),
        (of_metadata(perFrameIntrinsicCoeffs=[[1, -2, 3, 4]]), "bad_field", "positive focal"),
        (of_metadata(perFrameIntrinsicCoeffs=None, K=[1] * 9), "bad_field", "metadata.K"),
        (of_metadata(perFrameIntrinsicCoeffs=[[115, 115, 900, 64]]), "bad_field", "principal"),
    ],
)
def test_broken_recordings_are_named(
    tmp_path: Path, changes: Callable[[], dict[str, bytes | None]], code: str, text: str
) -> None:
    path = tmp_path / "anna.r3d"
    write_r3d(path, SELFIE, [SELFIE.depth_mm])
    item = find(tmp_path)[0]
    rewritten(path, changes())
    with pytest.raises(CaptureError, match=text) as caught:
        frame(item)
    assert caught.value.code == code
    assert "anna.r3d" in str(caught.value)


def test_a_broken_archive_is_listed_and_fails(tmp_path: Path) -> None:
    path = tmp_path / "anna.r3d"
    write_r3d(path, SELFIE, [SELFIE.depth_mm])
    path.write_bytes(path.read_bytes()[:5000])
    (item,) = find(tmp_path)
    with pytest.raises(CaptureError, match=r"anna\.r3d: no zip archive"):
        frame(item)


def test_a_changed_byte_is_noticed_by_the_sum(tmp_path: Path) -> None:
    path = tmp_path / "anna.r3d"
    write_r3d(path, SELFIE, [SELFIE.depth_mm])
    data = bytearray(path.read_bytes())
    data[data.index(b"rgbd/0.depth") + 3000] ^= 1
    path.write_bytes(data)
    with pytest.raises(CaptureError, match=r"0\.depth': no zip archive, or a damaged one"):
        frame(find(tmp_path)[0])


def test_a_turned_picture_is_refused(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = jpeg(SELFIE.rgb, exif=exif.tobytes())
    write_r3d(tmp_path / "a.r3d", SELFIE, [SELFIE.depth_mm], picture=picture)
    with pytest.raises(CaptureError, match="orientation tag is 6") as caught:
        frame(find(tmp_path)[0])
    assert caught.value.code == "orientation_tag"


def write_export(folder: Path, frames: int = 2, channel: str = "R") -> None:
    """As the app exports EXR and JPEG: depth in metres, half or single precision."""
    import OpenEXR

    for name in ("rgb", "depth"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    table = r3d_metadata(SELFIE, SELFIE.depth_mm, frames)
    (folder / "metadata.json").write_text(json.dumps(table))
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    for k in range(frames):
        (folder / f"rgb/{k}.jpg").write_bytes(jpeg(SELFIE.rgb))
        metres = np.nan_to_num((SELFIE.depth_mm + k) / 1000.0).astype(np.float32)
        OpenEXR.File(header, {channel: metres}).write(str(folder / f"depth/{k}.exr"))


needs_exr = pytest.mark.skipif(
    importlib.util.find_spec("OpenEXR") is None, reason="OpenEXR is not installed"
)


@needs_exr
def test_folders_of_exr_and_jpeg(tmp_path: Path) -> None:
    write_export(tmp_path / "anna/smile/EXR_RGBD")
    write_export(tmp_path / "ben/EXR_RGBD", 1, "Y")
    first, second, third = find(tmp_path)
    assert (first.name, first.subject, first.expression) == ("anna-smile-00000", "anna", "smile")
    assert (second.frame, second.sequence) == (1, "anna/smile")
    assert (third.name, third.subject) == ("ben-00000", "ben")
    for item, further in ((first, 0.0), (second, 1.0), (third, 0.0)):
        read = frame(item)
        np.testing.assert_allclose(read.depth_mm, SELFIE.depth_mm + further, rtol=3e-7)
        np.testing.assert_allclose(read.intrinsics, SELFIE.intrinsics, rtol=1e-12)
    assert [item.subject for item in find(tmp_path / "ben/EXR_RGBD")] == ["ben"]


@needs_exr
@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("depth/0.exr", None, "missing_file"),
        ("depth/0.exr", b"", "unreadable_image"),
        ("rgb/0.jpg", b"", "unreadable_image"),
        ("metadata.json", b"[]", "bad_json"),
        ("metadata.json", b"{}", "missing_field"),
    ],
)
def test_broken_exports_are_named(tmp_path: Path, name: str, data: bytes | None, code: str) -> None:
    write_export(tmp_path / "anna", 1)
    (item,) = find(tmp_path)
    path = tmp_path / "anna" / name
    path.unlink() if data is None else path.write_bytes(data)
    with pytest.raises(CaptureError) as caught:
        frame(item)
    assert caught.value.code == code
    assert name in str(caught.value)
