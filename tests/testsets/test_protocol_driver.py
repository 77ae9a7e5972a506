"""Whole evaluations: rows, what is kept, what fails, tables, the command."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from toy_protocols import (
    landmark_vertices,
    write_mesh_landmarks,
    write_training,
)

import fg3d_builder.testsets.photo_faces as photo_faces
from fg3d_builder.cli import main
from fg3d_builder.errors import ConfigError
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.fgnet.trained import Trained, load_trained
from fg3d_builder.files.images import read_rgb
from fg3d_builder.files.mesh_io import mesh_with_colors, write_mesh
from fg3d_builder.files.sealed_object import write_sealed_object
from fg3d_builder.testsets import (
    ImageResult,
    Protocol,
    ProtocolResults,
    evaluate_protocol,
    open_protocol,
    read_results,
    write_report,
)
from fg3d_builder.testsets.ground_truth import GroundTruth
from fg3d_builder.testsets.results import FIT, write_results

VIEWS = ("pitch+00_yaw+00", "pitch-20_yaw+45")


def few_views(folder: Path) -> Protocol:
    protocol = open_protocol("florence", folder)
    images = tuple(image for image in protocol.images if image.image_id.endswith(VIEWS))
    return replace(protocol, images=images)


@pytest.fixture(scope="module")
def meshes(model: FaceModel, florence: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another method: the model's mean for all images but one."""
    folder = tmp_path_factory.mktemp("methods") / "mean"
    for image in few_views(florence).images[:-1]:
        path = folder / f"{image.image_id}.ply"
        write_mesh(path, mesh_with_colors(model.mean, model.triangles))
    write_mesh_landmarks(folder / "landmarks.json", landmark_vertices(model))
    return folder


@pytest.fixture(scope="module")
def evaluated(
    florence: Path,
    untrained: Trained,
    meshes: Path,
    kept_truth: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    out = tmp_path_factory.mktemp("evaluation")
    results = evaluate_protocol(
        few_views(florence),
        out,
        untrained.model,
        {"FGNet": untrained},
        {"mean": meshes},
        truth_folder=kept_truth,
    )
    write_report(results, out)
    return out


def test_every_method_has_a_row_for_every_image(evaluated: Path) -> None:
    results = read_results(evaluated)
    assert results.methods == (FIT, "FGNet", "mean")
    ids = [f"subject_0{i}/{view}" for i in (1, 2) for view in VIEWS]
    for method in results.methods:
        assert [row.image_id for row in results.of(method)] == ids
    assert results.subjects == ("subject_01", "subject_01", "subject_02", "subject_02")
    assert {row.yaw_source for row in results.rows} == {"nominal"}
    with pytest.raises(ValueError, match="no method 'PRNet'"):
        results.of("PRNet")


def test_an_untrained_network_answers_with_the_fit(evaluated: Path) -> None:
    results = read_results(evaluated)
    fit = results.errors(FIT)
    assert np.all(fit > 0)
    assert np.all(fit < 0.03)
    assert np.allclose(results.errors("FGNet"), fit, atol=1e-7)


def test_a_mesh_that_is_missing_counts_as_a_failure(evaluated: Path) -> None:
    results = read_results(evaluated)
    errors = results.errors("mean")
    assert np.isfinite(errors).tolist() == [True, True, True, False]
    assert results.of("mean")[-1].code == "missing_mesh"
    assert results.measured_by_all([FIT, "mean"]).tolist() == [True, True, True, False]
    # The mean is nobody's face.
    assert np.all(errors > 0.005)
    assert all(row.coverage is None or row.coverage > 0.99 for row in results.of("mean"))


def test_results_are_kept_and_the_same(
    evaluated: Path,
    florence: Path,
    untrained: Trained,
    meshes: Path,
    kept_truth: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = (evaluated / "results.json").read_bytes()

    def never(*arguments: object, **named: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr(photo_faces, "fit_landmarks", never)
    monkeypatch.setattr(GroundTruth, "dace", never)

    def evaluate() -> None:
        networks, methods = {"FGNet": untrained}, {"mean": meshes}
        evaluate_protocol(
            few_views(florence),
            evaluated,
            untrained.model,
            networks,
            methods,
            truth_folder=kept_truth,
        )

    evaluate()
    assert (evaluated / "results.json").read_bytes() == before
    (evaluated / "measured/FGNet/subject_01/pitch+00_yaw+00.json").write_text('{"row": 1}')
    with pytest.raises(AssertionError, match="measured again"):
        evaluate()
    monkeypatch.undo()
    evaluate()
    assert (evaluated / "results.json").read_bytes() == before


def test_the_report_shows_the_papers_rows_and_ours(evaluated: Path) -> None:
    text = (evaluated / "report.md").read_text()
    assert "4 images of 2 subjects" in text
    assert "| paper: FGNet (Ours) | 2.12 | 2.05 | 2.15 | 2.10 |" in text
    assert "mean failed on 1 images: missing_mesh 1." in text
    assert "FGNet less 3DMM fit" in text
    row = next(line for line in text.splitlines() if line.startswith("| mean |"))
    assert row.split("|")[3].strip() == ""  # no view between 15 and 30 degrees
    assert read_rgb(evaluated / "ced.png").shape == (520, 720, 3)
    with (evaluated / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12
    assert rows[-1]["dace_percent"] == ""
    assert float(rows[0]["dace_percent"]) == pytest.approx(
        100 * read_results(evaluated).errors(FIT)[0], abs=1e-5
    )


def test_a_network_that_answers_differs_from_the_fit(
    model: FaceModel, florence: Path, kept_truth: Path, tmp_path: Path
) -> None:
    checkpoint = write_training(tmp_path / "run", model, answers=True)
    trained = load_trained(checkpoint, torch.device("cpu"))
    one = replace(few_views(florence), images=few_views(florence).images[:1])
    results = evaluate_protocol(
        one, tmp_path / "out", trained.model, {"FGNet": trained}, truth_folder=kept_truth
    )
    assert results.errors("FGNet")[0] != pytest.approx(results.errors(FIT)[0], rel=1e-3)
    assert not (tmp_path / "out/truth").exists()


def test_a_network_gets_fits_of_as_many_looks_as_it_was_trained_with(
    untrained: Trained, florence: Path, kept_truth: Path, tmp_path: Path
) -> None:
    one = replace(few_views(florence), images=few_views(florence).images[:1])
    networks = {"all": untrained, "few": untrained._replace(looks=2)}
    results = evaluate_protocol(one, tmp_path, untrained.model, networks, truth_folder=kept_truth)
    (fit,) = results.errors(FIT)
    assert results.errors("all")[0] == pytest.approx(fit, abs=1e-7)
    (few,) = results.errors("few")
    assert few != pytest.approx(fit, rel=1e-4)
    assert few == pytest.approx(fit, rel=0.3)


def test_now_and_stirling_through_the_command(
    now: Path, stirling: Path, untrained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    one = shutil.copytree(stirling, tmp_path / "stirling")
    Image.new("RGB", (360, 480), (90, 120, 90)).save(one / "photos/F1001_right.png")
    checkpoint = f"tiny={untrained.checkpoint}"
    for name, folder, status in (("now", now, 0), ("stirling", one, 1)):
        out = tmp_path / f"{name}-out"
        command = ["evaluate", name, str(folder), "--out", str(out), "--checkpoint", checkpoint]
        if name == "stirling":
            command += ["--subject", "F*"]
        assert main(command) == status
        assert "report:" in capsys.readouterr().out
    assert (tmp_path / "now-out/truth/FaMoS_001_TA.png").is_file()
    found = read_results(tmp_path / "now-out")
    assert found.methods == (FIT, "tiny")
    assert found.rows[0].yaw_source == "estimated"
    assert found.rows[0].yaw_deg == pytest.approx(20.0, abs=6.0)
    assert found.errors(FIT)[0] < 0.03
    found = read_results(tmp_path / "stirling-out")
    assert [row.yaw_deg for row in found.of("tiny")] == [45.0, -45.0]
    assert [row.code for row in found.of("tiny")] == ["", "no_face"]
    assert [row.code for row in found.of(FIT)] == ["", "no_face"]
    assert "no_face 1" in (tmp_path / "stirling-out/report.md").read_text()


def test_images_alone(
    florence: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fg3d_builder.testsets.florence.YAWS_DEG", (0.0, 45.0))
    command = ["evaluate", "florence", str(florence), "--out", str(tmp_path), "--images-only"]
    assert main([*command, "--subject", "subject_02"]) == 0
    assert "6 images written" in capsys.readouterr().out
    written = sorted(p.stem for p in (tmp_path / "images/subject_02").iterdir())
    assert len(written) == 6
    assert "pitch-20_yaw+45" in written


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--method", "PRNet"], "wanted NAME=FOLDER"),
        (["--method", "=x"], "wanted NAME=PATH"),
        (["--method", "a=x", "--method", "a=y"], "given twice"),
        (["--method", "3DMM fit=x"], "is taken"),
        (["--checkpoint", "nothing.pt"], "no checkpoint at nothing.pt"),
        (["--subject", "nobody"], "no subject like nobody"),
    ],
)
def test_wrong_options_are_explained(
    florence: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
    options: list[str],
    message: str,
) -> None:
    command = ["evaluate", "florence", str(florence), "--out", str(tmp_path), *options]
    assert main(command) == 2
    assert message in capsys.readouterr().err


def test_a_network_of_another_model_is_refused(
    florence: Path, untrained: Trained, tmp_path: Path
) -> None:
    other = replace(untrained.model, mean=untrained.model.mean + 1.0)
    with pytest.raises(ConfigError, match="was trained on the face model"):
        evaluate_protocol(few_views(florence), tmp_path, other, {"FGNet": untrained})


def test_a_protocol_without_truth_has_no_rows(
    florence: Path, model: FaceModel, tmp_path: Path
) -> None:
    protocol = few_views(florence)
    scans = {k: replace(s, mesh_file=tmp_path / "gone.obj") for k, s in protocol.scans.items()}
    results = evaluate_protocol(replace(protocol, scans=scans), tmp_path, model)
    assert not results.rows
    assert [image.code for image in results.unusable] == ["missing_file"] * 4
    text = write_report(results, tmp_path).read_text()
    assert "Nothing could be measured" in text
    assert "4 images or subjects are in no table: missing_file 4." in text


def row(image: str, method: str, dace: float | None, yaw: float | None) -> ImageResult:
    source = "unknown" if yaw is None else "estimated"
    code = "no_face" if dace is None else ""
    return ImageResult(image, image[:1], method, 0.0, yaw, source, dace, 1.0, code, code)


def test_views_beyond_the_intervals_and_unknown_ones_count_in_the_mean(tmp_path: Path) -> None:
    rows = (row("a1", FIT, 0.02, 10.0), row("b1", FIT, 0.04, 60.0), row("c1", FIT, None, None))
    results = ProtocolResults("now", (FIT,), rows, (), {})
    text = write_report(results, tmp_path).read_text()
    assert "| 3DMM fit | 2.00 |  |  | 4.00 | 3.00 | 3.00 | 2 | 1 | 100% |" in text
    assert "turned further" in text
    # The paper's rows have no such column.
    assert "| paper: 3DDFA | 3.86 | 3.82 | 4.09 |  | 3.96 |" in text


def spoiled(change: Callable[[dict], object], path: Path) -> None:
    value = json.loads(path.read_text())
    change(value)
    write_sealed_object(path, value)


def test_results_survive_their_file_and_others_are_refused(tmp_path: Path) -> None:
    rows = (row("a1", FIT, 0.02, 10.0), row("b1", FIT, None, None))
    results = ProtocolResults("now", (FIT,), rows, (), {"config": {}})
    path = write_results(results, tmp_path)
    assert read_results(path) == read_results(tmp_path) == results
    spoiled(lambda value: value.update(schema="other"), path)
    with pytest.raises(ValueError, match=r"results.json: no results .*schema is 'other'"):
        read_results(path)
    write_results(results, tmp_path)
    spoiled(lambda value: value["rows"][0].pop("dace"), path)
    with pytest.raises(ValueError, match="no results of an evaluation"):
        read_results(path)
    with pytest.raises(FileNotFoundError, match="fg3d evaluate"):
        read_results(tmp_path / "nothing")
