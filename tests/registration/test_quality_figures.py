"""The figures that a registration is judged by are what their names say."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from toy_faces import HEIGHT, INTRINSICS, WIDTH, Scene, bump, make_scene

from fg3d_builder.config import FitConfig, RegistrationConfig
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.fitting.depth_fit import fit_capture
from fg3d_builder.geometry.meshes import vertex_normals
from fg3d_builder.geometry.pose import rotation_from_angles
from fg3d_builder.numerics.weighted import weighted_rms
from fg3d_builder.records import Array, Capture, QualityFigures
from fg3d_builder.registration.correspondence import Correspondences
from fg3d_builder.registration.edge_points import EdgePoints
from fg3d_builder.registration.quality_figures import (
    edge_ratios,
    landmark_residual,
    mean_gap_mm,
    pierced_mm,
    relief,
    rigid_pull_mm,
    size_and_distortion,
    stretch,
    turned_deg,
)
from fg3d_builder.registration.register import register
from fg3d_builder.rendering.depth_surface import DepthSurface


def figures_of(model: FaceModel, scene: Scene, capture: Capture | None = None) -> QualityFigures:
    found = register(
        *(model, capture or scene.capture, scene.landmarks, scene.coarse, RegistrationConfig())
    ).quality_figures
    assert found is not None
    return found


def face(model: FaceModel) -> Array:
    shape = model.shape(np.array([0.5, -0.5, 0.5, 0.5]), np.array([1.0]))
    return np.asarray(shape + 2.0 * bump(model.mean, (25, 0), 22)[:, None] * [0.1, 0.0, 1.0])


@pytest.fixture(scope="module")
def scene(model: FaceModel) -> Scene:
    return make_scene(model, face(model), yaw=10.0, shift_mm=(0.3, -0.3, 1.0))


@pytest.fixture(scope="module")
def figures(model: FaceModel, scene: Scene) -> QualityFigures:
    return figures_of(model, scene)


def test_missing_depth_shows_as_coverage_and_gap(
    model: FaceModel, scene: Scene, figures: QualityFigures
) -> None:
    """Half of the face without depth, and the same share without it here and there."""
    half, holes = scene.capture.depth_mm.copy(), scene.capture.depth_mm.copy()
    half[:, WIDTH // 2 :] = np.nan
    band = (np.arange(HEIGHT) // 12) % 2 == 0
    holes[band] = np.nan
    of_half, of_holes = (
        figures_of(model, scene, dataclasses.replace(scene.capture, depth_mm=d))
        for d in (half, holes)
    )
    assert figures.uncovered < 0.1
    assert 0.4 < of_half.uncovered < 0.7
    assert 0.4 < of_holes.uncovered < 0.9
    assert of_half.gap_mm > 3 * of_holes.gap_mm
    assert of_holes.gap_mm > figures.gap_mm


def test_depth_beside_the_landmarks_shows(
    model: FaceModel, scene: Scene, figures: QualityFigures
) -> None:
    """Depth moved by 20 of 900 px at 550 mm: 12 mm beside what the landmarks say.

    The pose follows the depth, so the coefficients need not; what is left to the shape is
    distorted, and more than the 3DMM explains.
    """
    moved = np.roll(scene.capture.depth_mm, 20, axis=1)
    wrong = figures_of(model, scene, dataclasses.replace(scene.capture, depth_mm=moved))
    for name in ("landmark_ratio", "landmark_motion", "deformation_mm", "distortion", "pull_mm"):
        assert getattr(wrong, name) > 1.5 * getattr(figures, name), name


def test_a_wrong_depth_unit_shows_as_size(
    model: FaceModel, scene: Scene, figures: QualityFigures
) -> None:
    """Everything a fifth farther away: a face of 1.2 times the size."""
    capture = dataclasses.replace(scene.capture, depth_mm=scene.capture.depth_mm * 1.2)
    coarse = fit_capture(model, capture, scene.landmarks, FitConfig())
    wrong = figures_of(model, dataclasses.replace(scene, coarse=coarse), capture)
    assert wrong.size > 0.08 > 3 * figures.size
    assert wrong.identity_norm > 2 * figures.identity_norm


def test_figures_do_not_depend_on_resolution(model: FaceModel, figures: QualityFigures) -> None:
    """The same face twice as fine in image and depth."""
    scene = make_scene(model, face(model), yaw=10.0, shift_mm=(0.3, -0.3, 1.0))
    size = (2 * WIDTH, 2 * HEIGHT)
    depth = cv2.resize(scene.capture.depth_mm, size, interpolation=cv2.INTER_NEAREST)
    intrinsics = np.diag([2.0, 2.0, 1.0]) @ INTRINSICS
    intrinsics[:2, 2] += 0.5
    points = 2 * scene.landmarks.points_px + 0.5
    capture = dataclasses.replace(scene.capture, depth_mm=depth, intrinsics=intrinsics)
    landmarks = dataclasses.replace(scene.landmarks, points_px=points)
    fine = figures_of(model, dataclasses.replace(scene, landmarks=landmarks), capture)
    for name in ("landmark_ratio", "landmark_motion", "deformation_mm", "identity_norm", "pull_mm"):
        assert getattr(fine, name) == pytest.approx(getattr(figures, name), rel=0.25, abs=0.01), (
            name
        )


def test_outliers_do_not_move_the_landmarks_that_are_right(model: FaceModel, scene: Scene) -> None:
    """A tenth of the points far off hardly counts; all of them shifted a little does."""
    edges = EdgePoints.of(model, scene.landmarks, INTRINSICS)
    assert landmark_residual(model, scene.truth_cam_mm, edges) == pytest.approx((0, 0), abs=1e-6)
    points = edges.points_px.copy()
    points[::10] += 80.0
    wild = dataclasses.replace(edges, points_px=points)
    ratio, motion = landmark_residual(model, scene.truth_cam_mm, wild)
    assert ratio == 0.0 or ratio < 1e-6
    assert motion < 0.01
    spread = np.linalg.norm(edges.points_px - edges.points_px.mean(axis=0), axis=1)
    shift = 0.1 * weighted_rms(spread, np.ones(len(spread)))
    shifted = dataclasses.replace(edges, points_px=edges.points_px + np.array([shift, 0.0]))
    assert landmark_residual(model, scene.truth_cam_mm, shifted) == pytest.approx(
        (0.1, 0.1), abs=1e-6
    )


def test_pull_is_the_rigid_motion_that_depth_asks_for(model: FaceModel) -> None:
    """Pairs of a face with itself moved: one step finds the motion of a convex face."""
    n = model.vertex_count
    normals = vertex_normals(model.mean, model.triangles)
    rotation = Rotation.from_rotvec([0.0, 0.03, 0.0]).as_matrix()
    for moved in (model.mean + np.array([1.5, 0.0, 1.0]), model.mean @ rotation.T):
        pairs = Correspondences(
            *(moved, normals, np.zeros(n)),
            *(np.ones(n, bool), np.ones(n, bool), np.ones(n), np.zeros(n)),
        )
        wanted = weighted_rms(np.linalg.norm(moved - model.mean, axis=1), model.reliable * 1.0)
        found = rigid_pull_mm(model.mean, pairs, np.where(model.reliable, 12.0, 0.0))
        assert found == pytest.approx(wanted, rel=0.15)


def test_gap_is_the_mean_distance_to_support() -> None:
    vertices = np.array([[0.0, 0, 0], [3, 0, 0], [0, 4, 0], [9, 9, 9]])
    seen, good = np.array([1, 1, 1, 0], bool), np.array([1, 0, 0, 0], bool)
    area = np.array([2.0, 1.0, 1.0, 5.0])
    assert mean_gap_mm(vertices, area, seen, good) == pytest.approx((3 + 4) / 4)
    assert mean_gap_mm(vertices, area, seen, seen) == 0.0


def test_size_and_distortion_are_those_of_the_best_linear_map(model: FaceModel) -> None:
    weights = np.where(model.reliable, 1.0, 0.0)
    without_corners = dataclasses.replace(model, embeddings={})
    turned = (model.mean * [1.0, 1.1, 0.8]) @ rotation_from_angles(5.0, 20.0, 3.0).T + 40.0
    size = np.log(1.1 * 0.8) / 3
    assert size_and_distortion(without_corners, turned, weights) == pytest.approx(
        (-size, size - np.log(0.8))
    )
    assert size_and_distortion(without_corners, 1.2 * model.mean, weights) == pytest.approx(
        (np.log(1.2), 0.0), abs=1e-12
    )


def test_relief_is_the_slope_of_offsets() -> None:
    vertices = np.array([[0.0, 0, 0], [2, 0, 0], [0, 4, 0]])
    delta = np.array([[0.0, 0, 0], [0, 0, 1], [0, 0, 0]])
    assert relief(vertices, delta, np.array([[0, 1]])) == pytest.approx(0.5)
    assert relief(vertices, delta, np.array([[0, 2]])) == 0.0
    assert relief(vertices, delta, np.array([[0, 1], [0, 2]])) == pytest.approx(
        np.sqrt(0.25 * 4 / 20)
    )
    assert relief(vertices, delta, np.zeros((0, 2), int)) == 0.0


def test_edge_ratios_and_stretch() -> None:
    before = np.array([[0.0, 0, 0], [2, 0, 0], [0, 4, 0]])
    edges = np.array([[0, 1], [0, 2]])
    ratios = edge_ratios(before, before * [2.0, 0.5, 1.0], edges)
    np.testing.assert_allclose(ratios, [2.0, 0.5])
    assert stretch(np.ones(50)) == 0.0
    assert stretch(np.full(50, 2.0)) == pytest.approx(np.log(2))
    assert stretch(np.full(50, 0.25)) == pytest.approx(np.log(4))


def test_depth_behind_the_mesh_pierces_it_and_depth_before_it_does_not(
    model: FaceModel, scene: Scene
) -> None:
    """The true mesh moved by 4 mm towards the camera, and away from it."""
    surface = DepthSurface.from_depth(scene.capture.depth_mm, INTRINSICS)
    n = model.vertex_count
    clean = Correspondences(
        *(scene.truth_cam_mm, scene.truth_cam_mm, np.zeros(n)),
        *(np.ones(n, bool), np.ones(n, bool), np.ones(n), np.zeros(n)),
    )
    normals = vertex_normals(scene.truth_cam_mm, model.triangles)
    facing = -normals[:, 2]
    weights = np.where(model.reliable & (facing > 0.8), 1.0, 0.0)

    def pierced(shift_mm: float) -> float:
        moved = scene.truth_cam_mm + np.array([0.0, 0.0, shift_mm])
        return pierced_mm(model, surface, moved, clean, weights)

    expected = 4.0 * float(weights @ facing / weights.sum())
    assert pierced(-4.0) == pytest.approx(expected, rel=0.15)
    assert pierced(4.0) < 0.3
    assert pierced(0.0) < 0.3


def test_normals_of_a_turned_mesh_are_turned_as_far(model: FaceModel) -> None:
    turned = model.mean @ Rotation.from_euler("x", 12.0, degrees=True).as_matrix().T
    weights = np.linspace(0.0, 1.0, model.vertex_count)
    assert turned_deg(model, model.mean, turned, weights) < 12.0
    across = Rotation.from_euler("z", 12.0, degrees=True)
    flat = model.mean * [1.0, 1.0, 1e-9]
    assert turned_deg(model, flat, across.apply(flat), weights) == pytest.approx(0.0, abs=1e-4)
    assert turned_deg(model, model.mean, model.mean, weights) == pytest.approx(0.0, abs=1e-4)


def test_a_start_beside_the_depth_has_to_be_fitted_again(model: FaceModel) -> None:
    """Landmarks that put the coarse fit 4 mm too near: the depth brings the model back."""
    near = make_scene(model, face(model), yaw=10.0, shift_mm=(0.3, -0.3, 0.0))
    far = make_scene(model, face(model), yaw=10.0, shift_mm=(0.3, -0.3, 4.0))
    before, after = figures_of(model, near), figures_of(model, far)
    assert after.refit_mm > before.refit_mm + 2.0
