"""A table from captures to page, for real: variants built, networks trained, all very small."""

from __future__ import annotations

import dataclasses
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from toy_build import write_toy_build

from fg3d_builder.cli import main
from fg3d_builder.files.sealed import read_sealed_json
from fg3d_builder.reproduction.scales import SCALES
from fg3d_builder.shards.manifest import read_manifest


@pytest.mark.slow
def test_table3_of_a_toy_population(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smallest = dataclasses.replace(SCALES["tiny"], epochs=1, captured_samples=8, seeds=1)
    monkeypatch.setitem(SCALES, "tiny", smallest)
    preset = write_toy_build(tmp_path, subjects=13, captures=1, shapes=1)
    build, out = tmp_path / "build", tmp_path / "out"
    command = ["experiments", "table3", "--scale", "tiny", "--preset", str(preset)]
    command += ["--build", str(build), "--out", str(out), "--workers", "2"]
    assert main(command) == 0

    record = read_sealed_json(out / "datasets.json")
    folders = {variant: Path(row["folder"]) for variant, row in record.items()}
    manifests = {variant: read_manifest(folder) for variant, folder in folders.items()}
    methods = {v: m["config"]["fullview"]["method"] for v, m in manifests.items()}
    assert methods == {"full_view": "full_view", "face_profiling": "face_profiling"}
    # Both are built from the same registrations, and the plain preset is what the folder shows.
    assert len(list((build / "work").glob("registration-*"))) == 1
    assert (build / "dataset").resolve() == folders["full_view"].resolve()

    runs = sorted((out / "runs").iterdir())
    assert len(runs) == 3
    content = manifests["full_view"]["content_sha256"]
    profiled = next(run for run in runs if "face-profiling" in run.name)
    assert (profiled / f"assessment-test-{content[:12]}" / "assessment.json").is_file()
    page = (out / "table3.md").read_text()
    table = [line.split("|") for line in page[: page.index("## Does")].splitlines() if "|" in line]
    rows = {cells[1].strip(): cells for cells in table}
    counts = {name: int(rows[name][3]) for name in ("full view", "full view and shapes")}
    assert counts == {"full view": 8, "full view and shapes": 16}
    assert (out / "table3.png").is_file()

    # A command of the page goes on with its run, which has nothing left to do.
    words = next(line for line in page.splitlines() if "fg3d train" in line).split(" ", 1)[1]
    program = [sys.executable, "-m", "fg3d_builder.cli", *shlex.split(words)[1:]]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]

    # Again: nothing is built or trained.
    times = {r: (r / "checkpoint.pt").stat().st_mtime_ns for r in runs}
    assert main(command) == 0
    assert times == {r: (r / "checkpoint.pt").stat().st_mtime_ns for r in runs}
