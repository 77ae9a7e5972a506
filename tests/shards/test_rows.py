"""What shards store of captures, shapes and pictures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
from toy_build import build_model
from toy_dataset import toy_records
from toy_views import views

from fg3d_builder.shards.rows import capture_row, sample_name, sample_seed, shape_row
from fg3d_builder.shards.schema import CAPTURED, FROM_DETECTED, FROM_PROJECTED
from fg3d_builder.shards.writer import ShardWriter


def test_every_image_is_stored_with_its_own_values(tmp_path: Path) -> None:
    model = build_model()
    capture, _, registration = toy_records(model, 0, 0)
    made = views(5, n=model.vertex_count).views
    writer = ShardWriter("train", "jpeg", model)
    writer.add_shape(
        shape_row(registration), writer.add_capture(capture_row(capture, registration)), made
    )
    writer.write(tmp_path / "s.h5")
    with h5py.File(tmp_path / "s.h5") as file:
        stored = {name: column[()] for name, column in file["samples"].items()}
    assert len(stored["seed"]) == 5
    for i, image in enumerate(made):
        sample_id = f"{capture.capture_id}/view+00+{i:02d}/capture"
        assert stored["sample_id"][i].decode() == sample_id
        assert stored["seed"][i] == sample_seed(sample_id)
        begin, end = stored["image_offset"][i : i + 2]
        assert stored["image_bytes"][begin:end].tobytes() == image.image
        assert stored["initial_source"][i] == (FROM_DETECTED, FROM_PROJECTED)[i % 2]
        for name, value in vars(image).items():
            if name not in ("name", "image"):
                wanted = np.asarray(value, stored[name].dtype)
                np.testing.assert_array_equal(stored[name][i], wanted)


def test_seeds_differ_between_captures_views_and_shapes() -> None:
    names = {
        sample_name(capture, view, source)
        for capture in ("a", "b")
        for view in ("view+00+15", "view+00-15")
        for source in (CAPTURED, "transform-0", "transform-1")
    }
    assert len({sample_seed(name) for name in names}) == 12


def test_the_row_of_a_shape_keeps_its_provenance() -> None:
    _, _, registration = toy_records(build_model(), 0, 0)
    donors = json.dumps({"nose": "bert-2"})
    confidence = np.linspace(-0.1, 1.1, len(registration.confidence))
    row = shape_row(replace(registration, confidence=confidence), "transform-3", donors)
    assert (row.shape_source, row.donors) == ("transform-3", donors)
    length = np.linalg.norm(registration.delta_obj_mm, axis=1)
    np.testing.assert_allclose(row.delta_rms_mm, np.sqrt(np.mean(length**2)), rtol=1e-12)
    np.testing.assert_array_equal(row.shape_obj_mm, registration.shape_obj_mm)
    assert (row.confidence.min(), row.confidence.max()) == (0, 255)
    np.testing.assert_allclose(row.confidence / 255, np.clip(confidence, 0, 1), atol=0.5 / 255)


def test_a_shape_that_nothing_shows_has_no_samples() -> None:
    model = build_model()
    capture, _, registration = toy_records(model, 0, 0)
    writer = ShardWriter("train", "jpeg", model)
    row = writer.add_capture(capture_row(capture, registration))
    writer.add_shape(shape_row(registration), row, views(0).views)
    assert writer.sample_count == 0
