"""Records that are made once: read again, made anew, and failures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from fg3d_builder.errors import CaptureError
from fg3d_builder.records import Array
from fg3d_builder.testsets.kept import kept


@dataclass(frozen=True)
class Numbers:
    values: Array


class Maker:
    """Makes the same record again and again, and counts."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(self) -> Numbers:
        self.made += 1
        return Numbers(np.arange(4.0))


def test_a_record_is_made_once_for_a_key(tmp_path: Path) -> None:
    path, make = tmp_path / "a.product", Maker()
    for _ in range(2):
        assert kept(path, "numbers", "key", Numbers, make).values.tolist() == [0, 1, 2, 3]
    assert make.made == 1
    kept(path, "numbers", "other key", Numbers, make)
    kept(path, "other stage", "other key", Numbers, make)
    assert make.made == 3


def test_a_record_of_another_key_stays_until_there_is_a_new_one(tmp_path: Path) -> None:
    path, make = tmp_path / "a.product", Maker()
    kept(path, "numbers", "key", Numbers, make)

    def interrupted() -> Numbers:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kept(path, "numbers", "other key", Numbers, interrupted)
    kept(path, "numbers", "key", Numbers, make)
    assert make.made == 1


def test_a_damaged_file_is_made_anew(tmp_path: Path) -> None:
    path, make = tmp_path / "a.product", Maker()
    kept(path, "numbers", "key", Numbers, make)
    path.write_bytes(path.read_bytes()[:-100])
    kept(path, "numbers", "key", Numbers, make)
    assert make.made == 2


def test_a_failure_is_kept_with_its_reason(tmp_path: Path) -> None:
    def fail() -> Numbers:
        raise CaptureError("no_face", "nobody there")

    make = Maker()
    for attempt in (fail, make):
        with pytest.raises(CaptureError, match="nobody there") as caught:
            kept(tmp_path / "a.product", "numbers", "key", Numbers, attempt)
        assert caught.value.code == "no_face"
    assert make.made == 0
