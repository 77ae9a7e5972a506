"""Says what a preset would build, from where, how long that takes and how large it gets."""

from __future__ import annotations

import argparse
import functools
import os
import shlex
import shutil
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from fg3d_builder.commands.arguments import MOST_WORKERS, folder_to_write, whole
from fg3d_builder.config import BuildConfig, SourceConfig, load_preset
from fg3d_builder.errors import CaptureError

if TYPE_CHECKING:
    from fg3d_builder.captures.source import CaptureEntry
    from fg3d_builder.commands.estimate import StageCost
    from fg3d_builder.layout import BuildLayout

DESCRIPTION = """\
Reads a preset and its sources as a build would, and builds nothing: every setting that is wrong,
how many captures of whom there are, which of them cannot be read, how long the build takes and how
large it gets, what of it is there already.

  fg3d check studio.toml
  fg3d check studio.toml --workers 8

At most 10 seconds are spent on reading captures as a trial, evenly spread over each source;
`fg3d captures check studio.toml` reads all of them and looks for their faces. Times hold for one
core for each worker, and are right within a factor of two. Where nothing is wrong, the last line is
the command that builds; else the exit status is 1.
"""

_TRIAL_S = 10.0
MOST_TRIED = 40
"""Captures of a source that are read as a trial, and the seconds that all of that may take."""
_MOST_TOLD = 10


@dataclass
class Look:
    """What a first look at a source finds.

    Attributes
    ----------
    config : SourceConfig
    entries : list of CaptureEntry
        All captures of the source.
    tried : int
        Captures that were read as a trial.
    loading_s : float
        Processor time of loading one, on the machine of `commands.estimate`.
    pixels : int
        Of the depth images that were read, summed.
    bad : dict of str to CaptureError
        What is wrong with captures that were tried, by id.
    """

    config: SourceConfig
    entries: list[CaptureEntry]
    tried: int = 0
    loading_s: float = 0.0
    pixels: int = 0
    bad: dict[str, CaptureError] = field(default_factory=dict)

    @property
    def all_pixels(self) -> int:
        """Of all captures, if those that were not tried are like the others."""
        if self.config.kind not in ("scan", "synthetic"):
            good = self.tried - len(self.bad)
            return len(self.entries) * self.pixels // good if good > 0 else 0
        height, width = self.config.image_size
        return len(self.entries) * height * width


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    command = commands.add_parser(
        "check",
        help="say what a preset would build, how long that takes, what is wrong",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("preset", type=Path, help="TOML file")
    command.add_argument(
        "--out", type=folder_to_write, help="folder of the build; default build/NAME"
    )
    command.add_argument(
        "--workers", type=whole(1, MOST_WORKERS), default=1, help="of the build; default 1"
    )
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Check a preset; exit status 1 where something is wrong with what it reads."""
    from fg3d_builder.review.review_list import read_review_list
    from fg3d_builder.tasks.chunks import list_chunks
    from fg3d_builder.tasks.finding import layout_of
    from fg3d_builder.wording import counted

    config = load_preset(options.preset)
    layout = layout_of(config, str(options.out or ""))
    list_chunks(config)  # refuses what a build refuses, such as one id twice
    read_review_list(layout.review_list)
    print(f"{options.preset}: every setting is allowed")
    looks = first_looks(config)
    problems = _tell_sources(looks)
    _tell_split(config, looks)
    problems += _tell_effort(config, layout, looks, options.workers)
    for problem in problems:
        print(f"problem: {problem}")
    untried = _untried_line(looks, options.preset)
    if untried:
        print(untried)
    good = f"good{', as far as was read' if untried else ''}; {_build_line(options)}"
    print(counted(len(problems), "problem") if problems else good)
    return 1 if problems else 0


def _untried_line(looks: list[Look], preset: Path) -> str:
    """Say how many captures were read, and how all are; empty where all were."""
    read = [look for look in looks if look.config.kind != "synthetic"]
    tried, count = sum(look.tried for look in read), sum(len(look.entries) for look in read)
    if tried == count:
        return ""
    command = shlex.join(["fg3d", "captures", "check", str(preset)])
    return f"note: {tried:,} of {count:,} captures were read; {command} reads them all"


def _build_line(options: argparse.Namespace) -> str:
    """Return the command that builds what was looked at, where and with as many workers."""
    words = ["fg3d", "build", str(options.preset)]
    words += ["--out", str(options.out)] if options.out else []
    words += ["--workers", str(options.workers)] if options.workers > 1 else []
    return shlex.join(words)


def first_looks(config: BuildConfig) -> list[Look]:
    """List every source and read some captures of each, for `_TRIAL_S` in all."""
    from fg3d_builder.captures import open_source
    from fg3d_builder.commands.estimate import spread, synthetic_loading_s

    looks = []
    for source_config in config.sources:
        source = open_source(source_config)
        look = Look(source_config, source.entries())
        looks.append(look)
        if source_config.kind == "synthetic":  # cannot fail; rendering one would take a while
            look.loading_s = synthetic_loading_s(*source_config.image_size)
            continue
        until = time.monotonic() + _TRIAL_S / len(config.sources)
        start = time.process_time()
        for number in spread(len(look.entries), MOST_TRIED):
            if look.tried and time.monotonic() > until:
                break
            entry = look.entries[number]
            look.tried += 1
            try:
                look.pixels += source.load(entry).depth_mm.size
            except CaptureError as error:
                look.bad[entry.capture_id] = error
        look.loading_s = (time.process_time() - start) / look.tried
        look.loading_s /= _factor()
    return looks


def _tell_sources(looks: list[Look]) -> list[str]:
    from fg3d_builder.wording import counted

    problems = []
    for look in looks:
        source = look.config
        people = len({entry.subject_id for entry in look.entries if entry.subject_id})
        where = "made by the program" if source.kind == "synthetic" else source.path
        of_whom = f"{counted(len(look.entries), 'capture')} of {counted(people, 'subject')}"
        print(f"source {source.kind}, {where}: {of_whom}")
        if source.kind != "synthetic":
            tried = f"{look.tried:,} of {len(look.entries):,} read as a trial"
            print(f"  {tried}, {len(look.bad)} cannot be used")
        codes = Counter(error.code for error in look.bad.values())
        for name, error in list(look.bad.items())[:_MOST_TOLD]:
            problems.append(f"{name}: {error.code}: {error.message}")
        if len(look.bad) > _MOST_TOLD:
            kinds = ", ".join(f"{count} {code}" for code, count in codes.most_common())
            problems.append(f"{len(look.bad)} of {look.tried} captures cannot be used: {kinds}")
    return problems


def _tell_split(config: BuildConfig, looks: list[Look]) -> None:
    """Print who is in which split; an empty one is worth a word."""
    from fg3d_builder.shards.split import SplitRule
    from fg3d_builder.transform.donors import DONATED_PARTS
    from fg3d_builder.wording import counted

    people = _people_by_split(config, looks)
    train, test = len(people["train"]), len(people["test"])
    print(f"split: {counted(train, 'subject')} to train, {test} to test")
    rule = SplitRule(config.shards.split_salt, config.shards.test_fraction)
    for split in ("train", "test"):
        if not people[split]:
            print(f"  note: {rule.why_nobody(split, train + test)}")
    if config.transform.shapes_per_capture and train <= len(DONATED_PARTS):
        print(f"  note: no new shapes: they need {len(DONATED_PARTS) + 1} training subjects")


def _people_by_split(config: BuildConfig, looks: list[Look]) -> dict[str, set[str]]:
    from fg3d_builder.shards.split import split_of

    found: dict[str, set[str]] = {"train": set(), "test": set()}
    for entry in (entry for look in looks for entry in look.entries if entry.subject_id):
        subject = entry.subject_id
        found[split_of(subject, config.shards.test_fraction, config.shards.split_salt)].add(subject)
    return found


def _tell_effort(
    config: BuildConfig, layout: BuildLayout, looks: list[Look], workers: int
) -> list[str]:
    """Print time, size and place; return what is wrong with the place."""
    from fg3d_builder.commands.estimate import costs, count_all, sizes, wall_seconds
    from fg3d_builder.tasks.finding import complete_dataset
    from fg3d_builder.wording import counted, duration

    entries = [entry for look in looks for entry in look.entries]
    training = _people_by_split(config, looks)["train"]
    in_training = sum(entry.subject_id in training for entry in entries)
    counts = count_all(config, len(entries), in_training, len(training))
    loading = sum(look.loading_s * len(look.entries) for look in looks) / len(entries)
    stages, factor = costs(config, counts, loading), _factor()
    print(
        f"samples: {counts.samples:,}: {counts.captures:,} captures and {counts.new_shapes:,} new "
        f"shapes, each as it is and in {counts.views} turned views"
    )
    done = built_captures(layout)
    print(f"{'work':20} {'times':>7} {'each':>8} {'all':>8}  there already")
    for stage in stages:
        print(_stage_line(stage, factor, done.get(stage.name)))
    side_by_side = min(workers, counts.chunks, len(os.sched_getaffinity(0)))
    seconds = wall_seconds(stages, factor, side_by_side)
    print(f"time: about {duration(seconds)} with {counted(workers, 'worker')}, from the beginning")
    complete = complete_dataset(layout) is not None
    if complete:
        print("  all of it is there: a build has nothing to do")
    size = sizes(config, counts, sum(look.all_pixels for look in looks))
    folder, free = layout.root, _free(layout.root)
    print(
        f"size: about {_bytes(size.dataset)} of dataset, {_bytes(size.work)} of stages' products, "
        f"{_bytes(size.report)} of report"
    )
    print(f"place: {folder}, {_bytes(free)} free")
    if complete:
        return []
    if not os.access(_there(folder), os.W_OK):
        return [f"{folder}: nothing can be written there"]
    if free < size.total and not done:
        return [f"{folder}: {_bytes(free)} free, the build needs about {_bytes(size.total)}"]
    return []


def built_captures(layout: BuildLayout) -> dict[str, int]:
    """Return how many captures each kind of work has behind it in a build's folder."""
    from fg3d_builder.files.products import is_complete
    from fg3d_builder.tasks.chunk_tasks import DROPPED_SUFFIX
    from fg3d_builder.tasks.chunks import list_chunks

    def is_built(product: Path) -> bool:
        return is_complete(product) or product.with_suffix(DROPPED_SUFFIX).is_file()

    if not layout.work.is_dir():
        return {}
    chunks = list_chunks(layout.config).chunks
    names = ("load", "landmarks", "fit", "register", "turn")
    stages = ("captures", "landmarks", "fitting", "registration", "views")
    return {
        name: sum(
            len(chunk.entries) for chunk in chunks if is_built(layout.product(stage, chunk.name))
        )
        for name, stage in zip(names, stages, strict=True)
    }


def _stage_line(stage: StageCost, factor: float, done: int | None) -> str:
    from fg3d_builder.wording import duration

    each, all_of_it = stage.seconds * factor, stage.total * factor
    there = f"{done:,} of {stage.times:,}" if done else ""
    line = f"{stage.name:20} {stage.times:>7,} {each:>6.2f} s {duration(all_of_it):>8}  {there}"
    return line.rstrip()


@functools.cache
def _factor() -> float:
    """Measure this machine, once."""
    from fg3d_builder.commands.estimate import machine_factor

    return machine_factor()


def _free(folder: Path) -> int:
    """Bytes that are free where a folder is or will be made."""
    return shutil.disk_usage(_there(folder)).free


def _there(folder: Path) -> Path:
    """Return a folder, or the nearest one above it that is there."""
    return next(path for path in (folder, *folder.parents) if path.exists())


def _bytes(count: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return (
                f"{count / size:.3g} {unit}"
                if count < 1000 * size
                else f"{count / size:,.0f} {unit}"
            )
    return f"{count} bytes"
