"""What the manifest says of costs, and what verification says of that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from toy_dataset import write_toy_dataset

from fg3d_builder.files.sealed_object import write_sealed_object
from fg3d_builder.shards.costs import Cost, cost_table
from fg3d_builder.shards.manifest import read_manifest, state_costs
from fg3d_builder.shards.verify import verify_dataset

SPENT = [
    ("views", 10, Cost(3.0, 4.0, 500.0)),
    ("captures", 10, Cost(1.0, 2.0, None)),
    ("views", 6, Cost(5.0, 5.0, 700.0)),
    ("views", 4, None),
    ("transform", 0, Cost(0.5, 0.5, 400.0)),
]


def test_sums_largest_peak_and_what_is_unknown() -> None:
    captures, views, transform = cost_table(SPENT, 80)
    assert (captures["stage"], views["stage"]) == ("captures", "views")  # in the order of a build
    assert captures["peak_mb"] is None
    assert views == {
        "stage": "views",
        "captures": 20,
        "unknown": 4,
        "processor_s": 8.0,
        "wall_s": 9.0,
        "peak_mb": 700.0,
        # 8 s for 16 captures: 10 s for all 20, of which 80 samples are made.
        "processor_s_per_sample": 0.125,
    }
    assert transform["processor_s"] == 0.5


def test_nothing_known_is_no_time_a_sample() -> None:
    (row,) = cost_table([("views", 4, None)], 80)
    assert (row["unknown"], row["processor_s_per_sample"]) == (4, None)
    (row,) = cost_table([("views", 4, Cost(1.0, 1.0, None))], 0)
    assert row["processor_s_per_sample"] is None


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    write_toy_dataset(tmp_path)
    state_costs(tmp_path / "dataset", SPENT)
    return tmp_path / "dataset"


def test_costs_change_nothing_that_identifies_a_dataset(dataset: Path, tmp_path: Path) -> None:
    with_costs = read_manifest(dataset)
    assert with_costs["costs"] == cost_table(SPENT, 10)
    assert verify_dataset(dataset).problems == ()
    before = (dataset / "manifest.json").stat().st_mtime_ns
    state_costs(dataset, SPENT)  # the same: nothing is written
    assert (dataset / "manifest.json").stat().st_mtime_ns == before
    write_toy_dataset(tmp_path / "without")
    without = read_manifest(tmp_path / "without/dataset")
    assert without["content_sha256"] == with_costs["content_sha256"]
    differ = {name for name in with_costs if with_costs[name] != without[name]}
    assert differ == {"costs", "seal_sha256"}


def test_a_manifest_of_an_earlier_version_has_none(dataset: Path) -> None:
    manifest = read_manifest(dataset)
    del manifest["costs"]
    write_sealed_object(dataset / "manifest.json", manifest)
    assert verify_dataset(dataset).problems == ()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"processor_s": -1.0}, "costs of views hold a value that is no cost"),
        ({"peak_mb": -0.5}, "costs of views hold a value that is no cost"),
        ({"unknown": 21}, "costs of views: 21 of 20 captures are unknown"),
        ({"processor_s": 16.0}, "costs of views: seconds a sample are not those of its sums"),
        ({"stage": "captures"}, "costs are not those of the stages, one each, in their order"),
        ({"seconds": 1}, "broken: TypeError"),
    ],
)
def test_costs_that_cannot_be_true(dataset: Path, change: dict[str, Any], said: str) -> None:
    manifest = read_manifest(dataset)
    manifest["costs"][1] |= change
    write_sealed_object(dataset / "manifest.json", manifest)
    assert said in "\n".join(verify_dataset(dataset).problems)
