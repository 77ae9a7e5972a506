"""Runs: their identity, and what becomes of them, with a stand-in for the trainer."""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import fake_trainer
import pytest

from fg3d_builder.reproduction import runs
from fg3d_builder.reproduction.runs import Run, Workers, failure, printed, run_all
from fg3d_builder.reproduction.scales import SCALES
from fg3d_builder.reproduction.tables import ALL_SHAPES, Training
from fg3d_builder.reproduction.variants import Dataset

WORKERS = Workers(2, 1)


def make_run(folder: Path, seed: int = 0, **changes: object) -> Run:
    training = dataclasses.replace(Training(), **changes)  # type: ignore[arg-type]
    dataset = Dataset("full_view", folder / "data", "abc123")
    arguments = training.arguments(SCALES["tiny"], 3, seed, "cpu")
    return Run(training.name, seed, arguments, dataset, dataset, folder / "runs")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "data").mkdir()
    monkeypatch.setattr(runs.sys, "executable", fake_trainer.install(tmp_path))
    return tmp_path


def test_identity_is_stable_and_covers_what_decides(tmp_path: Path) -> None:
    one = make_run(tmp_path)
    assert one.folder == make_run(tmp_path).folder
    assert one.folder.name.startswith("vmn-5views-mse-0-shapes-seed0-")
    others = [
        make_run(tmp_path, seed=1),
        make_run(tmp_path, network="cvn"),
        make_run(tmp_path, view_set="3"),
        make_run(tmp_path, fusion="direct"),
        make_run(tmp_path, vgd=1.0),
        make_run(tmp_path, shapes=1),
        dataclasses.replace(one, arguments=(*one.arguments, "--epochs", "3")),
        dataclasses.replace(one, arguments=(*one.arguments, "--limit", "7")),
        dataclasses.replace(one, trained_on=dataclasses.replace(one.trained_on, content_sha256="")),
    ]
    assert len({run.identity for run in [one, *others]}) == len(others) + 1
    # Where it runs and what it shares decides nothing.
    shared = dataclasses.replace(one, inputs=tmp_path / "inputs")
    assert shared.identity == one.identity
    moved = [w if w != "cpu" else "cuda" for w in one.arguments]
    assert dataclasses.replace(one, arguments=tuple(moved)).identity == one.identity


def test_limits_grow_with_the_shapes_unless_bounded() -> None:
    tiny = SCALES["tiny"]
    limit = {
        name: dict(pairwise(words))["--limit"]
        for name, words in {
            "captured": Training().arguments(tiny, 3, 0, "cpu"),
            "one": Training(shapes=1).arguments(tiny, 3, 0, "cpu"),
            "all": Training(shapes=ALL_SHAPES).arguments(tiny, 3, 0, "cpu"),
            "bounded": Training(shapes=ALL_SHAPES, bounded=True).arguments(tiny, 3, 0, "cpu"),
        }.items()
    }
    base = tiny.captured_samples
    assert limit == {
        "captured": str(base),
        "one": str(2 * base),
        "all": str(4 * base),
        "bounded": str(base),
    }
    assert "--limit" not in Training().arguments(SCALES["paper"], 4, 0, "cuda")


def test_without_a_bound_tables_3_and_4_share_a_training(tmp_path: Path) -> None:
    small = SCALES["small"]
    arguments = [
        Training(shapes=ALL_SHAPES, bounded=bounded).arguments(small, 3, 0, "cpu")
        for bounded in (False, True)
    ]
    assert arguments[0] == arguments[1]


def test_a_finished_run_is_not_done_again(folder: Path) -> None:
    run, lines = make_run(folder), []
    outcome = run_all([run], WORKERS, lines.append)[run]
    assert (outcome.error, run.finished, failure(run)) == ("", True, "")
    assert outcome.seconds > 0
    done = json.loads((run.folder / "done.json").read_text())
    assert done["commands"] == [" ".join(run.commands[0])]
    assert run_all([run], WORKERS, lines.append)[run].seconds == 0
    assert (run.folder / "calls.txt").read_text() == "train\n"
    assert lines[-1] == "1 of 1 trainings are finished already"


def test_a_failing_run_is_recorded_and_stops_no_other(folder: Path) -> None:
    (folder / "data" / "broken-mvn-0").touch()
    broken, good = make_run(folder, network="mvn"), make_run(folder, network="cvn")
    lines: list[str] = []
    outcomes = run_all([broken, good], Workers(1, 1), lines.append)
    assert outcomes[broken].error == "RuntimeError: this one breaks"
    assert (good.finished, broken.finished) == (True, False)
    assert failure(broken) == "RuntimeError: this one breaks"
    record = json.loads((broken.folder / "failed.json").read_text())
    assert record["status"] == 1
    assert record["last_lines"][-2:] == ["begun", "RuntimeError: this one breaks"]
    assert any("failed: RuntimeError" in line for line in lines)
    # It is tried again, and then forgotten.
    (folder / "data" / "broken-mvn-0").unlink()
    assert run_all([broken, good], WORKERS, lines.append)[broken].error == ""
    assert failure(broken) == ""


def test_a_run_on_another_dataset_is_assessed_on_the_shared_one(folder: Path) -> None:
    run = make_run(folder)
    (folder / "other").mkdir()
    other = Dataset("face_profiling", folder / "other", "def456")
    run = dataclasses.replace(run, trained_on=other)
    run_all([run], WORKERS, lambda _text: None)
    assert run.finished
    assert run.result.parent.name == "assessment-full_view-abc123"
    assert (run.folder / "calls.txt").read_text() == "train\nassess\n"


def test_printed_commands_hold_all_that_is_needed(tmp_path: Path) -> None:
    run = dataclasses.replace(make_run(tmp_path), inputs=tmp_path / "inputs")
    text = printed(run.commands[0], WORKERS)
    assert text.startswith("OMP_NUM_THREADS=1 python -m fg3d_builder.fgnet train ")
    for part in (str(run.folder), "--seed 0", "--inputs", "--transforms 0", "--device cpu"):
        assert part in text


def test_a_licensed_face_model_is_named(tmp_path: Path) -> None:
    licensed = Dataset("full_view", tmp_path, "abc", tmp_path / "model.h5")
    run = dataclasses.replace(make_run(tmp_path), trained_on=licensed, tested_on=licensed)
    assert run.commands[0][-2:] == ["--facemodel", str(tmp_path / "model.h5")]


def test_an_interruption_ends_what_runs_and_begins_nothing(folder: Path) -> None:
    """As a person does it: from a process of its own, by a signal."""
    (folder / "data" / "slow-vmn-0").touch()
    code = f"""
import sys
sys.path[:0] = [{str(Path(__file__).parent)!r}]
from pathlib import Path
from test_runs import make_run
from fg3d_builder.reproduction import runs
sys.executable = {sys.executable!r}
folder = Path({str(folder)!r})
todo = [make_run(folder, network=n) for n in ("vmn", "mvn", "cvn")]
print("begun", flush=True)
try:
    runs.run_all(todo, runs.Workers(1, 1), lambda text: None)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""
    python = str(Path(sys.prefix) / "bin" / "python")  # `sys.executable` is the stand-in
    driver = subprocess.Popen([python, "-c", code], stdout=subprocess.PIPE, text=True)
    assert driver.stdout is not None
    assert driver.stdout.readline() == "begun\n"
    slow = make_run(folder)
    deadline = time.monotonic() + 60
    while not (slow.folder / "calls.txt").is_file() and time.monotonic() < deadline:
        time.sleep(0.05)
    driver.send_signal(signal.SIGTERM)
    assert driver.communicate(timeout=60)[0] == "interrupted\n"
    assert [path.name for path in (folder / "runs").iterdir()] == [slow.folder.name]
    assert failure(slow) == ""
    # Nobody holds the run any more: it is done at once.
    (folder / "data" / "slow-vmn-0").unlink()
    assert run_all([slow], WORKERS, lambda _text: None)[slow].error == ""
