"""`fg3d predict` as somebody meets it who has a photo and no network."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from fg3d_builder.captures import open_source
from fg3d_builder.cli import main
from fg3d_builder.config import SourceConfig
from fg3d_builder.evaluation import Correspondence, interocular_mm, nme, outer_eye_corners
from fg3d_builder.facemodel import FaceModel
from fg3d_builder.facemodel.storage import save_model
from fg3d_builder.files.atomic import write_bytes
from fg3d_builder.files.encoding import encode_jpeg
from fg3d_builder.files.images import read_rgb
from fg3d_builder.files.mesh_io import read_mesh
from fg3d_builder.records import Capture


@pytest.fixture(scope="module")
def person() -> Capture:
    """A synthetic person before a camera."""
    source = open_source(SourceConfig(subjects=1, captures_per_subject=1, seed=90))
    return source.load(source.entries()[0])


@pytest.fixture
def photo(person: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Their photo in the current folder, which holds nothing else."""
    monkeypatch.chdir(tmp_path)
    write_bytes(tmp_path / "anna.jpg", encode_jpeg(person.rgb))
    return tmp_path / "anna.jpg"


def test_without_a_network_the_face_is_the_fit_and_all_outputs_say_so(
    default: FaceModel, person: Capture, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    focal = f"{person.intrinsics[0, 0]}"
    assert main(["predict", "anna.jpg", "--out", "faces", "--device=cpu", "--focal", focal]) == 0

    said = capsys.readouterr()
    assert "1 of 1 photos fitted without a network" in said.out
    for way in ("make train", "fg3d train DATASET", "--checkpoint RUN/checkpoint.pt"):
        assert way in said.err
    assert "docs/guides/predict.md" in said.err
    folder = photo.parent / "faces" / "anna"
    pose = json.loads((folder / "pose.json").read_text())
    assert pose["method"] == "3dmm_fit"
    assert pose["px_crop_from_px"] is None  # no network has seen anything
    assert pose["displacement_rms_mm"] == 0.0
    (row,) = json.loads((photo.parent / "faces" / "predictions.json").read_text())
    assert row["method"] == "3dmm_fit"

    found = read_mesh(folder / "face.ply").vertices
    coefficients = (np.array(pose["alpha_id"]), np.array(pose["alpha_exp"]))
    assert np.abs(found - default.shape(*coefficients)).max() < 1e-3
    assert person.truth is not None
    truth = person.truth.shape_obj_mm.astype(float)
    pairs = Correspondence.same_topology(default.reliable)
    between = interocular_mm(truth, outer_eye_corners(default))
    fitted = nme(found, truth, pairs, between).value
    assert fitted < nme(default.mean, truth, pairs, between).value
    rotation = np.array(pose["rotation"])
    apart = Rotation.from_matrix(rotation.T @ person.truth.pose.rotation).magnitude()
    assert np.degrees(apart) < 5.0


def test_the_picture_of_a_fit_is_one_face_beside_the_photo(photo: Path) -> None:
    """The tile "network" is not there."""
    assert main(["predict", "anna.jpg", "--out", "faces", "--device=cpu"]) == 0
    folder = photo.parent / "faces" / "anna"
    wide = read_rgb(folder / "overlay.png").shape[1]
    tile = wide // 2
    assert tile < 1.2 * read_rgb(folder / "overlay.png").shape[0]
    assert read_rgb(folder / "turntable.png").std() > 20


def test_a_network_that_is_named_has_to_be_there(
    photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A fit in its place would be taken for its answer."""
    arguments = ["predict", "anna.jpg", "--out", "faces", "--device=cpu"]
    assert main([*arguments, "--checkpoint", "run/checkpoint.pt"]) == 2
    assert "no checkpoint at run/checkpoint.pt" in capsys.readouterr().err
    assert not (photo.parent / "faces").exists()


def test_a_face_model_may_be_named_for_the_fit(default: FaceModel, photo: Path) -> None:
    save_model(default, photo.parent / "own.h5")
    arguments = ["predict", "anna.jpg", "--out", "faces", "--device=cpu"]
    assert main([*arguments, "--facemodel", "own.h5"]) == 0
    pose = json.loads((photo.parent / "faces" / "anna" / "pose.json").read_text())
    assert pose["method"] == "3dmm_fit"
    assert pose["facemodel"] == default.name
