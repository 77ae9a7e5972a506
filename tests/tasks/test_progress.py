"""How far a build is, and how long it will take."""

from __future__ import annotations

import logging
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, cast

import pytest

from fg3d_builder.captures import CaptureEntry
from fg3d_builder.config import BuildConfig, FullViewConfig, TransformConfig
from fg3d_builder.files.products import write_product
from fg3d_builder.layout import CHUNK_STAGES, BuildLayout
from fg3d_builder.pipeline.augmentation_report import DRAWN_CHUNKS, drawn_chunks
from fg3d_builder.tasks import progress
from fg3d_builder.tasks.base import BuildTask
from fg3d_builder.tasks.chunks import Chunk, Index
from fg3d_builder.tasks.progress import (
    Heartbeat,
    kept_line,
    last_times,
    note_begin,
    note_task,
    progress_line,
    read_times,
    say_at_work,
    work_of,
)
from fg3d_builder.tasks.time_left import (
    KINDS,
    Work,
    expected_seconds,
    seconds_left,
    share_done,
    usual_seconds,
)


def chunk(name: str, *captures: str) -> Chunk:
    entries = tuple(CaptureEntry(capture, f"subject {capture}", "") for capture in captures)
    return Chunk(name, 0, entries, captures)


INDEX = Index((chunk("chunk-0-a", "a", "b"), chunk("chunk-1-b", "c")))
CONFIG = BuildConfig()
USUAL = usual_seconds(CONFIG)


@pytest.fixture
def layout(tmp_path: Path) -> BuildLayout:
    (tmp_path / "work").mkdir()
    return BuildLayout(tmp_path, BuildConfig(), "model")


def test_what_is_done_is_seen_from_the_products(layout: BuildLayout) -> None:
    assert work_of(layout, INDEX)["registration"] == Work(0, 3)
    assert kept_line(layout, INDEX) == ""
    for stage in CHUNK_STAGES[:4]:
        write_product(layout.product(stage, "chunk-0-a"), stage, "d", {})
        write_product(layout.product(stage, "chunk-0-of-old"), stage, "d", {})
    write_product(layout.transformed("chunk-1-b", "draws"), "transform", "d", {})
    work = work_of(layout, INDEX)
    assert set(work) == set(KINDS)
    assert [work[stage].done for stage in CHUNK_STAGES] == [2, 2, 2, 2, 0]
    assert work["transform"] == Work(0, 0)  # they are too few to give each other parts
    assert kept_line(layout, INDEX) == (
        "kept of 3 captures from an earlier run: loaded 2, landmarks 2, fitted 2, registered 2"
    )


def test_new_shapes_are_those_of_training_captures(layout: BuildLayout) -> None:
    names = [f"chunk-{i}-x" for i in range(30)]
    index = Index(tuple(chunk(name, name) for name in names))
    total = work_of(layout, index)["transform"].total
    assert 20 <= total < 30
    for name in names:
        write_product(layout.transformed(name, "draws"), "transform", "d", {})
    assert work_of(layout, index)["transform"] == Work(total, total)


class Done(NamedTuple):
    """A task that has ended, as far as it is noted."""

    layout: BuildLayout
    index: Index = INDEX
    amount: tuple[str, int] = ("captures", 2)
    task_family: str = "Done"

    def times(self, seconds: float) -> list[tuple[str, int, float]]:
        return [(*self.amount, seconds)]


def lines_after(layout: BuildLayout, shown_at: float, caplog: pytest.LogCaptureFixture) -> int:
    """Note a task after a line was shown at a time; return how many lines more there are."""
    layout.timings.open("a").write(f"{shown_at:.1f},shown,0,0.0\n")
    caplog.clear()
    with caplog.at_level(logging.INFO, logger="fg3d"):
        note_task(cast(BuildTask, Done(layout)), 1.0)
    return len(caplog.records)


def test_a_line_is_due_after_a_pause_and_whenever_the_clock_is_set_back(
    layout: BuildLayout, caplog: pytest.LogCaptureFixture
) -> None:
    now = time.time()
    assert lines_after(layout, now - 1.0, caplog) == 0
    assert lines_after(layout, now - 60.0, caplog) == 1
    assert lines_after(layout, now + 3600.0, caplog) == 1
    # That one is the last line now, though an hour of the old time is still to come.
    note_task(cast(BuildTask, Done(layout)), 1.0)
    assert len(caplog.records) == 1


def test_the_share_never_falls_within_a_run(
    layout: BuildLayout, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Times are measured meanwhile, and a damaged product is made again."""
    counts = iter([all_work(2, 8), all_work(5, 8), all_work(4, 8), all_work(8, 8), all_work(0, 8)])
    monkeypatch.setattr(progress, "work_of", lambda *_: next(counts))
    shares = []
    for seconds in (1.0, 900.0, 0.1, 40.0):
        layout.timings.open("a").write(f"{time.time() - 60:.1f},registration,1,{seconds}\n")
        assert lines_after(layout, time.time() - 60.0, caplog) == 1
        shares.append(caplog.messages[0].split(" %")[0])
    assert shares == ["25", "62", "62", "100"]  # 5 of 8, and then no less
    layout.timings.open("a").write(f"{time.time() + 1.0:.1f},begun,0,0.0\n")
    assert lines_after(layout, time.time() - 60.0, caplog) == 1
    assert caplog.messages[0].startswith("0 %")


@pytest.mark.parametrize("at", [0.0, 31.0])
def test_a_long_task_is_said_to_be_worked_on(
    layout: BuildLayout, at: float, caplog: pytest.LogCaptureFixture
) -> None:
    task = cast(BuildTask, Done(layout))
    layout.timings.write_text(f"{time.time() - at:.1f},begun,0,0.0\n")
    with caplog.at_level(logging.INFO, logger="fg3d"):
        for _ in range(3):
            say_at_work([task])
    # Nothing is measured yet: no time is foretold.
    assert caplog.messages == ([] if at < 30.0 else ["0 %, at work on Done"])
    with caplog.at_level(logging.INFO, logger="fg3d"):
        say_at_work([])
    assert len(caplog.messages) <= 1


def test_the_heart_beats_while_a_task_of_this_process_runs(
    layout: BuildLayout, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(progress, "LOOKED_AFTER_S", 0.01)
    monkeypatch.setattr(progress, "QUIET_S", 0.0)
    with caplog.at_level(logging.INFO, logger="fg3d"):
        with Heartbeat(cast(BuildTask, Done(layout))):
            limit = time.monotonic() + 30.0
            while len(caplog.messages) < 2 and time.monotonic() < limit:
                time.sleep(0.01)
        said = list(caplog.messages)
        time.sleep(0.1)
    assert set(said) == {"0 %, at work on Done"}
    assert len(said) >= 2
    assert caplog.messages == said  # it has ended


@pytest.mark.parametrize("kind", ["shown", "counted"])
def test_a_row_that_was_cut_short_does_not_end_the_lines(
    layout: BuildLayout, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """As by a full disk: the next row stands behind it in the same line."""
    layout.timings.write_text(f"{time.time():.1f},{kind},0")
    caplog.set_level(logging.INFO, logger="fg3d")
    note_task(cast(BuildTask, Done(layout)), 1.0)
    assert len(caplog.records) == 1
    note_task(cast(BuildTask, Done(layout)), 1.0)
    assert len(caplog.records) == 1  # the pause counts again


def test_a_long_count_is_not_made_after_every_task(
    layout: BuildLayout, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock, counts = [100.0], []

    def slow(*_: object) -> dict[str, Work]:
        counts.append(clock[0])
        clock[0] += 2.0
        return all_work(1, 8)

    monkeypatch.setattr(progress, "work_of", slow)
    for name in ("monotonic", "time"):
        monkeypatch.setattr(progress.time, name, lambda: clock[0])
    for _ in range(250):
        lines_after(layout, clock[0], caplog)
        clock[0] += 1.0
    assert counts == [100.0, 302.0]  # 2 s that it takes, and 200 more
    assert lines_after(layout, clock[0] - 60.0, caplog) == 1  # a line is due
    assert len(counts) == 3


def test_examples_are_chunks_that_are_drawn_and_the_others_are_counted(
    layout: BuildLayout,
) -> None:
    names = [f"chunk-{i}-x" for i in range(DRAWN_CHUNKS + 6)]
    index = Index(tuple(chunk(name, f"{name}1", f"{name}2") for name in names))
    work = work_of(layout, index)
    assert work["examples"] == Work(0, DRAWN_CHUNKS)
    assert work["counts"] == Work(0, 12)
    rows = layout.augmentation_rows("", "").parent
    rows.mkdir(parents=True)
    for name in set(names) - drawn_chunks(names):
        (rows / f"{name}-digest.json").touch()
    work = work_of(layout, index)
    assert work["counts"] == Work(12, 12)
    assert work["examples"] == Work(0, DRAWN_CHUNKS)  # none of those that take long is done


def times_file(layout: BuildLayout, *rows: str) -> None:
    layout.timings.write_text("".join(f"1.0,{row}\n" for row in rows))


def test_times_are_medians_and_survive_a_row_cut_short(layout: BuildLayout) -> None:
    assert read_times(layout, 1) == {}
    rows = ["views,4,400.0", "views,4,40.0", "views,2,24.0", "views,1,14.0", "shown,0,0.0"]
    times_file(layout, *rows)
    with layout.timings.open("a") as file:
        file.write("5.0,view")
    assert read_times(layout, 1) == {"views": 12.0}  # the first one also compiled
    pace = 12.0 / USUAL["views"]
    times_file(layout, *rows, f"transform,1,{4 * pace * USUAL['transform']}")
    assert read_times(layout, 1)["transform"] == pytest.approx(2 * pace * USUAL["transform"])


def test_the_first_task_of_every_process_does_not_count(layout: BuildLayout) -> None:
    times_file(layout, "views,1,200.0", "views,1,190.0", "views,1,10.0")
    assert read_times(layout, 2) == {"views": 10.0}
    assert read_times(layout, 3) == {"views": 10.0}  # as all that there is


def test_times_of_an_earlier_run_follow_the_pace_of_this_one(layout: BuildLayout) -> None:
    first = ["captures,1,9.0", *["captures,1,2.0"] * 9, "views,1,99.0", *["views,1,10.0"] * 9]
    times_file(layout, *first)
    note_begin(layout)
    assert read_times(layout, 1) == {"captures": 2.0, "views": 10.0}
    with layout.timings.open("a") as file:
        file.write("2.0,captures,1,7.0\n2.0,captures,1,6.0\n2.0,captures,1,6.0\n")
    assert read_times(layout, 1) == {"captures": 6.0, "views": 30.0}  # three times slower now


def test_the_last_begin_is_found_behind_any_number_of_tasks(layout: BuildLayout) -> None:
    assert last_times(layout) == (0.0, 0.0)
    before = ["100.0,begun,0,0.0", "200.0,landmarks,4,1.0", "300.0,begun,0,0.0"]
    tasks = [f"{2000 + i}.0,fitting,4,1.0" for i in range(20_000)]
    layout.timings.write_text("\n".join([*before, *tasks, ""]))
    assert last_times(layout) == (300.0, 21_999.0)


def test_unknown_times_follow_the_pace_of_the_known() -> None:
    expected = expected_seconds({"captures": 2.0 * USUAL["captures"]}, USUAL)
    assert expected["transform"] == pytest.approx(2.0 * USUAL["transform"])
    assert expected_seconds({}, USUAL) == USUAL


def test_what_is_usual_follows_from_the_configuration() -> None:
    few = FullViewConfig(yaw_steps_deg=(), pitch_steps_deg=())
    one = usual_seconds(replace(CONFIG, transform=TransformConfig(shapes_per_capture=1)))
    assert USUAL["transform"] == pytest.approx(4 * one["transform"])
    assert usual_seconds(replace(CONFIG, fullview=few))["transform"] < 0.5 * USUAL["transform"]
    assert set(USUAL) == set(KINDS)


def all_work(done: int, total: int) -> dict[str, Work]:
    return {kind: Work(done, total) for kind in KINDS}


def test_the_longest_stage_counts_and_the_last_chunk_has_one_process() -> None:
    times = dict.fromkeys(KINDS, 0.0) | {"transform": 10.0}
    assert seconds_left(all_work(0, 100), times, CONFIG, 2) == 500.0
    assert seconds_left(all_work(96, 100), times, CONFIG, 8) == 40.0
    assert seconds_left(all_work(100, 100), times, CONFIG, 2) == 0.0
    assert share_done(all_work(25, 100), USUAL) == 0.25


def test_stages_of_the_last_chunk_wait_for_each_other() -> None:
    times = dict.fromkeys(KINDS, 0.0) | {"captures": 1.0, "fitting": 2.0, "views": 5.0}
    assert seconds_left(all_work(96, 100), times, CONFIG, 8) == 4 * 8.0


def test_views_wait_for_new_shapes_and_without_them_for_nobody() -> None:
    """The last chunk's registration and views, behind each other or behind all registrations."""
    times = dict.fromkeys(KINDS, 0.0) | {"registration": 1.0, "views": 5.0}
    work = all_work(96, 100) | {"registration": Work(0, 100)}
    plain = replace(CONFIG, transform=TransformConfig(shapes_per_capture=0))
    assert seconds_left(work, times, CONFIG, 2) == 50.0 + 4 * 5.0
    assert seconds_left(work, times, plain, 2) == (100 * 1.0 + 4 * 5.0) / 2


def test_a_shard_is_written_by_one_process() -> None:
    times = dict.fromkeys(KINDS, 0.0) | {"shards": 1.0}
    config = replace(CONFIG, shards=replace(CONFIG.shards, samples_per_shard=512))
    assert seconds_left(all_work(0, 1000), times, config, 8) == 512.0


def test_a_line_names_what_is_under_way() -> None:
    work = all_work(0, 8) | {"captures": Work(8, 8), "registration": Work(4, 8)}
    times = dict.fromkeys(KINDS, 0.0) | {"registration": 30.0}
    line = progress_line(work, times, CONFIG, 1)
    assert line.startswith("about 2 min left (until ")
    assert line.endswith("): registered 4/8")
    assert progress_line(all_work(8, 8), times, CONFIG, 1) == "about to end: registered 8/8"
    days = progress_line(work, {**times, "registration": 36_000.0}, CONFIG, 1)
    assert re.match(r"about 40\.0 h left \(until [A-Z][a-z]{2} \d\d:\d\d\)", days)
