"""The registration of real captures and scans, against the depth that they come with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fg3d_builder.captures import open_source
from fg3d_builder.config import (
    MIN_QUALITY,
    BuildConfig,
    FaceModelConfig,
    RegistrationConfig,
    SourceConfig,
)
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.geometry.meshes import turned_triangles, undirected_edges
from fg3d_builder.heads.library import get_model
from fg3d_builder.pipeline.register import register_capture
from fg3d_builder.records import Capture
from fg3d_builder.registration.correspondence import CorrespondenceFinder
from fg3d_builder.registration.quality_figures import edge_ratios
from fg3d_builder.rendering.depth_surface import DepthSurface

pytestmark = [pytest.mark.data, pytest.mark.slow]


@pytest.fixture(scope="module")
def ict(shared_data: Path) -> FaceModel:
    return get_model(FaceModelConfig("ict", str(shared_data / "ict_facekit")))


def first_capture(kind: str, path: Path, name: str) -> Capture:
    source = open_source(SourceConfig(kind=kind, path=str(path), include=(name,)))
    return source.load(source.entries()[0])


@pytest.mark.parametrize(
    ("kind", "folder", "name", "limit_mm"),
    [("folder", "captures", "sven-052", 0.6), ("scan", "scans", "facefuns-m66", 0.3)],
)
def test_face_lies_on_the_depth_without_garbage(
    ict: FaceModel, shared_data: Path, kind: str, folder: str, name: str, limit_mm: float
) -> None:
    capture = first_capture(kind, shared_data / folder, name)
    found = register_capture(ict, capture, BuildConfig())
    coarse, result = found.coarse, found.registration
    start = coarse.pose.cam_from_obj(coarse.shape_obj_mm)
    seen = result.visible & ict.reliable
    finder = CorrespondenceFinder(
        DepthSurface.from_depth(capture.depth_mm, capture.intrinsics), start, ict.triangles, 15.0
    )
    before = finder.find(start, RegistrationConfig())
    error = result.surface_error_mm[seen]
    # The sven frames have no depth in the projector's shadow beside nose and cheek.
    assert np.isfinite(error).mean() > 0.65
    assert np.nanmean(error) < limit_mm
    assert np.nanmean(error) < 0.7 * before.distance_mm[before.accepted & seen].mean()
    inside = seen[ict.triangles].all(axis=1)
    assert turned_triangles(start, result.vertices_cam_mm, ict.triangles)[inside].mean() < 1e-3
    edges = undirected_edges(ict.triangles[inside])
    low, high = np.quantile(edge_ratios(start, result.vertices_cam_mm, edges), [0.01, 0.99])
    assert 0.8 < low < high < 1.25
    assert result.converged
    assert result.quality > 2 * MIN_QUALITY
