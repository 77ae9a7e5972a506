"""Frames of one subject in a folder of captures: what is a sequence, what is taken, the split."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fg3d_builder.captures import CaptureEntry, open_source
from fg3d_builder.captures.folder import read_capture, write_capture
from fg3d_builder.captures.layout_source import LayoutSource
from fg3d_builder.captures.layouts.layout import Item, Layout
from fg3d_builder.config import FramesConfig, SourceConfig
from fg3d_builder.errors import CaptureError
from fg3d_builder.geometry.camera import intrinsics_matrix
from fg3d_builder.records import Capture
from fg3d_builder.shards.split import split_of


def write(
    root: Path, name: str, subject: str, expression: str = "neutral", **fields: object
) -> None:
    rgb, depth = np.zeros((6, 8, 3), np.uint8), np.full((6, 8), 500.0, np.float32)
    camera = intrinsics_matrix(9, 9, 4, 3)
    capture = Capture(name, subject, "folder", rgb, depth, camera, expression)
    write_capture(root / name, capture)
    description = root / name / "capture.json"
    description.write_text(json.dumps({**json.loads(description.read_text()), **fields}))


def entries(root: Path, **changes: object) -> dict[str, CaptureEntry]:
    config = replace(SourceConfig(kind="folder", path=str(root)), **changes)
    return {entry.capture_id: entry for entry in open_source(config).entries()}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number in range(6):
        write(tmp_path, f"anna-{number}", "anna", "smile")
        write(tmp_path, f"bert-{number}", "bert", "neutral" if number < 4 else "frown")
    write(tmp_path, "carl", "carl")
    return tmp_path


def test_captures_of_one_subject_and_expression_are_a_sequence(root: Path) -> None:
    found = entries(root)
    assert len(found) == 13
    assert [found[f"anna-{k}"].frame for k in range(6)] == [0, 1, 2, 3, 4, 5]
    assert {found[f"anna-{k}"].sequence for k in range(6)} == {"anna/smile"}
    assert found["bert-5"].sequence == "bert/frown"
    assert found["bert-5"].expression == "frown"
    assert (found["carl"].sequence, found["carl"].frame) == ("", 0)
    taken = entries(root, frames=FramesConfig("every", 3))
    assert list(taken) == ["anna-0", "anna-3", "bert-0", "bert-3", "bert-4", "carl"]


def test_frames_at_random_are_the_same_every_time(root: Path) -> None:
    drawn = entries(root, frames=FramesConfig("random", 2))
    assert len([name for name in drawn if name.startswith("anna")]) == 2
    assert list(drawn) == list(entries(root, frames=FramesConfig("random", 2)))
    seeds = {tuple(entries(root, frames=FramesConfig("random", 2), seed=k)) for k in range(10)}
    assert len(seeds) > 3


def test_own_fields_say_otherwise(tmp_path: Path) -> None:
    for name, sequence, frame in (("a", "walk", 7), ("b", "walk", 2), ("c", "talk", 0)):
        write(tmp_path, name, "anna", sequence=sequence, frame=frame)
    write(tmp_path, "d", "bert", sequence="walk", frame=1)
    found = entries(tmp_path)
    assert (found["a"].sequence, found["a"].frame) == ("anna/walk", 7)
    assert list(entries(tmp_path, frames=FramesConfig("every", 2))) == ["b", "c", "d"]


@pytest.mark.parametrize(
    ("field", "value"), [("frame", 1.5), ("frame", -1), ("frame", "2"), ("sequence", 3)]
)
def test_wrong_fields_are_named(tmp_path: Path, field: str, value: object) -> None:
    write(tmp_path, "a", "anna", **{field: value})
    with pytest.raises(CaptureError, match=rf"capture\.json: field '{field}'"):
        read_capture(tmp_path / "a")
    assert "a" in entries(tmp_path, frames=FramesConfig("every", 2)), "it ends as a failure"


def test_all_frames_of_a_subject_are_in_one_split(root: Path) -> None:
    """Of a layout with sequences, and of a folder: the split goes by subject alone."""
    items = [
        Item(f"{who}-{what}-{k}", who, (Path(f"{k}.bin"),), what, f"{who}-{what}", k)
        for who in ("anna", "bert", "carl", "dora")
        for what in ("smile", "talk")
        for k in range(5)
    ]
    layout = Layout("folder", "toy", "WHO-WHAT-K", lambda folder: items, lambda item: None)
    config = SourceConfig(kind="folder", path=str(root), frames=FramesConfig("random", 3))
    for found in (LayoutSource(config, layout).entries(), list(entries(root).values())):
        splits: dict[str, set[str]] = {}
        for entry in found:
            split = split_of(entry.subject_id, 0.5, "some salt")
            splits.setdefault(entry.subject_id, set()).add(split)
        assert all(len(each) == 1 for each in splits.values())
        assert len(splits) >= 3
        assert set.union(*splits.values()) == {"train", "test"}
