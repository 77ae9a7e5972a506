"""REALY's alignment by regions on meshes whose distances are known."""

from __future__ import annotations

import numpy as np
import pytest

from fg3d_builder.evaluation import ScanSurface
from fg3d_builder.evaluation.regional_error import (
    REGIONS,
    SEVEN_KEY_POINTS,
    global_pose,
    regional_distance,
)
from fg3d_builder.geometry.pose import rotation_from_angles
from fg3d_builder.records import Array


def surface(step: float = 5.0) -> tuple[Array, Array]:
    """A hilly sheet, 200 mm wide."""
    axis = np.arange(-100.0, 100.1, step)
    x, y = (a.ravel() for a in np.meshgrid(axis, axis))
    z = 8.0 * np.sin(x / 25.0 + 0.3) * np.cos(y / 31.0) - 0.002 * (x**2 + y**2)
    n = len(axis)
    corner = (np.arange(n - 1)[:, None] * n + np.arange(n - 1)).ravel()
    lower = np.stack([corner, corner + 1, corner + n + 1], axis=1)
    upper = np.stack([corner, corner + n + 1, corner + n], axis=1)
    return np.stack([x, y, z], axis=1), np.concatenate([lower, upper])


def some_points(vertices: Array, seed: int = 0) -> Array:
    """85 vertices, all different."""
    return np.random.default_rng(seed).choice(len(vertices), 85, replace=False)


def moved(points: Array) -> Array:
    return 0.1 * points @ rotation_from_angles(20.0, -40.0, 15.0).T + [30.0, -20.0, 5.0]


def test_the_regions_are_those_of_the_benchmark() -> None:
    assert [region.name for region in REGIONS] == ["nose", "mouth", "forehead", "cheek"]
    assert [len(region.key_points) for region in REGIONS] == [11, 14, 22, 27]
    assert all(len(set(region.key_points)) == len(region.key_points) for region in REGIONS)
    assert len(SEVEN_KEY_POINTS) == 7


@pytest.mark.parametrize("region", REGIONS, ids=lambda region: region.name)
def test_a_prediction_that_was_moved_has_no_error(region) -> None:
    vertices, triangles = surface()
    at = some_points(vertices)
    prediction = moved(vertices)
    there = np.linalg.norm(vertices[:, :2] - [20.0, 10.0], axis=1) < 40.0
    found = regional_distance(
        ScanSurface(prediction, triangles), prediction[at], region, vertices[there], vertices[at]
    )
    assert len(found) == there.sum()
    assert found.max() < 1e-5


def test_a_region_that_lies_elsewhere_is_aligned_by_itself() -> None:
    """Half of the prediction is 3 mm up; aligned with that half alone, little is left of it.

    What is left is the size, which stays that of the global alignment.
    """
    vertices, triangles = surface()
    at = some_points(vertices)
    right = vertices[:, 0] > 0
    prediction = vertices + np.where(right, 3.0, 0.0)[:, None] * [0.0, 0.0, 1.0]
    region = REGIONS[0]._replace(key_points=tuple(np.flatnonzero(right[at])[:11].tolist()))
    inside = (vertices[:, 0] > 20.0) & (np.abs(vertices[:, 1]) < 50.0)
    mesh = ScanSurface(prediction, triangles)
    start = global_pose(prediction[at], vertices[at])
    globally = mesh.closest(start.obj_from_cam(vertices[inside])).distance_mm
    found = regional_distance(mesh, prediction[at], region, vertices[inside], vertices[at])
    assert globally.mean() > 0.3
    assert found.max() < 0.05


def test_a_region_one_millimetre_rough_is_one_millimetre_off() -> None:
    """On a plane, every other vertex of the region is 1 mm up, the rest 1 mm down."""
    axis = np.arange(-100.0, 100.1, 10.0)
    x, y = (a.ravel() for a in np.meshgrid(axis, axis))
    corners = np.array([[-500.0, -500, 0], [500, -500, 0], [500, 500, 0], [-500, 500, 0]])
    mesh = ScanSurface(corners, np.array([[0, 1, 2], [0, 2, 3]]))
    sign = np.where((np.round(x / 10) + np.round(y / 10)) % 2 == 0, 1.0, -1.0)
    rough = np.stack([x, y, sign], axis=1)
    key_points = np.random.default_rng(1).uniform(-60, 60, (85, 3)) * [1.0, 1.0, 0.0]
    found = regional_distance(mesh, key_points, REGIONS[1], rough, key_points)
    assert found.mean() == pytest.approx(1.0, abs=0.01)


def test_the_size_is_that_of_the_seven_key_points() -> None:
    rng = np.random.default_rng(2)
    points = rng.normal(size=(85, 3)) * 30.0
    pose = global_pose(moved(points), points)
    assert pose.scale == pytest.approx(10.0)
    assert np.abs(pose.cam_from_obj(moved(points)) - points).max() < 1e-9
    with pytest.raises(ValueError, match=r"wanted \(85, 3\) key points"):
        global_pose(points[:68], points)
