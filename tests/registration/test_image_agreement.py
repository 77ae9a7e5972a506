"""Features of the image are found beside a mesh that was moved; other hues than skin's count."""

from __future__ import annotations

import numpy as np
import pytest

from fg3d_builder.captures import open_source
from fg3d_builder.config import SourceConfig
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.geometry.meshes import vertex_areas
from fg3d_builder.records import Capture
from fg3d_builder.registration.image_agreement import image_agreement, odd_hue


@pytest.fixture(scope="module")
def capture() -> Capture:
    source = open_source(SourceConfig(subjects=1, captures_per_subject=1, seed=99, max_yaw_deg=10))
    return source.load(source.entries()[0])


def _truth(capture: Capture) -> np.ndarray:
    assert capture.truth is not None
    return capture.truth.vertices_cam_mm.astype(np.float64)


def test_a_mesh_in_its_place_agrees_and_a_shifted_one_is_told_how_far(
    default: FaceModel, capture: Capture
) -> None:
    """Shifts are tried every 3 mm: 6 mm is found to that."""
    assert capture.truth is not None
    visible, vertices = capture.truth.visible, _truth(capture)
    right = image_agreement(default, capture.rgb, capture.intrinsics, vertices, visible)
    assert right.shift_mm == 0.0
    assert right.mismatch < 0.5
    moved = vertices + np.array([6.0, 0.0, 0.0])
    wrong = image_agreement(default, capture.rgb, capture.intrinsics, moved, visible)
    assert wrong.shift_mm == pytest.approx(6.0, abs=2.0)
    assert wrong.mismatch > right.mismatch + 0.2


def test_brightness_and_contrast_do_not_matter(default: FaceModel, capture: Capture) -> None:
    assert capture.truth is not None
    args = capture.intrinsics, _truth(capture), capture.truth.visible
    dark = (0.6 * capture.rgb).astype(np.uint8)
    before = image_agreement(default, capture.rgb, *args)
    after = image_agreement(default, dark, *args)
    assert after.mismatch == pytest.approx(before.mismatch, abs=0.05)


def test_without_a_feature_in_sight_nothing_is_said(default: FaceModel, capture: Capture) -> None:
    nothing = np.zeros(default.vertex_count, dtype=bool)
    found = image_agreement(default, capture.rgb, capture.intrinsics, _truth(capture), nothing)
    assert found == (0.0, 0.0)


def test_a_blue_cloth_is_no_skin_and_warm_light_is_none_of_its_business(
    default: FaceModel, capture: Capture
) -> None:
    assert capture.truth is not None
    vertices = _truth(capture)
    counted = capture.truth.visible & default.reliable
    area = vertex_areas(vertices, default.triangles) * counted
    # Less than half: the face's own hue is the median's.
    below = area * (default.mean[:, 1] < np.quantile(default.mean[counted, 1], 0.3))
    share = below.sum() / area.sum()
    face = odd_hue(default, capture.rgb, capture.intrinsics, vertices, area)
    warm = np.clip(capture.rgb * [1.0, 0.9, 0.7], 0, 255).astype(np.uint8)
    assert face < 0.05
    assert odd_hue(default, warm, capture.intrinsics, vertices, area) < 0.05
    masked = capture.rgb.copy()
    px = vertices[below > 0] @ capture.intrinsics.T
    column, row = np.rint(px[:, :2] / px[:, 2:]).astype(int).T
    for x, y in zip(column, row, strict=True):
        masked[y - 3 : y + 4, x - 3 : x + 4] = (120, 170, 215)
    found = odd_hue(default, masked, capture.intrinsics, vertices, area)
    assert found == pytest.approx(share, abs=0.1)
