"""NoW's challenges: what is read, measured and written; what is refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from toy_protocols import (
    head,
    landmark_vertices,
    seven_points,
    write_mesh_landmarks,
    write_now,
    write_photo,
)

from fg3d_builder.captures.source import safe_id
from fg3d_builder.cli import main
from fg3d_builder.commands import benchmarks
from fg3d_builder.errors import CaptureError, ConfigError
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.files.mesh_io import read_mesh
from fg3d_builder.files.obj_writer import write_polygon_obj
from fg3d_builder.geometry.pose import rotation_from_angles
from fg3d_builder.records import Array
from fg3d_builder.testsets import ProtocolConfig
from fg3d_builder.testsets.images import photo_capture
from fg3d_builder.testsets.landmarked_mesh import (
    read_seven_landmarks,
    write_landmarked_mesh,
)
from fg3d_builder.testsets.now import CHALLENGES
from fg3d_builder.testsets.now_challenge import evaluate_now_challenge, open_now_challenge
from fg3d_builder.testsets.photo_faces import PhotoFaces
from fg3d_builder.testsets.setup import Setup

SUBJECT = "FaMoS_001_TA"
NEUTRAL = f"{SUBJECT}/multiview_neutral/IMG_0001"
SMILING = f"{SUBJECT}/multiview_expressions/IMG_0002"
FIT_FOLDER = safe_id("3DMM fit")
SWAPPED = [0, 1, 2, 3, 4, 6, 5]


def moved(points: Array) -> Array:
    """Points in another frame, in decimetres."""
    return 0.01 * points @ rotation_from_angles(10.0, 25.0, -40.0).T + [3.0, -1.0, 2.0]


@pytest.fixture(scope="module")
def folder(model: FaceModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """NoW with a neutral photo, a photo with an open mouth, and a selfie that is not there."""
    folder = tmp_path_factory.mktemp("now-challenge")
    write_now(folder, model, 1)
    open_mouth = np.where(np.arange(len(model.exp_sd)) == 0, 1.5 * model.exp_sd, 0.0)
    shape = head(model, 1) + np.asarray(model.exp_basis @ open_mouth)
    write_photo(folder / "iphone_pictures" / f"{SMILING}.jpg", model, shape, 0.0, 10.0)
    lines = [NEUTRAL, SMILING, f"{SUBJECT}/selfie/IMG_0003"]
    (folder / "imagepathsvalidation.txt").write_text("".join(f"{line}.jpg\n" for line in lines))
    return folder


@pytest.fixture(scope="module")
def scan_moved(model: FaceModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another method, whose meshes are the scan in another frame and unit, once with a .txt."""
    folder = tmp_path_factory.mktemp("methods") / "moved"
    shape = head(model, 1)
    vertices, landmarks = moved(shape), moved(seven_points(model, shape))
    for image in (NEUTRAL, SMILING):
        write_landmarked_mesh(folder / f"{image}.obj", 1000 * vertices, model.triangles, landmarks)
        np.save(folder / f"{image}.npy", 1000 * landmarks)
    (folder / f"{SMILING}.npy").unlink()
    rows = [", ".join(f"{1000 * value:.4f}" for value in row) for row in landmarks]
    (folder / f"{SMILING}.txt").write_text("\n".join(rows))
    return folder


@pytest.fixture(scope="module")
def evaluated(folder: Path, scan_moved: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("evaluated")
    command = ["evaluate", "now-challenge", str(folder), "--out", str(out / "out")]
    command += ["--submission", str(out / "submission"), "--method", f"moved={scan_moved}"]
    assert main(command) == 1  # the selfie is not there
    return out


def table(evaluated: Path) -> dict[tuple[str, str], dict]:
    value = json.loads((evaluated / "out/results.json").read_text())
    return {(row["method"], row["challenge"]): row for row in value["table"]}


def test_all_challenges_are_read(folder: Path) -> None:
    challenge = open_now_challenge(folder)
    assert [image.image_id for image in challenge.images] == [SMILING, NEUTRAL]
    assert list(challenge.scans) == [SUBJECT]
    assert [missing.name for missing in challenge.missing] == [f"{SUBJECT}/selfie/IMG_0003"]
    one = open_now_challenge(folder, challenges=("multiview_neutral",))
    assert [image.image_id for image in one.images] == [NEUTRAL]
    assert set(CHALLENGES) >= {"selfie", "multiview_occlusions"}


def test_a_scan_in_another_frame_and_unit_has_no_error(evaluated: Path) -> None:
    found = table(evaluated)["moved", "all"]
    assert (found["images"], found["failed"]) == (2, 0)
    # Files have four decimals of a millimetre.
    assert found["mean_mm"] < 1e-3
    assert found["median_mm"] < 1e-3


def test_the_fit_is_measured_in_every_challenge(evaluated: Path) -> None:
    found = table(evaluated)
    for challenge in ("all", "multiview_neutral", "multiview_expressions"):
        assert 0.2 < found["3DMM fit", challenge]["median_mm"] < 4.0
    assert ("3DMM fit", "selfie") not in found
    every, parts = found["3DMM fit", "all"], ("multiview_neutral", "multiview_expressions")
    assert every["vertices"] == sum(found["3DMM fit", part]["vertices"] for part in parts)
    report = (evaluated / "out/report.md").read_text()
    assert "1 images or subjects are in no table: missing_file 1" in report
    rows = list(csv.DictReader((evaluated / "out/results.csv").read_text().splitlines()))
    assert len(rows) == 4
    assert {row["challenge"] for row in rows} == {"multiview_neutral", "multiview_expressions"}
    value = json.loads((evaluated / "out/results.json").read_text())
    assert [image["name"] for image in value["unusable"]] == [f"{SUBJECT}/selfie/IMG_0003"]
    for written, told in zip(rows, value["rows"], strict=True):
        assert written["image_id"] == told["image_id"]
        assert float(written["mean_mm"]) == pytest.approx(told["mean_mm"], abs=1e-6)


def test_a_submission_is_what_the_challenge_reads(evaluated: Path, model: FaceModel) -> None:
    written = sorted(p.relative_to(evaluated) for p in (evaluated / "submission").rglob("*.*"))
    places = [
        f"submission/{FIT_FOLDER}/{i}{s}" for i in (SMILING, NEUTRAL) for s in (".npy", ".obj")
    ]
    assert [path.as_posix() for path in written] == sorted(places)
    for image in (SMILING, NEUTRAL):
        path = evaluated / f"submission/{FIT_FOLDER}/{image}.obj"
        assert all(len(line.split()) == 4 for line in path.read_text().splitlines()[1:])
        mesh = read_mesh(path)
        given = read_seven_landmarks(path.with_suffix(".npy"))
        assert np.abs(seven_points(model, mesh.vertices) - given.points).max() < 1e-3
        # Right of the face first: x is to the subject's left.
        assert given.points[0, 0] < given.points[3, 0]
        assert given.points[5, 0] < given.points[6, 0]


def test_our_own_submission_is_measured_as_we_are(
    evaluated: Path, folder: Path, model: FaceModel, tmp_path: Path
) -> None:
    """Written, read again as another method's and measured: the same distances."""
    challenge = open_now_challenge(folder)
    methods = {"read": evaluated / "submission" / FIT_FOLDER}
    # What was measured before is not measured again.
    results = evaluate_now_challenge(challenge, evaluated / "out", model, {}, methods)
    ours = {row.image_id: row for row in results.rows if row.method == "3DMM fit"}
    theirs = {row.image_id: row for row in results.rows if row.method == "read"}
    for image in (SMILING, NEUTRAL):
        a, b = ours[image].distance_mm, theirs[image].distance_mm
        assert a is not None
        assert b is not None
        assert np.abs(a - b).max() < 2e-3


def test_a_face_is_neutral_without_the_expression_of_the_fit(
    folder: Path, model: FaceModel
) -> None:
    image = open_now_challenge(folder, challenges=("multiview_expressions",)).images[0]
    faces = PhotoFaces(photo_capture(image, ProtocolConfig()), Setup(model, ProtocolConfig()), {})
    fit = faces.fit()
    assert np.linalg.norm(fit.alpha_exp / model.exp_sd) > 0.3
    assert np.allclose(faces.neutral_shape("3DMM fit"), model.shape(fit.alpha_id))
    assert np.allclose(faces.shape("3DMM fit"), fit.shape_obj_mm)


def write_one(folder: Path, model: FaceModel, landmarks: Array, vertices: Array) -> Path:
    write_landmarked_mesh(folder / f"{NEUTRAL}.obj", vertices, model.triangles, landmarks)
    return folder


def test_wrong_landmarks_of_a_method_are_one_error_at_once(
    folder: Path, model: FaceModel, tmp_path: Path
) -> None:
    challenge, shape = open_now_challenge(folder), head(model, 1)
    points = seven_points(model, shape)

    def evaluate(landmarks: Array, vertices: Array = shape) -> None:
        method = write_one(tmp_path / "theirs", model, landmarks, vertices)
        evaluate_now_challenge(challenge, tmp_path / "out", model, {}, {"theirs": method})

    with pytest.raises(ConfigError, match=r"54 \(left corner of the mouth\).*IMG_0001\.npy"):
        evaluate(points[SWAPPED])
    with pytest.raises(ConfigError, match=r"right and left are exchanged"):
        evaluate(points[[3, 2, 1, 0, 4, 6, 5]])
    with pytest.raises(ConfigError, match=r"left-handed"):
        evaluate(points * [1.0, 1.0, -1.0], shape * [1.0, 1.0, -1.0])
    with pytest.raises(ConfigError, match=r"of another mesh or unit"):
        evaluate(points / 10.0)
    assert not (tmp_path / "out").exists()


def test_what_is_no_method_is_refused(folder: Path, model: FaceModel, tmp_path: Path) -> None:
    challenge = open_now_challenge(folder)

    def evaluate() -> None:
        evaluate_now_challenge(challenge, tmp_path / "out", model, {}, {"x": tmp_path / "x"})

    with pytest.raises(ConfigError, match="no folder"):
        evaluate()
    (tmp_path / "x").mkdir()
    with pytest.raises(ConfigError, match="no mesh for any image"):
        evaluate()
    write_polygon_obj(tmp_path / f"x/{NEUTRAL}.obj", head(model, 1), model.triangles)
    with pytest.raises(ConfigError, match=r"IMG_0001 with \.npy, \.txt"):
        evaluate()
    vertices = landmark_vertices(model, (36, 39, 42, 45, 33, 48, 51, 57))
    write_mesh_landmarks(tmp_path / "x/landmarks.json", vertices)
    with pytest.raises(ConfigError, match="the points 36, 39, 42, 45, 33, 48, 54 are wanted"):
        evaluate()


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.txt", b"1, 2, 3\n4, 5\n", "line 2: wanted 'x, y, z'"),
        ("a.txt", b"1, 2, 3\n", "1 x 3 numbers, wanted 7 x 3"),
        ("a.txt", b"1, nan, 3\n" * 7, "not finite"),
        ("a.npy", b"\x93NUMPY", "a.npy"),
    ],
)
def test_broken_landmark_files_are_refused(
    tmp_path: Path, name: str, data: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(CaptureError, match=message) as caught:
        read_seven_landmarks(tmp_path / name)
    assert caught.value.code == "bad_landmarks"


def test_without_scans_only_a_submission_can_be_written(
    folder: Path, model: FaceModel, tmp_path: Path
) -> None:
    test_set = tmp_path / "test-set"
    test_set.mkdir()
    (test_set / "iphone_pictures").symlink_to(folder / "iphone_pictures")
    (test_set / "imagepathstest.txt").write_text(f"{NEUTRAL}.jpg\n")
    challenge = open_now_challenge(test_set, list_name="imagepathstest.txt")
    assert not challenge.scans
    assert not challenge.missing
    with pytest.raises(ConfigError, match="--submission"):
        evaluate_now_challenge(challenge, tmp_path / "out", model)
    submission = tmp_path / "submission"
    results = evaluate_now_challenge(challenge, tmp_path / "out", model, submission=submission)
    assert results.rows == ()
    assert (submission / f"{FIT_FOLDER}/{NEUTRAL}.npy").is_file()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["now", "--metrical"], "--metrical: not an option of now, but of now-challenge"),
        (["florence", "--submission", "x"], "of now-challenge, realy"),
        (["now-challenge", "--images-only"], "--images-only: not an option of now-challenge"),
        (["now-challenge", "--image-set", "x"], "--image-set: not an option of now-challenge"),
    ],
)
def test_options_of_another_protocol_are_refused(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
    options: list[str],
    message: str,
) -> None:
    command = ["evaluate", options[0], str(folder), "--out", str(tmp_path / "out"), *options[1:]]
    assert main(command) == 2
    assert message in capsys.readouterr().err


def test_the_command_offers_the_challenges_that_there_are() -> None:
    """It names them itself, since reading a command line must not take as long as torch."""
    assert benchmarks.CHALLENGES == CHALLENGES
