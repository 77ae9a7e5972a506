"""The quality score is monotone and calibrated, and its figures are what their names say."""

from __future__ import annotations

import dataclasses
import json

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from toy_faces import HEIGHT, INTRINSICS, WIDTH, Scene, bump, make_scene

from fg3d_builder.config import RegistrationConfig, ReviewConfig
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.geometry.meshes import vertex_normals
from fg3d_builder.geometry.pose import rotation_from_angles
from fg3d_builder.numerics.weighted import weighted_rms
from fg3d_builder.records import Array, Capture, QualityFigures
from fg3d_builder.registration.correspondence import Correspondences
from fg3d_builder.registration.edge_points import EdgePoints
from fg3d_builder.registration.quality import (
    CALIBRATION_FILE,
    calibrated_model,
    edge_ratios,
    fault,
    landmark_residual,
    mean_gap_mm,
    quality_doubts,
    quality_score,
    relief,
    rigid_pull_mm,
    size_and_distortion,
    stretch,
)
from fg3d_builder.registration.register import register

NAMES = tuple(field.name for field in dataclasses.fields(QualityFigures))
FAULTS = tuple(name for name in NAMES if name != "noise_mm")
FLAWLESS = QualityFigures(*(0.0 for _ in NAMES))


def ordinary_figures() -> QualityFigures:
    """What the calibration holds for ordinary."""
    return dataclasses.replace(FLAWLESS, **calibrated_model().ordinary)


def test_flawless_figures_score_best_and_ordinary_ones_high() -> None:
    assert quality_score(FLAWLESS) > 0.95
    assert quality_score(FLAWLESS) > quality_score(ordinary_figures()) > 0.5


figures_strategy = st.builds(QualityFigures, **{name: st.floats(0, 50) for name in NAMES})


@given(figures_strategy, st.sampled_from(FAULTS), st.floats(0, 1000))
def test_no_figure_gets_better_by_being_worse(
    figures: QualityFigures, name: str, more: float
) -> None:
    worse = dataclasses.replace(figures, **{name: getattr(figures, name) + more})
    assert 0.0 <= quality_score(worse) <= quality_score(figures) <= 1.0


@given(figures_strategy, st.floats(0, 20))
def test_noise_excuses_a_residual(figures: QualityFigures, more: float) -> None:
    noisy = dataclasses.replace(figures, noise_mm=figures.noise_mm + more)
    assert quality_score(noisy) >= quality_score(figures)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_number_is_not_trusted(name: str) -> None:
    figures = dataclasses.replace(FLAWLESS, **{name: float("nan")})
    # The noise counts through the residual that it excuses.
    counts = {"noise_mm": "surface_mm"}.get(name, name) in calibrated_model().weights
    assert quality_score(figures) == (0.0 if counts else quality_score(FLAWLESS))


def test_doubts_name_what_is_worst() -> None:
    weights = calibrated_model().weights
    first, second = sorted(weights, key=lambda n: -weights[n])[:2]
    ordinary = calibrated_model().ordinary
    spoilt = {first: 1000 * ordinary[first], second: 10 * ordinary[second]}
    assert quality_doubts(dataclasses.replace(FLAWLESS, **spoilt)) == [first, second]
    assert quality_doubts(FLAWLESS) == []


def test_the_default_threshold_is_the_calibrated_one() -> None:
    table = json.loads(CALIBRATION_FILE.read_text(encoding="utf-8"))
    assert ReviewConfig().min_quality == table["min_quality"]
    assert set(table["model"]["figures"]) <= set(FAULTS)
    assert all(w > 0 and o > 0 for o, w in table["model"]["figures"].values())


def test_fault_is_the_logarithm_of_the_excess() -> None:
    assert fault(np.array([0.0]), np.array([2.0]))[0] == 0.0
    np.testing.assert_allclose(
        fault(np.array([200.0, 2e-3]), np.array([2.0, 2.0])), [np.log(100.0), 0.0], atol=1e-4
    )


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
    far = scene.capture.depth_mm * 1.2
    pose = dataclasses.replace(
        scene.coarse.pose, translation_mm=scene.coarse.pose.translation_mm * 1.2
    )
    coarse = dataclasses.replace(scene.coarse, pose=pose)
    capture = dataclasses.replace(scene.capture, depth_mm=far)
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
    turned = (model.mean * [1.0, 1.1, 0.8]) @ rotation_from_angles(5.0, 20.0, 3.0).T + 40.0
    size = np.log(1.1 * 0.8) / 3
    assert size_and_distortion(model.mean, turned, weights) == pytest.approx(
        (-size, size - np.log(0.8))
    )
    assert size_and_distortion(model.mean, 1.2 * model.mean, weights) == pytest.approx(
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
