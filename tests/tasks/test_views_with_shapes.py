"""Views and new shapes of a chunk are made in one pass where both are missing, else apart."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from test_build import build, content
from toy_build import write_toy_build

from fg3d_builder.files.products import SUFFIX
from fg3d_builder.shards.manifest import read_manifest
from fg3d_builder.shards.verify import verify_dataset
from fg3d_builder.tasks import isolation
from fg3d_builder.tasks.build import BuildFG3D
from fg3d_builder.tasks.dataset_tasks import TransformShapes
from fg3d_builder.tasks.facts import Facts, read_facts
from fg3d_builder.tasks.report_tasks import WriteReport
from fg3d_builder.tasks.review import verdicts_now
from fg3d_builder.tasks.spending import Meter

SUBJECTS = 7
"""Of which one is for testing, and a chunk has no other."""

PROGRAM = '''
"""fg3d, with a library that ends the process when it sees one capture, in one function."""
import ctypes, os, sys
from fg3d_builder import cli
from fg3d_builder.pipeline import augmentation
from fg3d_builder.tasks import alone, isolation

real = getattr(augmentation, os.environ["WHERE"])

def crashing(model, capture, *others):
    if capture.capture_id == "s1-0":
        ctypes.string_at(0)
    return real(model, capture, *others)

setattr(augmentation, os.environ["WHERE"], crashing)
isolation.command = lambda order: [sys.executable, __file__, "alone", order]
if __name__ == "__main__":
    alone.main(sys.argv[2]) if sys.argv[1] == "alone" else sys.exit(cli.main(sys.argv[1:]))
'''


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a preset, and a build of it in ``whole``."""
    folder = tmp_path_factory.mktemp("together")
    preset = write_toy_build(folder, subjects=SUBJECTS, captures=1, shapes=1)
    text = preset.read_text().replace("test_fraction = 0.4", "test_fraction = 0.2")
    text = text.replace('split_salt = "toy"', 'split_salt = "b"').replace("size = 2", "size = 1")
    preset.write_text(text)
    assert build(preset, folder / "whole")
    return folder


def facts_of(out: Path, stage: str) -> dict[str, Facts]:
    """Chunk to facts; those of draws have one each."""
    files = out.glob(f"work/{stage}-*/chunk-*.json")
    strip = 1 if stage == "transform" else 0
    return {file.stem.rsplit("-", strip)[0]: read_facts(file) for file in files}


def shape_tasks(preset: Path, out: Path) -> list[TransformShapes]:
    task = BuildFG3D(preset=str(preset), out=str(out))
    verdicts = verdicts_now(task.layout, task.index.capture_ids)
    digest = task.layout.config_digest
    return WriteReport(root=str(out), config=digest, verdicts=verdicts).transforms()


def written(out: Path, stage: str) -> dict[Path, tuple[int, bytes]]:
    files = out.glob(f"work/{stage}-*/*{SUFFIX}")
    return {f.relative_to(out): (f.stat().st_mtime_ns, f.read_bytes()) for f in files}


def test_one_pass_makes_both_and_counts_its_seconds_once(toy: Path) -> None:
    out = toy / "whole"
    views, shapes = facts_of(out, "views"), facts_of(out, "transform")
    shaped = {name for name, facts in shapes.items() if facts.seconds}
    assert set(views) == set(shapes)
    assert len(shaped) == SUBJECTS - 1
    for task in shape_tasks(toy / "toy.toml", out):
        cost = views[task.chunk].cost
        assert cost is not None
        if task.chunk not in shaped:
            assert task.times(9.0) == [("transform", 0, 9.0)]
            continue
        assert task.facts().beside_s == cost.wall_s
        assert task.times(cost.wall_s + 9.0) == [
            ("views", 1, cost.wall_s),
            ("transform", 1, pytest.approx(9.0)),
        ]
        assert task.times(0.0) == [("transform", 1, 0.0)]  # all was there
    (timings,) = out.glob("work/timings-*.csv")
    noted = [line.split(",")[1:3] for line in timings.read_text().splitlines()]
    assert sum(int(n) for kind, n in noted if kind == "views") == SUBJECTS
    assert sum(int(n) for kind, n in noted if kind == "transform") == SUBJECTS - 1


def test_costs_of_one_pass_are_those_of_its_parts(toy: Path) -> None:
    """Together no more than the processor time of the pass: what both share is in one of them."""
    out, preset = toy / "apart", toy / "toy.toml"
    task = next(t for t in shape_tasks(preset, toy / "whole") if t.chunk_draws()[0])
    ignored = shutil.ignore_patterns("build.lock")
    shutil.copytree(toy / "whole", out, symlinks=True, ignore=ignored)
    task = next(t for t in shape_tasks(preset, out) if t.chunk == task.chunk)
    views = task.stage_task("views")
    for one in (task, views):
        one.path().unlink()
    with Meter() as meter:
        task.run()
    costs = [one.facts().cost for one in (task, views)]
    both = sum(cost.processor_s for cost in costs if cost is not None)
    # The meters inside have left next to nothing to the one around them.
    assert 0.0 <= meter.cost.processor_s < 0.2 * both
    assert all(cost is not None and cost.processor_s > 0 for cost in costs)


@pytest.mark.parametrize(
    "missing",
    [
        ("views",),
        pytest.param(("transform",), marks=pytest.mark.slow),
        ("views", "transform"),
    ],
)
def test_what_is_missing_is_made_alone_and_the_same(
    toy: Path, tmp_path: Path, missing: tuple[str, ...]
) -> None:
    out = tmp_path / "out"
    ignored = shutil.ignore_patterns("build.lock")
    shutil.copytree(toy / "whole", out, symlinks=True, ignore=ignored)
    stages = ("views", "transform")
    before = {stage: written(out, stage) for stage in stages}
    for stage in missing:
        for name in before[stage]:
            (out / name).unlink()
    for shard in (out / "dataset").resolve().glob("train-*.h5"):
        shard.unlink()
    assert build(toy / "toy.toml", out)
    assert content(out / "dataset") == content(toy / "whole/dataset")
    for stage in stages:
        after = written(out, stage)
        made = {name for name in after if after[name][0] != before[stage].get(name, (0,))[0]}
        assert {name: data for name, (_, data) in after.items()} == {
            name: data for name, (_, data) in before[stage].items()
        }
        assert made == (set(before[stage]) if stage in missing else set())
    beside = {facts.beside_s > 0 for facts in facts_of(out, "transform").values() if facts.seconds}
    assert beside == {missing != ("transform",)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("where", "runs", "failed"),
    [
        # What both share: the views are tried first, then the shape, each for itself.
        ("fit_texture", 3, [("s1-0", "views"), ("s1-0.transform-0", "transform")]),
        ("transform_capture", 2, [("s1-0.transform-0", "transform")]),
    ],
)
def test_a_crash_in_the_pass_costs_what_crashes_and_nothing_else(
    toy: Path, tmp_path: Path, where: str, runs: int, failed: list[tuple[str, str]]
) -> None:
    program, out = tmp_path / "crashing.py", tmp_path / "out"
    program.write_text(PROGRAM)
    words = ["build", str(toy / "toy.toml"), "--out", str(out), "--workers", "1"]
    for number in range(1, runs + 1):
        done = subprocess.run(
            [sys.executable, str(program), *words],
            env={**os.environ, "WHERE": where},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode == 0) == (number == runs), done.stderr
    assert ("(views); it is tried alone" in done.stderr) == (len(failed) == 2)
    manifest = read_manifest(out / "dataset")
    assert manifest["failures"] == []
    found = [(f["capture_id"], f["stage"], f["code"]) for f in manifest["augmentation_failures"]]
    assert found == [(*one, "crashed") for one in failed]
    assert verify_dataset(out / "dataset").problems == ()
    assert not list(out.rglob(f"*{isolation.SUFFIX}"))
