"""Scans brought upright, their units, seams and colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from toy_protocols import head, seven_points

from fg3d_builder.captures.clay import clay, has_colour
from fg3d_builder.errors import CaptureError
from fg3d_builder.evaluation import border_vertices
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.files.mesh_io import mesh_with_colors
from fg3d_builder.geometry.pose import rotation_from_angles
from fg3d_builder.records import Pose
from fg3d_builder.testsets.mesh_files import SEVEN_POINTS
from fg3d_builder.testsets.records import GivenLandmarks, ProtocolScan
from fg3d_builder.testsets.surfaces import pose_of_scan, upright_surface

IBUG = np.array(SEVEN_POINTS)


def scan_of(unit_mm: float, given: GivenLandmarks | None = None) -> ProtocolScan:
    return ProtocolScan("someone", Path("scan.obj"), unit_mm, given)


@pytest.mark.parametrize("unit_mm", [1.0, 1000.0, 0.0])
def test_landmarks_turn_a_scan_upright(model: FaceModel, unit_mm: float) -> None:
    turn = rotation_from_angles(40.0, -100.0, 70.0)
    length = unit_mm or 25.4
    file = (model.mean @ turn.T + 300.0) / length
    given = GivenLandmarks(IBUG, seven_points(model, file))
    mesh = mesh_with_colors(file, model.triangles)
    pose = pose_of_scan(scan_of(unit_mm, given), mesh, model)
    assert pose.scale == pytest.approx(length)
    assert np.allclose(pose.cam_from_obj(file), model.mean, atol=1e-6)


def test_a_unit_that_makes_no_head_is_refused(model: FaceModel) -> None:
    mesh = mesh_with_colors(model.mean / 10.0, model.triangles)
    with pytest.raises(CaptureError, match=r"unit of 1 mm.*--unit-mm"):
        pose_of_scan(scan_of(1.0), mesh, model)
    assert pose_of_scan(scan_of(10.0), mesh, model).scale == 10.0


def test_landmarks_on_a_line_are_refused(model: FaceModel) -> None:
    line = GivenLandmarks(IBUG, np.arange(7.0)[:, None] * [1.0, 2.0, 3.0])
    mesh = mesh_with_colors(model.mean, model.triangles)
    with pytest.raises(CaptureError, match="lie on one line"):
        pose_of_scan(scan_of(1.0, line), mesh, model)


def test_seams_are_no_border(model: FaceModel) -> None:
    shape, triangles = head(model, 1), model.triangles
    left = shape[triangles].mean(axis=1)[:, 0] > 0
    # Every vertex of the left half is there a second time, as where a texture's charts meet.
    doubled = np.concatenate([shape, shape])
    split = np.where(left[:, None], triangles + len(shape), triangles)
    still = Pose(1.0, np.eye(3), np.zeros(3))
    surface = upright_surface(mesh_with_colors(doubled, split), still)
    border = border_vertices(surface.triangles, surface.scan.vertex_count)
    assert border_vertices(split, len(doubled)).sum() > border.sum()
    assert border.sum() == border_vertices(triangles, len(shape)).sum()
    assert np.array_equal(surface.scan_mm, shape)


def test_clay_shows_what_has_no_colour(model: FaceModel) -> None:
    mesh = mesh_with_colors(model.mean, model.triangles)
    assert not has_colour(mesh)
    shaded = clay(mesh)
    assert has_colour(shaded)
    assert np.array_equal(shaded.vertices, mesh.vertices)
    assert shaded.vertex_colors is not None
    assert np.ptp(shaded.vertex_colors[model.reliable].astype(int)) > 60
