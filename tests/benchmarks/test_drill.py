"""The drill: its mutations and its judgement; and, slow, a small one from end to end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks.drill import __main__ as drill_main
from benchmarks.drill import bad_captures, kills, mutations
from benchmarks.drill.damage import WAYS, damage
from benchmarks.drill.mutate import FORMS, mutated
from benchmarks.drill.outcomes import Ended, Outcome, Tally, judged_words
from benchmarks.drill.readers import Reader
from benchmarks.drill.site import same_content
from benchmarks.drill.world import drill_mesh
from fg3d_builder.errors import CaptureError
from fg3d_builder.files.mesh_io import write_mesh
from fg3d_builder.files.sealed_object import SEAL, write_sealed_object

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


@pytest.mark.parametrize(
    "said",
    [
        "fg3d: KeyError: 'pose' (a fault of fg3d; where it arose is in /tmp/fg3d-error-1.txt)",
        "12:00:00 chunk-0, stage views: KeyError: 'pose'; details in /out/work/errors.log",
    ],
)
def test_a_fault_whose_traceback_is_in_a_file_is_a_finding(said: str) -> None:
    outcome, what = judged_words(Ended(1, f"12:00 begun\n{said}\nrun again", 1.0))
    assert (outcome, what) == (Outcome.TRACEBACK, said)


def an_interrupted_site() -> Any:
    return SimpleNamespace(differences=lambda _out: [], reference=Path("none"))


@pytest.mark.parametrize(
    ("way", "status", "said", "wanted"),
    [
        (
            "worker",
            1,
            "chunk-0, stage views: its process was killed by SIGKILL; run again",
            "RIGHT",
        ),
        ("worker", 1, "not complete; the same command goes on", "UNCLEAR"),
        ("worker", 0, "chunk-0: its process was killed by SIGKILL; run again", "STATUS"),
        ("SIGTERM", 130, "stopped; the same command goes on", "RIGHT"),
        ("SIGTERM", -15, "", "RIGHT"),
        ("SIGTERM", 1, "stopped; the same command goes on", "STATUS"),
        ("SIGTERM", 130, "stopped", "UNCLEAR"),
        ("Ctrl-C", 1, "stopped; the same command goes on", "STATUS"),
    ],
)
def test_killed_builds_say_who_was_killed(
    way: str, status: int, said: str, wanted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kills, "content_hash", str)
    site = an_interrupted_site()
    site.missing = lambda _out: ["dataset"]
    found, _ = kills.judged(way, Ended(status, said, 1.0), site, tmp_path)
    assert found is Outcome[wanted]


def test_a_manifest_of_other_code_is_the_same_and_one_whose_seal_is_broken_is_not(
    tmp_path: Path,
) -> None:
    names = [tmp_path / x / "manifest.json" for x in ("a", "b", "c")]
    for path, code in zip(names, ("1", "2", "1"), strict=True):
        path.parent.mkdir()
        write_sealed_object(path, {"shards": [], "versions": {"fg3d-builder-source": code}})
    broken = json.loads(names[2].read_text())
    broken[SEAL] = broken[SEAL][::-1]
    names[2].write_text(json.dumps(broken))
    assert same_content(names[0], names[1], "dataset-1/manifest.json")
    assert not same_content(names[2], names[0], "dataset-1/manifest.json")


@pytest.mark.parametrize(("built", "failed", "right"), [(2, 2, True), (1, 3, False), (2, 1, False)])
def test_every_capture_is_built_or_has_failed(
    built: int, failed: int, right: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two that are wrong and one of an odd name, beside the good one."""
    monkeypatch.setattr(bad_captures, "built_captures", lambda _out: built)
    monkeypatch.setattr(bad_captures, "recorded_failures", lambda _out: [{}] * failed)
    names = ["no subject", "no depth", "name with a line break"]
    found, _ = bad_captures.all_judged(tmp_path, Ended(0, "", 1.0), names)
    assert (found is Outcome.RIGHT) == right


@pytest.mark.parametrize(
    ("about", "wanted"), [("a.json", Outcome.RIGHT), ("", Outcome.UNCLEAR)], ids=["file", "folder"]
)
def test_a_reader_names_the_file_and_not_its_folder(
    about: str, wanted: Outcome, tmp_path: Path
) -> None:
    def make(folder: Path) -> Path:
        (folder / "a.json").write_text('{"a": 1}')
        return folder / "a.json"

    def read(path: Path) -> None:
        if path.read_text() != '{"a": 1}':
            raise CaptureError("bad_json", f"{path.parent / about}: no JSON")

    tally = Tally()
    reader = Reader("r", "text", make, read, (CaptureError,), lambda _found, _wanted: "")
    mutations.run([reader], tmp_path / "mutations", tally, 5, 0)
    assert tally.counts["mutations"]["r"] == {"tried": 5, wanted.value: 5}


def test_a_reader_that_does_not_exist_is_no_success(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drill_main, "all_readers", lambda *_: [])
    options = drill_main.arguments(["--readers", "capture.jsn"])
    with pytest.raises(SystemExit, match="2"):
        drill_main.run_kind("mutations", an_interrupted_site(), Tally(), options)


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
