"""Rows of augmented samples."""

from __future__ import annotations

import json

import numpy as np
from toy_views import views

from fg3d_builder.records import TransformedShape
from fg3d_builder.shards.augmented import sample_name, sample_rows, shape_row
from fg3d_builder.shards.base_image import sample_seed
from fg3d_builder.shards.schema import CAPTURED, FROM_DETECTED, FROM_PROJECTED


def test_every_row_carries_its_own_values() -> None:
    made = views(5)
    rows = list(sample_rows(made, "anna-1", CAPTURED))
    assert len(rows) == 5
    for i, row in enumerate(rows):
        assert row.sample_id == f"anna-1/view+00+{i:02d}/capture"
        assert set(row.image) == {i}
        assert len(row.image) == made.image_offset[i + 1] - made.image_offset[i]
        assert (row.scale, row.initial_scale, row.painted) == (i + 1.0, i + 2.0, i / 10)
        assert row.initial_source == (FROM_DETECTED, FROM_PROJECTED)[i % 2]
        for name in ("rotation", "translation_mm", "intrinsics", "px_crop_from_px", "visible"):
            np.testing.assert_array_equal(getattr(row, name), getattr(made, name)[i])
            if name in ("rotation", "translation_mm"):
                initial = getattr(made, f"initial_{name}")[i]
                np.testing.assert_array_equal(getattr(row, f"initial_{name}"), initial)
        np.testing.assert_array_equal(row.initial_alpha_id, made.initial_alpha_id[i])
        np.testing.assert_array_equal(row.initial_alpha_exp, made.initial_alpha_exp[i])


def test_seeds_differ_between_captures_views_and_shapes() -> None:
    names = {
        sample_name(capture, view, source)
        for capture in ("a", "b")
        for view in ("view+00+15", "view+00-15")
        for source in (CAPTURED, "transform-0", "transform-1")
    }
    assert len({sample_seed(name) for name in names}) == 12


def test_the_row_of_a_shape_keeps_its_provenance() -> None:
    donors = json.dumps({"nose": "bert-2"})
    shape = np.arange(60.0).reshape(20, 3)
    confidence = np.linspace(-0.1, 1.1, 20)
    made = TransformedShape(
        *("anna-1", donors, shape, np.ones(4), np.zeros(2), 0.7, confidence, 0.5, 2.0, views(1))
    )
    row = shape_row(made, "transform-3")
    assert (row.shape_source, row.donors, row.delta_rms_mm) == ("transform-3", donors, 0.7)
    np.testing.assert_array_equal(row.shape_obj_mm, shape)
    assert (row.confidence.min(), row.confidence.max()) == (0, 255)
    np.testing.assert_allclose(row.confidence / 255, np.clip(confidence, 0, 1), atol=0.5 / 255)


def test_no_views_give_no_rows() -> None:
    assert list(sample_rows(views(0), "anna-1", CAPTURED)) == []
