"""The unseen side: the 3DMM's face plus what the seen side left over, without a seam."""

from __future__ import annotations

import dataclasses

import numpy as np
from toy_faces import bump, make_scene

from fg3d_builder.config import RegistrationConfig
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.geometry.meshes import undirected_edges
from fg3d_builder.registration.register import register
from fg3d_builder.registration.unseen import FADE_MM, completed


def test_supported_vertices_stay_and_the_residual_fades(model: FaceModel) -> None:
    posterior = model.mean + np.array([0.0, 0.0, 550.0])
    support = (model.mean[:, 0] < 0).astype(float)
    residual = np.array([0.0, 0.5, 2.0])
    registered = np.where(support[:, None] > 0, posterior + residual, posterior + 40.0)
    whole = completed(model, registered, posterior, support, "cholmod")
    rest = (whole - posterior) @ residual / (residual @ residual)
    seen = support > 0
    assert np.abs(rest[seen] - 1.0).max() < 0.1
    assert np.median(np.abs(rest[seen] - 1.0)) < 1e-3
    # What was registered where nothing was seen is forgotten; the rest dies away.
    hidden = ~seen
    assert np.all((rest[hidden] > 0) & (rest[hidden] < 1))
    edge = model.mean[:, 0] > 60
    middle = np.abs(model.mean[:, 0] - 30) < 4
    assert 0.3 < rest[middle].mean() < 0.95
    assert rest[edge].mean() < rest[middle].mean()
    assert rest[edge].mean() < 2.0 * np.exp(-60.0 / FADE_MM)


def test_no_seam_at_the_border_of_what_was_seen(model: FaceModel) -> None:
    posterior = model.mean + np.array([0.0, 0.0, 550.0])
    relief = 3.0 * bump(model.mean, (-10, 0), 40)[:, None] * [0.0, 0.0, 1.0]
    support = (model.mean[:, 0] < 0).astype(float)
    whole = completed(model, posterior + relief, posterior, support, "cholmod")
    low, high = undirected_edges(model.triangles).T
    jump = np.abs((whole - posterior)[low, 2] - (whole - posterior)[high, 2])
    across = support[low] != support[high]
    within = (support[low] > 0) & (support[high] > 0)
    assert jump[across].max() < 1.2 * jump[within].max()


def test_a_half_covered_face_is_completed_by_its_3dmm(model: FaceModel) -> None:
    """Depth of one half; a 3DMM face with relief on the seen side: the hidden half is right."""
    shape = model.shape(np.array([2.0, 1.5, 1.0, 2.0]), np.array([0.0]))
    shape = shape + 2.0 * bump(model.mean, (-30, 0), 15)[:, None] * [0.0, 0.0, 1.0]
    scene = make_scene(model, shape)
    depth = scene.capture.depth_mm.copy()
    depth[:, 335:] = np.nan
    capture = dataclasses.replace(scene.capture, depth_mm=depth)
    result = register(model, capture, scene.landmarks, scene.coarse, RegistrationConfig())
    hidden = model.reliable & (model.mean[:, 0] > 20)
    assert np.all(result.confidence[hidden] == 0)
    error = np.linalg.norm(result.vertices_cam_mm - scene.truth_cam_mm, axis=1)[hidden]
    start = scene.coarse.pose.cam_from_obj(model.mean)
    before = np.linalg.norm(start - scene.truth_cam_mm, axis=1)[hidden]
    assert error.mean() < 0.6 * before.mean()
    assert error.mean() < 1.5
