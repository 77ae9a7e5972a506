"""Captures are loaded chunk by chunk, from disks that may go away."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from toy_build import write_toy_build

from fg3d_builder.captures import CaptureSource, open_source
from fg3d_builder.config import SourceConfig, load_preset
from fg3d_builder.pipeline.stages import cached_model
from fg3d_builder.tasks.chunk_tasks import (
    FitCoarse,
    LoadCaptures,
    MakeViews,
    PrepareModel,
    Register,
)
from fg3d_builder.tasks.chunks import list_chunks, write_index
from fg3d_builder.tasks.finding import layout_of


@pytest.fixture
def task(tmp_path: Path) -> LoadCaptures:
    """The task that loads two captures, listed while they were there."""
    preset = write_toy_build(tmp_path, subjects=1, captures=2)
    layout = layout_of(dataclasses.replace(load_preset(preset), chunk_size=9), tmp_path / "out")
    layout.freeze()
    index = list_chunks(layout.config)
    write_index(layout.index, index)
    return LoadCaptures(root=str(layout.root), config=layout.config_digest, chunk=index.names[0])


def test_a_source_is_listed_once_however_many_chunks_are_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each listing looks at every capture; a new build lists anew."""
    listed: list[SourceConfig] = []

    def counted(config: SourceConfig) -> CaptureSource:
        listed.append(config)
        return open_source(config)

    monkeypatch.setattr("fg3d_builder.tasks.chunks.open_source", counted)
    preset = write_toy_build(tmp_path, subjects=1, captures=3)
    layout = layout_of(dataclasses.replace(load_preset(preset), chunk_size=1), tmp_path / "out")
    layout.freeze()
    index = list_chunks(layout.config)
    write_index(layout.index, index)
    for name in index.names:
        LoadCaptures(root=str(layout.root), config=layout.config_digest, chunk=name).run()
    assert len(index.names) == 3
    assert len(listed) == 1
    (tmp_path / "captures/s0-2").rename(tmp_path / "captures/s0-3")
    assert sorted(list_chunks(layout.config).capture_ids) == ["s0-0", "s0-1", "s0-3"]
    assert len(listed) == 2


@pytest.mark.parametrize("gone", ["captures", "captures/s0-1"])
def test_captures_that_go_away_while_they_are_loaded_are_no_failures(
    task: LoadCaptures, tmp_path: Path, gone: str
) -> None:
    (tmp_path / gone).rename(tmp_path / "disconnected")
    with pytest.raises(FileNotFoundError, match=r"s0-\d is gone since the build began"):
        task.run()
    assert not task.complete()
    (tmp_path / "disconnected").rename(tmp_path / gone)
    task.run()
    assert task.complete()
    product = task.product()
    assert sorted(product.records) == ["s0-0", "s0-1"]
    assert product.failures == ()


def test_a_file_that_a_capture_lacks_is_a_failure(task: LoadCaptures, tmp_path: Path) -> None:
    (tmp_path / "captures/s0-1/color.png").unlink()
    task.run()
    assert [(f.capture_id, f.code) for f in task.product().failures] == [("s0-1", "missing_file")]


def test_a_process_that_is_forked_finds_the_face_model_read(task: LoadCaptures) -> None:
    views = MakeViews(root=task.root, config=task.config, chunk=task.chunk)
    views.other(PrepareModel).run()
    views.preload()
    views.other(FitCoarse, chunk=task.chunk).preload()
    views.other(Register, chunk=task.chunk).preload()
    reads = cached_model.cache_info().misses
    assert views.model().vertex_count > 0
    assert cached_model.cache_info().misses == reads
