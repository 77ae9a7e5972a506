from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from toy_models import toy_model
from toy_shards import camera, photo, pose

from fg3d_builder.captures.images import encode_png
from fg3d_builder.captures.mesh_io import read_mesh
from fg3d_builder.config import FitConfig
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.fgnet.networks import NetworkConfig, build_network
from fg3d_builder.fgnet.reconstruction import Reconstructor
from fg3d_builder.fgnet.simulation import MultiviewSimulator, SimulationConfig
from fg3d_builder.prediction import (
    FOCAL_PER_SIDE,
    Prediction,
    photo_capture,
    predict_photo,
    write_prediction,
)
from fg3d_builder.records import Array, Capture, Landmarks
from fg3d_builder.rendering.camera import px_from_cam
from fg3d_builder.rendering.rasterizer import rasterize

SIZE = 200


class KnownLandmarks:
    """A detector that projects the model's points."""

    name, scheme = "known", "ibug68"

    def __init__(self, model: FaceModel, vertices_cam_mm: Array) -> None:
        self.embedding = model.embeddings["ibug68"]
        self.points = self.embedding.points(vertices_cam_mm, model.triangles)

    def detect(self, capture: Capture) -> Landmarks:
        points = np.full((68, 2), np.nan)
        points[self.embedding.point_index] = px_from_cam(self.points, capture.intrinsics)
        known = np.isfinite(points[:, 0])
        return Landmarks("ibug68", np.nan_to_num(points), known.astype(float), "known")


@pytest.fixture(scope="module")
def predicted(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[FaceModel, Capture, Prediction, Path]:
    """A toy photo through an untrained network, and the folder of its files."""
    model, folder = toy_model(), tmp_path_factory.mktemp("prediction")
    rotation, translation = pose(3.0, 12.0)
    intrinsics = camera(SIZE)
    picture = photo(model, model.mean, rotation, translation, intrinsics, SIZE)
    (folder / "photo.png").write_bytes(encode_png(picture))
    capture = photo_capture(folder / "photo.png", focal_px=intrinsics[0, 0])
    config = NetworkConfig(size=32, base_channels=4, levels=2, view_set="1")
    simulator = MultiviewSimulator(model, SimulationConfig(view_set="1", size=32))
    torch.manual_seed(1)
    reconstructor = Reconstructor(build_network(config), simulator, "float32")
    detector = KnownLandmarks(model, model.mean @ rotation.T + translation)
    found = predict_photo(capture, model, detector, reconstructor, FitConfig(), 1.25, 64)
    write_prediction(capture, model, found, folder / "out")
    return model, capture, found, folder / "out"


def test_a_photo_gets_a_camera(predicted: tuple[FaceModel, Capture, Prediction, Path]) -> None:
    capture = predicted[1]
    np.testing.assert_allclose(capture.intrinsics, camera(SIZE))
    assert np.isnan(capture.depth_mm).all()
    guessed = photo_capture(predicted[3].parent / "photo.png")
    assert guessed.intrinsics[0, 0] == FOCAL_PER_SIDE * SIZE


def test_an_untrained_network_answers_with_the_fit(
    predicted: tuple[FaceModel, Capture, Prediction, Path],
) -> None:
    _model, _capture, found, _out = predicted
    np.testing.assert_allclose(found.shape_obj_mm, found.fit.shape_obj_mm, atol=1e-4)
    assert found.fit.landmark_error_px < 1.0


def test_meshes_are_the_prediction(
    predicted: tuple[FaceModel, Capture, Prediction, Path],
) -> None:
    model, _capture, found, out = predicted
    for suffix in ("obj", "ply", "glb"):
        mesh = read_mesh(out / f"face.{suffix}")
        count = model.vertex_count
        np.testing.assert_allclose(mesh.vertices[:count], found.shape_obj_mm, atol=1e-3)
        assert len(mesh.triangles) == len(model.triangles)
    assert read_mesh(out / "face.obj").textures[0].shape == (1024, 1024, 3)


def test_depth_is_the_mesh_in_the_photo(
    predicted: tuple[FaceModel, Capture, Prediction, Path],
) -> None:
    model, capture, found, out = predicted
    stored = cv2.imread(str(out / "depth.png"), cv2.IMREAD_UNCHANGED)
    about = json.loads((out / "pose.json").read_text())["depth_png"]
    nearest = float(about.split()[2])
    seen = rasterize(found.vertices_cam_mm, model.triangles, capture.intrinsics, SIZE, SIZE)
    face = seen.triangle >= 0
    np.testing.assert_array_equal(stored > 0, face)
    depth = nearest + (stored[face].astype(float) - 1) / 100
    np.testing.assert_allclose(depth, seen.depth_mm[face], atol=0.006)


def test_pictures_are_there(predicted: tuple[FaceModel, Capture, Prediction, Path]) -> None:
    out = predicted[3]
    for name in ("overlay.png", "turntable.png", "pncc.png"):
        assert cv2.imread(str(out / name)).std() > 5
