"""Ground truth of scans whose vertices are known: found, kept, refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from toy_protocols import head, truths, write_scan

import fg3d_builder.testsets.ground_truth as module
from fg3d_builder.errors import CaptureError
from fg3d_builder.evaluation import interocular_mm, outer_eye_corners
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.testsets import ProtocolConfig, ProtocolScan, open_protocol
from fg3d_builder.testsets.ground_truth import GroundTruth
from fg3d_builder.testsets.identity import mesh_digest, model_digest
from fg3d_builder.testsets.registered import RegisteredSurface

CONFIG = ProtocolConfig()


def no_registration(*arguments: object) -> RegisteredSurface:
    raise AssertionError("registered again")


def test_truth_lies_on_the_scan(model: FaceModel, truth: GroundTruth) -> None:
    shape = head(model, 1)
    index = truth.members.source.vertex_index
    assert len(index) > 0.5 * model.reliable.sum()
    assert model.reliable[index].all()
    wrong = np.linalg.norm(truth.registered_mm[index] - shape[index], axis=1)
    assert np.median(wrong) < 1.5
    across = truth.surface.scan.closest(truth.registered_mm[index]).distance_mm
    assert np.median(across) < 0.2
    assert across.max() <= CONFIG.max_distance_mm
    wanted = interocular_mm(shape, outer_eye_corners(model))
    assert truth.interocular_mm == pytest.approx(wanted, abs=2.0)
    assert np.isnan(truth.landmark_mm)


def test_truth_is_kept(
    kept_truth: Path, model: FaceModel, scan: ProtocolScan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "register_surface", no_registration)
    first, second = (truths(kept_truth, model).get(scan) for _ in range(2))
    assert np.array_equal(first.registered_mm, second.registered_mm)
    assert (kept_truth / "subject_01.png").stat().st_size > 10_000
    other = replace(CONFIG, max_distance_mm=2.0)
    with pytest.raises(AssertionError, match="registered again"):
        truths(kept_truth, model, other).get(scan)


def test_a_file_that_was_cut_off_is_made_anew(
    kept_truth: Path,
    model: FaceModel,
    scan: ProtocolScan,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = (kept_truth / "subject_01.h5").read_bytes()
    (tmp_path / "subject_01.h5").write_bytes(whole[: len(whole) // 2])
    monkeypatch.setattr(module, "register_surface", no_registration)
    with pytest.raises(AssertionError, match="registered again"):
        truths(tmp_path, model).get(scan)


def test_a_changed_texture_is_another_scan(model: FaceModel, tmp_path: Path) -> None:
    write_scan(tmp_path / "a.obj", model, head(model, 1))
    before = mesh_digest(tmp_path / "a.obj")
    assert mesh_digest(tmp_path / "a.obj") == before
    image = tmp_path / "a.png"
    image.write_bytes(image.read_bytes() + b"\0")
    assert mesh_digest(tmp_path / "a.obj") != before


def test_a_scan_without_a_face_is_kept_as_a_failure(
    model: FaceModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A plate of the size of a face, and nothing on it.
    grid = np.stack(np.meshgrid(np.arange(20.0), np.arange(25.0)), axis=-1).reshape(-1, 2)
    lines = [f"v {8 * x} {8 * y} {0.01 * x * x}" for x, y in grid]
    cells = [20 * row + column for row in range(24) for column in range(19)]
    lines += [f"f {c + 1} {c + 2} {c + 22} {c + 21}" for c in cells]
    (tmp_path / "plate.obj").write_text("\n".join(lines) + "\n")
    scan = ProtocolScan("plate", "plate", tmp_path / "plate.obj", 1.0)
    with pytest.raises(CaptureError, match="face") as caught:
        truths(tmp_path / "truth", model).get(scan)
    assert caught.value.code == "no_face"
    assert (tmp_path / "truth/plate.png").is_file()
    monkeypatch.setattr(module, "register_surface", no_registration)
    with pytest.raises(CaptureError, match="face"):
        truths(tmp_path / "truth", model).get(scan)
    with h5py.File(tmp_path / "truth/plate.h5", "r") as file:
        assert file.attrs["code"] == "no_face"


def test_a_scan_that_is_not_there_is_a_failure(model: FaceModel, tmp_path: Path) -> None:
    scan = ProtocolScan("a", "a", tmp_path / "a.obj", 1.0)
    with pytest.raises(CaptureError, match="file not found"):
        truths(tmp_path / "truth", model).get(scan)


def test_a_registration_off_the_given_landmarks_is_no_truth(
    model: FaceModel,
    stirling: Path,
    truth: GroundTruth,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scan = open_protocol("stirling", stirling).scans["F1001"]
    assert scan.landmarks is not None

    def registered(off_mm: float) -> None:
        found = RegisteredSurface(
            head(model, 1) + np.array([off_mm, 0.0, 0.0]),
            truth.members,
            1.0,
            np.zeros((2, 2, 3), np.uint8),
        )
        monkeypatch.setattr(module, "register_surface", lambda *arguments: found)

    # Landmarks turn the scan a little; what is registered here knows nothing of that.
    registered(0.0)
    assert truths(tmp_path / "near", model).get(scan).landmark_mm < CONFIG.max_landmark_mm
    registered(15.0)
    with pytest.raises(CaptureError, match="off the landmarks that came with the scan"):
        truths(tmp_path / "far", model).get(scan)


def test_a_model_and_its_file_are_the_same(model: FaceModel) -> None:
    other = replace(model, mean=model.mean + 0.5)
    assert model_digest(model) != model_digest(other)
    rounded = replace(model, mean=model.mean.astype(np.float32).astype(float))
    assert model_digest(model) == model_digest(rounded)
