"""What is read from is a larger copy of the dataset, and every way of reading runs."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
from toy_shards import write_toy_shards

from benchmarks.reading import copied, measure
from fg3d_builder.shards import ShardReader


def test_copies_are_the_rows_under_other_names(tmp_path: Path) -> None:
    write_toy_shards(tmp_path / "small")
    copies = copied(tmp_path / "small", tmp_path / "large", 12)
    source, large = (ShardReader(folder, "train") for folder in (tmp_path / "small", copies))
    assert len(large) == 15
    by_name = {sample["sample_id"]: sample for sample in large}
    for sample, copy in itertools.product(source, range(3)):
        capture, *rest = sample["sample_id"].split("/")
        found = by_name["/".join([f"{capture}-{copy}", *rest])]
        for name in ("image", "shape_obj_mm", "rotation", "initial_alpha_id", "subject_id"):
            np.testing.assert_array_equal(found[name], sample[name])  # type: ignore[literal-required]


def test_every_way_reads_in_its_orders(tmp_path: Path) -> None:
    write_toy_shards(tmp_path / "small")
    rows = measure(tmp_path / "small", tmp_path, samples=12, at_once=4, rounds=1)
    assert [row["name"] for row in rows if "random" not in row] == [
        row["name"] for row in rows if row["name"].startswith("WebDataset")
    ]
    assert all(row["in order"] > 0 for row in rows)
