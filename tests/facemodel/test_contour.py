from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import ConvexHull

from fg3d_builder.facemodel.contour import contour_lines, marched_points, match_contour
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.geometry.camera import intrinsics_matrix, px_from_cam
from fg3d_builder.geometry.pose import rotation_from_angles
from fg3d_builder.records import Pose

INTRINSICS = intrinsics_matrix(900.0, 900.0, 319.5, 239.5)


def _outline_distance_px(model: FaceModel, pose: Pose, points_px: np.ndarray) -> np.ndarray:
    """Distance to the convex outline of the whole projected mesh (the toy head is convex)."""
    hull = ConvexHull(px_from_cam(pose.cam_from_obj(model.mean), INTRINSICS))
    return -(points_px @ hull.equations[:, :2].T + hull.equations[:, 2]).max(axis=1)


@pytest.mark.parametrize("yaw", [40.0, -40.0])
def test_far_side_marches_to_the_outline_and_near_side_stays(
    toy_model: FaceModel, yaw: float
) -> None:
    lines = contour_lines(toy_model)
    frontal = Pose(1.0, rotation_from_angles(0, 0, 0), np.array([0, 0, 600.0]))
    turned = Pose(1.0, rotation_from_angles(0, yaw, 0), np.array([0, 0, 600.0]))
    at_rest = marched_points(lines, frontal.cam_from_obj(lines.rows.mean), frontal)
    row = marched_points(lines, turned.cam_from_obj(lines.rows.mean), turned)
    far = lines.outward_obj[:, 0] * np.sign(yaw) > 0.9
    near = lines.outward_obj[:, 0] * np.sign(yaw) < -0.9
    assert far.sum() == near.sum() == 9
    # Marched towards the front of the face: smaller row numbers on the same line.
    assert np.all(row[far] < at_rest[far])
    np.testing.assert_array_equal(row[near], lines.ends[near])
    px = px_from_cam(turned.cam_from_obj(lines.rows.mean[row]), INTRINSICS)
    # Upper lines: lower ones cross the outline of the chin, not their own level.
    distance = _outline_distance_px(toy_model, turned, px)[far]
    assert np.median(distance) < 1.0


def test_frontal_contour_is_the_frontal_outline(toy_model: FaceModel) -> None:
    lines = contour_lines(toy_model)
    pose = Pose(1.0, rotation_from_angles(0, 0, 0), np.array([0, 0, 2000.0]))
    row = marched_points(lines, pose.cam_from_obj(lines.rows.mean), pose)
    px = px_from_cam(pose.cam_from_obj(lines.rows.mean[row]), INTRINSICS)
    assert _outline_distance_px(toy_model, pose, px).max() < 0.5


def test_lines_cut_to_their_ends_are_the_jaw_of_the_whole_lines(toy_model: FaceModel) -> None:
    lines = contour_lines(toy_model)
    jaw = lines.at_ends()
    np.testing.assert_array_equal(jaw.ends, np.arange(len(lines.ends)))
    np.testing.assert_array_equal(jaw.vertices, lines.vertices[lines.ends])
    np.testing.assert_array_equal(jaw.rows.mean, lines.rows.mean[lines.ends])
    np.testing.assert_array_equal(jaw.outward_obj, lines.outward_obj)


def test_marching_equals_the_obvious_loop(toy_model: FaceModel) -> None:
    lines = contour_lines(toy_model)
    pose = Pose(1.0, rotation_from_angles(5, 25, -8), np.array([20, -10, 500.0]))
    points = pose.cam_from_obj(lines.rows.mean)
    row = marched_points(lines, points, pose)
    for i, outward in enumerate(lines.outward_obj):
        direction = pose.rotation[:2, :2] @ outward
        each = range(lines.start[i], lines.start[i + 1])
        assert row[i] == max(each, key=lambda r: points[r, :2] / points[r, 2] @ direction)


def test_pairs_are_nearest_points_with_the_segments_normal() -> None:
    polyline = np.array([[0.0, 0.0], [10.0, 0.0], [10.0, 10.0]])
    points = np.array([[4.0, 3.0], [12.0, 5.0], [-2.0, 1.0], [11.0, 12.0]])
    pair = match_contour(np.arange(4), points, polyline, np.array([1.0, 0.5, 0.8]))
    # The last two lie beyond the polyline's ends.
    np.testing.assert_array_equal(pair.row, [0, 1])
    np.testing.assert_allclose(pair.target_px, [[4, 0], [10, 5]])
    np.testing.assert_allclose(np.abs(pair.normal_px), [[0, 1], [1, 0]])
    np.testing.assert_allclose(pair.weight, [0.5, 0.5])


def test_segments_without_confidence_do_not_exist() -> None:
    polyline = np.array([[0.0, 0.0], [10.0, 0.0], [20.0, 0.0]])
    pair = match_contour(
        np.arange(2), np.array([[5.0, 1.0], [15.0, 1.0]]), polyline, np.array([1.0, 1.0, 0.0])
    )
    np.testing.assert_array_equal(pair.row, [0])
