"""Figures of a product are those of its records, read without their arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fg3d_builder.files.products import SCHEMA, SUFFIX, read_figures, write_product
from fg3d_builder.files.sealed import write_sealed
from fg3d_builder.records import Landmarks, Pose


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / f"chunk{SUFFIX}"
    records = {
        "a": Landmarks("ibug68", np.zeros((68, 2)), np.ones(68), "first"),
        "b": Landmarks("ibug68", np.zeros((68, 2)), np.ones(68), "second"),
    }
    write_product(path, "landmarks", "0123", records)
    return path


def test_numbers_and_texts_are_there_and_arrays_are_not(path: Path) -> None:
    assert read_figures(path, "landmarks", "0123") == {
        "a": {"scheme": "ibug68", "detector": "first"},
        "b": {"scheme": "ibug68", "detector": "second"},
    }
    write_product(path, "pose", "0123", {"a": Pose(2.0, np.eye(3), np.zeros(3))})
    assert read_figures(path, "pose", "0123") == {"a": {"scale": 2.0}}


def test_another_product_and_one_cut_short_are_refused_and_stay(path: Path) -> None:
    for stage, digest in (("fitting", "0123"), ("landmarks", "4567")):
        with pytest.raises(ValueError, match=r"its (stage|digest) is"):
            read_figures(path, stage, digest)
    whole = path.read_bytes()
    for length in (len(whole) - 1, 700, 515, 100, 0):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="cut short"):
            read_figures(path, "landmarks", "0123")
    assert path.read_bytes() == whole[:0], "nothing was set aside"
    with pytest.raises(FileNotFoundError):
        read_figures(path.with_name("other"), "landmarks", "0123")


@pytest.mark.parametrize(
    ("found", "wrong"),
    [(b'{"stage"', b'["stage"'), (b'"records":', b'"recOrds":')],
)
def test_a_table_that_cannot_be_read_is_refused(path: Path, found: bytes, wrong: bytes) -> None:
    whole = path.read_bytes()
    assert found in whole
    path.write_bytes(whole.replace(found, wrong, 1))
    with pytest.raises(ValueError, match="its table cannot be read"):
        read_figures(path, "landmarks", "0123")


@pytest.mark.parametrize("table", [b"[]", b"3", b'{"stage":"x"}', b"\xff"])
def test_what_is_no_table_is_refused(tmp_path: Path, table: bytes) -> None:
    path = tmp_path / f"chunk{SUFFIX}"
    write_sealed(path, SCHEMA, len(table).to_bytes(8, "little") + table)
    with pytest.raises(ValueError, match=r"its (table|stage)"):
        read_figures(path, "landmarks", "0123")
