"""One good capture among many bad ones: it is built, and each of the others is on record."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from bad_captures import write_bad_captures
from toy_build import report_text, write_toy_build

from fg3d_builder.captures import open_source
from fg3d_builder.config import SourceConfig
from fg3d_builder.shards.reader import read_manifest
from fg3d_builder.shards.verify import verify_dataset

PROJECT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_good_one_is_built_and_each_bad_one_recorded(tmp_path: Path) -> None:
    preset = write_toy_build(tmp_path, subjects=1, captures=1)
    bad = write_bad_captures(tmp_path / "captures")
    text = preset.read_text(encoding="utf-8")
    text = text.replace("chunk_size = 2", "chunk_size = 20")
    text = text.replace("max_failure_rate = 0.0", "max_failure_rate = 1.0")
    preset.write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "fg3d_builder.cli", "build", str(preset)]
    # As users run it, so that every message is also printed and logged.
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "out")],
        capture_output=True,
        cwd=PROJECT,
        timeout=900,
        check=False,
    )
    printed = (done.stdout + done.stderr).decode("utf-8")
    assert done.returncode == 0, printed
    assert "Traceback" not in printed
    dataset = tmp_path / "out/dataset"
    assert verify_dataset(dataset).problems == ()
    manifest = read_manifest(dataset)
    failures = {one["capture_id"]: one for one in manifest["failures"]}
    source = open_source(SourceConfig(kind="folder", path=str(tmp_path / "captures")))
    names = {Path(one.location).name: one.capture_id for one in source.entries()}
    assert set(failures) == {names[name] for name in bad}
    assert len(failures) >= 60
    for name, what in bad.items():
        assert failures[names[name]]["code"] == what.code
        for word in what.words:
            assert word in failures[names[name]]["message"]
    pictures = {path.stem for path in (tmp_path / "out").rglob("failures/*.png")}
    assert pictures == set(failures)
    assert "<script>" not in report_text(tmp_path / "out")
    shutil.rmtree(tmp_path / "captures")
