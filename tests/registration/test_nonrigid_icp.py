"""Nonrigid ICP against captures whose deformation is known."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import numpy as np
import pytest
from toy_faces import INTRINSICS, Scene, bump, make_scene

from fg3d_builder.config import RegistrationConfig, StiffnessLevel
from fg3d_builder.errors import CaptureError
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.geometry.meshes import vertex_areas, vertex_normals
from fg3d_builder.records import Array, Landmarks
from fg3d_builder.registration.contour_points import ContourPoints
from fg3d_builder.registration.correspondence import CorrespondenceFinder
from fg3d_builder.registration.edge_points import EdgePoints
from fg3d_builder.registration.nonrigid_icp import (
    PRIOR_WEIGHT,
    NonrigidIcp,
)
from fg3d_builder.rendering.depth_surface import DepthSurface

CONFIG = RegistrationConfig()
SHIFT_MM = (0.4, -0.4, 1.5)
"""By which the coarse fit is off: more than coarse fits to depth are."""


def icp_for(model: FaceModel, scene: Scene, config: RegistrationConfig = CONFIG) -> NonrigidIcp:
    surface = DepthSurface.from_depth(scene.capture.depth_mm, INTRINSICS)
    start = scene.coarse.pose.cam_from_obj(scene.coarse.shape_obj_mm)
    finder = CorrespondenceFinder(surface, start, model.triangles, config.max_distance_mm)
    edges = EdgePoints.of(model, scene.landmarks, INTRINSICS)
    return NonrigidIcp(model, start, finder, edges, contour_for(model, scene), config)


def contour_for(
    model: FaceModel, scene: Scene, landmarks: Landmarks | None = None
) -> ContourPoints:
    return ContourPoints.of(model, landmarks or scene.landmarks, scene.coarse.pose, INTRINSICS)


def without_edges(config: RegistrationConfig) -> RegistrationConfig:
    levels = tuple(dataclasses.replace(level, edge_weight=0.0) for level in config.levels)
    return dataclasses.replace(config, levels=levels)


def result(model: FaceModel, scene: Scene, config: RegistrationConfig = CONFIG) -> Array:
    return list(icp_for(model, scene, config).run())[-1].vertices_cam_mm


def bent(model: FaceModel) -> Array:
    """The mean with smooth relief of up to 4 mm that the 3DMM does not span."""
    relief = 4.0 * bump(model.mean, (25, 0), 22) - 3.0 * bump(model.mean, (-20, -30), 18)
    return np.asarray(model.mean + relief[:, None] * [0.1, 0.0, 1.0])


@pytest.mark.parametrize("edges", [True, False])
def test_known_deformation_is_recovered(model: FaceModel, edges: bool) -> None:
    scene = make_scene(model, bent(model), shift_mm=SHIFT_MM)
    config = CONFIG if edges else without_edges(CONFIG)
    vertices = result(model, scene, config)
    start = scene.coarse.pose.cam_from_obj(model.mean)
    before = np.linalg.norm(start - scene.truth_cam_mm, axis=1)[model.reliable].mean()
    difference = (vertices - scene.truth_cam_mm)[model.reliable]
    normals = vertex_normals(scene.truth_cam_mm, model.triangles)[model.reliable]
    across = np.abs(np.einsum("nd,nd->n", difference, normals))
    assert before > 1.7
    # Across the surface the depth decides, along it Eq. 9 and stiffness.
    assert across.mean() < 0.1
    assert np.linalg.norm(difference, axis=1).mean() < (0.6 if edges else 1.2)


def test_a_template_that_fits_stays_where_it_is(model: FaceModel) -> None:
    scene = make_scene(model, model.mean)
    vertices = result(model, scene)
    error = np.linalg.norm(vertices - scene.truth_cam_mm, axis=1)
    assert error[model.reliable].mean() < 0.05
    assert error[model.reliable].max() < 0.6


def test_eq_9_moves_features_along_the_surface(model: FaceModel) -> None:
    """Eyes and mouth shifted along the surface: depth hardly tells, the edge points do."""
    shift = 3.0 * bump(model.mean, (0, 30), 45)[:, None] * [0.0, 1.0, 0.0]
    shift = shift - 3.0 * bump(model.mean, (0, -48), 28)[:, None] * [0.0, 1.0, 0.0]
    shape = model.mean + shift
    scene = make_scene(model, shape)
    features = np.unique(model.triangles[model.embeddings["ibug68"].triangle])

    def error(vertices: Array) -> float:
        return float(np.linalg.norm(vertices - scene.truth_cam_mm, axis=1)[features].mean())

    icp_only = error(result(model, scene, without_edges(CONFIG)))
    with_edges = error(result(model, scene))
    assert icp_only > 1.5
    assert with_edges < 0.6
    assert with_edges < 0.4 * icp_only


def test_edge_points_leave_depth_to_the_icp(model: FaceModel) -> None:
    """Eq. 9 constrains the first two rows: the depth matrix does not contain it."""
    scene = make_scene(model, model.mean)
    icp = icp_for(model, scene)
    level = StiffnessLevel(10.0, 50.0, 1)
    data = icp.data_term(icp.start_cam_mm)
    wrong = dataclasses.replace(icp.edges, points_px=icp.edges.points_px + np.array([6.0, 0.0]))
    shifted = NonrigidIcp(model, icp.start_cam_mm, icp.finder, wrong, icp.contour, CONFIG)
    _, straight = icp.solve(level, icp.start_cam_mm, data)
    _, moved = shifted.solve(level, icp.start_cam_mm, data)
    np.testing.assert_allclose(moved[:, 2], straight[:, 2], atol=1e-9)
    assert np.abs(moved[:, 0] - straight[:, 0]).max() > 1.0


def quadratic_energy(icp: NonrigidIcp, level: StiffnessLevel, maps: Array, at: Array) -> float:
    """The energy that `solve` minimises from `at`, written down term by term."""
    data = icp.data_term(at)
    stiffness = icp.edge_stiffness(level.stiffness, data)
    offsets = icp.system.offsets_mm(maps)
    vertices = icp.start_cam_mm + offsets
    squared = (vertices - data.targets_mm) ** 2
    energy = icp.system.stiffness_energy(maps, stiffness)
    energy += float(data.weights @ squared[:, 2] + data.weights_xy @ squared[:, :2].sum(axis=1))
    prior = PRIOR_WEIGHT * vertex_areas(icp.start_cam_mm, icp.model.triangles) / 4.0
    energy += float(prior @ (offsets**2).sum(axis=1))
    weights, wanted = icp.edge_term(level, at)
    points = icp.edges.embedding.points(offsets, icp.model.triangles)[:, :2]
    return energy + float(weights @ ((points - wanted) ** 2).sum(axis=1))


@pytest.mark.parametrize("method", ["membrane", "affine"])
def test_every_solve_lowers_its_energy_to_the_minimum(model: FaceModel, method: str) -> None:
    scene = make_scene(model, bent(model), shift_mm=SHIFT_MM)
    icp = icp_for(model, scene, dataclasses.replace(CONFIG, method=method))
    level = StiffnessLevel(8.0, 3.0, 4)
    vertices = icp.start_cam_mm
    unknowns = icp.solve(level, vertices, icp.data_term(vertices))[0].shape[0]
    maps = np.zeros((unknowns, 3))
    rng = np.random.default_rng(0)
    for _ in range(4):
        before = quadratic_energy(icp, level, maps, vertices)
        new_maps, new_vertices = icp.solve(level, vertices, icp.data_term(vertices))
        after = quadratic_energy(icp, level, new_maps, vertices)
        assert after <= before
        for scale in (1e-3, 1e-1):
            nearby = new_maps + scale * rng.normal(size=new_maps.shape)
            assert quadratic_energy(icp, level, nearby, vertices) > after
        maps, vertices = new_maps, new_vertices


def test_data_residual_falls_within_every_level(model: FaceModel) -> None:
    """Closest points and weights are renewed in between; on a smooth surface that helps."""
    scene = make_scene(model, bent(model), shift_mm=SHIFT_MM)
    records = [state.record for state in icp_for(model, scene).run()]
    for earlier, later in pairwise(records):
        if earlier.level == later.level:
            assert later.data_rms_mm <= earlier.data_rms_mm * 1.001
    assert records[-1].data_rms_mm < 0.1 * records[0].data_rms_mm


def test_levels_run_from_stiff_to_soft_and_stop_early(model: FaceModel) -> None:
    scene = make_scene(model, model.mean)
    states = list(icp_for(model, scene).run())
    numbers = [s.record.level for s in states]
    assert numbers == sorted(numbers)
    assert set(numbers) == set(range(len(CONFIG.levels)))
    # The template fits: nothing moves, and every level ends after one step.
    assert len(states) < sum(level.iterations for level in CONFIG.levels)
    assert all(s.record.data_rms_mm < 0.2 for s in states)


def test_unseen_vertices_follow_without_lumps(model: FaceModel) -> None:
    """At 50 degrees of yaw the far side must continue the near one like the coarse shape."""
    scene = make_scene(model, bent(model), yaw=50.0, shift_mm=SHIFT_MM)
    icp = icp_for(model, scene)
    vertices = list(icp.run())[-1].vertices_cam_mm
    hidden = ~icp.finder.find(vertices, CONFIG).visible
    assert hidden.sum() > 200
    error = np.linalg.norm(vertices - scene.truth_cam_mm, axis=1)[hidden]
    start = np.linalg.norm(icp.start_cam_mm - scene.truth_cam_mm, axis=1)[hidden]
    assert error.mean() < start.mean() + 0.5
    low, high = icp.system.edges.T
    inside = hidden[low] & hidden[high]
    length = [np.linalg.norm(v[low] - v[high], axis=1)[inside] for v in (vertices, model.mean)]
    ratio = length[0] / length[1]
    assert np.quantile(ratio, 0.01) > 0.9
    assert np.quantile(ratio, 0.99) < 1.1


def test_outliers_do_not_drag_the_face(model: FaceModel) -> None:
    """A lock of hair 9 mm in front of the forehead: vertices there stay near the face."""
    scene = make_scene(model, model.mean)
    depth = scene.capture.depth_mm.copy()
    depth[100:170, 350:366] -= 9.0
    hairy = dataclasses.replace(scene, capture=dataclasses.replace(scene.capture, depth_mm=depth))
    vertices = result(model, hairy)
    error = np.linalg.norm(vertices - scene.truth_cam_mm, axis=1)[model.reliable]
    assert error.mean() < 0.5
    assert error.max() < 4.0


def test_folds_are_undone(model: FaceModel) -> None:
    """Edge points that swap places across 12 mm fold a soft template; the face must not."""
    scene = make_scene(model, model.mean)
    landmarks = scene.landmarks
    px = landmarks.points_px.copy()
    for a, b in ((0, 6), (1, 5), (12, 18), (13, 17)):
        px[[a, b]] = px[[b, a]]
    wrong = dataclasses.replace(scene, landmarks=dataclasses.replace(landmarks, points_px=px))
    soft = (StiffnessLevel(5.0, 40.0, 2), StiffnessLevel(0.4, 40.0, 4))
    config = dataclasses.replace(CONFIG, levels=soft, edge_sigma_mm=50.0)
    icp = icp_for(model, wrong, config)
    states = list(icp.run())
    folds = [int(icp.folds(state.vertices_cam_mm).sum()) for state in states]
    assert max(folds) > 0
    assert folds[-1] == 0
    # All that came after the levels were repairs; the first of them started from folds.
    planned = sum(level.iterations for level in soft)
    assert len(states) > planned
    assert folds[planned - 1] > 0


def test_same_input_same_bits(model: FaceModel) -> None:
    scene = make_scene(model, bent(model), noise_mm=0.5)
    np.testing.assert_array_equal(result(model, scene), result(model, scene))


def test_superlu_gives_the_same_registration(model: FaceModel) -> None:
    scene = make_scene(model, bent(model), shift_mm=SHIFT_MM)
    levels = (StiffnessLevel(20.0, 5.0, 2), StiffnessLevel(2.0, 2.0, 2))
    config = dataclasses.replace(CONFIG, levels=levels)
    slow = dataclasses.replace(config, solver="superlu")
    np.testing.assert_allclose(result(model, scene, slow), result(model, scene, config), atol=1e-6)


def test_scheme_without_embedding_leaves_eq_9_out(model: FaceModel) -> None:
    landmarks = Landmarks("other", np.zeros((5, 2)), np.ones(5), "toy")
    edges = EdgePoints.of(model, landmarks, INTRINSICS)
    assert len(edges.points_px) == 0
    scene = dataclasses.replace(make_scene(model, bent(model)), landmarks=landmarks)
    last = list(icp_for(model, scene).run())[-1]
    assert np.isnan(last.record.edge_rms_px)
    error = np.linalg.norm(last.vertices_cam_mm - scene.truth_cam_mm, axis=1)[model.reliable]
    assert error.mean() < 0.6


def test_too_little_depth_is_a_failure_with_a_reason(model: FaceModel) -> None:
    scene = make_scene(model, model.mean)
    depth = np.full_like(scene.capture.depth_mm, np.nan)
    depth[230:250, 310:330] = scene.capture.depth_mm[230:250, 310:330]
    bare = dataclasses.replace(scene, capture=dataclasses.replace(scene.capture, depth_mm=depth))
    with pytest.raises(CaptureError, match="reliable closest point") as caught:
        result(model, bare)
    assert caught.value.code == "registration_failed"
