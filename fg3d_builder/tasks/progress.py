"""How far a build is and how long it will still take, for a person who waits.

Every task that ends notes how long it took in a file of the build; the rest is seen from which
products are there. So any process of a build can tell, and a build that goes on after a stop
knows from its first task how long the others take.
"""

from __future__ import annotations

import logging
import math
import os
import shutil
import statistics
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import luigi
from tqdm import tqdm

from fg3d_builder.config import BuildConfig
from fg3d_builder.files.products import SUFFIX
from fg3d_builder.layout import CHUNK_STAGES, BuildLayout
from fg3d_builder.pipeline.augmentation_report import drawn_chunks
from fg3d_builder.shards.manifest import shard_names
from fg3d_builder.shards.split import split_of
from fg3d_builder.tasks.base import BuildTask, if_there, log
from fg3d_builder.tasks.chunk_tasks import DROPPED_SUFFIX
from fg3d_builder.tasks.chunks import Index
from fg3d_builder.tasks.dataset_tasks import WholeTask, read_plan
from fg3d_builder.tasks.naming import what
from fg3d_builder.tasks.time_left import (
    KINDS,
    Work,
    expected_seconds,
    seconds_left,
    share_done,
    usual_seconds,
)
from fg3d_builder.transform.donors import DONATED_PARTS
from fg3d_builder.wording import duration, some_of

PAUSE_S = 10.0
"""Between two lines, unless a stage has been finished."""

QUIET_S = 30.0
"""After so long without a line it is said what is worked on."""

LOOKED_AFTER_S = 5.0
"""Between two looks at whether it is time for that."""

_AT_WORK_NAMED = 3
"""Tasks that such a line names."""

_HALF_A_DAY_S = 43_200.0


_BEGUN = "begun"
"""Marks in the record of times where a run of the build begins."""

_SHOWN = "shown"
"""Marks in the record of times that a line was shown, and how long was left by it."""

_SHARE_SHOWN = "share"
"""Marks in the record of times which share of the work was shown as done."""

_COUNTED = "counted"
"""Marks in the record of times how long a count of the products took, if it was not quick."""

_QUICK_S = 0.005
"""A count that takes no longer is made after every task."""

_SHARE = 100.0
"""So many times as long as the last count took passes before the next, if that was not quick:
whichever process of the build has made it."""

_SAMPLED = 24
"""Tasks of a kind that its time is the median of."""

_TAIL_BYTES = 1 << 16


class Display:
    """Where and how progress is shown; set before worker processes are forked."""

    shows = True
    """Note times and show progress; not where another process does so for all of a build's."""

    workers = 0
    """Processes; 0 where Luigi's own settings say it."""

    on_terminal = False
    """Draw one line again and again in place of one line after the other."""


@BuildTask.event_handler(luigi.Event.PROCESSING_TIME)
def note_task(task: BuildTask, seconds: float) -> None:
    """Note how long a task took, and show how far the build is.

    Of hundreds of thousands of captures a count takes seconds: it is not made after every task.
    """
    if not Display.shows or not task.amount[0]:
        return
    layout, times = task.layout, task.times(seconds)
    for row in times:
        _append(layout, *row)
    now, record = time.time(), _tail(layout)
    # The clock may have been set back since.
    due = abs(now - _last(record, _SHOWN)[0]) > PAUSE_S
    counted, took = _last(record, _COUNTED)
    if not due and abs(now - counted) < _SHARE * took:
        return
    start = time.monotonic()
    verdicts = task if isinstance(task, WholeTask) else None
    work = work_of(layout, task.index, verdicts)
    took = time.monotonic() - start
    if took > _QUICK_S:
        _append(layout, _COUNTED, 0, took)
    if due or any(captures and work[kind].left <= 0 for kind, captures, _ in times):
        workers = Display.workers or luigi.interface.core().workers
        usual = read_times(layout, workers)
        _show(layout, work, usual, workers)


def say_at_work(tasks: Sequence[BuildTask]) -> None:
    """Show how far a build is, and what is worked on, where nothing was shown for `QUIET_S`.

    Until a task has ended, and in long ones, `note_task` says nothing.

    Parameters
    ----------
    tasks : sequence of BuildTask
        Of one build; those that are worked on.
    """
    if not tasks or not Display.shows:
        return
    layout, record = tasks[0].layout, _tail(tasks[0].layout)
    now = time.time()
    if any(abs(now - _last(record, kind)[0]) < QUIET_S for kind in (_SHOWN, _BEGUN)):
        return
    whole = next((task for task in tasks if isinstance(task, WholeTask)), None)
    work = work_of(layout, tasks[0].index, whole)
    workers = Display.workers or luigi.interface.core().workers
    times = read_times(layout, workers)
    # The names have commas in them.
    names = [what(task).replace(",", "") for task in tasks]
    _show(layout, work, times, workers, some_of(names, _AT_WORK_NAMED))


class Heartbeat:
    """Lets `say_at_work` look after a task of this process while a ``with`` block runs it."""

    def __init__(self, task: BuildTask) -> None:
        self._task, self._ended = task, threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._ended.wait(LOOKED_AFTER_S):
            with suppress(Exception):  # as where the disk is full: the task says so itself
                say_at_work([self._task])


def work_of(layout: BuildLayout, index: Index, whole: WholeTask | None = None) -> dict[str, Work]:
    """Count what there is to do of each kind and what is done, by a listing of each folder.

    Examples are drawn of some chunks, one of each; the others are counted only.

    Parameters
    ----------
    layout : BuildLayout
    index : Index
    whole : WholeTask, optional
        Any of the dataset's tasks: knows its shards. Before one runs no shard is counted.
    """
    sizes = {chunk.name: len(chunk.entries) for chunk in index.chunks}

    def chunks(folder: Path, suffix: str, sizes: Mapping[str, int], parts: int = 0) -> int:
        """Captures of the chunks that a folder has a file of, behind whose names more parts are."""
        there = [name.replace(DROPPED_SUFFIX, SUFFIX) for name in _listing(folder)]
        names = [n.removesuffix(suffix) for n in there if n.endswith(suffix)]
        found = {n.rsplit("-", parts)[0] if parts else n for n in names}
        return sum(sizes[name] for name in found & set(sizes))

    total = sum(sizes.values())
    work = {s: Work(chunks(layout.stage_folder(s), SUFFIX, sizes), total) for s in CHUNK_STAGES}
    work["sheets"] = Work(chunks(layout.report_rows("", "").parent, ".json", sizes, 1), total)
    receivers = _with_new_shapes(layout, index)
    shaped = chunks(layout.stage_folder("transform"), SUFFIX, receivers, 1)
    work["transform"] = Work(shaped, sum(receivers.values()))
    work["shards"] = Work(_in_shards(layout, whole), total)
    drawn = dict.fromkeys(drawn_chunks(index.names), 1)
    alone = {name: size for name, size in sizes.items() if name not in drawn}
    shown = layout.augmentation_rows("", "").parent
    work["counts"] = Work(chunks(shown, ".json", alone, 1), sum(alone.values()))
    work["examples"] = Work(chunks(shown, ".json", drawn, 1), len(drawn))
    return work


def _with_new_shapes(layout: BuildLayout, index: Index) -> dict[str, int]:
    """Return how many captures of each chunk get new shapes: those of training subjects.

    Told once for a process: a count is made after many a task.
    """
    key = layout.config_digest, index.identity
    known = _receivers.get(key)
    if known is None:
        known = _receivers_of(layout, index)
        _receivers.clear()
        _receivers[key] = known
    return known


_receivers: dict[tuple[str, str], dict[str, int]] = {}


def _receivers_of(layout: BuildLayout, index: Index) -> dict[str, int]:
    settings = layout.config.shards

    def trained(subject: str) -> bool:
        return split_of(subject, settings.test_fraction, settings.split_salt) == "train"

    subjects = {e.subject_id for chunk in index.chunks for e in chunk.entries}
    givers = {subject for subject in subjects if trained(subject)}
    if not layout.config.transform.shapes_per_capture or len(givers) <= len(DONATED_PARTS):
        return {}
    return {c.name: sum(e.subject_id in givers for e in c.entries) for c in index.chunks}


def _in_shards(layout: BuildLayout, whole: WholeTask | None) -> int:
    if whole is None or whole.decided() is None:
        return 0
    plan = if_there(lambda: read_plan(layout.plan(whole.digest())))
    if plan is None:
        return 0
    there = shard_names(whole.folder()) if whole.folder().is_dir() else []
    return sum(len(plan[name]) for name in there if name in plan)


def progress_line(
    work: Mapping[str, Work], times: Mapping[str, float], config: BuildConfig, workers: int
) -> str:
    """Say how far each kind of work is that is begun, and how long the rest will take."""
    parts = [
        f"{KINDS[kind]} {amount.done}/{amount.total}"
        for kind, amount in work.items()
        if amount.done > 0 and (amount.left or kind == "registration")
    ]
    left = seconds_left(work, times, config, workers)
    day = "%a " if left > _HALF_A_DAY_S else ""
    until = time.strftime(f"{day}%H:%M", time.localtime(time.time() + left))
    about = f"about {duration(left)} left (until {until})" if left > 0 else "about to end"
    return f"{about}: {', '.join(parts)}" if parts else about


def kept_line(layout: BuildLayout, index: Index) -> str:
    """Say what an earlier run has left; empty where that is nothing."""
    work = work_of(layout, index)
    parts = [
        f"{KINDS[kind]} {work[kind].done}"
        for kind in (*CHUNK_STAGES, "transform")
        if work[kind].done
    ]
    total = len(index.capture_ids)
    return f"kept of {total} captures from an earlier run: {', '.join(parts)}" if parts else ""


def note_begin(layout: BuildLayout) -> None:
    """Note that a run of the build begins."""
    _append(layout, _BEGUN, 0, 0.0)


def last_times(layout: BuildLayout) -> tuple[float, float]:
    """Return when the last run of a build began and when a task last ended, seconds since 1970.

    Zero where the record has none.
    """
    try:
        record = layout.timings.read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        return 0.0, 0.0
    # All of it: the row of the beginning may have thousands behind it.
    return _last(record, _BEGUN)[0], max(_last(record, kind)[0] for kind in KINDS)


def read_times(layout: BuildLayout, workers: int) -> dict[str, float]:
    """Return the seconds for a capture, by kind of work, as far as they are measured.

    What was measured in earlier runs of the build counts as much more or less as the kinds of work
    take now that were measured both then and now.
    """
    rows = _rows(layout)
    begun = max((i for i, row in enumerate(rows) if row[1] == _BEGUN), default=0)
    usual = usual_seconds(layout.config)
    before, _ = _measured(rows[:begun], workers)
    now, few = _measured(rows[begun:], workers)
    both = before.keys() & now.keys()
    pace = sum(now[k] for k in both) / sum(before[k] for k in both) if both else 1.0
    times = {kind: pace * seconds for kind, seconds in before.items()} | now
    expected = expected_seconds(times, usual)
    for kind, seconds in few.items():
        times[kind] = math.sqrt(seconds * expected[kind]) if times else seconds
    return times


def _measured(
    rows: Sequence[tuple[float, str, int, float]], workers: int
) -> tuple[dict[str, float], dict[str, float]]:
    """Return the seconds for a capture of kinds that were measured often, and of the others.

    The first task of every process also loads and compiles, for minutes where the others take
    seconds: it does not count. Where there are no others, the fastest is a bound.
    """
    found: dict[str, list[float]] = {}
    for _, kind, captures, seconds in rows:
        if kind in KINDS and captures:
            found.setdefault(kind, []).append(seconds / captures)
    often = {
        kind: statistics.median(values[workers:][-_SAMPLED:])
        for kind, values in found.items()
        if len(values) > workers
    }
    return often, {kind: min(values) for kind, values in found.items() if kind not in often}


def _append(layout: BuildLayout, kind: str, captures: int, seconds: float) -> None:
    """Add a row; short ones are added in one step, whoever else does so."""
    with layout.timings.open("a", encoding="ascii") as file:
        file.write(f"{time.time():.1f},{kind},{captures},{seconds:.3f}\n")


def _rows(layout: BuildLayout) -> list[tuple[float, str, int, float]]:
    """Read the last rows; one that a kill has cut short is left out."""
    rows = []
    for line in _tail(layout).splitlines():
        with suppress(ValueError):
            when, kind, captures, seconds = line.split(",")
            rows.append((float(when), kind, int(captures), float(seconds)))
    return rows


def _tail(layout: BuildLayout) -> str:
    """Read the end of the record of times."""
    try:
        with layout.timings.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            return file.read().decode("ascii", "replace")
    except FileNotFoundError:
        return ""


def _last(record: str, kind: str) -> tuple[float, float]:
    """Return time and seconds of the last row of a kind; zeros where there is none, or it was cut.

    Looked for in the text: to read all rows after every task would cost more than the search.
    """
    at = record.rfind(f",{kind},")
    if at < 0:
        return 0.0, 0.0
    begin = record.rfind("\n", 0, at) + 1
    with suppress(ValueError):
        when, _, _, seconds = record[begin:].split("\n", 1)[0].split(",")
        return float(when), float(seconds)
    return 0.0, 0.0


def _listing(folder: Path) -> list[str]:
    return os.listdir(folder) if folder.is_dir() else []


def _show(
    layout: BuildLayout,
    work: Mapping[str, Work],
    times: Mapping[str, float],
    workers: int,
    at_work: str = "",
) -> None:
    config = layout.config
    # The record says later how true the time left was.
    _append(layout, _SHOWN, 0, seconds_left(work, times, config, workers))
    known = progress_line(work, times, config, workers) if times else ""
    line = "; ".join(filter(None, (known, at_work and f"at work on {at_work}")))
    share = _share_shown(layout, share_done(work, usual_seconds(config)))
    if not Display.on_terminal:
        log.info("%.0f %%, %s", 100 * share, line)
        return
    columns = shutil.get_terminal_size().columns - 1
    meter = tqdm.format_meter(
        round(1000 * share),
        1000,
        0.0,
        ncols=columns,
        bar_format=f"{{percentage:3.0f}} %|{{bar:12}}| {line}",
    )
    sys.stderr.write(f"\r\x1b[K{meter[:columns]}")
    sys.stderr.flush()


def _share_shown(layout: BuildLayout, share: float) -> float:
    """Return a share that is not below those that this run of the build has shown; note it.

    What is made again, or cannot be counted by every process, has been counted before.
    """
    record, share = _tail(layout), round(share, 3)  # as it is noted
    when, before = _last(record, _SHARE_SHOWN)
    if when >= _last(record, _BEGUN)[0]:
        share = max(share, before)
    _append(layout, _SHARE_SHOWN, 0, share)
    return share


class TerminalHandler(logging.StreamHandler):
    """Writes lines above the one that shows the progress."""

    def emit(self, record: logging.LogRecord) -> None:
        """Clear the line of the progress and write the record in its place."""
        self.stream.write("\r\x1b[K")
        super().emit(record)
