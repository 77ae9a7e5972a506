"""Chunks: which captures they hold, and when their names change."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest
from toy_build import write_toy_build

from fg3d_builder.config import BuildConfig, SourceConfig, load_preset
from fg3d_builder.errors import ConfigError
from fg3d_builder.files.sealed import write_sealed_json
from fg3d_builder.tasks.chunks import index_table, list_chunks, read_index


@pytest.fixture
def config(tmp_path: Path) -> BuildConfig:
    return load_preset(write_toy_build(tmp_path, subjects=3, captures=1))


def test_all_captures_in_order(config: BuildConfig) -> None:
    chunks = list_chunks(config)
    assert [[e.capture_id for e in c.entries] for c in chunks] == [["s0-0", "s1-0"], ["s2-0"]]
    assert [c.name[:11] for c in chunks] == ["chunk-00000", "chunk-00001"]
    assert list_chunks(config) == chunks


def test_index_round_trip(config: BuildConfig, tmp_path: Path) -> None:
    chunks = list_chunks(config)
    write_sealed_json(tmp_path / "index.json", index_table(chunks))
    assert read_index(tmp_path / "index.json") == chunks


def test_a_changed_capture_renames_its_chunk_only(config: BuildConfig, tmp_path: Path) -> None:
    before = list_chunks(config)
    with (tmp_path / "captures/s2-0/capture.json").open("a", encoding="utf-8") as file:
        file.write("\n")
    after = list_chunks(config)
    assert after[0] == before[0]
    assert after[1].name != before[1].name


def test_a_new_capture_keeps_the_chunks_before_it(config: BuildConfig, tmp_path: Path) -> None:
    before = list_chunks(config)
    shutil.copytree(tmp_path / "captures/s2-0", tmp_path / "captures/s3-0")
    after = list_chunks(config)
    assert after[0] == before[0]
    assert [e.capture_id for e in after[1].entries] == ["s2-0", "s3-0"]


def test_synthetic_people_of_another_population_are_other_captures(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = BuildConfig(sources=(SourceConfig(subjects=1, captures_per_subject=1),))
    (before,) = list_chunks(config)
    assert list_chunks(config) == [before]
    monkeypatch.setattr("fg3d_builder.tasks.chunks.model_identity", lambda config: "other")
    (after,) = list_chunks(config)
    assert after.entries == before.entries
    assert after.name != before.name


def test_the_same_id_in_two_sources_is_refused(config: BuildConfig) -> None:
    twice = dataclasses.replace(config, sources=config.sources * 2)
    with pytest.raises(ConfigError, match="more than one capture is called s0-0, s1-0, s2-0"):
        list_chunks(twice)


def test_subjects_to_be_fused_stay_together(tmp_path: Path) -> None:
    """Chunks of two captures would part the three of each subject."""
    config = load_preset(write_toy_build(tmp_path, subjects=3, captures=3, more="fuse = true"))
    chunks = [[entry.capture_id for entry in chunk.entries] for chunk in list_chunks(config)]
    assert chunks == [[f"s{subject}-{number}" for number in range(3)] for subject in range(3)]


def test_unreadable_captures_are_no_subject(tmp_path: Path) -> None:
    config = load_preset(write_toy_build(tmp_path, subjects=2, captures=2, more="fuse = true"))
    for name in ("s0-0", "s0-1", "s1-0"):
        (tmp_path / f"captures/{name}/capture.json").unlink()
    chunks = [[entry.capture_id for entry in chunk.entries] for chunk in list_chunks(config)]
    assert chunks == [["s0-0", "s0-1"], ["s1-0", "s1-1"]]
