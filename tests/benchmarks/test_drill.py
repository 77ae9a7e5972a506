"""The drill: its mutations and its judgement; and, slow, a small one from end to end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.drill.damage import WAYS, damage
from benchmarks.drill.mutate import FORMS, mutated
from benchmarks.drill.outcomes import Ended, Outcome, Tally, judged_words
from benchmarks.drill.world import drill_mesh
from fg3d_builder.files.mesh_io import write_mesh

PROJECT = Path(__file__).resolve().parents[2]
TRACEBACK = """\
Traceback (most recent call last):
  File "a.py", line 1, in f
    g()
ValueError: no
"""


@pytest.mark.parametrize("form", [*FORMS, "bytes"])
def test_mutations_change_a_file_and_follow_from_the_seed(form: str, tmp_path: Path) -> None:
    valid = json.dumps({"a": [1, 2.5, {"b": "c"}], "d": None}).encode()
    if form == "glb":
        write_mesh(tmp_path / "a.glb", drill_mesh())
        valid = (tmp_path / "a.glb").read_bytes()
    for case in range(60):
        first, second = (mutated(valid, form, np.random.default_rng(case)) for _ in range(2))
        assert first == second
        assert first != valid


@pytest.mark.parametrize("way", WAYS)
def test_damage_leaves_another_file_or_none(way: str, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"hello world")
    damage(path, way, np.random.default_rng(0), b"another")
    assert not path.exists() or path.read_bytes() != b"hello world"


def test_commands_are_judged_by_what_they_print() -> None:
    assert judged_words(Ended(1, "a.h5 is damaged; run again", 1.0), {"the file": "a.h5"}) == (
        Outcome.RIGHT,
        "",
    )
    assert judged_words(Ended(1, "failed", 1.0), {"the file": "a.h5"})[0] is Outcome.UNCLEAR
    assert judged_words(Ended(None, "", 240.0))[0] is Outcome.BLOCKED
    outcome, what = judged_words(Ended(1, f"12:00 failed\n{TRACEBACK}", 1.0))
    assert outcome is Outcome.TRACEBACK
    assert what == 'File "a.py", line 1, in f: ValueError: no'


def test_findings_of_one_sort_are_counted_together() -> None:
    tally = Tally()
    for number in (17, 18):
        tally.add("kills", "group", Outcome.STATUS, f"status {number}", f"kill {number}")
    tally.add("kills", "group", Outcome.RIGHT)
    table = tally.table()
    assert (table["kinds"]["kills"]["tried"], table["kinds"]["kills"]["right"]) == (3, 1)
    (finding,) = table["findings"]
    assert (finding["count"], finding["reproduction"]) == (2, "kill 17")


@pytest.mark.slow
def test_a_small_drill_finds_nothing(tmp_path: Path) -> None:
    words = "--kills 8 --damage 25 --training-damage 6 --mutations 60 --races 30 --disk 4"
    files = ["--out", str(tmp_path / "drill.json"), "--folder", str(tmp_path / "drill")]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.drill", *words.split(), "--captures", "12", *files],
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    kinds = json.loads((tmp_path / "drill.json").read_text())["kinds"]
    assert kinds["kills"]["tried"] >= 8
    assert kinds["mutations"]["tried"] >= 60 * 30
