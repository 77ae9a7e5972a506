"""Training runs: their identity, and what becomes of them, with a fake trainer."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import fake_trainer
import pytest
from toy_shards import write_toy_shards

from fg3d_builder.config import BuildConfig, TransformConfig
from fg3d_builder.fgnet.training.settings import preset_with_changes
from fg3d_builder.reproduction.runs import make_run, printed, train_all, write_settings
from fg3d_builder.reproduction.scales import SCALES
from fg3d_builder.reproduction.setting import Setting
from fg3d_builder.reproduction.tables import ALL_SHAPES, Experiment, Recipe, Row
from fg3d_builder.reproduction.variants import Dataset, Variants
from fg3d_builder.tasks import EvaluateFGNet, training
from fg3d_builder.tasks.training import FAILED_NAME, LOG_NAME, last_failure

SLEEPER = f"""#!{sys.executable}
import time
print("begun", flush=True)
time.sleep(300)
"""


def make_setting(folder: Path, scale: str = "tiny", workers: int = 1) -> Setting:
    config, out = BuildConfig(transform=TransformConfig(shapes_per_capture=3)), folder / "out"
    options = argparse.Namespace(seeds=None, dry_run=False, no_training=False)
    variants, preset = Variants(config, folder / "build", out), folder / "preset.toml"
    machine = {"device": "cpu", "workers": workers, "threads": 1, "gpus": 0}
    return Setting(options, SCALES[scale], preset, config, out, variants, **machine)


def run_of(
    setting: Setting, seed: int = 0, content: str = "abc123", **changes: object
) -> EvaluateFGNet:
    """Write the settings of a run, and return it."""
    wanted = dataclasses.replace(Recipe(), **changes)  # type: ignore[arg-type]
    dataset = Dataset("full_view", setting.out.parent / "data", content)
    datasets = {"full_view": dataset}
    datasets["face_profiling"] = dataclasses.replace(dataset, variant="face_profiling")
    write_settings(Experiment("x", "", "", (Row("row", wanted),), (), ()), setting)
    return make_run(wanted, seed, setting, datasets)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "data").mkdir()
    write_toy_shards(tmp_path / "data")
    monkeypatch.setattr(training, "run_command", fake_trainer.run_command)
    return tmp_path


def test_identity_is_stable_and_covers_what_decides(tmp_path: Path) -> None:
    setting = make_setting(tmp_path)
    one = run_of(setting)
    assert one.folder == run_of(setting).folder
    assert one.folder.name.startswith("vmn-5views-mse-0-shapes-seed0-")
    longer = dataclasses.replace(setting.scale, epochs=3)
    fewer = dataclasses.replace(setting.scale, captured_samples=7)
    others = [
        run_of(setting, seed=1),
        run_of(setting, network="cvn"),
        run_of(setting, view_set="3"),
        run_of(setting, fusion="direct"),
        run_of(setting, vgd=1.0),
        run_of(setting, shapes=1),
        run_of(dataclasses.replace(setting, scale=longer)),
        run_of(dataclasses.replace(setting, scale=fewer)),
        run_of(setting, content=""),
    ]
    assert len({run.folder for run in [one, *others]}) == len(others) + 1
    # Where it runs and what it shares decides nothing.
    alone = dataclasses.replace(setting.scale, shares_inputs=False)
    elsewhere = dataclasses.replace(setting, scale=alone, threads=4, workers=2)
    assert run_of(elsewhere).folder == one.folder
    assert run_of(elsewhere) == one


def test_settings_are_those_of_the_row(tmp_path: Path) -> None:
    run = run_of(make_setting(tmp_path), seed=2, network="mvn", psd=4.0)
    config = run.training.config()
    assert (config.network.network, config.seed, config.epochs) == ("mvn", 2, 8)
    assert (config.loss.mse, config.loss.psd, config.loss.vgd) == (1.0, 4.0, 0.0)
    assert (config.selection.transforms, config.selection.limit) == (0, 800)


def test_limits_grow_with_the_shapes_unless_bounded() -> None:
    tiny = SCALES["tiny"]
    limit = {
        name: preset_with_changes(wanted.settings(tiny, 3, "cpu"), name).selection.limit
        for name, wanted in {
            "captured": Recipe(),
            "one": Recipe(shapes=1),
            "all": Recipe(shapes=ALL_SHAPES),
            "bounded": Recipe(shapes=ALL_SHAPES, bounded=True),
        }.items()
    }
    base = tiny.captured_samples
    assert limit == {"captured": base, "one": 2 * base, "all": 4 * base, "bounded": base}
    assert "limit" not in Recipe().settings(SCALES["paper"], 4, "cuda")["selection"]


def test_without_a_bound_tables_3_and_4_share_a_training(tmp_path: Path) -> None:
    setting = make_setting(tmp_path, "small")
    one, other = (run_of(setting, shapes=ALL_SHAPES, bounded=b) for b in (False, True))
    assert one == other


def test_a_finished_run_is_not_done_again(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    setting = make_setting(folder)
    run = run_of(setting)
    train_all([run], setting)
    assert (run.complete(), last_failure(run.folder)) == (True, "")
    assert f"[1/1] {run.folder.name}: finished" in capsys.readouterr().out
    train_all([run], setting)
    assert (run.folder / "calls.txt").read_text() == "train\n"
    assert capsys.readouterr().out == "1 of 1 training runs are finished already\n"
    # A checkpoint of other settings is no finished run.
    checkpoint = run.folder / "checkpoint.pt"
    checkpoint.write_bytes((run_other(setting).folder / "checkpoint.pt").read_bytes())
    assert not run.complete()


def run_other(setting: Setting) -> EvaluateFGNet:
    other = run_of(setting, seed=5)
    train_all([other], setting)
    return other


@pytest.mark.parametrize("workers", [1, 2])
def test_a_failing_run_is_recorded_and_stops_no_other(
    folder: Path, capfd: pytest.CaptureFixture[str], workers: int
) -> None:
    setting = make_setting(folder, workers=workers)
    (folder / "data" / "broken-mvn-0").touch()
    broken, good = run_of(setting, network="mvn"), run_of(setting, network="cvn")
    train_all([broken, good], setting)
    assert (good.complete(), broken.complete()) == (True, False)
    assert last_failure(broken.folder) == "RuntimeError: this one breaks"
    record = json.loads((broken.folder / FAILED_NAME).read_text())
    assert record["status"] == 1
    assert record["last_lines"][-2:] == ["begun", "RuntimeError: this one breaks"]
    assert "failed: RuntimeError: this one breaks" in capfd.readouterr().out
    # It is tried again, and then forgotten.
    (folder / "data" / "broken-mvn-0").unlink()
    train_all([broken, good], setting)
    assert (broken.complete(), last_failure(broken.folder)) == (True, "")


def test_a_run_on_another_dataset_is_assessed_on_the_shared_one(folder: Path) -> None:
    setting = make_setting(folder)
    (folder / "other").mkdir()
    write_toy_shards(folder / "other", train=4)
    wanted = Recipe("face_profiling")
    write_settings(Experiment("x", "", "", (Row("row", wanted),), (), ()), setting)
    datasets = {
        "full_view": Dataset("full_view", folder / "data", "abc123"),
        "face_profiling": Dataset("face_profiling", folder / "other", "def456"),
    }
    run = make_run(wanted, 0, setting, datasets)
    train_all([run], setting)
    assert run.complete()
    assert run.result().parent.name.startswith("assessment-test-")
    assert (run.folder / "calls.txt").read_text() == "train\nassess\n"
    assert [words[0] for words in run.commands()] == ["train", "assess"]


def test_printed_commands_hold_all_that_is_needed(tmp_path: Path) -> None:
    run = run_of(make_setting(tmp_path))
    text = printed(run.commands()[0], 1)
    assert text.startswith("OMP_NUM_THREADS=1 fg3d train ")
    for part in (str(run.folder), "--seed 0", "--inputs", "--settings", "--device cpu"):
        assert part in text


def test_a_licensed_face_model_is_named(tmp_path: Path) -> None:
    licensed = Dataset("full_view", tmp_path, "abc", tmp_path / "model.h5")
    run = make_run(Recipe(), 0, make_setting(tmp_path), {"full_view": licensed})
    assert run.commands()[0][-2:] == ["--facemodel", str(tmp_path / "model.h5")]


def test_gpus_are_dealt_in_turn(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, str] = {}

    def run_command(
        words: list[str], record: Path, environment: dict[str, str], quiet: bool
    ) -> int:
        seen[record.parent.name] = environment["CUDA_VISIBLE_DEVICES"]
        return fake_trainer.run_command(words, record, environment, quiet)

    monkeypatch.setattr(training, "run_command", run_command)
    setting = dataclasses.replace(make_setting(folder), gpus=2)
    runs = [run_of(setting, seed=seed) for seed in range(3)]
    train_all(runs, setting)
    assert [seen[run.folder.name] for run in runs] == ["0", "1", "0"]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_interruption_ends_what_runs_and_begins_nothing(tmp_path: Path, workers: int) -> None:
    """As a person does it: from a process of its own, by a signal."""
    (tmp_path / "data").mkdir()
    write_toy_shards(tmp_path / "data")
    sleeper = tmp_path / "sleeper"
    sleeper.write_text(SLEEPER)
    sleeper.chmod(0o755)
    code = f"""
import sys
sys.path[:0] = [{str(Path(__file__).parent)!r}, {str(Path(__file__).parents[1])!r}]
from pathlib import Path
from test_runs import make_setting, run_of, train_all
sys.executable = {str(sleeper)!r}
setting = make_setting(Path({str(tmp_path)!r}), workers={workers})
todo = [run_of(setting, network=n) for n in ("vmn", "mvn", "cvn")]
print("begun", flush=True)
try:
    train_all(todo, setting)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""
    driver = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert driver.stdout is not None
    assert driver.stdout.readline() == "begun\n"
    runs = tmp_path / "out" / "runs"
    deadline = time.monotonic() + 120
    while len(begun(runs)) < workers and time.monotonic() < deadline:
        time.sleep(0.05)
    driver.send_signal(signal.SIGTERM)
    assert driver.communicate(timeout=60)[0] == "interrupted\n"
    assert len(begun(runs)) == len(list(runs.iterdir())) == workers
    assert not list(runs.rglob(FAILED_NAME))
    assert not sleeping(sleeper)


def begun(runs: Path) -> list[Path]:
    return [log for log in runs.glob(f"*/{LOG_NAME}") if "begun" in log.read_text()]


def sleeping(program: Path) -> list[str]:
    """Command lines of the processes that run the program."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has just ended
            found.append(path.read_text(errors="replace"))
    return [line for line in found if str(program) in line]
