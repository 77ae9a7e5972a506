"""Failures spoil what they are named after, more with more strength, never the original."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from benchmarks.failures import FAILURES, Scene
from benchmarks.occluders import OCCLUDERS
from fg3d_builder.geometry.camera import intrinsics_matrix
from fg3d_builder.landmarks.edges import MEDIAPIPE
from fg3d_builder.records import Array, Capture, Landmarks

SIMPLE = sorted(name for name in FAILURES if not name.startswith("occluder"))


@pytest.fixture(scope="module")
def scene() -> Scene:
    rng = np.random.default_rng(0)
    row, column = np.indices((120, 100))
    depth = (500 + 0.01 * (row - 60) ** 2 + 0.01 * (column - 50) ** 2).astype(np.float32)
    rgb = rng.integers(0, 255, (120, 100, 3), dtype=np.uint8)
    capture = Capture("c", "s", "test", rgb, depth, intrinsics_matrix(150.0, 150.0, 49.5, 59.5))
    points = rng.uniform([20, 30], [80, 90], (478, 2))
    landmarks = Landmarks(MEDIAPIPE, points, np.ones(478), "test")
    other = Landmarks(MEDIAPIPE, rng.uniform([10, 20], [70, 80], (478, 2)), np.ones(478), "test")
    return Scene(capture, landmarks, other)


def harm(scene: Scene, spoilt: Scene) -> float:
    """How much landmarks, depth and camera differ from the original."""
    assert scene.landmarks is not None
    # Where they have to be detected anew there is nothing to compare.
    found = spoilt.landmarks or scene.landmarks
    points = np.abs(found.points_px - scene.landmarks.points_px).mean()
    before, after = (_filled(s.capture.depth_mm) for s in (scene, spoilt))
    focal = abs(spoilt.capture.intrinsics[0, 0] - scene.capture.intrinsics[0, 0])
    return float(points + np.abs(after - before).mean() + focal)


def _filled(depth: Array) -> Array:
    return np.where(np.isfinite(depth), depth, 0.0)


@pytest.mark.parametrize("name", SIMPLE)
def test_more_strength_does_more_harm(scene: Scene, name: str) -> None:
    original = copy.deepcopy(scene)
    little, much = (
        harm(scene, FAILURES[name](scene, np.random.default_rng(5), s)) for s in (0.2, 1.0)
    )
    assert 0 < little < much
    assert harm(original, scene) == 0.0
    again = FAILURES[name](scene, np.random.default_rng(5), 1.0)
    assert harm(scene, again) == much


def test_every_occluder_is_used() -> None:
    assert {f"occluder: {kind}" for kind in OCCLUDERS} <= set(FAILURES)
