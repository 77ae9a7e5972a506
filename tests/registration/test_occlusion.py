"""What stands before the face is found; what merely differs from the 3DMM is not."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from toy_faces import HEIGHT, INTRINSICS, WIDTH, bump, make_scene

from benchmarks.occluders import add_occluder
from fg3d_builder.captures import open_source
from fg3d_builder.config import (
    BuildConfig,
    FaceModelConfig,
    SensorConfig,
    SourceConfig,
)
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.geometry.camera import px_from_cam
from fg3d_builder.heads.library import get_model
from fg3d_builder.pipeline.register import register_capture
from fg3d_builder.records import Array, Landmarks
from fg3d_builder.registration.occlusion import (
    AT_START,
    REFINED,
    distance_from_template,
    foreign_pixels,
)
from fg3d_builder.rendering.depth_surface import DepthSurface


def disc(column: int, row: int, radius: int) -> Array:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.circle(mask, (column, row), radius, 1, -1)
    return mask > 0


def test_distance_is_along_the_templates_normal(model: FaceModel) -> None:
    scene = make_scene(model, model.mean)
    surface = DepthSurface.from_depth(scene.capture.depth_mm, INTRINSICS)
    assert (
        np.nanmax(np.abs(distance_from_template(surface, scene.truth_cam_mm, model.triangles)))
        < 0.1
    )
    behind = scene.truth_cam_mm + np.array([0.0, 0.0, 3.0])
    distance = distance_from_template(surface, behind, model.triangles)
    # 3 mm along z are 3 mm times the cosine; most of the face turns away a little.
    assert np.nanquantile(distance, 0.9) == pytest.approx(3.0, abs=0.2)
    assert np.nanquantile(distance, 0.05) < 2.5


@pytest.mark.parametrize("before_mm", [4.0, 8.0, 25.0])
@pytest.mark.parametrize("noise_mm", [0.0, 0.2])
def test_a_disc_before_the_face_is_found_and_nothing_else(
    model: FaceModel, before_mm: float, noise_mm: float
) -> None:
    scene = make_scene(model, model.mean, noise_mm=noise_mm)
    covered = disc(355, 250, 14)
    depth = np.where(covered, scene.capture.depth_mm - before_mm, scene.capture.depth_mm)
    surface = DepthSurface.from_depth(depth, INTRINSICS)
    foreign = foreign_pixels(surface, scene.truth_cam_mm, model.triangles, REFINED)
    assert foreign[covered].mean() > 0.97
    around = disc(355, 250, 19)
    assert foreign[~around].mean() < 1e-3


def test_relief_that_the_template_lacks_is_no_occluder(model: FaceModel) -> None:
    """Cheeks 6 mm fuller or hollower, and a 3DMM fit that is 3 mm off: all of it is face."""
    for sign in (1.0, -1.0):
        relief = sign * 6.0 * bump(model.mean, (28, -12), 16)
        shape = model.mean + relief[:, None] * [0.0, 0.0, 1.0]
        scene = make_scene(model, shape, noise_mm=0.2)
        surface = DepthSurface.from_depth(scene.capture.depth_mm, INTRINSICS)
        template = scene.pose.cam_from_obj(model.mean) + np.array([0.5, 0.5, 3.0])
        for test in (AT_START, REFINED):
            foreign = foreign_pixels(surface, template, model.triangles, test)
            on_face = np.isfinite(scene.capture.depth_mm)
            assert foreign[on_face].mean() < 0.01


def test_depth_behind_the_face_is_foreign_where_the_surface_is_torn(model: FaceModel) -> None:
    scene = make_scene(model, model.mean)
    hole = disc(300, 330, 12)
    depth = np.where(hole, scene.capture.depth_mm + 25.0, scene.capture.depth_mm)
    surface = DepthSurface.from_depth(depth, INTRINSICS)
    foreign = foreign_pixels(surface, scene.truth_cam_mm, model.triangles, REFINED)
    assert foreign[hole].mean() > 0.97


def test_no_depth_below_the_template_is_no_fault(model: FaceModel) -> None:
    scene = make_scene(model, model.mean)
    surface = DepthSurface.from_depth(scene.capture.depth_mm, INTRINSICS)
    aside = scene.truth_cam_mm + np.array([900.0, 0.0, 0.0])
    assert not foreign_pixels(surface, aside, model.triangles, AT_START).any()


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", ["glasses", "hand", "ball", "fringe", "missing_depth", "flying_pixels"]
)
def test_occluders_do_not_drag_the_face(kind: str) -> None:
    """The covered face stays as near the truth as the 3DMM is, the rest as without occluder."""
    model = get_model(FaceModelConfig())
    sensor = SensorConfig(kind="structured_light", seed=4)
    source = open_source(SourceConfig(seed=104, subjects=2, captures_per_subject=1, sensor=sensor))
    embedding = model.embeddings["mediapipe478"]
    for entry in source.entries():
        plain = source.load(entry)
        truth = plain.truth
        assert truth is not None
        exact = truth.vertices_cam_mm.astype(np.float64)
        px, known = np.zeros((478, 2)), np.zeros(478)
        px[embedding.point_index] = px_from_cam(
            embedding.points(exact, model.triangles), plain.intrinsics
        )
        known[embedding.point_index] = 1.0
        landmarks = Landmarks("mediapipe478", px, known, "truth")
        occluded = add_occluder(plain, kind, seed=2)
        assert occluded.truth is not None
        error, start = {}, {}
        for name, capture in (("plain", plain), ("occluded", occluded)):
            found = register_capture(model, capture, BuildConfig(), landmarks=landmarks)
            coarse, result = found.coarse, found.registration
            error[name] = np.linalg.norm(result.vertices_cam_mm - exact, axis=1)
            fitted = coarse.pose.cam_from_obj(coarse.shape_obj_mm)
            start[name] = np.linalg.norm(fitted - exact, axis=1)
        covered = truth.visible & ~occluded.truth.visible & model.reliable
        free = occluded.truth.visible & model.reliable
        assert error["occluded"][free].mean() < 1.1 * error["plain"][free].mean() + 0.05
        if covered.sum() > 30:
            assert error["occluded"][covered].mean() < 1.1 * start["occluded"][covered].mean() + 0.1
            assert result.confidence[covered].mean() < 0.15
