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
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import luigi
from tqdm import tqdm

from fg3d_builder.layout import CHUNK_STAGES, BuildLayout
from fg3d_builder.pipeline.augmentation_report import drawn_chunks
from fg3d_builder.shards.manifest import shard_names
from fg3d_builder.shards.split import split_of
from fg3d_builder.tasks.base import BuildTask, if_there, log
from fg3d_builder.tasks.chunks import Index
from fg3d_builder.tasks.dataset_tasks import WholeTask, read_plan
from fg3d_builder.transform.donors import DONATED_PARTS

PAUSE_S = 10.0
"""Between two lines, unless a stage has been finished."""


class Kind(NamedTuple):
    """A kind of work: what a person calls it when done, and roughly how long a capture takes.

    The times are of the demo on one core of 2.5 GHz. They count until the kind's own times are
    known, and only against each other: other kinds tell how much faster or slower things go here.
    """

    done: str
    seconds: float


KINDS = {
    "captures": Kind("loaded", 1.5),
    "landmarks": Kind("landmarks", 0.5),
    "fitting": Kind("fitted", 2.0),
    "registration": Kind("registered", 3.0),
    "views": Kind("turned", 6.0),
    "sheets": Kind("drawn", 1.5),
    "transform": Kind("given new shapes", 8.0),
    "shards": Kind("in shards", 0.2),
    "counts": Kind("counted", 0.1),
    "examples": Kind("examples drawn", 2.0),
}
"""In the order in which they are done."""

PHASES = (
    ("captures", "landmarks", "fitting", "registration", "views", "sheets"),
    ("transform",),
    ("shards",),
    ("counts", "examples"),
)
"""What waits for the end of what is before it."""

_QUICK_S = 0.05
"""A count of the products that takes no longer is made after every task."""

_SHARE = 20.0
"""So many times as long as the last count took passes before the next, if that was not quick."""

_SAMPLED = 24
"""Tasks of a kind that its time is the median of."""

_TAIL_BYTES = 1 << 16


class Work(NamedTuple):
    """How much there is of a kind of work, in captures."""

    done: int
    total: int

    @property
    def left(self) -> int:
        """What is not done."""
        return self.total - self.done


class Display:
    """Where and how progress is shown; set before worker processes are forked."""

    workers = 0
    """Processes; 0 where Luigi's own settings say it."""

    on_terminal = False
    """Draw one line again and again in place of one line after the other."""

    counts_from = 0.0
    """Of the monotonic clock: before it nothing is counted, unless a line is due."""


@BuildTask.event_handler(luigi.Event.PROCESSING_TIME)
def note_task(task: BuildTask, seconds: float) -> None:
    """Note how long a task took, and show how far the build is.

    Of hundreds of thousands of captures a count takes seconds: it is not made after every task.
    """
    kind, captures = task.amount
    if not kind:
        return
    layout = task.layout
    _append(layout, kind, captures, seconds)
    # The clock may have been set back since.
    due = abs(time.time() - _last_shown(layout)) > PAUSE_S
    start = time.monotonic()
    if not due and start < Display.counts_from:
        return
    verdicts = task if isinstance(task, WholeTask) else None
    work = work_of(layout, task.index, verdicts)
    took = time.monotonic() - start
    Display.counts_from = start + took + (_SHARE * took if took > _QUICK_S else 0.0)
    if due or work[kind].left <= 0:
        _append(layout, "shown", 0, 0.0)
        workers = Display.workers or luigi.interface.core().workers
        _show(work, read_times(layout), task.layout.config.chunk_size, workers)


def work_of(layout: BuildLayout, index: Index, whole: WholeTask | None = None) -> dict[str, Work]:
    """Count what there is to do of each kind and what is done, by a listing of each folder.

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
        names = [n.removesuffix(suffix) for n in _listing(folder) if n.endswith(suffix)]
        found = {n.rsplit("-", parts)[0] if parts else n for n in names}
        return sum(sizes[name] for name in found & set(sizes))

    total = sum(sizes.values())
    work = {s: Work(chunks(layout.stage_folder(s), ".h5", sizes), total) for s in CHUNK_STAGES}
    work["sheets"] = Work(chunks(layout.report_rows("").parent, ".json", sizes), total)
    receivers = _with_new_shapes(layout, index)
    shaped = chunks(layout.stage_folder("transform"), ".h5", receivers, 1)
    work["transform"] = Work(shaped, sum(receivers.values()))
    work["shards"] = Work(_in_shards(layout, whole), total)
    counted = chunks(layout.augmentation_rows("", "").parent, ".json", sizes, 1)
    work["counts"] = Work(counted, total)
    drawn = sum(sizes[name] for name in drawn_chunks(index.names))
    work["examples"] = Work(round(drawn * counted / total), drawn)
    return work


def _with_new_shapes(layout: BuildLayout, index: Index) -> dict[str, int]:
    """Return how many captures of each chunk get new shapes: those of training subjects."""
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


def seconds_left(
    work: Mapping[str, Work], times: Mapping[str, float], chunk_size: int, workers: int
) -> float:
    """Estimate how long the rest takes.

    Parameters
    ----------
    work : mapping of kind to Work
    times : mapping of kind to float
        Measured seconds for a capture, of the kinds that are begun.
    chunk_size : int
        Captures that one process does one after the other.
    workers : int
    """
    expected = capture_seconds(times)
    left = 0.0
    for phase in PHASES:
        seconds = {kind: work[kind].left * expected[kind] for kind in phase}
        # The last chunk of a phase keeps one process busy, whatever the others do.
        longest = max(min(work[k].left, chunk_size) * expected[k] for k in phase)
        left += max(sum(seconds.values()) / max(workers, 1), longest)
    return left


def capture_seconds(times: Mapping[str, float]) -> dict[str, float]:
    """Return what a capture takes in each kind of work: measured, or else scaled from the demo."""
    usual = sum(KINDS[kind].seconds for kind in times)
    pace = sum(times.values()) / usual if usual else 1.0
    return {kind: times.get(kind, pace * about.seconds) for kind, about in KINDS.items()}


def progress_line(
    work: Mapping[str, Work], times: Mapping[str, float], chunk_size: int, workers: int
) -> str:
    """Say how far each kind of work is that is begun, and how long the rest will take."""
    parts = [
        f"{KINDS[kind].done} {amount.done}/{amount.total}"
        for kind, amount in work.items()
        if amount.done > 0 and (amount.left or kind == "registration")
    ]
    left = seconds_left(work, times, chunk_size, workers)
    until = time.strftime("%H:%M", time.localtime(time.time() + left))
    about = f"about {duration(left)} left (until {until})" if left > 0 else "about to end"
    return f"{about}: {', '.join(parts)}" if parts else about


def share_done(work: Mapping[str, Work], times: Mapping[str, float]) -> float:
    """Return how much of all work is done, in [0, 1], by the time that it takes."""
    expected = capture_seconds(times)
    total = sum(amount.total * expected[kind] for kind, amount in work.items())
    return sum(amount.done * expected[kind] for kind, amount in work.items()) / total


def kept_line(layout: BuildLayout, index: Index) -> str:
    """Say what an earlier run has left; empty where that is nothing."""
    work = work_of(layout, index)
    parts = [
        f"{KINDS[kind].done} {work[kind].done}"
        for kind in (*CHUNK_STAGES, "transform")
        if work[kind].done
    ]
    total = len(index.capture_ids)
    return f"kept of {total} captures from an earlier run: {', '.join(parts)}" if parts else ""


def read_times(layout: BuildLayout) -> dict[str, float]:
    """Return the seconds for a capture, by kind of work, as far as they are measured.

    They are medians: the first task of a process also loads and compiles, for minutes where the
    others take seconds. A time that is measured once lies halfway between itself and what the
    other kinds let expect.
    """
    found: dict[str, list[float]] = {}
    for _, kind, captures, seconds in _rows(layout):
        if kind in KINDS and captures:
            found.setdefault(kind, []).append(seconds / captures)
    times = {k: statistics.median_low(v[-_SAMPLED:]) for k, v in found.items() if len(v) > 1}
    expected = capture_seconds(times)
    once = {kind: values[0] for kind, values in found.items() if len(values) == 1}
    for kind, seconds in once.items():
        times[kind] = math.sqrt(seconds * expected[kind]) if times else seconds
    return times


def duration(seconds: float) -> str:
    """Return a time in words: ``80 s``, ``12 min``, ``3.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:,.1f} h"


def _append(layout: BuildLayout, kind: str, captures: int, seconds: float) -> None:
    """Add a row; short ones are added in one step, whoever else does so."""
    with layout.timings.open("a", encoding="ascii") as file:
        file.write(f"{time.time():.1f},{kind},{captures},{seconds:.3f}\n")


def _rows(layout: BuildLayout) -> list[tuple[float, str, int, float]]:
    """Read the last rows; one that a kill has cut short is left out."""
    try:
        with layout.timings.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            text = file.read().decode("ascii", "replace")
    except FileNotFoundError:
        return []
    rows = []
    for line in text.splitlines():
        with suppress(ValueError):
            when, kind, captures, seconds = line.split(",")
            rows.append((float(when), kind, int(captures), float(seconds)))
    return rows


def _last_shown(layout: BuildLayout) -> float:
    return next((when for when, kind, _, _ in reversed(_rows(layout)) if kind == "shown"), 0.0)


def _listing(folder: Path) -> list[str]:
    return os.listdir(folder) if folder.is_dir() else []


def _show(work: Mapping[str, Work], times: Mapping[str, float], size: int, workers: int) -> None:
    line = progress_line(work, times, size, workers)
    share = share_done(work, times)
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


class TerminalHandler(logging.StreamHandler):
    """Writes lines above the one that shows the progress."""

    def emit(self, record: logging.LogRecord) -> None:
        """Clear the line of the progress and write the record in its place."""
        self.stream.write("\r\x1b[K")
        super().emit(record)
