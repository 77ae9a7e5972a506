"""What `fg3d status` says of builds, datasets and training runs in every state."""

from __future__ import annotations

import json
import logging
import os
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import luigi
import pytest
from toy_build import write_toy_build

from fg3d_builder.cli import main
from fg3d_builder.config import load_preset
from fg3d_builder.errors import ConfigError
from fg3d_builder.fgnet.training.checkpoint import Progress, save_checkpoint
from fg3d_builder.fgnet.training.run_status import note_dataset, run_status
from fg3d_builder.fgnet.training.settings import TRAIN_PRESETS
from fg3d_builder.files.locks import claim, release
from fg3d_builder.files.products import is_complete
from fg3d_builder.guidance import page_for
from fg3d_builder.layout import CHUNK_STAGES, BuildLayout
from fg3d_builder.review.review_list import update_review_list
from fg3d_builder.tasks.begun import note_begun, read_begun
from fg3d_builder.tasks.cleaning import layouts_of
from fg3d_builder.tasks.stage_products import ChunkProduct, stage_products
from fg3d_builder.tasks.status import BuildStatus, build_status
from fg3d_builder.tasks.time_left import Work

FIELDS = {
    *("kind", "folder", "name", "state", "running", "preset", "notes", "captures", "work"),
    *("dropped", "failures", "left_out", "working", "damaged", "dataset", "report", "workers"),
    *("seconds_left", "times_measured", "last_task_s", "next", "sizes"),
}


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A preset, and a build of its three captures in ``out``; one of them has no depth."""
    folder = tmp_path_factory.mktemp("status") / "with a space"
    folder.mkdir()
    preset = write_toy_build(folder, subjects=3, captures=1)
    text = preset.read_text().replace("chunk_size = 2", "chunk_size = 3")
    preset.write_text(text.replace("max_failure_rate = 0.0", "max_failure_rate = 0.5"))
    (depth,) = folder.rglob("s2-0/depth.*")
    depth.write_bytes(b"no image")
    assert main(["build", str(preset), "--out", str(folder / "out"), "--workers", "2"]) == 0
    release(folder / "out/build.lock", os.getpid())
    return folder


@pytest.fixture
def out(toy: Path) -> Iterator[Path]:
    """The folder of that build, put back as it was afterwards."""
    out = toy / "out"
    shutil.copytree(out, toy / "kept", symlinks=True)
    luigi.task_register.Register.clear_instance_cache()
    yield out
    shutil.rmtree(out)
    (toy / "kept").rename(out)


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path): (path.lstat().st_mtime_ns, path.lstat().st_size) for path in folder.rglob("*")
    }


def looked_at(out: Path) -> BuildStatus:
    """Look, and see that nothing was changed by that."""
    before = snapshot(out.parent)
    status = build_status(out)
    assert snapshot(out.parent) == before
    return status


def product(out: Path, stage: str) -> Path:
    (found,) = (out / "work").glob(f"{stage}-*/chunk-*.product")
    return found


def begin_anew(out: Path, *stages: str) -> None:
    """Remove what a build made of some stages and after them."""
    for stage in stages:
        for folder in (out / "work").glob(f"{stage}-*"):
            shutil.rmtree(folder)
    for pattern in ("complete-*", "decisions-*", "plan-*", "draws-*", "donors-*"):
        for file in (out / "work").glob(pattern):
            file.unlink()
    for folder in out.glob("dataset*"):
        folder.unlink() if folder.is_symlink() else shutil.rmtree(folder)


def test_a_complete_build(toy: Path, out: Path) -> None:
    status = looked_at(out)
    assert status.state == "complete"
    assert status.captures == 3
    assert all(work.left == 0 for work in status.work.values())
    assert status.dataset is not None
    assert status.dataset.current
    assert status.dataset.missing == []
    assert status.dataset.samples > 0
    assert status.report == str(out / "report/index.html")
    assert (status.notes, status.damaged, status.working) == ([], [], [])
    assert status.preset == str(toy / "toy.toml")
    assert status.next == f"fg3d verify '{out}/dataset'"
    assert status.seconds_left == 0


def test_failures_are_told_with_picture_and_page(out: Path) -> None:
    (group,) = looked_at(out).failures
    assert (group.stage, group.code, group.count) == ("captures", "unreadable_image", 1)
    assert group.page == page_for("unreadable_image")
    assert group.first[0].capture_id == "s2-0"
    assert Path(group.first[0].picture).is_file()


def test_an_interrupted_build_goes_on_with_its_own_command(toy: Path, out: Path) -> None:
    begin_anew(out, "registration", "views", "transform")
    status = looked_at(out)
    assert status.state == "incomplete"
    assert [status.work[s].done for s in CHUNK_STAGES] == [3, 3, 3, 0, 0]
    assert status.dataset is None
    assert status.times_measured
    assert status.seconds_left > 0
    assert status.workers == 2
    assert status.next == f"fg3d build '{toy / 'toy.toml'}' --out '{out}' --workers 2"
    assert main(shlex.split(status.next)[1:]) == 0
    release(out / "build.lock", os.getpid())
    assert build_status(out).state == "complete"


def test_what_was_worked_on_when_a_build_died_is_named(out: Path) -> None:
    begin_anew(out, "registration", "views", "transform")
    fits = product(out, "fitting")
    journal = fits.with_suffix(".at")
    journal.write_text(json.dumps({"at": "s0-0", "suspects": ["s1-0"]}))
    assert looked_at(out).working == ["s0-0", "s1-0"]


def test_damaged_files_are_named_and_stay_where_they_are(out: Path) -> None:
    fits = product(out, "fitting")
    fits.write_bytes(fits.read_bytes()[:-10])
    facts = next((out / "work").glob("captures-*/chunk-*.json"))
    facts.write_text(facts.read_text()[:-5])
    status = looked_at(out)
    assert status.damaged == [str(path.relative_to(out)) for path in (facts, fits)]
    assert status.work["fitting"].total == 3


def test_what_a_lean_build_drops_meanwhile_is_not_damaged(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits = product(out, "fitting")

    def dropped_just_now(path: Path) -> bool:
        if path == fits and path.is_file():
            path.with_suffix(".dropped").touch()
            path.unlink()
        return is_complete(path)

    monkeypatch.setattr("fg3d_builder.tasks.stage_products.is_complete", dropped_just_now)
    found = stage_products(fits.parent, [ChunkProduct(fits, frozenset({"s0-0", "s1-0"}))])
    assert (found.work, found.dropped, found.damaged) == (Work(2, 2), 2, [])


def test_a_build_that_runs_is_named(out: Path) -> None:
    claim(out / "build.lock")
    try:
        status = build_status(out)
        assert status.state == "running"
        assert status.running is not None
        assert status.running[1] == os.getpid()
        assert status.next == f"fg3d status '{out}'"
        update_review_list(out / "review.csv", lambda old: old.with_verdicts(["s0-0"], "reject"))
        status = build_status(out)
        assert status.dataset is not None
        assert status.dataset.current  # verdicts that are given meanwhile are those of the next one
        assert status.work["shards"].left == 0
    finally:
        release(out / "build.lock", os.getpid())
    assert not build_status(out).dataset.current  # type: ignore[union-attr]


def test_a_second_build_is_told_of_the_first_and_of_the_page(
    toy: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begin_anew(out, "views")
    (out / "build.lock").write_text(json.dumps({"host": "elsewhere", "pid": "7", "start": "1"}))
    assert main(["build", str(toy / "toy.toml"), "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert "fg3d: process 7 on elsewhere builds in" in said
    assert said.endswith("see docs/troubleshooting.md#another-build-is-running\n")


def test_the_configuration_that_was_begun_last_is_told(toy: Path, out: Path) -> None:
    """Also where many thousand tasks have ended since, and another one has been built before."""
    (known,) = layouts_of(out)
    other = BuildLayout(out, replace(known.config, name="earlier"), known.facemodel_identity)
    other.freeze()
    other.timings.write_text("1.0,begun,0,0.0\n2.0,captures,3,1.0\n")
    with known.timings.open("a") as file:
        file.writelines(f"{4e9 + i},fitting,3,0.1\n" for i in range(5000))
    assert looked_at(out).name == known.config.name


def test_a_changed_review_list_is_told_by_what_it_would_change(out: Path) -> None:
    update_review_list(out / "review.csv", lambda old: old.with_verdicts(["s0-0"], "reject"))
    status = looked_at(out)
    assert status.state == "incomplete"
    assert status.dataset is not None
    assert not status.dataset.current
    assert status.notes == [
        "the review list has changed since the dataset was written: s0-0 would leave it"
    ]


def test_a_changed_preset_and_new_captures_are_told(toy: Path, out: Path) -> None:
    preset = toy / "toy.toml"
    text = preset.read_text()
    captures = toy / "captures"
    source = next(path.parent.parent for path in toy.rglob("s0-0/capture.json"))
    try:
        preset.write_text(text + "\n[fullview]\nyaw_step_deg = 17\n")
        with pytest.raises(ConfigError):
            build_status(out, preset)  # asked for by name, it has to be sound
        assert "the preset cannot be read now" in build_status(out).notes[0]
        preset.write_text(text.replace('name = "', 'name = "other-'))
        assert build_status(out).notes == [
            "the preset has changed since the last build; all stages' products stay in use",
            "what is missing is a file of the report or dataset, or the end of the build",
        ]
        preset.write_text(text)
        shutil.copytree(source / "s0-0", source / "s9-0")
        assert build_status(out).notes == [
            "captures since the last build: 1 new, 0 gone, 0 changed"
        ]
    finally:
        preset.write_text(text)
        shutil.rmtree(source / "s9-0", ignore_errors=True)
    assert captures.exists() or source.exists()


def test_products_that_a_lean_build_has_dropped_are_done(out: Path) -> None:
    for stage in CHUNK_STAGES:
        path = product(out, stage)
        path.with_suffix(".dropped").touch()
        path.unlink()
    status = looked_at(out)
    assert status.dropped == 3
    assert status.state == "complete"


def test_statuses_and_fields_for_scripts(
    toy: Path, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", str(out), "--json"]) == 0
    table = json.loads(capsys.readouterr().out)
    assert set(table) == FIELDS
    assert table["work"]["registration"] == {"done": 3, "total": 3}
    assert main(["status", str(out)]) == 0
    shown = capsys.readouterr().out
    assert "1 unreadable_image (captures); see docs/troubleshooting.md#" in shown
    begin_anew(out, "views")
    assert main(["status", str(out)]) == 1
    assert f"next: fg3d build '{toy / 'toy.toml'}'" in capsys.readouterr().out
    assert main(["status", str(tmp_path)]) == 2
    assert "is no build (it has no work/), no dataset" in capsys.readouterr().err
    (tmp_path / "b c/a").mkdir(parents=True)
    (tmp_path / "b c/a/capture.json").touch()
    assert main(["status", str(tmp_path / "b c")]) == 2
    assert f"`fg3d captures check '{tmp_path}/b c'`" in capsys.readouterr().err
    assert main(["status", str(tmp_path / "none")]) == 2
    assert "none does not exist" in capsys.readouterr().err
    assert main(["status", str(toy / "toy.toml")]) == 2
    assert "was not built in build/" in capsys.readouterr().err


def test_a_preset_of_the_project_is_found_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "work").mkdir()
    layout = BuildLayout(tmp_path, load_preset("tasks/demo.toml"), "model")
    note_begun(layout, "tasks/demo.toml", [], 1, "")
    begun = read_begun(layout)
    assert begun is not None
    assert load_preset(begun.preset) == layout.config
    assert main(["status", "tasks/demo.toml"]) == 2
    assert f"`fg3d build {begun.preset}`" in capsys.readouterr().err


def test_looking_changes_no_level_of_the_log(out: Path) -> None:
    loggers = [logging.getLogger(name) for name in ("fg3d", "fg3d_builder")]
    before = [logger.level for logger in loggers]
    assert main(["status", str(out)]) == 0
    assert [logger.level for logger in loggers] == before


def test_a_dataset_by_itself(out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = tmp_path / "dataset"
    shutil.copytree((out / "dataset").resolve(), dataset)
    assert main(["status", str(dataset), "--json"]) == 0
    about = json.loads(capsys.readouterr().out)
    assert (about["kind"], about["complete"], about["failures"]) == ("dataset", True, 1)
    (dataset / "topology.h5").unlink()
    assert main(["status", str(dataset), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["missing"] == ["topology.h5"]
    (dataset / "manifest.json").write_text("{}")
    assert main(["status", str(dataset)]) == 1
    assert "not whole" in capsys.readouterr().out


def test_a_training_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, config = tmp_path / "run", TRAIN_PRESETS["tiny"]
    note_dataset(run, tmp_path / "data", None, None, 54)
    save_checkpoint(run / "checkpoint.pt", config, {}, Progress(epoch=2, batch=3, step=23), {})
    (run / "log.csv").write_text(
        "step,epoch,rate,total,mse,psd,vgd,test_nme\n10,1,0.1,1,1,,,0.03\n20,2,0.1,1,1,,,0.025\n"
    )
    status = run_status(run)
    assert (status.epoch, status.epochs, status.step, status.steps) == (2, 15, 23, 150)
    assert (status.watched, status.best_nme, status.best_epoch) == ("test", 0.025, 2)
    assert not status.complete
    assert status.next == (f"fg3d train {tmp_path}/data --out {run} --settings {run}/config.json")
    assert main(["status", str(run)]) == 1
    assert "2 of 15 epochs, 23 of 150 steps" in capsys.readouterr().out

    data = bytearray((run / "checkpoint.pt").read_bytes())
    data[-1] ^= 1
    (run / "checkpoint-before.pt").write_bytes(bytes(data))
    (run / "checkpoint.pt").write_bytes(bytes(data[:-1]))
    (run / "config.json").write_text('{"preset": "tiny"}')
    assert main(["status", str(run)]) == 1
    shown = capsys.readouterr().out
    assert f"damaged: {run}/checkpoint.pt, {run}/checkpoint-before.pt" in shown
    assert "0 of 15 epochs, 0 steps" in shown
    assert (run / "checkpoint.pt").read_bytes() == bytes(data[:-1])
