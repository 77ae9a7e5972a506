"""A training run and its assessment after a build, by Luigi."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
from pathlib import Path

import luigi
import pytest
from toy_build import write_toy_build

from fg3d_builder.cli import main
from fg3d_builder.layout import BuildLayout
from fg3d_builder.tasks import BuildFG3D, EvaluateFGNet, TrainFGNet, training
from fg3d_builder.tasks.finding import complete_dataset
from fg3d_builder.tasks.training import FAILED_NAME, LOG_NAME, interruptible, last_failure

PROJECT = Path(__file__).resolve().parents[2]
ONE_EPOCH = """
preset = "tiny"
epochs = 1
batch_size = 4
[network]
network = "mvn"
"""


def scheduled(task: luigi.Task) -> bool:
    luigi.configuration.get_config().set("core", "no_configure_logging", "true")
    logging.getLogger("luigi-interface").setLevel(logging.CRITICAL)
    luigi.task_register.Register.clear_instance_cache()  # as in a process of its own
    result = luigi.build([task], local_scheduler=True, detailed_summary=True)
    return bool(result.scheduling_succeeded)


def test_a_network_is_trained_and_assessed_after_the_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[list[str]] = []

    def run_command(words: list[str], *_: object) -> int:
        calls.append(words)
        return main(words)

    monkeypatch.setattr(training, "run_command", run_command)  # torch is there already
    preset = write_toy_build(tmp_path, subjects=3, captures=1)
    settings = tmp_path / "one-epoch.toml"
    settings.write_text(ONE_EPOCH)
    wanted = {"preset": str(preset), "out": str(tmp_path / "out"), "settings": str(settings)}
    wanted["device"] = "cpu"
    task = EvaluateFGNet(**wanted)
    assert not task.complete()
    assert scheduled(task)
    assert [words[0] for words in calls] == ["train"]  # which ends with the assessment
    assert task.complete()
    folder = tmp_path / "out" / "training-one-epoch"
    assert json.loads((folder / "config.json").read_text())["network"]["network"] == "mvn"
    # Again: nothing to do. Another seed: another run, refused in the same folder.
    assert scheduled(EvaluateFGNet(**wanted))
    assert len(calls) == 1
    assert not TrainFGNet(**wanted, seed=1).complete()
    assert not scheduled(TrainFGNet(**wanted, seed=1))
    assert json.loads((folder / FAILED_NAME).read_text())["status"] == 2
    # Other settings in the file: another run as well.
    settings.write_text(ONE_EPOCH.replace("mvn", "cvn"))
    assert not TrainFGNet(**wanted).complete()
    settings.write_text(ONE_EPOCH)
    # On another split, the network is there and is assessed alone.
    assert scheduled(EvaluateFGNet(**wanted, split="train"))
    assert [words[0] for words in calls] == ["train", "train", "assess"]
    assert (folder / "assessment-train" / "assessment.json").is_file()
    # A copy of the dataset holds the same samples.
    copy = EvaluateFGNet(**wanted, other_dataset=str(tmp_path / "out" / "dataset"))
    assert copy.complete()


def test_the_output_of_a_run_is_kept_and_a_failure_recorded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    missing = str(tmp_path / "nowhere")
    loud = TrainFGNet(dataset=missing, settings="tiny", run_folder=str(run), device="cpu")
    assert not scheduled(loud)
    assert "nowhere" in capsys.readouterr().out
    assert "nowhere" in last_failure(run)
    assert (run / LOG_NAME).read_text().startswith("$ fg3d train ")
    quiet = TrainFGNet(dataset=missing, settings="tiny", run_folder=str(run), quiet=True)
    assert not scheduled(quiet)
    assert capsys.readouterr().out == ""


def test_a_process_that_is_told_to_end_raises_and_forgets_it() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), interruptible():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == before


def test_the_dataset_of_a_preset_is_found_without_building(tmp_path: Path) -> None:
    preset = write_toy_build(tmp_path, subjects=3, captures=1)
    task = BuildFG3D(preset=str(preset), out=str(tmp_path / "out"))
    layout: BuildLayout = task.layout
    assert complete_dataset(layout) is None
    assert scheduled(task)
    found = complete_dataset(layout)
    assert found == layout.dataset_link.resolve()
    # Another configuration in the same folder moves the link; this one's is still found.
    preset.write_text(preset.read_text().replace("samples_per_shard = 3", "samples_per_shard = 4"))
    other = BuildFG3D(preset=str(preset), out=str(tmp_path / "out"))
    assert complete_dataset(other.layout) is None
    assert scheduled(other)
    assert complete_dataset(layout) == found != layout.dataset_link.resolve()
    # A rejected capture makes another dataset.
    review = layout.review_list
    review.write_text(review.read_text().replace("s0-0,auto", "s0-0,reject"))
    assert complete_dataset(layout) is None


@pytest.mark.slow
def test_from_the_command_line_with_two_processes(tmp_path: Path) -> None:
    preset = write_toy_build(tmp_path, subjects=3, captures=1)
    command = [sys.executable, "-m", "luigi", "--module", "fg3d_builder.tasks", "TrainFGNet"]
    settings = tmp_path / "one-epoch.toml"
    settings.write_text(ONE_EPOCH)
    command += ["--preset", str(preset), "--out", str(tmp_path / "out"), "--device", "cpu"]
    command += ["--settings", str(settings), "--workers", "2"]
    for _ in range(2):  # the second time everything is there
        done = subprocess.run(
            command, cwd=PROJECT, capture_output=True, text=True, timeout=600, check=False
        )
        assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "out/training-one-epoch/assessment-test/assessment.json").is_file()
