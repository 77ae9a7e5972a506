"""Texture and light of real captures and scans: plausible, and true to their images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fg3d_builder.captures import open_source
from fg3d_builder.config import (
    BuildConfig,
    FaceModelConfig,
    SourceConfig,
    TextureConfig,
)
from fg3d_builder.fullview.texture_fit import fit_texture
from fg3d_builder.geometry.camera import px_from_cam
from fg3d_builder.heads.library import get_model
from fg3d_builder.pipeline.register import register_capture
from fg3d_builder.rendering.shading import linear_from_srgb

pytestmark = [pytest.mark.data, pytest.mark.slow]


@pytest.mark.parametrize(
    ("kind", "folder", "name"),
    [("folder", "captures", "sven-056"), ("scan", "scans", "facefuns-m66")],
)
@pytest.mark.parametrize("which", ["default", "ict"])
def test_real_faces_are_reproduced(
    shared_data: Path, kind: str, folder: str, name: str, which: str
) -> None:
    model = get_model(FaceModelConfig(which, str(shared_data / "ict_facekit")))
    source = open_source(SourceConfig(kind=kind, path=str(shared_data / folder), include=(name,)))
    capture = source.load(source.entries()[0])
    registration = register_capture(model, capture, BuildConfig()).registration
    fit = fit_texture(model, capture, registration, TextureConfig())
    assert fit.converged
    # The mannequin's paint is far from skin: much of it is left to the robust weights.
    assert fit.used[registration.visible & model.reliable].mean() > 0.2
    assert fit.residual_rms < 0.04
    # The lamp is on the side of the face that the camera sees.
    assert fit.light.direction[2] < 0
    assert np.all((fit.delit_albedo >= 0) & (fit.delit_albedo <= 1))
    seen = fit.trust > 0.95
    column, row = np.rint(px_from_cam(registration.vertices_cam_mm[seen], capture.intrinsics)).T
    image = linear_from_srgb(capture.rgb[row.astype(int), column.astype(int)])
    error = fit.completed_linear[seen] - image
    # What is left is the blur between pixel and vertex, and noise.
    assert np.median(np.abs(error)) < 0.01
    # Unseen skin is no brighter and no darker than skin in sight.
    unseen = ~registration.visible & model.reliable
    bright = fit.completed_linear[registration.visible & model.reliable].mean(axis=1)
    painted = fit.completed_linear[unseen].mean(axis=1)
    assert np.quantile(painted, 0.95) < np.quantile(bright, 0.99)
    assert np.median(painted) > 0.1 * np.median(bright)
