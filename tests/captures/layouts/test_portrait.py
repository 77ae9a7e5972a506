"""Portrait photos: depth from 8-bit disparity, turns of all kinds, calibration, refusals."""

from __future__ import annotations

import importlib.util
import io
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.drill import portrait_files
from benchmarks.drill.portrait_files import (
    LEAST_PER_M,
    STEP_PER_M,
    disparity_levels,
    jpeg,
    portrait_heic,
    portrait_jpeg,
)
from fg3d_builder.captures.layouts.layout import Frame
from fg3d_builder.captures.layouts.portrait import find, frame
from fg3d_builder.errors import CaptureError, MissingDependencyError
from fg3d_builder.geometry.camera import intrinsics_matrix
from fg3d_builder.records import Array
from tests.captures.layouts.phone_writers import Shot, shot

COLOUR = shot(288, 384)
DEPTH = shot(96, 128)
LEVELS = disparity_levels(DEPTH.depth_mm)
EXACT = (1000.0 / (LEAST_PER_M + STEP_PER_M * LEVELS)).repeat(3, axis=0).repeat(3, axis=1)
needs_heif = pytest.mark.skipif(
    importlib.util.find_spec("pillow_heif") is None, reason="pillow-heif is not installed"
)


def xmp(camera: Shot, **changes: str | None) -> bytes:
    height, width = camera.rgb.shape[:2]
    return portrait_files.xmp(width, height, camera.intrinsics, **changes)


def stored(shown: Array, orientation: int) -> Array:
    """Pixels that are shown so with this EXIF orientation."""
    if orientation in (2, 3, 6, 7):
        shown = shown[:, ::-1]
    if orientation in (3, 4, 7, 8):
        shown = shown[::-1]
    if orientation >= 5:
        shown = shown.swapaxes(0, 1)
    return np.ascontiguousarray(shown)


def stored_camera(orientation: int) -> Shot:
    """The upright, unmirrored camera's intrinsics, in the pixels as they are stored."""
    (fx, fy), (cx, cy) = COLOUR.intrinsics[[0, 1], [0, 1]], COLOUR.intrinsics[:2, 2]
    height, width = COLOUR.rgb.shape[:2]
    for _ in range({3: 2, 4: 2, 5: 1, 6: 1, 7: 3, 8: 3}.get(orientation, 0)):
        fx, fy, cx, cy, height, width = fy, fx, cy, width - 1 - cx, width, height
    # Anticlockwise: what is turned clockwise for display.
    return Shot(np.zeros((height, width, 3)), COLOUR.depth_mm, intrinsics_matrix(fx, fy, cx, cy))


def only(tmp_path: Path) -> Frame:
    (item,) = find(tmp_path)
    return frame(item)


def test_a_jpeg_gives_what_its_disparity_says(tmp_path: Path) -> None:
    data = portrait_jpeg(COLOUR.rgb, LEVELS, xmp(COLOUR))
    (tmp_path / "anna_smile.JPG").write_bytes(data)
    (item,) = find(tmp_path)
    assert (item.name, item.subject, item.expression) == ("anna_smile", "anna", "smile")
    read = frame(item)
    # JPEG at its best quality changes a level by two at most: 2.5 mm at 350 mm.
    np.testing.assert_allclose(1000 / read.depth_mm, 1000 / EXACT, atol=2.1 * STEP_PER_M)
    assert np.median(np.abs(read.depth_mm - EXACT)) < 0.01
    np.testing.assert_allclose(read.intrinsics, COLOUR.intrinsics, rtol=1e-12)
    assert np.abs(read.rgb.astype(float) - COLOUR.rgb).mean() < 4


@needs_heif
def test_a_heic_gives_what_its_disparity_says(tmp_path: Path) -> None:
    (tmp_path / "anna").mkdir()
    data = portrait_heic(COLOUR.rgb, LEVELS, xmp(COLOUR))
    (tmp_path / "anna/IMG_0001.HEIC").write_bytes(data)
    (item,) = find(tmp_path)
    assert (item.name, item.subject, item.expression) == ("anna-IMG_0001", "anna", "neutral")
    read = frame(item)
    # Encoded without loss.
    np.testing.assert_allclose(read.depth_mm, EXACT, rtol=1e-6)
    np.testing.assert_allclose(read.intrinsics, COLOUR.intrinsics, rtol=1e-12)
    assert np.abs(read.rgb.astype(float) - COLOUR.rgb).mean() < 2


def test_disparity_is_true_up_to_its_steps(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(portrait_jpeg(COLOUR.rgb, LEVELS, xmp(COLOUR)))
    on_head = np.isfinite(DEPTH.depth_mm)
    read = only(tmp_path).depth_mm[1::3, 1::3]
    off = np.abs(read - DEPTH.depth_mm)[on_head]
    # Half a step at 400 mm is 0.8 mm.
    assert np.quantile(off, 0.9) < 0.9


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_orientation_tag_turns_colour_depth_and_camera(tmp_path: Path, orientation: int) -> None:
    mirrored = orientation in (2, 4, 5, 7)
    shown = [image[:, ::-1] if mirrored else image for image in (COLOUR.rgb, LEVELS)]
    camera = stored_camera(orientation)
    rgb, levels = (stored(image, orientation) for image in shown)
    assert rgb.shape == camera.rgb.shape
    data = portrait_jpeg(rgb, levels, xmp(camera), orientation)
    (tmp_path / "a.jpg").write_bytes(data)
    read = only(tmp_path)
    # Upright, and the person as in the world, not as in a mirror.
    assert np.abs(read.rgb.astype(float) - COLOUR.rgb).mean() < 4
    np.testing.assert_allclose(1000 / read.depth_mm, 1000 / EXACT, atol=2.1 * STEP_PER_M)
    np.testing.assert_allclose(read.intrinsics, COLOUR.intrinsics, rtol=1e-12)


@needs_heif
@pytest.mark.parametrize(("turns", "orientation"), [(1, 8), (2, 3), (3, 6)])
def test_a_heic_is_turned_by_its_own_property(tmp_path: Path, turns: int, orientation: int) -> None:
    camera = stored_camera(orientation)
    rgb, levels = (np.ascontiguousarray(np.rot90(a, -turns)) for a in (COLOUR.rgb, LEVELS))
    (tmp_path / "a.heic").write_bytes(portrait_heic(rgb, levels, xmp(camera), turns))
    read = only(tmp_path)
    np.testing.assert_allclose(read.depth_mm, EXACT, rtol=1e-6)
    np.testing.assert_allclose(read.intrinsics, COLOUR.intrinsics, rtol=1e-12)
    assert np.abs(read.rgb.astype(float) - COLOUR.rgb).mean() < 2


@needs_heif
def test_a_mirrored_heic_is_refused(tmp_path: Path) -> None:
    data = portrait_heic(COLOUR.rgb, LEVELS, xmp(COLOUR), mirrored=True)
    (tmp_path / "a.heic").write_bytes(data)
    with pytest.raises(CaptureError, match="mirrored") as caught:
        only(tmp_path)
    assert caught.value.code == "orientation_tag"


def test_the_cameras_reference_size_may_be_another(tmp_path: Path) -> None:
    large = shot(864, 1152)
    (tmp_path / "a.jpg").write_bytes(portrait_jpeg(COLOUR.rgb, LEVELS, xmp(large)))
    np.testing.assert_allclose(only(tmp_path).intrinsics, COLOUR.intrinsics, rtol=1e-12)


def test_depth_in_metres(tmp_path: Path) -> None:
    about = xmp(COLOUR, AuxiliaryImageType="depth", FloatMinValue="0", FloatMaxValue="0.51")
    (tmp_path / "a.jpg").write_bytes(portrait_jpeg(COLOUR.rgb, np.full_like(LEVELS, 200), about))
    np.testing.assert_allclose(only(tmp_path).depth_mm, 400.0, atol=1e-3)


def test_members_as_attributes_are_read(tmp_path: Path) -> None:
    about = xmp(COLOUR, IntMinValue=None, FloatMinValue=None)
    about = about.replace(
        b'rdf:about=""', f'rdf:about="" apdi:FloatMinValue="{LEAST_PER_M}"'.encode()
    )
    # The names' declarations follow in the same element.
    (tmp_path / "a.jpg").write_bytes(portrait_jpeg(COLOUR.rgb, LEVELS, about))
    assert np.median(np.abs(only(tmp_path).depth_mm - EXACT)) < 0.01


def photo(about: bytes) -> Callable[[], bytes]:
    return lambda: portrait_jpeg(COLOUR.rgb, LEVELS, about)


def without_last_picture() -> bytes:
    data = photo(xmp(COLOUR))()
    return data[: data.rindex(b"\xff\xd8\xff")]


@pytest.mark.parametrize(
    ("make", "code", "text"),
    [
        (lambda: jpeg(COLOUR.rgb), "no_depth", "an ordinary photo"),
        (lambda: b"", "unreadable_image", "not an image file"),
        (lambda: b"\0\0\0\x18ftypheic" + bytes(40), "unreadable_image", "no HEIF file"),
        (lambda: photo(xmp(COLOUR))()[:-900], "unreadable_image", "its depth image: .*truncated"),
        (without_last_picture, "unreadable_image", "not in the file"),
        (photo(xmp(COLOUR, Accuracy="relative")), "refused", "'Accuracy' is 'relative'"),
        (photo(xmp(COLOUR, Accuracy=None)), "refused", "'Accuracy' is 'not told'"),
        (photo(xmp(COLOUR, FloatMaxValue=None)), "missing_field", "no 'FloatMaxValue'"),
        (photo(xmp(COLOUR, FloatMaxValue="nan")), "bad_field", "'FloatMaxValue'"),
        (photo(xmp(COLOUR, FloatMaxValue="0.5")), "bad_field", "more than FloatMinValue"),
        (photo(xmp(COLOUR, IntMaxValue="x")), "bad_field", "'IntMaxValue': expected numbers"),
        (photo(xmp(COLOUR, IntrinsicMatrix=None)), "missing_field", "no 'IntrinsicMatrix'"),
        (photo(xmp(COLOUR, IntrinsicMatrix="1")), "bad_field", "nine numbers"),
        (
            photo(xmp(COLOUR, IntrinsicMatrixReferenceWidth="512")),
            "size_mismatch",
            "512 x 384 and 288 x 384",
        ),
        (photo(xmp(COLOUR, IntrinsicMatrixReferenceWidth="-1")), "bad_field", "whole numbers"),
        (photo(xmp(COLOUR).replace(b"</rdf:RDF>", b"")), "bad_field", "no XML"),
        (photo(b"<!DOCTYPE a [<!ENTITY b 'c'>]>" + xmp(COLOUR)), "bad_field", "no plain XML"),
    ],
)
def test_broken_photos_are_named(
    tmp_path: Path, make: Callable[[], bytes], code: str, text: str
) -> None:
    (tmp_path / "anna.jpg").write_bytes(make())
    with pytest.raises(CaptureError, match=text) as caught:
        only(tmp_path)
    assert caught.value.code == code
    assert "anna.jpg" in str(caught.value)


@needs_heif
def test_an_ordinary_heic_has_no_depth(tmp_path: Path) -> None:
    import pillow_heif

    data = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(COLOUR.rgb)).save(data)
    (tmp_path / "a.heic").write_bytes(data.getvalue())
    with pytest.raises(CaptureError, match="an ordinary photo") as caught:
        only(tmp_path)
    assert caught.value.code == "no_depth"


@needs_heif
def test_a_heic_without_the_package_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.heic").write_bytes(portrait_heic(COLOUR.rgb, LEVELS, xmp(COLOUR)))
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'fg3d-builder\[phones\]'"):
        only(tmp_path)
