"""What is listed is what is on disk: of finished builds, and of those that are still running."""

from __future__ import annotations

import math
import os
import re
import shutil
from pathlib import Path

import pytest

from benchmarks.made_build import write_made_build
from fg3d_builder.browser.listing import (
    FAILED,
    REGISTERED,
    WAITING,
    BuildListing,
    Listing,
    newest_layout,
    source_labels,
)
from fg3d_builder.config import BuildConfig, SourceConfig
from fg3d_builder.errors import ConfigError
from fg3d_builder.files.products import SUFFIX
from fg3d_builder.layout import BuildLayout
from fg3d_builder.tasks.chunks import read_index
from fg3d_builder.tasks.facts import read_facts

CAPTURES = 200


def facts_of(layout: BuildLayout, stage: str) -> dict[str, object]:
    """Failures and members of a stage by capture id, as its facts have them."""
    found: dict[str, object] = {}
    for chunk in read_index(layout.index).chunks:
        facts = read_facts(layout.facts(stage, chunk.name))
        found.update({failure.capture_id: failure for failure in facts.failures})
        found.update({member.capture_id: member for member in facts.members})
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> BuildLayout:
    return write_made_build(tmp_path_factory.mktemp("made"), CAPTURES)


@pytest.fixture
def copied(made: BuildLayout, tmp_path: Path) -> Path:
    """A build that a test may change."""
    return Path(shutil.copytree(made.root, tmp_path / "build", symlinks=True))


@pytest.fixture(scope="module")
def listing(made: BuildLayout) -> Listing:
    return BuildListing(made.root).now()


def test_every_capture_is_listed_with_its_outcome(made: BuildLayout, listing: Listing) -> None:
    registered = facts_of(made, "registration")
    assert len(listing.captures) == CAPTURES
    assert list(listing.captures) == sorted(listing.captures)
    assert not listing.problems
    for name, capture in listing.captures.items():
        if capture.state == REGISTERED:
            member = registered[name]
            assert (capture.quality, capture.subject_id) == (member.quality, member.subject_id)  # type: ignore[attr-defined]
            assert capture.distance_mm == 0.2
        else:
            assert capture.state == FAILED
            assert capture.failure is not None
            stage = capture.failure.stage
            assert facts_of(made, stage)[name] == capture.failure
    assert listing.states[FAILED] == sum(count for _, count in listing.failures) > 0


def test_figures_without_a_report_are_those_with_one(made: BuildLayout, tmp_path: Path) -> None:
    bare = write_made_build(tmp_path, CAPTURES, reported=False)
    with_report = BuildListing(made.root).now().captures
    for name, capture in BuildListing(bare.root).now().captures.items():
        other = with_report[name]
        assert (capture.state, capture.quality) == (other.state, other.quality) or math.isnan(
            capture.quality
        )
        if capture.state == REGISTERED:
            assert (capture.error_mm, capture.coverage) == (other.error_mm, other.coverage)
            assert capture.converged == other.converged
            assert math.isnan(capture.distance_mm), "nobody has measured it yet"


def test_a_running_build_shows_what_is_there_and_more_at_the_next_look(copied: Path) -> None:
    layout = newest_layout(copied)
    chunk = read_index(layout.index).chunks[7]
    hidden = copied / "hidden"
    hidden.mkdir()
    stage = layout.stage_folder("registration")
    for name in (f"{chunk.name}.json", chunk.name + SUFFIX):
        (stage / name).rename(hidden / name)
    reader = BuildListing(copied)
    before = reader.now()
    there = [before.captures[name].state for name in chunk.capture_ids]
    assert set(there) <= {WAITING, FAILED}
    assert before.states[WAITING] == there.count(WAITING) > 0
    for file in hidden.iterdir():
        file.rename(stage / file.name)
    after = reader.now()
    assert WAITING not in after.states
    assert after.captures == BuildListing(copied).now().captures
    assert reader.last() is after


def test_a_build_that_has_just_begun_is_no_error(copied: Path) -> None:
    layout = newest_layout(copied)
    layout.index.unlink()
    listing = BuildListing(copied).now()
    assert not listing.captures
    assert "just begun" in listing.problems[0]


def test_products_of_another_version_are_told(copied: Path) -> None:
    for folder in [path for path in (copied / "work").iterdir() if path.is_dir()]:
        folder.rename(folder.with_name(folder.name + "0"))
    listing = BuildListing(copied).now()
    assert listing.states[WAITING] == CAPTURES
    assert "build again" in listing.problems[0]


def test_damaged_facts_are_told_and_believed_by_nobody(copied: Path) -> None:
    layout = newest_layout(copied)
    chunk = read_index(layout.index).chunks[0]
    facts = layout.facts("registration", chunk.name)
    facts.write_text(facts.read_text().replace('"quality": 0', '"quality": 1'))
    sound = facts.with_name(facts.name + ".damaged")
    reader = BuildListing(copied)
    for _ in range(3):  # not only to whoever looks first
        listing = reader.now()
        assert [facts.name in problem for problem in listing.problems] == [True]
        assert {listing.captures[name].state for name in chunk.capture_ids} <= {WAITING, FAILED}
    facts.write_text(sound.read_text().replace('"quality": 1', '"quality": 0'))
    assert reader.now().problems == (), "it was made again"


def test_a_damaged_index_is_not_a_build_that_has_just_begun(copied: Path) -> None:
    index = newest_layout(copied).index
    index.write_text(index.read_text().replace("subject-0000", "subject-0001"))
    reader = BuildListing(copied)
    for _ in range(2):
        problems = reader.now().problems
        assert len(problems) == 1
        assert "is damaged" in problems[0]


@pytest.mark.parametrize(
    ("found", "wrong"),
    [(rb'"converged":', '"convErged":'), (rb'"coverage":[0-9.e-]+', '"coverage":{}')],
)
def test_a_damaged_table_costs_the_figures_of_its_chunk_alone(
    tmp_path: Path, found: bytes, wrong: str
) -> None:
    layout = write_made_build(tmp_path, 12, reported=False)
    chunk = read_index(layout.index).chunks[0]
    path = layout.product("registration", chunk.name)

    def damage(match: re.Match[bytes]) -> bytes:
        return wrong.encode().ljust(len(match[0]))

    path.write_bytes(re.sub(found, damage, path.read_bytes()))
    for name, capture in BuildListing(tmp_path).now().captures.items():
        if capture.state == REGISTERED:
            assert math.isnan(capture.error_mm) == (name in chunk.capture_ids)
            assert not math.isnan(capture.quality), "of the facts, which are sound"


def test_the_settings_that_were_built_last_are_shown(copied: Path) -> None:
    layout = newest_layout(copied)
    other = BuildLayout(copied, BuildConfig(name="other"), "other")
    other.freeze()
    assert newest_layout(copied).config.name == "other"
    for second, file in enumerate((layout.timings, layout.begun)):
        os.utime(other.config_file, (4e9 + 10 * second, 4e9 + 10 * second))
        assert newest_layout(copied) == other
        file.write_text("later\n")
        os.utime(file, (4e9 + 10 * second + 1, 4e9 + 10 * second + 1))
        assert newest_layout(copied) == layout


def test_a_folder_without_a_build_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no build at .*; `fg3d build PRESET` makes one"):
        BuildListing(tmp_path)


def test_sources_are_told_apart() -> None:
    def labels(*sources: tuple[str, str]) -> list[str]:
        config = BuildConfig(sources=tuple(SourceConfig(kind=k, path=p) for k, p in sources))
        return source_labels(config)

    assert labels(("folder", "a/x"), ("scan", "b")) == ["folder", "scan"]
    assert labels(("folder", "a/x"), ("folder", "b/y")) == ["folder x", "folder y"]
    assert labels(("folder", "a/x"), ("folder", "b/x")) == ["1: folder x", "2: folder x"]
