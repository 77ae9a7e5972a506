"""Things before the face do not drag it, from the capture to the registration."""

from __future__ import annotations

from typing import NamedTuple

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
from fg3d_builder.records import Array, Capture, Landmarks
from fg3d_builder.rendering.depth_surface import DepthSurface

KINDS = ("glasses", "hand", "ball", "fringe", "missing_depth", "flying_pixels")

MEAN_MM, SINGLE_MM = 0.1, 0.35
"""What an occluder may cost the free part of the face beyond a tenth of its error: on average over
a few faces, and for any of them.

Noise alone moves the mean error of one face: by 0.085 mm (standard deviation of two sensor seeds'
difference, 16 faces). Flying pixels and balls cost no more than that (mean 0.01 and -0.01,
deviation 0.08 and 0.09). Hands and glasses hide features that held the rest: they cost 0.08 and
0.09 with a deviation of 0.13 and 0.12."""


class Errors(NamedTuple):
    """Distances (n,) of the registration and of the coarse fit from the truth, mm."""

    capture: Capture
    registered_mm: Array
    fitted_mm: Array
    confidence: Array


def errors(capture: Capture, plain: Capture) -> Errors:
    """Register a capture with the true landmarks of the same face without occluder."""
    model = get_model(FaceModelConfig())
    embedding = model.embeddings["mediapipe478"]
    assert plain.truth is not None
    exact = plain.truth.vertices_cam_mm.astype(np.float64)
    px, known = np.zeros((478, 2)), np.zeros(478)
    px[embedding.point_index] = px_from_cam(
        embedding.points(exact, model.triangles), plain.intrinsics
    )
    known[embedding.point_index] = 1.0
    landmarks = Landmarks("mediapipe478", px, known, "truth")
    found = register_capture(model, capture, BuildConfig(), landmarks=landmarks)
    coarse, result = found.coarse, found.registration
    fitted = coarse.pose.cam_from_obj(coarse.shape_obj_mm)
    return Errors(
        capture,
        np.linalg.norm(result.vertices_cam_mm - exact, axis=1),
        np.linalg.norm(fitted - exact, axis=1),
        result.confidence,
    )


def faces(seed: int, subjects: int) -> list[Capture]:
    sensor = SensorConfig(kind="structured_light", seed=4)
    config = SourceConfig(seed=seed, subjects=subjects, captures_per_subject=1, sensor=sensor)
    source = open_source(config)
    return [source.load(entry) for entry in source.entries()]


@pytest.fixture(scope="module")
def plain() -> list[Errors]:
    """Six faces without occluder."""
    return [errors(capture, capture) for seed in (102, 103, 104) for capture in faces(seed, 2)]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_occluders_do_not_drag_the_face(kind: str, plain: list[Errors]) -> None:
    """The covered face stays as near the truth as the 3DMM is, the rest as without occluder."""
    reliable = get_model(FaceModelConfig()).reliable
    costs = []
    for before in plain:
        found = errors(add_occluder(before.capture, kind, seed=2), before.capture)
        assert before.capture.truth is not None
        assert found.capture.truth is not None
        seen = found.capture.truth.visible
        free, covered = seen & reliable, before.capture.truth.visible & ~seen & reliable
        costs.append(found.registered_mm[free].mean() - 1.1 * before.registered_mm[free].mean())
        if covered.sum() > 30:
            fitted = found.fitted_mm[covered].mean()
            assert found.registered_mm[covered].mean() < 1.1 * fitted + 0.1
            assert found.confidence[covered].mean() < 0.15
    assert np.mean(costs) < MEAN_MM
    assert max(costs) < SINGLE_MM


@pytest.mark.slow
@pytest.mark.xfail(reason="depth alone does not end a lens where it touches the skin", strict=True)
def test_a_lens_that_rests_on_the_brow_does_not_drag_the_lids() -> None:
    """Its upper part is so near the face that only its colour could tell."""
    before = faces(104, 6)[5]
    found = errors(add_occluder(before, "glasses", 2), before)
    assert before.truth is not None
    assert found.capture.truth is not None
    reliable = get_model(FaceModelConfig()).reliable
    covered = before.truth.visible & ~found.capture.truth.visible & reliable
    fitted = found.fitted_mm[covered].mean()
    assert found.registered_mm[covered].mean() < 1.1 * fitted + 0.1


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
