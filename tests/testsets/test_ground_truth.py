"""Ground truth of scans whose vertices are known: found, kept, refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from toy_protocols import head, write_scan

import fg3d_builder.testsets.ground_truth as module
from fg3d_builder.errors import CaptureError
from fg3d_builder.evaluation import interocular_mm, outer_eye_corners
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.facemodel.storage import load_model, save_model
from fg3d_builder.testsets import ProtocolConfig, ProtocolScan, open_protocol
from fg3d_builder.testsets.ground_truth import GroundTruth, ground_truth
from fg3d_builder.testsets.registered import RegisteredSurface
from fg3d_builder.testsets.setup import Setup, mesh_digest, model_digest

CONFIG = ProtocolConfig()


def no_registration(*arguments: object) -> RegisteredSurface:
    raise AssertionError("registered again")


def test_truth_lies_on_the_scan(model: FaceModel, truth: GroundTruth) -> None:
    shape = head(model, 1)
    index = truth.registered.members.source.vertex_index
    assert len(index) > 0.5 * model.reliable.sum()
    assert model.reliable[index].all()
    wrong = np.linalg.norm(truth.registered.vertices_mm[index] - shape[index], axis=1)
    assert np.median(wrong) < 1.5
    across = truth.surface.scan.closest(truth.registered.vertices_mm[index]).distance_mm
    assert np.median(across) < 0.2
    assert across.max() <= CONFIG.max_distance_mm
    wanted = interocular_mm(shape, outer_eye_corners(model))
    assert truth.interocular_mm == pytest.approx(wanted, abs=2.0)


def test_truth_is_kept(
    kept_truth: Path, setup: Setup, scan: ProtocolScan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "register_surface", no_registration)
    first, second = (ground_truth(scan, kept_truth, setup) for _ in range(2))
    assert np.array_equal(first.registered.vertices_mm, second.registered.vertices_mm)
    assert (kept_truth / "subject_01.png").stat().st_size > 10_000
    other = Setup(setup.model, replace(CONFIG, max_distance_mm=2.0))
    with pytest.raises(AssertionError, match="registered again"):
        ground_truth(scan, kept_truth, other)


def test_a_file_that_was_cut_off_is_made_anew(
    kept_truth: Path,
    setup: Setup,
    scan: ProtocolScan,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = (kept_truth / "subject_01.product").read_bytes()
    (tmp_path / "subject_01.product").write_bytes(whole[: len(whole) // 2])
    monkeypatch.setattr(module, "register_surface", no_registration)
    with pytest.raises(AssertionError, match="registered again"):
        ground_truth(scan, tmp_path, setup)


def test_a_changed_texture_is_another_scan(model: FaceModel, tmp_path: Path) -> None:
    write_scan(tmp_path / "a.obj", model, head(model, 1))
    before = mesh_digest(tmp_path / "a.obj")
    assert mesh_digest(tmp_path / "a.obj") == before
    image = tmp_path / "a.png"
    image.write_bytes(image.read_bytes() + b"\0")
    assert mesh_digest(tmp_path / "a.obj") != before


def test_a_scan_without_a_face_is_kept_as_a_failure(
    setup: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A plate of the size of a face, and nothing on it.
    grid = np.stack(np.meshgrid(np.arange(20.0), np.arange(25.0)), axis=-1).reshape(-1, 2)
    lines = [f"v {8 * x} {8 * y} {0.01 * x * x}" for x, y in grid]
    cells = [20 * row + column for row in range(24) for column in range(19)]
    lines += [f"f {c + 1} {c + 2} {c + 22} {c + 21}" for c in cells]
    (tmp_path / "plate.obj").write_text("\n".join(lines) + "\n")
    scan = ProtocolScan("plate", tmp_path / "plate.obj", 1.0)
    with pytest.raises(CaptureError, match="face") as caught:
        ground_truth(scan, tmp_path / "truth", setup)
    assert caught.value.code == "no_face"
    assert (tmp_path / "truth/plate.png").is_file()
    monkeypatch.setattr(module, "register_surface", no_registration)
    with pytest.raises(CaptureError, match="face") as caught:
        ground_truth(scan, tmp_path / "truth", setup)
    assert caught.value.code == "no_face"


def test_a_scan_that_is_not_there_is_a_failure(setup: Setup, tmp_path: Path) -> None:
    scan = ProtocolScan("a", tmp_path / "a.obj", 1.0)
    with pytest.raises(CaptureError, match="file not found"):
        ground_truth(scan, tmp_path / "truth", setup)


def test_a_registration_off_the_given_landmarks_is_no_truth(
    setup: Setup,
    stirling: Path,
    truth: GroundTruth,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scan = open_protocol("stirling", stirling).scans["F1001"]
    assert scan.landmarks is not None

    def registered(off_mm: float) -> None:
        found = RegisteredSurface(
            truth.surface.upright_from_file,
            head(setup.model, 1) + np.array([off_mm, 0.0, 0.0]),
            truth.registered.members,
            1.0,
        )
        monkeypatch.setattr(module, "register_surface", lambda *arguments: found)

    # Landmarks turn the scan a little; what is registered here knows nothing of that.
    registered(0.0)
    near = ground_truth(scan, tmp_path / "near", setup)
    assert np.array_equal(near.registered.vertices_mm, head(setup.model, 1))
    registered(15.0)
    with pytest.raises(CaptureError, match="off the landmarks that came with the scan"):
        ground_truth(scan, tmp_path / "far", setup)


def test_a_model_and_its_file_are_the_same(model: FaceModel, tmp_path: Path) -> None:
    save_model(model, tmp_path / "model.h5")
    assert model_digest(load_model(tmp_path / "model.h5")) == model_digest(model)


@pytest.mark.parametrize("field", ["mean", "reliable", "rigid", "edge_points", "contour_lines"])
def test_a_model_with_another_field_is_another_model(model: FaceModel, field: str) -> None:
    value = getattr(model, field)
    if field == "mean":
        changed = value + 0.5
    elif field == "edge_points":
        changed = {**value, "ibug68": value["ibug68"][1:]}
    elif field == "contour_lines":
        changed = value[1:]
    else:
        changed = ~value
    assert model_digest(replace(model, **{field: changed})) != model_digest(model)


def test_what_surrounds_a_face_is_part_of_the_model(default: FaceModel) -> None:
    around = default.surround
    assert around is not None
    # Far within a long array: all of it counts.
    mean = around.mean.copy()
    mean[len(mean) // 2, 1] += 0.01
    known = {
        model_digest(replace(default, surround=other))
        for other in (around, None, replace(around, mean=mean))
    }
    assert len(known) == 3
