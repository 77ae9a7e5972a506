"""Photos of toy faces whose shape, pose and colours are known, and an untrained network."""

from __future__ import annotations

import json
import math
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from bad_captures import png_of
from PIL import Image
from toy_models import toy_model
from toy_shards import camera, paint, photo, pose, write_toy_shards

from fg3d_builder.cli import main
from fg3d_builder.commands.prediction_files import folders_for, predict_photos
from fg3d_builder.config import ALL_LOOKS, FitConfig, FullViewConfig, LandmarkConfig
from fg3d_builder.errors import CaptureError, ConfigError
from fg3d_builder.fgnet.data.simulation import normalized_coordinates
from fg3d_builder.fgnet.networks.architectures import NetworkConfig, build_network
from fg3d_builder.fgnet.parity import answering_network
from fg3d_builder.fgnet.prediction import FittedPhoto, predict
from fg3d_builder.fgnet.trained import (
    SCHEMA,
    Trained,
    keep_what_prediction_needs,
    load_trained,
)
from fg3d_builder.fgnet.training.checkpoint import Progress, save_checkpoint
from fg3d_builder.fgnet.training.settings import TrainConfig
from fg3d_builder.files.images import read_uint16
from fg3d_builder.files.mesh_io import colors_at_vertices, read_mesh
from fg3d_builder.files.sealed_object import read_sealed_object, write_sealed_object
from fg3d_builder.fitting.landmark_fit import fit_landmarks
from fg3d_builder.geometry.camera import cam_from_depth, px_from_cam
from fg3d_builder.geometry.closest_points import ScanSurface
from fg3d_builder.geometry.meshes import vertex_normals
from fg3d_builder.landmarks import LandmarkDetector, open_detector
from fg3d_builder.pipeline.photo import Photo, focal_of, predict_photo, read_photo
from fg3d_builder.records import Landmarks, Pose
from fg3d_builder.rendering.rasterizer import visible_vertices
from fg3d_builder.shards.manifest import read_manifest

SIZE = 160
CONFIG = TrainConfig(
    network=NetworkConfig(size=32, base_channels=4, levels=2, view_set="3"), precision="float32"
)
CPU = torch.device("cpu")
MODEL = toy_model()


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training that was stopped before its first step."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "dataset").mkdir()
    write_toy_shards(folder / "dataset", train=1, test=1)
    manifest = read_manifest(folder / "dataset")
    identity = {
        "content_sha256": manifest["content_sha256"],
        "topology_hash": manifest["facemodel"]["topology_hash"],
    }
    torch.manual_seed(5)
    parts = {"network": build_network(CONFIG.network)}
    save_checkpoint(folder / "checkpoint.pt", CONFIG, identity, Progress(), parts)
    keep_what_prediction_needs(folder / "dataset", folder)
    return folder


@pytest.fixture(scope="module")
def untrained(training: Path) -> Trained:
    return load_trained(training / "checkpoint.pt", CPU)


def answering(trained: Trained) -> Trained:
    """The same with a network that answers with more than zero."""
    network = answering_network(CONFIG)
    trained.reconstructor.network.load_state_dict(network.state_dict())
    return trained


def true_shape() -> np.ndarray:
    rng = np.random.default_rng(31)
    return MODEL.shape(rng.normal(size=len(MODEL.id_sd)) * MODEL.id_sd)


def write_photo(path: Path, pitch: float = 5.0, yaw: float = 15.0) -> Landmarks:
    """Photograph the true shape and note its landmarks down beside the photo."""
    shape = true_shape()
    rotation, translation = pose(pitch, yaw)
    picture = photo(MODEL, shape, rotation, translation, camera(SIZE), SIZE)
    cv2.imwrite(str(path), picture[..., ::-1])
    embedding = MODEL.embeddings["ibug68"]
    corner = MODEL.triangles[embedding.triangle]
    points = (shape[corner] * embedding.barycentric[..., None]).sum(axis=1)
    px = np.zeros((68, 2))
    px[embedding.point_index] = px_from_cam(points @ rotation.T + translation, camera(SIZE))
    known = np.isin(np.arange(68), embedding.point_index).astype(float)
    inner = {"scheme": "ibug68", "points_px": px.tolist(), "confidence": known.tolist()}
    path.with_suffix(".json").write_text(json.dumps({"landmarks": inner}))
    return Landmarks("ibug68", px, known, "annotation")


@pytest.fixture(scope="module")
def one(untrained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with ``face.png`` photographed, and its results in ``out/anna``."""
    folder = tmp_path_factory.mktemp("photos")
    write_photo(folder / "anna.png")
    detector = open_detector(LandmarkConfig(detector="annotation"))
    focal = float(camera(SIZE)[0, 0])
    (outcome,) = predict_photos(
        untrained, [folder / "anna.png"], folder / "out", detector, focal_px=focal
    )
    assert outcome.error is None
    return folder


def described(one: Path) -> tuple[dict, Pose]:
    value = json.loads((one / "out/anna/pose.json").read_text())
    found = Pose(value["scale"], np.array(value["rotation"]), np.array(value["translation_mm"]))
    return value, found


def test_an_untrained_network_answers_with_the_fit(one: Path, tmp_path: Path) -> None:
    landmarks = write_photo(tmp_path / "anna.png")
    fit = fit_landmarks(MODEL, landmarks, camera(SIZE), FitConfig())
    for suffix in ("obj", "ply", "glb"):
        mesh = read_mesh(one / f"out/anna/face.{suffix}")
        in_mm = mesh.vertices * (1000.0 if suffix == "glb" else 1.0)
        assert np.abs(in_mm - fit.shape_obj_mm).max() < 1e-3
        assert np.array_equal(mesh.triangles, MODEL.triangles)


def test_the_pose_is_that_of_the_photo(one: Path) -> None:
    value, found = described(one)
    rotation, translation = pose(5.0, 15.0)
    # Shape and pose can share small turns between them; where the face is seen, they cannot.
    cosine = (np.trace(found.rotation.T @ rotation) - 1) / 2
    assert math.degrees(math.acos(min(1.0, cosine))) < 5.0
    assert abs(found.translation_mm[2] / translation[2] - 1) < 0.05
    assert value["angles_deg"]["yaw"] == pytest.approx(15.0, abs=5.0)
    shape = read_mesh(one / "out/anna/face.ply").vertices[MODEL.reliable]
    seen = px_from_cam(found.cam_from_obj(shape), camera(SIZE))
    true = true_shape()[MODEL.reliable] @ rotation.T + translation
    away = np.linalg.norm(seen - px_from_cam(true, camera(SIZE)), axis=1)
    assert np.median(away) < 1.0
    assert value["focal_source"] == "given"
    assert np.allclose(value["intrinsics"], camera(SIZE))


def test_depth_and_code_are_those_of_the_mesh(one: Path) -> None:
    value, found = described(one)
    shape = read_mesh(one / "out/anna/face.ply").vertices
    depth = np.load(one / "out/anna/depth.npy")
    known = np.isfinite(depth)
    assert 0.2 < known.mean() < 0.9
    points = cam_from_depth(depth, np.array(value["intrinsics"]))[known]
    closest = ScanSurface(found.cam_from_obj(shape), MODEL.triangles).closest(points)
    assert closest.distance_mm.max() < 0.02
    levels = read_uint16(one / "out/anna/depth.png")
    assert np.array_equal(levels > 0, known)
    unit = value["depth_unit_mm"]
    assert np.abs(levels[known] * unit - depth[known]).max() < 0.5 * unit + 1e-3
    pncc = cv2.imread(str(one / "out/anna/pncc.png"))[..., ::-1]
    assert not pncc[~known].any()
    code = normalized_coordinates(MODEL.mean)[closest.corners]
    expected = 255 * (code * closest.barycentric[..., None]).sum(axis=1)
    # Near creases and the silhouette another triangle may be as close.
    assert np.quantile(np.abs(pncc[known] - expected), 0.99) < 1.0


def test_the_texture_is_the_paint_on_the_face(one: Path) -> None:
    value, found = described(one)
    mesh = read_mesh(one / "out/anna/face.obj")
    assert mesh.textures[0].shape == (1024, 1024, 3)
    vertices = found.cam_from_obj(mesh.vertices)
    normals = vertex_normals(vertices, MODEL.triangles)
    front = (-normals * vertices).sum(axis=1) / np.linalg.norm(vertices, axis=1) > 0.7
    front &= visible_vertices(
        vertices, MODEL.triangles, normals, np.array(value["intrinsics"]), SIZE, SIZE
    )
    wrong = np.abs(colors_at_vertices(mesh)[front] - 255 * paint(MODEL.mean[front]))
    assert np.median(wrong) < 6.0


def test_pictures_can_be_looked_at(one: Path) -> None:
    for name in ("overlay.png", "turntable.png"):
        picture = cv2.imread(str(one / "out/anna" / name))
        assert picture.shape[0] >= 240
        assert picture.std() > 20


def test_where_the_face_lies_in_the_photo_does_not_matter(training: Path, tmp_path: Path) -> None:
    trained = answering(load_trained(training / "checkpoint.pt", CPU))
    shape = MODEL.shape(np.zeros(len(MODEL.id_sd)))
    rotation, translation = pose(0.0, 10.0)
    picture = photo(MODEL, shape, rotation, translation, camera(SIZE), SIZE)
    plain = FittedPhoto(picture, camera(SIZE), shape, np.zeros(3), Pose(1.0, rotation, translation))
    border = ((30, 10), (70, 20), (0, 0))
    moved = camera(SIZE)
    moved[:2, 2] += [70, 30]
    wide = plain._replace(rgb=np.pad(picture, border, constant_values=90), intrinsics=moved)
    together = predict(trained, [plain, wide])
    alone = predict(trained, [plain])[0]
    assert np.abs(alone.shape_obj_mm - shape).max() > 0.1
    assert np.abs(together[0].shape_obj_mm - alone.shape_obj_mm).max() < 1e-3
    # The crop's border holds another colour where the first photo ends.
    inner = MODEL.reliable & (np.abs(MODEL.mean[:, 0]) < 40)
    assert np.abs(together[1].shape_obj_mm - alone.shape_obj_mm)[inner].max() < 0.05
    assert np.allclose(
        alone.vertices_cam_mm, plain.pose.cam_from_obj(alone.shape_obj_mm), atol=1e-9
    )
    assert predict(trained, []) == []


def test_a_bad_photo_is_one_error_and_the_others_go_on(
    training: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.jpg").write_text("no image")
    write_photo(tmp_path / "good.png")
    cv2.imwrite(str(tmp_path / "bare.png"), np.zeros((60, 60, 3), np.uint8))
    names = ("broken.jpg", "good.png", "bare.png", "absent.png")
    status = main(
        [
            "predict",
            *(str(tmp_path / name) for name in names),
            f"--out={tmp_path / 'out'}",
            f"--checkpoint={training / 'checkpoint.pt'}",
            "--device=cpu",
            "--landmarks=annotation",
            f"--focal={camera(SIZE)[0, 0]}",
        ]
    )
    assert status == 1
    shown = capsys.readouterr()
    errors = [line for line in shown.err.splitlines() if "fg3d: " in line]
    assert len(errors) == 3
    assert "broken.jpg: unreadable_image" in errors[0]
    assert "1 of 4 photos" in shown.out
    summary = json.loads((tmp_path / "out/predictions.json").read_text())
    codes = [row.get("code", "") for row in summary]
    assert codes == ["unreadable_image", "", "missing_file", "missing_file"]
    assert summary[1]["folder"] == "good"
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["good", "predictions.json"]


def test_what_the_network_needs_is_checked(
    training: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(FileNotFoundError, match="make train"):
        load_trained(tmp_path / "checkpoint.pt", CPU)
    own = tmp_path / "own"
    own.mkdir()
    checkpoint = own / "checkpoint.pt"
    checkpoint.write_bytes((training / "checkpoint.pt").read_bytes())
    with pytest.raises(FileNotFoundError, match="whole folder"):
        load_trained(checkpoint, CPU)
    (own / "trained-on.json").write_bytes((training / "trained-on.json").read_bytes())
    with pytest.raises(ConfigError, match="--facemodel"):
        load_trained(checkpoint, CPU)
    trained = load_trained(checkpoint, CPU, training / "facemodel.h5")
    assert (trained.crop.margin, trained.crop.size) == (1.25, 256)
    assert trained.looks == FullViewConfig().looks
    with pytest.raises(ValueError, match="not the face model"):
        load_trained(checkpoint, CPU, training / "trained-on.json")
    arguments = ["predict", "a.jpg", "--out", str(tmp_path / "out"), "--focal", "-3"]
    assert main(arguments) == 2
    assert "--focal" in capsys.readouterr().err


def test_photos_are_looked_at_as_often_as_the_training_views(
    training: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def opened(config: LandmarkConfig, looks: int) -> LandmarkDetector:
        asked.append((config.detector, looks))
        return open_detector(LandmarkConfig(detector="annotation"))

    monkeypatch.setattr("fg3d_builder.landmarks.open_view_detector", opened)
    for name in ("now", "then"):
        shutil.copytree(training, tmp_path / name)
    # Before there was a choice, views were looked at as captures are; nothing said so.
    described = tmp_path / "then" / "trained-on.json"
    value = read_sealed_object(described, SCHEMA)
    del value["looks"]
    write_sealed_object(described, value)
    for name in ("now", "then"):
        checkpoint = str(tmp_path / name / "checkpoint.pt")
        out = str(tmp_path / "out")
        main(["predict", str(tmp_path / "no.jpg"), "--out", out, "--checkpoint", checkpoint])
    assert asked == [("mediapipe", FullViewConfig().looks), ("mediapipe", ALL_LOOKS)]


def test_photos_are_fitted_as_the_samples_of_the_dataset_were(
    training: Path, tmp_path: Path
) -> None:
    """The weight of the prior is the dataset's, not the default of this version."""
    landmarks = write_photo(tmp_path / "anna.png")
    photo = read_photo(tmp_path / "anna.png", "annotation")
    detector = open_detector(LandmarkConfig(detector="annotation"))
    shutil.copytree(training, tmp_path / "run")
    described = tmp_path / "run" / "trained-on.json"
    value = read_sealed_object(described, SCHEMA)
    assert value["fit"]["landmark_sigma_mm"] == FitConfig().landmark_sigma_mm
    value["fit"]["landmark_sigma_mm"] = 12.0
    value["landmarks"] = {"detector": "annotation", "min_confidence": 0.25}
    write_sealed_object(described, value)
    trained = load_trained(tmp_path / "run" / "checkpoint.pt", CPU)
    assert trained.landmarks == LandmarkConfig(detector="annotation", min_confidence=0.25)
    focal = float(camera(SIZE)[0, 0])
    found = predict_photo(trained, "anna", photo, detector, focal_px=focal)
    loose = fit_landmarks(MODEL, landmarks, camera(SIZE), FitConfig(landmark_sigma_mm=12.0))
    tight = fit_landmarks(MODEL, landmarks, camera(SIZE), FitConfig())
    assert np.abs(found.coarse.shape_obj_mm - loose.shape_obj_mm).max() < 1e-3
    assert np.abs(loose.shape_obj_mm - tight.shape_obj_mm).max() > 0.1
    for name in ("fit", "landmarks"):  # what earlier versions left out is the default
        del value[name]
    write_sealed_object(described, value)
    then = load_trained(tmp_path / "run" / "checkpoint.pt", CPU)
    assert (then.fit, then.landmarks) == (FitConfig(), LandmarkConfig())
    assert found.method == f"vmn {trained.checkpoint}"


def test_photos_are_read_upright_with_the_focal_length_of_their_camera(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    upright = rng.integers(0, 255, (40, 30, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its left side
    exif.get_ifd(0x8769)[0xA405] = 26
    stored = Image.fromarray(np.rot90(upright))
    stored.save(tmp_path / "phone.png", exif=exif)
    found = read_photo(tmp_path / "phone.png")
    assert np.array_equal(found.rgb, upright)
    focal = focal_of(found, None)
    # 26 mm on film of 36 x 24 mm: the same share of the diagonal, 50 pixels here.
    assert focal.px == pytest.approx(50 * 26 / 43.2666, rel=1e-5)
    assert focal.source == "exif"
    assert focal_of(found, 77.0) == (77.0, "given")
    assert focal_of(Photo(upright, None), None) == (50.0, "guessed")
    with pytest.raises(CaptureError):
        read_photo(tmp_path / "nothing.png")


def test_what_is_no_photo_is_refused_before_its_notes_are_read(tmp_path: Path) -> None:
    """A pipe would be waited for, and Pillow has an error of its own for too many pixels."""
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "large.png").write_bytes(png_of(60_000, 60_000))
    for name, words in (("pipe.jpg", "named pipe"), ("large.png", "60000 x 60000|million pixels")):
        with pytest.raises(CaptureError, match=words) as caught:
            read_photo(tmp_path / name)
        assert caught.value.code == "unreadable_image"
        assert name in caught.value.message


def test_photos_of_one_name_get_folders_of_their_own() -> None:
    photos = [Path("a/color.png"), Path("b/color.png"), Path("c/color.jpg"), Path("d.e.png")]
    names = [folder.name for folder in folders_for(photos, Path("out"))]
    assert names == ["color", "color-2", "color-3", "d.e"]
