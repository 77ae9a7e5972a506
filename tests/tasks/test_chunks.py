"""Chunks: which captures they hold, and when their names change."""

from __future__ import annotations

import dataclasses
import itertools
import json
import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest
from toy_build import write_toy_build

from fg3d_builder.config import BuildConfig, SourceConfig, load_preset
from fg3d_builder.errors import ConfigError
from fg3d_builder.tasks.chunks import Index, list_chunks, read_index, write_index

COUNT, SIZE = 50, 4


def described(folder: Path, names: Iterable[str]) -> None:
    """Write captures as far as a listing looks at them: ``s<subject>-<number>``."""
    for name in names:
        (folder / name).mkdir(parents=True)
        table = {"subject": name.split("-")[0]}
        (folder / name / "capture.json").write_text(json.dumps(table))


def listed(folder: Path, fuse: bool = False) -> Index:
    source = SourceConfig(kind="folder", path=str(folder), fuse=fuse)
    return list_chunks(BuildConfig(sources=(source,), chunk_size=SIZE))


@pytest.fixture
def config(tmp_path: Path) -> BuildConfig:
    return load_preset(write_toy_build(tmp_path, subjects=3, captures=1))


def test_every_capture_is_in_one_chunk(tmp_path: Path) -> None:
    names = [f"s{i}-0" for i in range(COUNT)]
    described(tmp_path, names)
    index = listed(tmp_path)
    assert sorted(index.capture_ids) == sorted(names)
    sizes = [len(chunk.entries) for chunk in index.chunks]
    assert max(sizes) <= SIZE
    assert COUNT / len(sizes) > 0.45 * SIZE  # a branch is split only where it is too full
    assert listed(tmp_path) == index
    for chunk in index.chunks:
        assert chunk.capture_ids == sorted(chunk.capture_ids)
        assert index.by_name[chunk.name] is chunk
    assert len(set(index.capture_keys.values())) == COUNT


def test_a_capture_comes_into_one_chunk_whatever_it_is_called(tmp_path: Path) -> None:
    """It joins it or splits it; nothing else changes, and going away undoes it."""
    described(tmp_path, [f"s{i}-0" for i in range(COUNT)])
    before = set(listed(tmp_path).names)
    splits = 0
    for name in ["a-0", *(f"s{i}-1" for i in range(COUNT)), "zz-0"]:
        described(tmp_path, [name])
        after = set(listed(tmp_path).names)
        assert len(before - after) == 1
        splits += len(after) > len(before)
        shutil.rmtree(tmp_path / name)
    assert splits > 0
    assert set(listed(tmp_path).names) == before


@pytest.mark.parametrize("fuse", [False, True])
def test_places_keep_chunks_together_whatever_their_size(tmp_path: Path, fuse: bool) -> None:
    """So a shard is made of few chunks; and a capture more moves nobody."""
    described(tmp_path, [f"s{i}-{k}" for i in range(COUNT // 2) for k in range(2)])
    source = SourceConfig(kind="folder", path=str(tmp_path), fuse=fuse)
    found = []
    for size in (SIZE, 3 * SIZE):
        index = list_chunks(BuildConfig(sources=(source,), chunk_size=size))
        places = index.places([source])
        found.append(places)
        chunk_of = {name: chunk.name for chunk in index.chunks for name in chunk.capture_ids}
        in_order = [
            chunk_of[name] for name in sorted(places, key=lambda name: (places[name], name))
        ]
        changes = sum(a != b for a, b in itertools.pairwise(in_order))
        assert changes == len(index.chunks) - 1
    assert found[0] == found[1]
    described(tmp_path, ["a-0"])
    after = list_chunks(BuildConfig(sources=(source,), chunk_size=SIZE)).places([source])
    assert {name: after[name] for name in found[0]} == found[0]


def test_a_capture_that_goes_away_costs_one_chunk(tmp_path: Path) -> None:
    """Its own shrinks, or grows together with its neighbours: one has a new name."""
    names = [f"s{i}-0" for i in range(COUNT)]
    described(tmp_path, names)
    before = set(listed(tmp_path).names)
    for name in names:
        shutil.move(tmp_path / name, tmp_path.parent / name)
        assert len(set(listed(tmp_path).names) - before) <= 1
        shutil.move(tmp_path.parent / name, tmp_path / name)


def test_a_scan_more_in_one_folder_costs_one_chunk(tmp_path: Path) -> None:
    """As a subject's scans often lie: one beside the other, each with its own picture."""

    def write(name: str) -> None:
        (tmp_path / f"{name}.obj").write_text("v 0 0 0\n")
        (tmp_path / f"{name}.mtl").write_text(f"newmtl skin\nmap_Kd {name}_skin.png\n")
        (tmp_path / f"{name}_skin.png").write_bytes(b"picture")

    def names() -> set[str]:
        source = SourceConfig(kind="scan", path=str(tmp_path))
        return set(list_chunks(BuildConfig(sources=(source,), chunk_size=SIZE)).names)

    for number in range(COUNT):
        write(f"scan{number}")
    before = names()
    assert len(before) > COUNT / SIZE
    write("another")
    assert len(before - names()) == 1


def test_index_round_trip(config: BuildConfig, tmp_path: Path) -> None:
    index = list_chunks(config)
    write_index(tmp_path / "index.json", index)
    assert read_index(tmp_path / "index.json") == index
    assert read_index(tmp_path / "index.json") is read_index(tmp_path / "index.json")


def test_a_changed_capture_renames_its_chunk_only(config: BuildConfig, tmp_path: Path) -> None:
    before = list_chunks(config)
    with (tmp_path / "captures/s2-0/capture.json").open("a", encoding="utf-8") as file:
        file.write("\n")
    after = list_chunks(config)
    (changed,) = set(before.names) - set(after.names)
    assert "s2-0" in before.by_name[changed].capture_ids
    keys = before.capture_keys.items() - after.capture_keys.items()
    assert [name for name, _ in keys] == ["s2-0"]


def test_synthetic_people_of_another_population_are_other_captures(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = BuildConfig(sources=(SourceConfig(subjects=1, captures_per_subject=1),))
    (before,) = list_chunks(config).chunks
    assert list_chunks(config).chunks == (before,)
    monkeypatch.setattr("fg3d_builder.tasks.chunks.model_identity", lambda config: "other")
    (after,) = list_chunks(config).chunks
    assert after.entries == before.entries
    assert after.name != before.name
    assert before.name.startswith("chunk-all-")


def test_more_synthetic_people_leave_those_there_are_as_they_are() -> None:
    def of(subjects: int, captures: int) -> Index:
        source = SourceConfig(subjects=subjects, captures_per_subject=captures)
        return list_chunks(BuildConfig(sources=(source,), chunk_size=SIZE))

    few, people, captures = of(COUNT, 1), of(COUNT + 1, 1), of(COUNT, 2)
    assert len(set(few.names) - set(people.names)) == 1
    assert few.capture_keys.items() < people.capture_keys.items()
    assert few.capture_keys.items() < captures.capture_keys.items()


def test_the_same_id_in_two_sources_is_refused(config: BuildConfig) -> None:
    twice = dataclasses.replace(config, sources=config.sources * 2)
    with pytest.raises(ConfigError, match="more than one capture is called s0-0, s1-0, s2-0"):
        list_chunks(twice)


def test_subjects_to_be_fused_stay_together(tmp_path: Path) -> None:
    """Whatever chunks they fall into; a subject larger than a chunk is one of its own."""
    described(tmp_path, [f"s{i}-{number}" for i in range(12) for number in range(6 if i else 2)])
    index = listed(tmp_path, fuse=True)
    subjects = [{name.split("-")[0] for name in chunk.capture_ids} for chunk in index.chunks]
    assert sorted(s for chunk in subjects for s in chunk) == sorted(f"s{i}" for i in range(12))
    before = index.capture_keys
    shutil.rmtree(tmp_path / "s3-5")
    changed = before.items() - listed(tmp_path, fuse=True).capture_keys.items()
    # What is fused depends on all captures of the subject.
    assert sorted(name for name, _ in changed) == [f"s3-{number}" for number in range(6)]


def test_unreadable_captures_are_no_subject(tmp_path: Path) -> None:
    described(tmp_path, [f"s{i}-{number}" for i in range(2) for number in range(5)])
    for number in range(5):
        (tmp_path / f"s0-{number}/capture.json").unlink()
    chunks = [chunk.capture_ids for chunk in listed(tmp_path, fuse=True).chunks]
    assert [f"s1-{number}" for number in range(5)] in chunks
    assert max(len(chunk) for chunk in chunks if "s1-0" not in chunk) <= SIZE
