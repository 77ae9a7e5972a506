"""Whole builds of toy captures: content, failures, resuming, and being killed."""

from __future__ import annotations

import html
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import luigi
import numpy as np
import pytest
from toy_build import report_text, write_toy_build

from fg3d_builder.files.sealed import read_sealed_json, write_sealed_json
from fg3d_builder.geometry.meshes import vertex_normals
from fg3d_builder.review.review_list import read_review_list
from fg3d_builder.shards.costs import COSTED
from fg3d_builder.shards.manifest import read_manifest
from fg3d_builder.shards.reader import Sample, ShardReader
from fg3d_builder.shards.verify import verify_dataset
from fg3d_builder.tasks import BuildFG3D

PROJECT = Path(__file__).resolve().parents[2]


def build(preset: Path, out: Path) -> bool:
    """Build in this process."""
    luigi.configuration.get_config().set("core", "no_configure_logging", "true")
    logging.getLogger("luigi-interface").setLevel(logging.CRITICAL)
    luigi.task_register.Register.clear_instance_cache()  # as in a process of its own
    task = BuildFG3D(preset=str(preset), out=str(out))
    result = luigi.build([task], local_scheduler=True, detailed_summary=True)
    return result.status == luigi.LuigiStatusCode.SUCCESS


def command(preset: Path, out: Path, *more: str) -> list[str]:
    luigi_command = [sys.executable, "-m", "luigi", "--module", "fg3d_builder.tasks"]
    arguments = ["BuildFG3D", "--preset", str(preset), "--out", str(out), "--local-scheduler"]
    return [*luigi_command, *arguments, *more]


def content(dataset: Path) -> dict[str, object]:
    """Every file's bytes; of the manifest, all but the hash of the source code and costs."""
    found: dict[str, object] = {p.name: p.read_bytes() for p in sorted(dataset.iterdir())}
    manifest = read_manifest(dataset)
    manifest["versions"].pop("fg3d-builder-source")
    manifest.pop("costs")
    manifest.pop("seal_sha256")
    return {**found, "manifest.json": manifest}


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a preset, and an undisturbed build of it in ``undisturbed``."""
    folder = tmp_path_factory.mktemp("toy")
    preset = write_toy_build(folder)
    assert build(preset, folder / "undisturbed")
    return folder


def test_dataset_is_good_and_complete(toy: Path) -> None:
    dataset = toy / "undisturbed/dataset"
    report = verify_dataset(dataset)
    assert report.problems == ()
    assert report.samples == 18  # six captures, each also turned to either side
    manifest = read_manifest(dataset)
    assert manifest["failures"] == []
    subjects = [manifest["splits"][split]["subjects"] for split in ("train", "test")]
    assert sorted(subjects[0] + subjects[1]) == ["s0", "s1", "s2"]
    assert all(subjects)


def test_the_manifest_says_what_every_stage_has_cost(toy: Path) -> None:
    manifest = read_manifest(toy / "undisturbed/dataset")
    rows = {row["stage"]: row for row in manifest["costs"]}
    assert set(rows) == {*COSTED} - {"counts"}  # of so few chunks an example is drawn of each
    for name, row in rows.items():
        # Nobody takes parts of three subjects.
        assert row["captures"] == {"transform": 0, "examples": row["captures"]}.get(name, 6), name
        assert row["unknown"] == 0
        assert 0 <= row["processor_s"] < 60
        assert 0 < row["wall_s"] < 60
        assert row["peak_mb"] is None or 50 < row["peak_mb"] < 20_000
    assert rows["registration"]["processor_s"] > rows["manifest"]["processor_s"] > 0
    per_sample = rows["views"]["processor_s_per_sample"]
    assert per_sample == pytest.approx(rows["views"]["processor_s"] / 18, abs=1e-6)


def test_costs_that_earlier_versions_did_not_note_are_unknown(toy: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(toy / "undisturbed", out, symlinks=True)
    (out / "build.lock").unlink(missing_ok=True)
    facts = sorted(out.glob("work/landmarks-*/*.json"))[0]
    table = read_sealed_json(facts, facts.parent.name)
    captures = len(table["seconds"])
    del table["cost"]
    write_sealed_json(facts, table, facts.parent.name)
    for note in out.glob("work/costs/dataset-*/train-*.json"):
        note.unlink()
    next((out / "work").glob("complete-*.json")).unlink()
    assert build(toy / "toy.toml", out)
    manifest = read_manifest(out / "dataset")
    rows = {row["stage"]: row for row in manifest["costs"]}
    assert rows["landmarks"]["unknown"] == captures
    assert rows["shards"]["unknown"] == manifest["splits"]["train"]["captures"]
    assert rows["registration"]["unknown"] == 0
    assert verify_dataset(out / "dataset").problems == ()
    assert content(out / "dataset") == content(toy / "undisturbed/dataset")


def test_samples_show_what_they_say(toy: Path) -> None:
    """The registered shape, put through pose and camera, covers the face in the image."""
    for split in ("train", "test"):
        reader = ShardReader(toy / "undisturbed/dataset", split)
        for sample in reader:  # type: ignore[attr-defined]
            check_it_shows_its_shape(reader, sample)


def check_it_shows_its_shape(reader: ShardReader, sample: Sample) -> None:
    """Toy skin is red even where no light falls, and what lies behind it is blue."""
    shape = sample["shape_obj_mm"].astype(float)
    camera = sample["scale"] * shape @ sample["rotation"].T + sample["translation_mm"]
    pixels = (camera / camera[:, 2:]) @ sample["intrinsics"].T
    normals = vertex_normals(camera, reader.model.triangles)
    facing = -np.einsum("nd,nd->n", normals, camera) / np.linalg.norm(camera, axis=1)
    # Vertices at the outline, or at the open border of the toy mesh, share their pixel with the
    # wall: a face is 40 pixels wide.
    inner = sample["visible"] & (facing > 0.5)
    column, row = pixels[inner][:, :2].round().astype(int).T
    seen = sample["image"][row, column].astype(int)
    assert (seen[:, 0] > seen[:, 2]).mean() > 0.99


def test_a_second_run_builds_nothing(toy: Path) -> None:
    out = toy / "undisturbed"
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*") if p.is_file()}
    assert build(toy / "toy.toml", out)
    after = {p: p.stat().st_mtime_ns for p in out.rglob("*") if p.is_file()}
    after.pop(out / "build.lock", None)
    before.pop(out / "build.lock", None)
    assert after == before


def test_the_report_names_every_capture(toy: Path) -> None:
    report = toy / "undisturbed/report"
    page = (report / "captures-0001.html").read_text(encoding="utf-8")
    for subject in range(3):
        for number in range(2):
            name = f"s{subject}-{number}"
            assert f'<tr id="{name}"' in page
            assert f'href="pictures/{name}.jpg"' in page
            assert (report / f"pictures/{name}.jpg").stat().st_size > 10_000
            assert (report / f"pictures/thumbnail~{name}.jpg").stat().st_size > 1_000
    assert str(toy) not in report_text(
        toy / "undisturbed"
    )  # links are relative: the folder can be sent to somebody


def test_workers_and_the_literal_command_give_the_same_bytes(toy: Path) -> None:
    out = toy / "by-command"
    run = command(toy / "toy.toml", out, "--workers", "2")
    done = subprocess.run(run, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "6 of 6 captures registered" in done.stderr
    assert "registered 6/6" in done.stderr
    assert content(out / "dataset") == content(toy / "undisturbed/dataset")


def test_bad_captures_are_recorded_and_the_others_built(tmp_path: Path) -> None:
    scans = '[[sources]]\nkind = "scan"\npath = "scans"\n'
    preset = write_toy_build(tmp_path, subjects=5, captures=1, more=scans)
    captures = tmp_path / "captures"
    table = json.loads((captures / "s0-0/capture.json").read_text())
    del table["landmarks"]
    (captures / "s0-0/capture.json").write_text(json.dumps(table))
    table = json.loads((captures / "s1-0/capture.json").read_text())
    del table["intrinsics"]
    (captures / "s1-0/capture.json").write_text(json.dumps(table))
    color = captures / "s2-0/color.png"
    color.write_bytes(color.read_bytes()[:5000])
    (tmp_path / "scans/broken").mkdir(parents=True)
    (tmp_path / "scans/broken/mesh.obj").write_text("v 0 0\nf 1 2 3\n")
    assert not build(preset, tmp_path / "out")  # max_failure_rate is 0
    failures = read_manifest(tmp_path / "out/dataset")["failures"]
    codes = {failure["capture_id"].split("_")[0]: failure["code"] for failure in failures}
    assert codes == {
        "s0-0": "no_annotation",
        "s1-0": "missing_field",
        "s2-0": "unreadable_image",
        "broken": "unreadable_mesh",
    }
    assert verify_dataset(tmp_path / "out/dataset").ok
    assert verify_dataset(tmp_path / "out/dataset").samples == 6
    page = report_text(tmp_path / "out")
    for failure in failures:
        assert failure["message"] in html.unescape(page)
        picture = f"pictures/failed-{failure['stage']}-{failure['capture_id']}.png"
        assert (tmp_path / "out/report" / picture).is_file()

    relaxed = preset.read_text().replace("max_failure_rate = 0.0", "max_failure_rate = 0.9")
    preset.write_text(relaxed)
    assert build(preset, tmp_path / "out")


def test_a_build_in_which_everything_fails_still_says_so(tmp_path: Path) -> None:
    preset = write_toy_build(tmp_path, subjects=1, captures=1)
    (tmp_path / "captures/s0-0/color.png").unlink()
    assert not build(preset, tmp_path / "out")
    assert [f["code"] for f in read_manifest(tmp_path / "out/dataset")["failures"]] == [
        "missing_file"
    ]
    assert "missing_file" in (tmp_path / "out/report/index.html").read_text(encoding="utf-8")
    assert "no shards" in verify_dataset(tmp_path / "out/dataset").problems[0]


def test_changed_settings_do_not_mix_with_old_products(toy: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    no_lock = shutil.ignore_patterns("build.lock")  # this process holds the copied one
    shutil.copytree(toy / "undisturbed", out, symlinks=True, ignore=no_lock)
    text = (toy / "toy.toml").read_text()
    changed = toy / "changed.toml"
    changed.write_text(text.replace("image_size = 64", "image_size = 48"))
    assert build(changed, out)
    assert ShardReader(out / "dataset", "train")[0]["image"].shape == (48, 48, 3)
    assert len(list(out.glob("work/registration-*"))) == 1  # not made again
    assert build(toy / "toy.toml", out)
    assert content(out / "dataset") == content(toy / "undisturbed/dataset")


def shown(out: Path) -> dict[str, dict[str, object]]:
    """Every sample of a dataset by its id, arrays as bytes."""
    found = {}
    for split in ("train", "test"):
        for sample in ShardReader(out / "dataset", split):  # type: ignore[attr-defined]
            row = {k: v.tobytes() if hasattr(v, "tobytes") else v for k, v in sample.items()}
            found[str(sample["capture_id"])] = row
    return found


def mtimes(out: Path) -> dict[str, int]:
    """When the files were written that a verdict may not touch."""
    kinds = ("captures-*", "landmarks-*", "fitting-*", "registration-*", "report-*")
    found = [p for kind in kinds for p in out.glob(f"work/{kind}/*")]
    return {str(p): p.stat().st_mtime_ns for p in [*found, *out.glob("report/pictures/s*.jpg")]}


def test_a_person_rejects_and_the_dataset_obeys(
    toy: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out, preset = tmp_path / "out", toy / "toy.toml"
    no_lock = shutil.ignore_patterns("build.lock")  # this process holds the copied one
    shutil.copytree(toy / "undisturbed", out, symlinks=True, ignore=no_lock)
    whole, untouched = shown(out), mtimes(out)
    first = (out / "dataset").resolve()
    listed = out / "review.csv"
    fresh = listed.read_text(encoding="utf-8")
    assert sorted(read_review_list(listed).entries) == [f"s{s}-{n}" for s in range(3) for n in "01"]

    edited = fresh.replace("s1-0,auto", "s1-0,reject") + "# seen on Monday\nelsewhere-7,reject,,\n"
    listed.write_text(edited, encoding="utf-8")
    assert build(preset, out)
    assert listed.read_text(encoding="utf-8") == edited
    assert "captures that this build does not have: elsewhere-7" in caplog.text
    assert (out / "dataset").resolve() != first
    assert verify_dataset(out / "dataset").problems == ()
    manifest = read_manifest(out / "dataset")
    rejected = manifest["rejected"]
    assert [(r["capture_id"], r["subject_id"], r["code"]) for r in rejected] == [
        ("s1-0", "s1", "by_hand")
    ]
    assert manifest["failures"] == []
    left = shown(out)
    assert left == {name: row for name, row in whole.items() if name != "s1-0"}
    # A shard that did not hold the capture has not changed by a byte.
    same = [p for p in first.glob("t*-0*.h5") if "s1" not in _subjects(p)]
    assert same
    for shard in same:
        assert shard.read_bytes() == (out / "dataset" / shard.name).read_bytes()
    assert mtimes(out) == untouched
    page = report_text(out)
    assert "left out: rejected in the review list" in page
    assert 'href="pictures/s1-0.jpg"' in page  # kept to be looked at

    listed.write_text(fresh, encoding="utf-8")
    assert build(preset, out)
    assert (out / "dataset").resolve() == first
    assert shown(out) == whole


def test_the_threshold_rejects_and_a_person_overrules_it(toy: Path, tmp_path: Path) -> None:
    out, preset = tmp_path / "out", toy / "strict.toml"
    no_lock = shutil.ignore_patterns("build.lock")
    shutil.copytree(toy / "undisturbed", out, symlinks=True, ignore=no_lock)
    untouched = mtimes(out)
    text = (toy / "toy.toml").read_text() + '[review]\nmin_quality = 1.0\nlist = "mine.csv"\n'
    preset.write_text(text)
    verdicts = "capture_id,verdict,quality,note\ns0-1,accept,,sharp enough\n"
    (toy / "mine.csv").write_text(verdicts)
    assert build(preset, out)
    manifest = read_manifest(out / "dataset")
    assert manifest["accepted"] == ["s0-1"]
    assert {r["code"] for r in manifest["rejected"]} == {"low_quality"}
    assert len(manifest["rejected"]) == 5
    assert all(" < 1" in r["message"] for r in manifest["rejected"])
    assert list(shown(out)) == ["s0-1"]
    assert mtimes(out) == untouched
    entries = read_review_list(toy / "mine.csv").entries
    assert len(entries) == 6
    assert entries["s0-1"].note == "sharp enough"


def test_a_malformed_list_stops_the_build_before_it_costs_anything(tmp_path: Path) -> None:
    preset = write_toy_build(tmp_path, subjects=1, captures=1)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/review.csv").write_text("capture_id,verdict,quality,note\ns0-0,maybe\n")
    assert not build(preset, tmp_path / "out")
    assert not list((tmp_path / "out/work").glob("*/chunk-*"))


def _subjects(shard: Path) -> set[str]:
    with h5py.File(shard, "r") as file:
        return {name.decode() for name in file["captures/subject_id"][()]}


def _count(pattern: str, number: int) -> Callable[[Path], bool]:
    return lambda out: len(list(out.glob(pattern))) >= number


MOMENTS = {
    "captures are loaded": _count("work/captures-*/*.product", 1),
    "the second chunk is registered": _count("work/registration-*/*.product", 2),
    "the first shard is written": _count("dataset-*/*.h5", 1),
}


def kill_when(run: list[str], out: Path, moment: Callable[[Path], bool]) -> None:
    """Start a build and kill -9 all its processes at a moment."""
    process = subprocess.Popen(
        run,
        cwd=PROJECT,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    limit = time.monotonic() + 120
    while not moment(out):
        assert process.poll() is None, "the build ended before it could be killed"
        assert time.monotonic() < limit
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (out / "dataset").exists()


def test_killed_once_and_resumed(toy: Path, tmp_path: Path) -> None:
    run = command(toy / "toy.toml", tmp_path / "out", "--workers", "2")
    kill_when(run, tmp_path / "out", MOMENTS["the second chunk is registered"])
    assert build(toy / "toy.toml", tmp_path / "out")
    assert content(tmp_path / "out/dataset") == content(toy / "undisturbed/dataset")


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_killed_at_every_moment_and_resumed(toy: Path, tmp_path: Path, workers: str) -> None:
    out = tmp_path / "out"
    run = command(toy / "toy.toml", out, "--workers", workers)
    for moment in MOMENTS.values():
        kill_when(run, out, moment)
    subprocess.run(run, cwd=PROJECT, capture_output=True, check=True)
    assert content(out / "dataset") == content(toy / "undisturbed/dataset")
    assert not list((out / "dataset").glob(".*"))
