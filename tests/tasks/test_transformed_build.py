"""Whole builds with new shapes: who gives parts to whom, resuming, rejecting a donor."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
from pathlib import Path

import pytest
from test_build import PROJECT, build, check_it_shows_its_shape, command, content
from toy_build import report_text, write_toy_build

from fg3d_builder.files.sealed import read_sealed_json
from fg3d_builder.shards.manifest import read_manifest
from fg3d_builder.shards.reader import Sample, ShardReader
from fg3d_builder.shards.verify import verify_dataset
from fg3d_builder.tasks.chunks import read_index
from fg3d_builder.transform.donors import DONATED_PARTS

SUBJECTS = 9


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a preset of new shapes, and a build of it in ``undisturbed``."""
    folder = tmp_path_factory.mktemp("transformed")
    preset = write_toy_build(folder, subjects=SUBJECTS, captures=1, shapes=1)
    text = preset.read_text(encoding="utf-8").replace("test_fraction = 0.4", "test_fraction = 0.2")
    preset.write_text(text.replace("chunk_size = 2", "chunk_size = 1"), encoding="utf-8")
    assert build(preset, folder / "undisturbed")
    return folder


def samples(out: Path, split: str) -> list[Sample]:
    return list(ShardReader(out / "dataset", split))  # type: ignore[call-overload]


def donors_of(out: Path) -> dict[str, set[str]]:
    """Capture id to the captures that its new shape has parts of."""
    made = [s for s in samples(out, "train") if s["shape_source"] == "transform-0"]
    return {s["capture_id"]: set(json.loads(s["donors"]).values()) for s in made}


def transformed_files(out: Path) -> dict[str, int]:
    """Products of the transformation, and when they were written."""
    return {p.name: p.stat().st_mtime_ns for p in out.glob("work/transform-*/*.product")}


@pytest.mark.slow
def test_new_shapes_stay_within_the_training_split(toy: Path) -> None:
    out = toy / "undisturbed"
    assert verify_dataset(out / "dataset").problems == ()
    manifest = read_manifest(out / "dataset")
    assert manifest["augmentation_failures"] == []
    train = manifest["splits"]["train"]["subjects"]
    assert len(train) > len(DONATED_PARTS)
    assert {s["shape_source"] for s in samples(out, "test")} == {"capture"}
    donors = donors_of(out)
    assert sorted(donors) == [f"{subject}-0" for subject in train]
    for name, given in donors.items():
        assert len(given) == len(DONATED_PARTS)
        assert given <= set(donors) - {name}
    # As captured, and to either side; of the capture's own shape and of the new one.
    assert len(samples(out, "train")) == 6 * len(train)


@pytest.mark.slow
def test_times_are_noted_of_as_many_captures_as_were_worked_on(toy: Path) -> None:
    (timings,) = (toy / "undisturbed").glob("work/timings-*.csv")
    done: dict[str, list[int]] = {}
    left = []
    for line in timings.read_text().splitlines():
        _, kind, captures, seconds = line.split(",")
        done.setdefault(kind, []).append(int(captures))
        left += [float(seconds)] if kind == "shown" else []
    assert left[-1] == 0.0 < left[0]
    assert sum(done["views"]) == sum(done["shards"]) == SUBJECTS
    train = read_manifest(toy / "undisturbed/dataset")["splits"]["train"]["subjects"]
    assert sum(done["transform"]) == len(train) < SUBJECTS
    assert done["examples"] == [1] * SUBJECTS  # one a chunk


@pytest.mark.slow
def test_transformed_samples_show_their_shape_and_not_the_captured_one(toy: Path) -> None:
    reader = ShardReader(toy / "undisturbed/dataset", "train")
    own = {s["capture_id"]: s for s in samples(toy / "undisturbed", "train")[::-1]}
    for sample in samples(toy / "undisturbed", "train"):
        check_it_shows_its_shape(reader, sample)
        if sample["shape_source"] == "capture":
            continue
        captured = own[sample["capture_id"]]
        assert sample["sample_id"].endswith("/transform-0")
        assert 0.0 <= sample["painted"] < 0.5
        assert abs(sample["shape_obj_mm"] - captured["shape_obj_mm"]).max() > 1.0


@pytest.mark.slow
def test_workers_give_the_same_bytes_and_a_second_run_makes_nothing(
    toy: Path, tmp_path: Path
) -> None:
    out, run = tmp_path / "out", command(toy / "toy.toml", tmp_path / "out", "--workers")
    subprocess.run([*run, "2"], cwd=PROJECT, capture_output=True, check=True)
    assert content(out / "dataset") == content(toy / "undisturbed/dataset")
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*") if p.is_file()}
    subprocess.run([*run, "1"], cwd=PROJECT, capture_output=True, check=True)
    after = {p: p.stat().st_mtime_ns for p in out.rglob("*") if p.is_file()}
    before.pop(out / "build.lock", None)
    after.pop(out / "build.lock", None)
    assert after == before


@pytest.mark.slow
def test_a_rejected_capture_gives_no_parts_any_more(toy: Path, tmp_path: Path) -> None:
    """Shapes that it took no part in are not made again."""
    out, preset = tmp_path / "out", toy / "toy.toml"
    no_lock = shutil.ignore_patterns("build.lock")  # this process holds the copied one
    shutil.copytree(toy / "undisturbed", out, symlinks=True, ignore=no_lock)
    before, files = donors_of(out), transformed_files(out)
    rejected = sorted(before)[0]
    listed = out / "review.csv"
    text = listed.read_text(encoding="utf-8")
    listed.write_text(text.replace(f"{rejected},auto", f"{rejected},reject"), encoding="utf-8")
    assert build(preset, out)
    assert verify_dataset(out / "dataset").problems == ()
    after = donors_of(out)
    assert sorted(after) == sorted(set(before) - {rejected})
    assert not any(rejected in given for given in after.values())
    for name, given in after.items():
        assert len(given - before[name]) <= (1 if rejected in before[name] else 0)
    # Old products stay; new ones are those of chunks whose captures drew it, also in vain.
    again = transformed_files(out)
    assert {name: again[name] for name in files} == files
    draws = read_sealed_json(next(iter((toy / "undisturbed").glob("work/draws-*.json"))))
    touched = {
        name
        for name, shapes in draws["draws"].items()
        if name == rejected
        or any(rejected[:-2] in d.values() for attempts in shapes for d in attempts)
    }
    (listing,) = out.glob("work/index-*.json")
    index = read_index(listing)
    chunks = {chunk.name for chunk in index.chunks if touched & set(chunk.capture_ids)}
    assert len(chunks) < len(index.chunks)
    assert {name.rsplit("-", 1)[0] for name in set(again) - set(files)} == chunks


@pytest.mark.slow
def test_a_shape_that_cannot_be_made_is_named_and_shown(toy: Path, tmp_path: Path) -> None:
    out, preset = tmp_path / "out", toy / "strict.toml"
    no_lock = shutil.ignore_patterns("build.lock", "report")
    shutil.copytree(toy / "undisturbed", out, symlinks=True, ignore=no_lock)
    text = (toy / "toy.toml").read_text(encoding="utf-8")
    stricter = "[transform]\nmax_deviation_sd = 1e-6\n"  # no more than one's own face has
    preset.write_text(text.replace("[transform]\n", stricter), encoding="utf-8")
    assert build(preset, out)
    assert verify_dataset(out / "dataset").problems == ()
    manifest = read_manifest(out / "dataset")
    failures = manifest["augmentation_failures"]
    assert failures
    assert {failure["code"] for failure in failures} == {"no_target_shape"}
    assert manifest["failures"] == []
    # Each has its new shape or its failure, and every capture is in the dataset all the same.
    made = set(donors_of(out))
    lost = {failure["capture_id"].removesuffix(".transform-0") for failure in failures}
    assert not made & lost
    assert made | lost == {s["capture_id"] for s in samples(out, "train")}
    page = report_text(out)
    for failure in failures:
        picture = f"pictures/failed-transform-{failure['capture_id']}.png"
        assert f'src="{picture}"' in page
        assert (out / "report" / picture).is_file()


def test_too_few_subjects_make_no_shapes_and_say_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    preset = write_toy_build(tmp_path, subjects=2, captures=1, shapes=1)
    with caplog.at_level(logging.WARNING, logger="fg3d"):
        assert build(preset, tmp_path / "out")
    assert "no new shapes: they need 5 training subjects" in caplog.text
    sources = {s["shape_source"] for x in ("train", "test") for s in samples(tmp_path / "out", x)}
    assert sources == {"capture"}
    assert verify_dataset(tmp_path / "out/dataset").ok
    page = (tmp_path / "out/report/index.html").read_text(encoding="utf-8")
    assert "turned views of captures" in page
    assert "new shapes, as captured" not in page
