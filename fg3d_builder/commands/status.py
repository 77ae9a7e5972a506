"""Says what state a build, a dataset or a training run is in, and how it goes on."""

from __future__ import annotations

import argparse
import gc
import json
import logging
import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fg3d_builder.errors import printable
from fg3d_builder.wording import counted

if TYPE_CHECKING:
    from fg3d_builder.fgnet.training.run_status import RunStatus
    from fg3d_builder.tasks.build_sizes import BuildSizes, Room
    from fg3d_builder.tasks.status import BuildStatus, FailureGroup

DESCRIPTION = """\
Says of a build what is there, what is missing, what failed and why, whether a build runs now, how
long the rest takes, and which command goes on. Nothing is changed; a build may run meanwhile.

  fg3d status build/studio             a build; also of a preset, fg3d status studio.toml
  fg3d status build/studio/dataset     a dataset
  fg3d status build/studio/training    a training run
  fg3d status build/studio --json      for scripts; docs/status.md lists the fields

Exit status 0 where all is there, 1 where something is missing or failed, 2 where there is nothing
of the kind. Captures that a build leaves out, as many as its preset allows, are no failure of it.
"""

_DATASET, _NOTHING = "dataset", 2
_WORDS = {
    "captures": "captures loaded",
    "landmarks": "landmarks",
    "fitting": "3DMM fits",
    "registration": "registrations",
    "views": "turned views",
    "transform": "new shapes",
    "sheets": "contact sheets",
    "shards": "in shards",
    "counts": "views counted",
    "examples": "views drawn",
}
"""What a person calls the kinds of work, in the order of the table."""

_ROOM_OF = {"sheets": "report", "examples": "augmentation-report"}
"""Names of room in `BuildSizes.stages` that differ from the kind's."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    command = commands.add_parser(
        "status",
        help="say what is there of a build, what failed, how to go on",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "folder",
        type=Path,
        metavar="FOLDER",
        help="of a build, a dataset or a training run; or a preset, for its build in build/NAME",
    )
    command.add_argument("--json", action="store_true", help="all of it, for other programs")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the state of a folder; exit status 0, 1 or 2, see `DESCRIPTION`."""
    with _without_collecting(), _without_messages():
        return _run(options)


@contextmanager
def _without_collecting() -> Iterator[None]:
    """Keep cyclic garbage while the block runs: a seventh of the time for 10,000 captures."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@contextmanager
def _without_messages() -> Iterator[None]:
    """Log nothing while the block runs: what readers say of damaged files is told by the status."""
    loggers = [logging.getLogger(name) for name in ("fg3d", "fg3d_builder")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _run(options: argparse.Namespace) -> int:
    from fg3d_builder.fgnet.training.names import is_run
    from fg3d_builder.shards.manifest import MANIFEST_NAME
    from fg3d_builder.tasks.build_sizes import is_build

    folder, preset = _build_of(options.folder)
    if is_build(folder):
        return _tell_build(folder, preset, options.json)
    if (folder / MANIFEST_NAME).is_file():
        return _tell_dataset(folder, options.json)
    if is_run(folder):
        from fg3d_builder.fgnet.training.run_status import run_status  # loads torch

        found = run_status(folder)
        _tell(found.as_json(), _run_lines(found), options.json)
        return 0 if found.complete else 1
    raise FileNotFoundError(_what_it_is_not(folder, preset))


def _build_of(path: Path) -> tuple[Path, Path | None]:
    """Return the folder to look at, and the preset where that was named instead."""
    from fg3d_builder.config import load_preset, preset_file
    from fg3d_builder.layout import default_root

    file = preset_file(path)
    if file.is_dir():
        return path, None
    if not file.exists():
        raise FileNotFoundError(f"{path} does not exist")
    return default_root(load_preset(file)), file


def _what_it_is_not(folder: Path, preset: Path | None) -> str:
    if preset is not None:
        return (
            f"{preset} was not built in {folder}; start with `{_line('build', preset)}`, or name "
            "the folder that was given to --out"
        )
    hint = ""
    if (folder / "capture.json").is_file():
        hint = f"; it is a capture: `{_line('register', folder, '--out', 'out')}`"
    elif any(folder.glob("*/capture.json")):
        hint = f"; it holds captures: `{_line('captures', 'check', folder)}`"
    return (
        f"{folder} is no build (it has no work/), no dataset (no manifest.json) and no training "
        f"run (no checkpoint.pt){hint}"
    )


def _tell(table: dict[str, Any], lines: Iterator[str], as_json: bool) -> None:
    if as_json:
        print(json.dumps(table, indent=1))
    else:
        print("\n".join(map(printable, lines)))


def _tell_build(folder: Path, preset: Path | None, as_json: bool) -> int:
    from fg3d_builder.commands.estimate import machine_factor
    from fg3d_builder.tasks.status import COMPLETE, build_status

    status = build_status(folder, preset)
    if status.seconds_left and not status.times_measured:
        status.seconds_left *= machine_factor()
    _tell(status.as_json(), _build_lines(status), as_json)
    return 0 if status.state == COMPLETE else 1


def _build_lines(status: BuildStatus) -> Iterator[str]:
    from fg3d_builder.tasks.status import COMPLETE, TOO_MANY_FAILURES
    from fg3d_builder.wording import duration

    yield f"{status.folder}: {_state(status)}"
    preset = status.preset or "of a file that is not known"
    yield f"preset {status.name}, {preset}: {status.captures:,} captures"
    yield from (f"  note: {note}" for note in status.notes)
    yield ""
    yield from _work(status)
    yield ""
    yield from _dataset_lines(status)
    yield f"report     {status.report or 'none yet'}"
    if status.left_out:
        told = ", ".join(f"{count:,} {code}" for code, count in status.left_out.items())
        yield f"left out   {told}; `{_line('review', status.folder)}` shows them"
    yield from _failure_lines(status.failures)
    if status.working:
        what = "worked on" if status.running else "broken off at, tried alone next"
        yield f"{what}: {_some(status.working)}"
    if status.damaged:
        yield f"damaged: {_some(status.damaged)}: not used, made again if needed"
    yield ""
    if status.state not in (COMPLETE, TOO_MANY_FAILURES):
        yield f"about {duration(status.seconds_left)} left with {_counted(status.workers)}"
    yield f"next: {status.next}"


def _state(status: BuildStatus) -> str:
    if status.running is not None:
        host, process = status.running
        return f"a build runs now, process {process} on {host}{_last_task(status)}"
    return {
        "complete": "complete",
        "incomplete": f"not complete, and no build runs on this machine{_last_task(status)}",
        "too_many_failures": "everything is there, but more captures failed than the preset allows "
        "(max_failure_rate)",
    }[status.state]


def _last_task(status: BuildStatus) -> str:
    return f"; its last task ended {_ago(status.last_task_s)}" if status.last_task_s else ""


def _ago(when_s: float) -> str:
    from fg3d_builder.wording import duration

    return f"{duration(max(0.0, time.time() - when_s))} ago"


def _work(status: BuildStatus) -> Iterator[str]:
    """Yield the table of stages."""
    sizes = status.sizes
    assert sizes is not None
    failed = {group.stage: 0 for group in status.failures}
    for group in status.failures:
        failed[group.stage] += group.count
    yield f"{'':18}{'done':>9}{'of':>9}{'failed':>9}{'on disk':>11}"
    told = set()
    for kind, word in _WORDS.items():
        work, name = status.work[kind], _ROOM_OF.get(kind, kind)
        room = sizes.stages.get(name)
        if not work.total and room is None:
            continue
        told.add(name)
        size = _size(room.bytes) if room else ""
        count = f"{failed[kind]:,}" if kind in failed else ""
        yield f"{word:18}{work.done:>9,}{work.total:>9,}{count:>9}{size:>11}".rstrip()
    rest = sum(room.bytes for name, room in sizes.stages.items() if name not in told)
    yield f"{'models, lists':45}{_size(rest):>11}"
    if status.dropped:
        yield f"(lean: products of {status.dropped:,} captures were dropped, nothing needs them)"


def _dataset_lines(status: BuildStatus) -> Iterator[str]:
    found = status.dataset
    if found is None:
        yield "dataset    none yet"
        return
    current = "" if found.current else ", of earlier settings, captures, verdicts or code"
    whole = "all files there" if not found.missing else f"missing: {_some(found.missing)}"
    size = sum(room.bytes for room in _datasets(status).values())
    yield f"dataset    {found.folder}: {found.samples:,} samples, {whole}{current}"
    yield f"           {_size(size)} in {len(_datasets(status))} dataset folder(s)"


def _datasets(status: BuildStatus) -> dict[str, Room]:
    sizes: BuildSizes | None = status.sizes
    assert sizes is not None
    return sizes.datasets


def _failure_lines(groups: Sequence[FailureGroup]) -> Iterator[str]:
    for group in groups:
        yield f"failed     {group.count:,} {group.code} ({group.stage}); see {group.page}"
        for failure in group.first:
            yield f"    {failure.capture_id}: {failure.message}"
            if failure.picture:
                yield f"        {failure.picture}"
        if group.count > len(group.first):
            yield f"    and {group.count - len(group.first):,} more"


def _line(*words: object) -> str:
    """Return a command to paste."""
    return shlex.join(["fg3d", *map(str, words)])


def _some(names: Sequence[str], most: int = 5) -> str:
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"


def _counted(workers: int) -> str:
    return f"{workers} worker{'' if workers == 1 else 's'}"


def _tell_dataset(folder: Path, as_json: bool) -> int:
    from fg3d_builder.shards.manifest import MANIFEST_NAME, missing_files, read_manifest

    missing = missing_files(folder)
    manifest = {} if missing == [MANIFEST_NAME] else read_manifest(folder)
    splits = {
        name: {"subjects": len(split["subjects"]), "samples": split["samples"]}
        for name, split in manifest.get("splits", {}).items()
    }
    about = {
        "kind": _DATASET,
        "folder": str(folder.absolute()),
        "complete": not missing,
        "missing": missing,
        "content_sha256": manifest.get("content_sha256", ""),
        "splits": splits,
        "failures": len(manifest.get("failures", ())),
        "rejected": len(manifest.get("rejected", ())),
        "next": _line("verify" if missing else "info", folder),
    }
    _tell(about, _lines_of_dataset(about), as_json)
    return 1 if missing else 0


def _lines_of_dataset(about: dict[str, Any]) -> Iterator[str]:
    whole = "a dataset, all files there in their length"
    yield f"{about['folder']}: {whole if about['complete'] else 'a dataset that is not whole'}"
    if about["missing"]:
        yield f"missing, cut short or damaged: {_some(about['missing'])}"
    for name, split in about["splits"].items():
        people, samples = counted(split["subjects"], "subject"), counted(split["samples"], "sample")
        yield f"{name:10} {people}, {samples}"
    failed, rejected = counted(about["failures"], "capture"), f"{about['rejected']:,}"
    yield f"left out   {failed} failed, {rejected} rejected"
    yield f"next: {about['next']}"


def _run_lines(found: RunStatus) -> Iterator[str]:
    yield f"{found.folder}: a training run, {'complete' if found.complete else 'not complete'}"
    steps = f" of {found.steps:,}" if found.steps is not None else ""
    yield f"trained    {found.epoch} of {found.epochs} epochs, {found.step:,}{steps} steps"
    if found.saved_s:
        yield f"saved      {_ago(found.saved_s)}"
    if found.best_nme is not None:
        error = f"{100 * found.best_nme:.3f} % on {found.watched}"
        yield f"best       NME {error}, epoch {found.best_epoch}"
    if found.network_nme is not None and found.fit_nme is not None:
        both = f"{100 * found.network_nme:.3f} %, 3DMM fit {100 * found.fit_nme:.3f} %"
        yield f"assessed   NME of the network {both}"
    if found.damaged:
        yield f"damaged: {_some(found.damaged)}: the run goes on from the checkpoint before"
    yield f"next: {found.next}"


def _size(count: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count} bytes"
