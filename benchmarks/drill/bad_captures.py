"""Captures that are wrong in many ways, each beside a good one: the build ends, and names it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.drill.capture_cases import CASES
from benchmarks.drill.outcomes import Ended, Outcome, Tally, judged_words
from benchmarks.drill.site import Site, content_hash
from benchmarks.drill.world import drill_capture, drill_model
from fg3d_builder.captures.folder import write_capture
from fg3d_builder.shards.reader import read_manifest

KIND = "bad captures"
GOOD = "good"
BAD = "wrong"


def run(site: Site, tally: Tally, count: int, seed: int) -> None:
    """Build a good capture beside each bad one, `count` of them, and at last beside all."""
    root = site.root / "bad"
    shutil.rmtree(root, ignore_errors=True)
    preset = _world(site, root / "world")
    captures = root / "world" / "captures"
    alone = site.server.run(site.build(root / "alone", preset, 1))
    if alone.status != 0:
        tally.add(KIND, "the good one alone", Outcome.BLOCKED, alone.last_lines)
        return
    order = np.random.default_rng([seed, 6]).permutation(len(CASES))
    names = [list(CASES)[int(i)] for i in order[:count]]
    wanted = content_hash(root / "alone")
    for name in names:
        folder = captures / BAD
        _make(captures, folder, name)
        ended = site.server.run(site.build(root / "out", preset, 1))
        outcome, what = _judged(root / "out", ended, name, wanted)
        repeat = f"capture_cases.CASES[{name!r}] beside a good one"
        tally.add(KIND, name, outcome, what, repeat, under=what[:60])
        _away(captures)
    for name in names:
        _make(captures, captures / name.replace(" ", "-").replace("/", "-")[:60], name)
    ended = site.server.run(site.build(root / "out", preset, 1))
    outcome, what = all_judged(root / "out", ended, names)
    tally.add(KIND, "all at once", outcome, what, "all bad captures in one folder")


def _world(site: Site, folder: Path) -> Path:
    model = drill_model()
    write_capture(folder / "captures" / GOOD, drill_capture(model, 0))
    shutil.copyfile(site.preset.parent / "model.h5", folder / "model.h5")
    text = site.preset.read_text(encoding="utf-8")
    for old, new in (
        ("max_failure_rate = 0.0", "max_failure_rate = 0.99"),
        ("chunk_size = 3", "chunk_size = 1"),
        ("shapes_per_capture = 1", "shapes_per_capture = 0"),
    ):
        assert old in text
        text = text.replace(old, new)
    (folder / "bad.toml").write_text(text, encoding="utf-8")
    return folder / "bad.toml"


def _make(captures: Path, folder: Path, name: str) -> None:
    """Copy the good capture and do to it what a case does."""
    shutil.copytree(captures / GOOD, folder)
    table = json.loads((folder / "capture.json").read_text(encoding="utf-8"))
    table["subject"] = f"subject of {folder.name}"
    (folder / "capture.json").write_text(json.dumps(table), encoding="utf-8")
    CASES[name][0](folder)


def _away(captures: Path) -> None:
    for entry in os.listdir(os.fsencode(captures)):
        if entry != GOOD.encode():
            shutil.rmtree(os.path.join(os.fsencode(captures), entry))


def recorded_failures(out: Path) -> list[dict[str, Any]]:
    """Return the failures that the dataset's manifest records."""
    return list(read_manifest(out / "dataset")["failures"])


def built_captures(out: Path) -> int:
    """Return how many captures the dataset holds."""
    return sum(split["captures"] for split in read_manifest(out / "dataset")["splits"].values())


def _judged(out: Path, ended: Ended, name: str, wanted: str) -> tuple[Outcome, str]:
    """The build ends, the good capture is in it, and the bad one's failure names what is wrong."""
    words = CASES[name][1]
    outcome, what = judged_words(ended)
    if outcome is not Outcome.RIGHT:
        return outcome, what
    if ended.status != 0:
        return Outcome.BLOCKED, f"status {ended.status}: {ended.last_lines}"
    failures = recorded_failures(out)
    if words is None:  # harmless: taken as it is
        built = built_captures(out)
        right = not failures and built == 2
        what = "" if right else f"{built} captures are built, failures: {failures}"
        return (Outcome.RIGHT if right else Outcome.SILENT), what
    if len(failures) != 1:
        return Outcome.SILENT, f"accepted: {len(failures)} failures recorded"
    failure = failures[0]
    if content_hash(out) != wanted:
        return Outcome.SILENT, "the good capture is not built as alone"
    if failure["code"] == "internal_error":
        return Outcome.TRACEBACK, f"internal_error: {failure['message'][:200]}"
    missing = [word for word in words if word not in failure["message"]]
    if missing:
        return Outcome.UNCLEAR, f"{missing[0]} is not named: {failure['message'][:200]}"
    return Outcome.RIGHT, ""


def all_judged(out: Path, ended: Ended, names: list[str]) -> tuple[Outcome, str]:
    """The build ends, and of all captures each is built or among the failures."""
    outcome, what = judged_words(ended)
    if outcome is not Outcome.RIGHT or ended.status != 0:
        return (
            Outcome.BLOCKED if outcome is Outcome.RIGHT else outcome,
            what or f"status {ended.status}: {ended.last_lines}",
        )
    built, failed = built_captures(out), len(recorded_failures(out))
    wanted = 1 + sum(CASES[name][1] is None for name in names)
    right = (built, failed) == (wanted, 1 + len(names) - wanted)
    what = f"{built} of {wanted} good captures are built, of {1 + len(names)} {failed} have failed"
    return (Outcome.RIGHT, "") if right else (Outcome.SILENT, what)
