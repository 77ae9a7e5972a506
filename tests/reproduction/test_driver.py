"""From the command line to pages, with a fake trainer and a recorded dataset."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import fake_trainer
import pytest
from toy_build import write_toy_build
from toy_shards import write_toy_shards

from fg3d_builder import stopping
from fg3d_builder.cli import main
from fg3d_builder.config import digest, load_preset
from fg3d_builder.errors import ConfigError
from fg3d_builder.fgnet.training.settings import read_settings
from fg3d_builder.files.sealed import write_sealed_json
from fg3d_builder.files.sealed_object import write_sealed_object
from fg3d_builder.reproduction import driver
from fg3d_builder.reproduction.scales import SCALES
from fg3d_builder.reproduction.setting import Setting
from fg3d_builder.reproduction.tables import EXPERIMENTS
from fg3d_builder.reproduction.variants import variant_config
from fg3d_builder.shards.manifest import read_manifest
from fg3d_builder.tasks import training
from fg3d_builder.tasks.training import EvaluateFGNet


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Arguments for a preset whose dataset is there already."""
    monkeypatch.setattr(training, "run_command", fake_trainer.run_command)
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    write_toy_shards(data)
    preset = write_toy_build(tmp_path, subjects=1, captures=1, shapes=2)
    manifest = read_manifest(data)
    record = {"folder": str(data), "content_sha256": manifest["content_sha256"]}
    config = load_preset(preset)
    rows = {
        variant: {**record, "config": digest(variant_config(config, variant))}
        for variant in ("full_view", "face_profiling")
    }
    write_sealed_json(out / "datasets.json", rows)
    where = ["--preset", str(preset), "--build", str(tmp_path / "build"), "--out", str(out)]
    return ["--scale", "tiny", *where, "--device", "cpu", "--workers", "2"]


def test_a_table_from_the_command_to_the_page(given: list[str], tmp_path: Path) -> None:
    assert main(["experiments", "table1", *given, "--seeds", "2"]) == 0
    page = (tmp_path / "out/table1.md").read_text()
    # The fake trainer leaves 0.9, 0.8, 0.7 of the fit's error, and 0.01 more for seed 1.
    table = page[: page.index("## Does")].splitlines()
    rows = {line.split("|")[1].strip(): line for line in table if line[:2] == "| "}
    assert rows["CVN"].startswith("| CVN | 2 | 40 | ")
    assert "± 0.01" in rows["VMN"]
    assert rows["VMN"].endswith("| 3.43 | 3.26 | 3.24 | 3.32 |")
    assert page.count("**reproduced**") == 5
    assert "seeds: 0, 1" in page
    assert "fg3d experiments table1 --scale tiny" in page
    assert page.count("OMP_NUM_THREADS=1 fg3d train") == 6
    with (tmp_path / "out/table1.csv").open() as file:
        cells = {(r["row"], r["column"]): r for r in csv.DictReader(file)}
    fit = [row["fit"] for row in fake_trainer.assessment(1.0)["samples"]]  # type: ignore[attr-defined]
    mean = float(cells[("VMN", "mean")]["mean_percent"])
    assert mean == pytest.approx(100 * 0.705 * sum(fit) / len(fit), rel=1e-5)
    assert cells[("VMN", "mean")]["paper_percent"] == "3.32"
    with (tmp_path / "out/table1-runs.csv").open() as file:
        assert [row["state"] for row in csv.DictReader(file)] == ["finished"] * 6
    assert (tmp_path / "out/table1.png").read_bytes().startswith(b"\x89PNG")


def test_a_stop_writes_what_is_finished_and_says_that_the_same_command_goes_on(
    given: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    train_all = driver.train_all

    def stopped_after_one(runs: Sequence[EvaluateFGNet], setting: Setting) -> NoReturn:
        train_all(runs[:1], setting)
        raise KeyboardInterrupt

    monkeypatch.setattr(driver, "train_all", stopped_after_one)
    monkeypatch.setattr(stopping, "end_children", lambda: None)
    assert main(["experiments", "table1", *given, "--seeds", "1"]) == 130
    said = capsys.readouterr()
    assert said.err == "fg3d: stopped; the same command goes on\n"
    assert "stopped; what is finished is written" in said.out
    with (tmp_path / "out/table1-runs.csv").open() as file:
        states = [row["state"] for row in csv.DictReader(file)]
    assert states.count("finished") == 1
    monkeypatch.setattr(driver, "train_all", train_all)
    assert main(["experiments", "table1", *given, "--seeds", "1"]) == 0


def test_a_failed_run_is_shown_and_the_page_written(
    given: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data/broken-mvn-0").touch()
    assert main(["experiments", "table1", *given, "--seeds", "1"]) == 1
    assert "failed: " in capsys.readouterr().out
    page = (tmp_path / "out/table1.md").read_text()
    assert "* MVN, seed 0: `RuntimeError: this one breaks`" in page
    assert "**not run**: no run of both rows is finished" in page
    assert page.count("**reproduced**") == 2  # CVN and VMN against the fit


def test_the_command_line_says_how_long_and_on_how_much(given: list[str], tmp_path: Path) -> None:
    smaller = ["--seeds", "1", "--epochs", "2", "--samples", "30", "--test-samples", "9"]
    assert main(["experiments", "table1", *given, *smaller]) == 0
    settings = [read_settings(file) for file in (tmp_path / "out/settings").iterdir()]
    assert {config.epochs for config in settings} == {2}
    assert [config.selection.limit for config in settings] == [30, 30, 30]
    assert {config.test_limit for config in settings} == {9}
    page = (tmp_path / "out/table1.md").read_text()
    assert "--seeds 1 --epochs 2 --samples 30 --test-samples 9" in page


def test_tables_share_their_runs(given: list[str], tmp_path: Path) -> None:
    assert main(["experiments", "table1", "table2", *given, "--seeds", "1"]) == 0
    assert len(list((tmp_path / "out/runs").iterdir())) == 3 + 4
    assert main(["experiments", "table2", *given, "--seeds", "1"]) == 0
    calls = [path.read_text() for path in (tmp_path / "out/runs").glob("*/calls.txt")]
    assert calls == ["train\n"] * 7


def test_a_dry_run_prints_commands_and_writes_nothing(
    given: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(tmp_path.rglob("*"))
    assert main(["experiments", "table1", *given, "--seeds", "3", "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert shown.count("fg3d train") == 9
    assert "# 9 training runs, 0 of them finished; 2 side by side, 1 threads each" in shown
    assert sorted(tmp_path.rglob("*")) == before


def test_pages_are_written_without_training(given: list[str], tmp_path: Path) -> None:
    assert main(["experiments", "table1", *given, "--seeds", "1"]) == 0
    (tmp_path / "out/table1.md").unlink()
    assert main(["experiments", "table1", *given, "--seeds", "2", "--no-training"]) == 1
    page = (tmp_path / "out/table1.md").read_text()
    assert "| CVN | 1 | 40 |" in page
    assert len(list((tmp_path / "out/runs").iterdir())) == 3


def test_shapes_that_are_not_there_are_an_error(
    given: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["experiments", "table3", *given]) == 2
    assert "holds no transformed shapes" in capsys.readouterr().err


def test_experiments_on_another_preset_want_another_folder(
    given: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    preset = tmp_path / "toy.toml"
    preset.write_text(preset.read_text().replace("image_size = 64", "image_size = 96"))
    assert main(["experiments", "table1", *given]) == 2
    assert "another preset" in capsys.readouterr().err


def test_the_papers_scale_wants_a_preset(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["experiments", "table1", "--scale", "paper"]) == 2
    assert "--preset" in capsys.readouterr().err


def test_claims_are_about_rows_that_are_there(tmp_path: Path) -> None:
    config = load_preset(write_toy_build(tmp_path, subjects=1, captures=1, shapes=3))
    for make in EXPERIMENTS.values():
        experiment = make(config)
        names = [row.name for row in experiment.rows]
        titles = {column.title for column in experiment.columns}
        assert len(set(names)) == len(names)
        for claim in experiment.claims:
            assert {claim.better, claim.worse} <= set(names)
            assert claim.column.title in titles
        for row in experiment.rows:
            assert set(row.paper) <= titles
    without = dataclasses.replace(config.transform, shapes_per_capture=0)
    with pytest.raises(ConfigError, match="shapes_per_capture"):
        EXPERIMENTS["fig14"](dataclasses.replace(config, transform=without))


def test_scales_name_presets_that_are_there() -> None:
    project = Path(__file__).resolve().parents[2]
    for scale in SCALES.values():
        assert not scale.build_preset or (project / scale.build_preset).is_file()


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["experiments", "--help"]) == 0
    shown = capsys.readouterr().out
    for name in (*EXPERIMENTS, *SCALES):
        assert name in shown


def test_an_older_assessment_is_named(given: list[str], tmp_path: Path) -> None:
    assert main(["experiments", "table1", *given, "--seeds", "1"]) == 0
    file = next((tmp_path / "out/runs").glob("cvn*/assessment-test/assessment.json"))
    table = json.loads(file.read_text())
    for row in table["samples"]:
        del row["predicted_dace"]
    write_sealed_object(file, table)
    assert main(["experiments", "table1", *given, "--seeds", "1"]) == 2
