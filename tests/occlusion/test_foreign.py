"""Things before the face do not drag it, from the capture to the registration."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.occluders import add_occluder
from fg3d_builder.captures import open_source
from fg3d_builder.config import (
    BuildConfig,
    FaceModelConfig,
    SensorConfig,
    SourceConfig,
)
from fg3d_builder.geometry.camera import intrinsics_matrix, px_from_cam
from fg3d_builder.heads.library import get_model
from fg3d_builder.occlusion.foreign import on_surface
from fg3d_builder.pipeline.register import register_capture
from fg3d_builder.records import Landmarks
from fg3d_builder.rendering.depth_surface import DepthSurface


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


def test_colours_follow_the_surface_to_its_own_pixels() -> None:
    """A surface with half the pixels gets the colours that the same rays have in the picture."""
    camera = intrinsics_matrix(200.0, 200.0, 39.5, 29.5)
    half = intrinsics_matrix(100.0, 100.0, 19.5, 14.5)
    column = np.broadcast_to(np.arange(80), (60, 80))
    rgb = np.stack([3 * column, 200 - column, column], axis=-1).astype(np.uint8)
    surface = DepthSurface.from_depth(np.full((30, 40), 500.0), half)
    found = on_surface(rgb, surface, camera)
    assert found.shape == (30, 40, 3)
    # The middle of pixel c of the small image is at 2 c + 0.5 of the large one.
    wanted = 3 * (2 * np.arange(2, 38) + 0.5)
    assert np.abs(found[15, 2:38, 0] - wanted).max() <= 1.0
    assert on_surface(rgb, surface, None) is rgb
