"""Occluders hide what is behind them, and nothing else changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.occluders import OCCLUDERS, add_occluder
from fg3d_builder.captures.opening import open_source
from fg3d_builder.config import SensorConfig, SourceConfig
from fg3d_builder.geometry.camera import px_from_cam
from fg3d_builder.records import Capture, CaptureTruth

SOLIDS = ("glasses", "hand", "ball", "fringe")
CONFIG = SourceConfig(
    image_size=(320, 240),
    focal_px=450.0,
    subjects=1,
    captures_per_subject=1,
    seed=5,
    sensor=SensorConfig(kind="structured_light", seed=5),
)


@pytest.fixture(scope="module")
def capture() -> Capture:
    source = open_source(CONFIG)
    return source.load(source.entries()[0])


def truth_of(capture: Capture) -> CaptureTruth:
    assert capture.truth is not None
    return capture.truth


@pytest.mark.parametrize("kind", SOLIDS)
def test_what_a_solid_hides_lies_behind_it(capture: Capture, kind: str) -> None:
    occluded = add_occluder(capture, kind, seed=1)
    before, after = truth_of(capture), truth_of(occluded)
    hidden = before.visible & ~after.visible
    assert 20 < hidden.sum() < 0.5 * before.visible.sum()
    assert not np.any(after.visible & ~before.visible)
    column, row = np.rint(px_from_cam(before.vertices_cam_mm, capture.intrinsics)).astype(int).T
    depth = occluded.depth_mm[row, column]
    gap = before.vertices_cam_mm[:, 2] - depth
    assert np.median(gap[hidden]) > 2.0
    # But for the sensor's noise, nothing is in front of the visible vertices.
    seen = after.visible & np.isfinite(depth)
    assert np.mean(gap[seen] > 5.0) < 0.01
    np.testing.assert_array_equal(after.vertices_cam_mm, before.vertices_cam_mm)


@pytest.mark.parametrize("kind", SOLIDS)
def test_colour_and_depth_change_together(capture: Capture, kind: str) -> None:
    occluded = add_occluder(capture, kind, seed=1)
    changed = ~np.isclose(occluded.depth_mm, capture.depth_mm, equal_nan=True)
    painted = np.any(occluded.rgb != capture.rgb, axis=2)
    assert np.mean(painted[changed]) > 0.9
    assert np.all(occluded.depth_mm[changed] < np.nan_to_num(capture.depth_mm[changed], nan=1e9))
    # Colour is averaged over pixels: it may change one pixel further out.
    assert painted.sum() < 2.5 * changed.sum()


def test_missing_depth_is_missing_on_the_face_alone(capture: Capture) -> None:
    holes = add_occluder(capture, "missing_depth", seed=1)
    gone = np.isfinite(capture.depth_mm) & np.isnan(holes.depth_mm)
    assert gone.sum() > 100
    kept = ~gone
    np.testing.assert_array_equal(holes.depth_mm[kept], capture.depth_mm[kept])
    np.testing.assert_array_equal(holes.rgb, capture.rgb)
    np.testing.assert_array_equal(truth_of(holes).visible, truth_of(capture).visible)


def test_flying_pixels_lie_at_steps_between_near_and_far(capture: Capture) -> None:
    flying = add_occluder(capture, "flying_pixels", seed=1)
    moved = ~np.isclose(flying.depth_mm, capture.depth_mm, equal_nan=True)
    assert 100 < moved.sum() < 0.1 * moved.size
    face = truth_of(capture).vertices_cam_mm[:, 2]
    assert flying.depth_mm[moved].min() > face.min() - 5.0
    np.testing.assert_array_equal(flying.rgb, capture.rgb)


@pytest.mark.parametrize("kind", OCCLUDERS)
def test_strength_grows_the_fault_and_the_seed_decides_it(capture: Capture, kind: str) -> None:
    def changed(strength: float) -> int:
        depth = add_occluder(capture, kind, 2, strength).depth_mm
        return int((~np.isclose(depth, capture.depth_mm, equal_nan=True)).sum())

    assert changed(0.4) < changed(1.0) < changed(1.8)
    again = add_occluder(capture, kind, 2)
    np.testing.assert_array_equal(add_occluder(capture, kind, 2).depth_mm, again.depth_mm)
    other = add_occluder(capture, kind, 3)
    assert not np.array_equal(other.depth_mm, again.depth_mm, equal_nan=True)


def test_misuse_is_refused(capture: Capture) -> None:
    with pytest.raises(ValueError, match="known are glasses"):
        add_occluder(capture, "beard", 0)
    with pytest.raises(ValueError, match="no truth"):
        add_occluder(replace(capture, truth=None), "ball", 0)
