"""E_cont (Eq. 10): the outline moves to the detected one and may slide along it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from toy_faces import INTRINSICS, Scene, make_scene

from fg3d_builder.config import RegistrationConfig, StiffnessLevel
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.geometry.camera import px_from_cam
from fg3d_builder.records import Array, Landmarks
from fg3d_builder.registration.contour_points import ContourPoints
from fg3d_builder.registration.correspondence import CorrespondenceFinder
from fg3d_builder.registration.edge_points import EdgePoints
from fg3d_builder.registration.nonrigid_icp import NonrigidIcp
from fg3d_builder.rendering.depth_surface import DepthSurface


@pytest.fixture(scope="module")
def lined(model: FaceModel) -> FaceModel:
    """The toy face with contour lines from the middle to both sides, in seven rows."""
    lines = []
    for row in (8, 12, 16, 20, 24, 28, 32):
        first = 37 * row
        lines.append(np.arange(first + 18, first + 37, dtype=np.int32))
        lines.append(np.arange(first + 18, first - 1, -1, dtype=np.int32))
    none = dataclasses.replace(model.embeddings["ibug68"])
    return dataclasses.replace(
        model, contour_lines=tuple(lines), embeddings={"other": none}, edge_points={}
    )


def outline(scene: Scene, model: FaceModel, side: float, out_px: float) -> Landmarks:
    """A jaw of 17 points down the sides of the true outline, moved outwards on one side."""
    truth_px = px_from_cam(scene.truth_cam_mm, INTRINSICS).reshape(47, 37, 2)
    rows = np.array([6, 10, 14, 18, 22, 26, 30, 34])
    left, right = truth_px[rows, 0].copy(), truth_px[rows, -1].copy()
    (left if side < 0 else right)[:, 0] += side * out_px
    bottom = 0.5 * (left[:1] + right[:1])
    points = np.zeros((68, 2))
    points[:17] = np.concatenate([left[::-1], bottom, right])
    confidence = np.zeros(68)
    confidence[:8] = confidence[9:17] = 1.0
    return Landmarks("ibug68", points, confidence, "toy")


def icp_for(model: FaceModel, scene: Scene, landmarks: Landmarks, method: str) -> NonrigidIcp:
    config = dataclasses.replace(
        RegistrationConfig(), method=method, levels=(StiffnessLevel(3.0, 0.0, 4, 20.0),)
    )
    surface = DepthSurface.from_depth(scene.capture.depth_mm, INTRINSICS)
    start = scene.coarse.pose.cam_from_obj(scene.coarse.shape_obj_mm)
    finder = CorrespondenceFinder(surface, start, model.triangles, 15.0)
    contour = ContourPoints.of(model, landmarks, scene.coarse.pose, INTRINSICS)
    edges = EdgePoints.of(model, landmarks, INTRINSICS)
    return NonrigidIcp(model, start, finder, edges, contour, config)


@pytest.mark.parametrize("method", ["membrane", "affine"])
@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_the_outline_moves_to_the_detected_one(
    model: FaceModel, lined: FaceModel, method: str, side: float
) -> None:
    scene = make_scene(model, model.mean)
    landmarks = outline(scene, lined, side, out_px=5.0)
    icp = icp_for(lined, scene, landmarks, method)
    before = icp.contour.pull(icp.start_cam_mm)
    last = list(icp.run())[-1].vertices_cam_mm
    after = icp.contour.pull(last)

    def distance(pull: tuple[Array, ...], vertices: Array) -> float:
        moved = icp.contour.pull(vertices)
        mine = np.sign(scene.pose.obj_from_cam(vertices)[moved.vertex, 0]) == side
        return float(np.abs(moved.residual_mm(vertices[moved.vertex, :2]))[mine].mean())

    assert len(before.vertex) >= 10
    # 5 px are 3 mm here.
    assert distance(before, icp.start_cam_mm) > 2.0
    assert distance(after, last) < 0.5 * distance(before, icp.start_cam_mm)
    # The other side is where it was.
    other = np.sign(lined.mean[:, 0]) == -side
    far = other & (np.abs(lined.mean[:, 0]) > 50)
    assert np.linalg.norm(last - icp.start_cam_mm, axis=1)[far].mean() < 0.5


def energy(icp: NonrigidIcp, level: StiffnessLevel, solution: Array, at: Array) -> float:
    """What `solve` minimises from `at`, written down term by term."""
    data = icp.data_term(at)
    offsets = icp.system.offsets_mm(solution)
    vertices = icp.start_cam_mm + offsets
    squared = (vertices - data.targets_mm) ** 2
    pull, weights = icp.contour_term(level, at)
    total = icp.system.stiffness_energy(solution, icp.edge_stiffness(level.stiffness, data))
    total += float(data.weights @ squared[:, 2] + data.weights_xy @ squared[:, :2].sum(axis=1))
    total += float(1e-3 * icp.vertex_area_mm2 / 4.0 @ (offsets**2).sum(axis=1))
    return total + float(weights @ pull.residual_mm(vertices[pull.vertex, :2]) ** 2)


@pytest.mark.parametrize("method", ["membrane", "affine"])
def test_a_solve_lowers_the_energy_and_slides_along_the_contour(
    model: FaceModel, lined: FaceModel, method: str
) -> None:
    scene = make_scene(model, model.mean)
    icp = icp_for(lined, scene, outline(scene, lined, 1.0, 5.0), method)
    level = icp.config.levels[0]
    at = icp.start_cam_mm
    unknowns, moved = icp.solve(level, at, icp.data_term(at))
    nothing = np.zeros_like(unknowns)
    assert energy(icp, level, unknowns, at) < energy(icp, level, nothing, at)
    # The lines are upright: they pull sideways, and depth is left to the ICP.
    pull, _ = icp.contour_term(level, at)
    step = (moved - at)[pull.vertex]
    assert np.abs(step[:, 0]).max() > 1.0
    assert np.abs(step[:, 2]).max() < 0.35 * np.abs(step[:, 0]).max()


def test_schemes_whose_jaw_does_not_march_have_no_contour(
    model: FaceModel, lined: FaceModel
) -> None:
    scene = make_scene(model, model.mean)
    mesh = Landmarks("mediapipe478", np.full((478, 2), 100.0), np.ones(478), "toy")
    empty = ContourPoints.of(lined, mesh, scene.pose, INTRINSICS)
    assert len(empty.pull(scene.truth_cam_mm).vertex) == 0
    bare = dataclasses.replace(lined, contour_lines=())
    jaw = outline(scene, lined, 1.0, 0.0)
    assert len(ContourPoints.of(bare, jaw, scene.pose, INTRINSICS).contour.polyline_px) == 0
