"""The lines that a build ends with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fg3d_builder.records import Failure
from fg3d_builder.report.summary import (
    code_counts,
    reason_lines,
    split_warnings,
    summary_lines,
)
from fg3d_builder.shards.split import SplitRule


def test_failures_are_counted_by_reason() -> None:
    failures = [Failure(n, "", "captures", c, "") for n, c in ("ax", "by", "cx")]
    assert code_counts(failures) == "2 x, 1 y"


def test_a_reason_that_many_have_is_one_line() -> None:
    rows = [{"capture_id": f"a-{n}", "code": "no_face", "message": "none"} for n in range(200)]
    rows.insert(7, {"capture_id": "b", "code": "no_unit", "message": "unit_mm is 0"})
    assert list(reason_lines("failed", rows)) == [
        "failed: 200 no_face: a-0, a-1, a-2 and 197 others",
        "failed: b: no_unit: unit_mm is 0",
    ]
    assert list(reason_lines("failed", [])) == []


def test_the_summary_is_about_what_the_dataset_holds() -> None:
    spread = {"mean": 1.0, "median": 0.5, "p95": 2.0}
    row = {"surface_mm": spread, "truth_mm": {}, "truth_surface_mm": {}}
    rows = [{**row, "capture_id": "a"}, {**row, "capture_id": "b", "surface_mm": {"mean": 90.0}}]
    rejected = {
        "capture_id": "b",
        "subject_id": "s",
        "quality": 0.01,
        "code": "low_quality",
        "message": "",
    }
    manifest = {
        "rejected": [rejected],
        "augmentation_failures": [],
        "failures": [],
        "splits": {
            "train": {"samples": 2, "subjects": ["s"]},
            "test": {"samples": 0, "subjects": []},
        },
        "config": {"shards": {"split_salt": "demo", "test_fraction": 0.0}},
    }
    failures = [Failure("c", "s", "landmarks", "no_face", "")]
    assert summary_lines("x", 3, rows, failures, manifest, Path("data"), Path("list.csv")) == [
        "x: 2 of 3 captures registered",
        "failed: 1 no_face",
        "left out: 1 low_quality; see list.csv",
        "distance to depth, reliable face: mean 1.00, median 0.50, 95 % 2.00 mm",
        "dataset: data (2 train, 0 test samples)",
        "no subject falls into the test split; its share is 0",
    ]


def test_an_empty_split_says_whether_it_has_anybody() -> None:
    train, test = {"samples": 9, "subjects": ["a"]}, {"samples": 0, "subjects": []}
    manifest: dict[str, Any] = {
        "failures": [],
        "rejected": [],
        "splits": {"train": train, "test": test},
        "config": {"shards": {"split_salt": "demo", "test_fraction": 0.2}},
    }
    alone = "no subject falls into the test split; that takes a second subject"
    assert split_warnings(manifest) == [alone]
    rule = SplitRule("demo", 0.2)
    trained, tested = (
        next(name for name in map(str, range(100)) if rule.of(name) == split)
        for split in ("train", "test")
    )
    lost = {"capture_id": "b-1", "subject_id": trained}
    several = "no subject falls into the test split; another split_salt moves some"
    assert split_warnings({**manifest, "failures": [lost]}) == [several]
    lost = {"capture_id": "b-1", "subject_id": tested}
    none_kept = "the test split is empty: no capture of its 1 subject was kept"
    assert split_warnings({**manifest, "rejected": [lost, lost]}) == [none_kept]
