"""Which chunks are drawn, and what is counted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from toy_views import views

from fg3d_builder.pipeline.augmentation_report import (
    DRAWN_CHUNKS,
    augmentation_counts,
    drawn_chunks,
)
from fg3d_builder.shards.rows import TransformedShape
from fg3d_builder.shards.schema import ShapeRow


@pytest.mark.parametrize("count", [1, 2, DRAWN_CHUNKS, DRAWN_CHUNKS + 1, 30_000])
def test_a_bounded_number_of_chunks_is_drawn_from_all_over_the_build(count: int) -> None:
    names = [f"chunk-{i:05d}" for i in range(count)]
    chosen = sorted(names.index(name) for name in drawn_chunks(names))
    assert len(chosen) == min(count, DRAWN_CHUNKS)
    if count > 2 * DRAWN_CHUNKS:
        assert chosen[0] < 0.25 * count
        assert chosen[-1] > 0.75 * count


def test_another_chunk_takes_the_place_of_one_at_most() -> None:
    names = [f"chunk-{i:05d}" for i in range(300)]
    for i in range(300):
        assert len(drawn_chunks([*names[:i], *names[i + 1 :]]) - drawn_chunks(names)) <= 1


def test_nothing_is_drawn_of_an_empty_build() -> None:
    assert drawn_chunks([]) == frozenset()


def test_what_is_left_out_of_the_dataset_is_not_counted() -> None:
    made = {"a": views(4), "b": views(3), "c": views(5)}
    none = np.zeros(3)
    row = ShapeRow("transform-0", "{}", np.zeros((1, 3)), none, none, 0.0, none)
    shape = TransformedShape("a", row, 1.0, 1.0, views(2).views)
    shapes = {"a.transform-0": shape, "b.transform-0": replace(shape, capture_id="b")}
    found = augmentation_counts(made, shapes, frozenset({"b"}))
    assert found["views"]["sets"] == 2
    assert found["views"]["samples"] == 9
    assert found["views"]["projected"] == 4  # every second view of a set
    assert found["views"]["painted"] == pytest.approx(0.6 + 1.0)
    assert found["transform"]["sets"] == 1
    assert found["transform"]["samples"] == 2
