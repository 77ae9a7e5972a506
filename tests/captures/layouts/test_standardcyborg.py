"""Raw frames of StandardCyborg's app: exact depth and colours, turns, cameras, broken files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fg3d_builder.captures.aligned_depth import intrinsics_of_size
from fg3d_builder.captures.layouts.standardcyborg import find, frame
from fg3d_builder.captures.layouts.turned_pixels import turned_camera
from fg3d_builder.errors import CaptureError
from fg3d_builder.geometry.camera import intrinsics_matrix
from tests.captures.layouts.frame_writers import TABLET, write_frame
from tests.captures.layouts.phone_writers import shot

SMALL = shot(96, 128)
LARGE = shot(288, 384)


def test_a_frame_without_picture_is_exact(tmp_path: Path) -> None:
    write_frame(tmp_path / "anna/DepthFrames/frame-007.ply", SMALL)
    (item,) = find(tmp_path)
    assert (item.name, item.subject, item.frame) == ("anna-007", "anna", 7)
    assert (item.sequence, item.expression) == ("anna", "neutral")
    read = frame(item)
    np.testing.assert_array_equal(read.rgb, SMALL.rgb)  # gamma there and back, in float32
    # float32 metres have seven digits.
    np.testing.assert_allclose(read.depth_mm, SMALL.depth_mm, rtol=3e-7)
    np.testing.assert_allclose(read.intrinsics, SMALL.intrinsics, rtol=1e-12)


def test_the_pictures_pixels_count_where_there_is_one(tmp_path: Path) -> None:
    write_frame(tmp_path / "anna/smile/frame-000.ply", SMALL, LARGE)
    (item,) = find(tmp_path)
    assert (item.name, item.subject, item.expression) == ("anna-smile-000", "anna", "smile")
    read = frame(item)
    assert np.abs(read.rgb.astype(float) - LARGE.rgb).mean() < 3
    wanted = SMALL.depth_mm.repeat(3, axis=0).repeat(3, axis=1)
    np.testing.assert_allclose(read.depth_mm, wanted, rtol=3e-7)
    np.testing.assert_allclose(read.intrinsics, LARGE.intrinsics, rtol=1e-12)


def test_a_recording_itself_is_named_after_its_folder(tmp_path: Path) -> None:
    write_frame(tmp_path / "ben/DepthFrames/frame-000.ply", SMALL)
    assert [i.subject for i in find(tmp_path / "ben")] == ["ben"]
    assert [i.subject for i in find(tmp_path / "ben/DepthFrames")] == ["ben"]


def test_older_names_of_the_camera(tmp_path: Path) -> None:
    """The reference size is another, and the focal length has a factor."""
    path = tmp_path / "a/frame-000.ply"
    matrix = [2876.0, 0, 0, 0, 2880.0, 0, 1536.0, 1149.0, 1]
    camera = {
        "intrinsic_matrix": matrix,
        "focal_length_scale_factor": 1.1,
        "intrinsic_matrix_reference_dimensions_width": 3072,
        "intrinsic_matrix_reference_dimensions_height": 2304,
    }
    write_frame(path, SMALL, camera_intrinsics=camera)
    read = frame(find(tmp_path)[0])
    # Stored 128 x 96, a 24th of the reference, and turned clockwise.
    factor = 1 / 24
    wanted = [2880 * 1.1 * factor, 2876 * 1.1 * factor, 1536.5 * factor - 0.5]
    np.testing.assert_allclose(read.intrinsics[[0, 1, 1], [0, 1, 2]], wanted, rtol=1e-9)
    assert read.intrinsics[0, 2] == pytest.approx(95 - (1149.5 * factor - 0.5), rel=1e-9)


def test_a_published_frame_is_upright_as_it_was_turned_by_others() -> None:
    """The camera of the SDK's frame, and that of the same frames turned upright by hand."""
    camera, size = turned_camera(
        intrinsics_matrix(2881.16, 2881.16, 1536.59, 1149.33), (2316, 3088), 3
    )
    found = intrinsics_of_size(camera, size, (320, 240))
    # Those were scaled from the corner, which is up to half a pixel off.
    np.testing.assert_allclose(found[[0, 1], [0, 1]], 298.57, atol=0.01)
    np.testing.assert_allclose(found[:2, 2], [119.9, 159.23], atol=0.5)


def test_frames_of_other_devices_are_refused(tmp_path: Path) -> None:
    write_frame(tmp_path / "a/frame-000.ply", SMALL, camera={"orientationMatrix": list(TABLET)})
    with pytest.raises(CaptureError, match="not that of a phone") as caught:
        frame(find(tmp_path)[0])
    assert caught.value.code == "orientation_tag"


def changed(tmp_path: Path, old: bytes, new: bytes, **more: Any) -> str:
    path = tmp_path / "a/frame-000.ply"
    write_frame(path, SMALL, **more)
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new, 1))
    with pytest.raises(CaptureError) as caught:
        frame(find(tmp_path)[0])
    assert "frame-000.ply" in str(caught.value)
    return f"{caught.value.code}: {caught.value.message}"


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        (b"ply\n", b"plz\n", "unreadable_mesh: .*no PLY file"),
        (b"binary_little", b"binary_big", "little-endian"),
        (b"element depth", b"element death", "'metadata', 'color' and 'depth'"),
        (b"element color 12288", b"element color 99999999999", "bytes declared after the header"),
        (b'"width": 128', b'"width": 127', "127 x 96 pixels described"),
        (b'"width": 128', b'"width": -12', "bad_field: .*metadata.width"),
        (b'"width"', b'"wIdth"', "missing_field: .*metadata.width"),
        (b'"color_space"', b'"color_space ', "bad_json"),
        (b'"camera_intrinsics"', b'"camera_intrinsicz"', "missing_field: .*camera_intrinsics"),
        (b'"nominalIntrinsicMatrix"', b'"nominalIntrinsicMatriz"', "missing_field: .*intrinsic_m"),
        (b'"nominalIntrinsicMatrix": [1', b'"nominalIntrinsicMatrix": [-', "bad_field"),
        (b'"focalLengthScaleFactor": 1.0', b'"focalLengthScaleFactor": 0.0', "positive"),
        (b'"intrinsicMatrixReferenceSize": [1', b'"intrinsicMatrixReferenceSize": [7', "size_mism"),
        (b'"orientationMatrix": [0, 1', b'"orientationMatrix": [1, 1', "orientation_tag"),
    ],
)
def test_broken_frames_are_named(tmp_path: Path, old: bytes, new: bytes, text: str) -> None:
    assert re.search(text, changed(tmp_path, old, new))


def test_a_cut_frame(tmp_path: Path) -> None:
    path = tmp_path / "a/frame-000.ply"
    write_frame(path, SMALL)
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(CaptureError, match=r"bytes declared after the header, \d+ are there"):
        frame(find(tmp_path)[0])
