"""What state a build is in, seen from its folder; nothing is written, mended or set aside."""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

from fg3d_builder.config import load_preset
from fg3d_builder.errors import CaptureError, ConfigError, sentence
from fg3d_builder.files.locks import holder
from fg3d_builder.files.sealed import has_full_length, only_looking
from fg3d_builder.guidance import page_for
from fg3d_builder.layout import CHUNK_STAGES, BuildFolder, BuildLayout
from fg3d_builder.records import Failure
from fg3d_builder.review.decisions import Decisions, decide, verdicts_of
from fg3d_builder.review.review_list import read_review_list
from fg3d_builder.shards.manifest import missing_files, read_manifest
from fg3d_builder.shards.schema import SCHEMA as SHARD_SCHEMA
from fg3d_builder.tasks.base import if_there
from fg3d_builder.tasks.begun import Begun, build_command, read_begun
from fg3d_builder.tasks.build_sizes import BuildSizes, build_sizes
from fg3d_builder.tasks.chunks import Index, list_chunks, read_index
from fg3d_builder.tasks.cleaning import layouts_of
from fg3d_builder.tasks.completeness import Completeness, completeness
from fg3d_builder.tasks.dataset_tasks import read_draws, read_plan
from fg3d_builder.tasks.finding import layout_of
from fg3d_builder.tasks.progress import last_times, read_times, work_of
from fg3d_builder.tasks.review import Decided, read_decisions, verdicts_now
from fg3d_builder.tasks.stage_products import StageProducts, expected_products, stage_products
from fg3d_builder.tasks.time_left import Work, seconds_left

STATES = ("complete", "running", "incomplete", "too_many_failures")
COMPLETE, RUNNING, INCOMPLETE, TOO_MANY_FAILURES = STATES
"""Of a build; in the last all is there, and more captures failed than the preset allows."""

UNKNOWN_PRESET = "PRESET"
"""Stands in a command for a preset that is not known."""

FIRST = 5
"""Captures of a failure code that are named."""


@dataclass(frozen=True)
class FailureGroup:
    """The failures of one stage for one reason.

    Attributes
    ----------
    stage, code : str
    count : int
    page : str
        Page and anchor of the guide that say what it means and what to do.
    first : sequence of Failure
        The first few by capture id; their pictures are absolute paths.
    """

    stage: str
    code: str
    count: int
    page: str
    first: Sequence[Failure]


@dataclass(frozen=True)
class DatasetState:
    """The dataset that the link ``dataset`` points at.

    Attributes
    ----------
    folder : str
    current : bool
        Whether it is made of the settings, captures and verdicts of now.
    missing : sequence of str
        Files that are not there in the length that the manifest says.
    samples : int
        By the manifest; 0 where that cannot be read.
    """

    folder: str
    current: bool
    missing: Sequence[str]
    samples: int


@dataclass
class BuildStatus:
    """What there is of a build, what is missing, what failed, and how it goes on.

    Attributes
    ----------
    folder, name : str
        Absolute path, and the preset's name.
    state : str
        One of `STATES`.
    running : (str, int), optional
        Host and process number of the build that runs.
    preset : str
        Path of the preset's file; empty where it is not known.
    notes : list of str
        What has changed since the last build, and what else a person should know.
    captures : int
    work : dict of str to Work
        Captures that are done and to do, by stage.
    dropped : int
        Captures whose products a lean build has dropped because nothing needs them any more.
    failures : list of FailureGroup
        In the order of the stages, the most frequent first.
    left_out : dict of str to int
        Captures that the dataset leaves out, by reason; empty before that is decided.
    working : list of str
        Captures that are worked on; of a build that was broken off, those that are tried alone.
    damaged : list of str
        Files that are cut short or do not fit their seal, relative to the folder.
    dataset : DatasetState, optional
    report : str
        Path of the report's page; empty where there is none.
    workers : int
        Of the last build.
    seconds_left : float
        Estimate for as many workers.
    times_measured : bool
        Whether the build itself has measured the times; if not, they are another machine's, see
        `tasks.time_left.usual_seconds`.
    last_task_s : float
        When a task last ended, in seconds since 1970; 0 where none has.
    next : str
        The command to give next.
    sizes : BuildSizes
    """

    folder: str
    name: str
    state: str = INCOMPLETE
    running: tuple[str, int] | None = None
    preset: str = ""
    notes: list[str] = field(default_factory=list)
    captures: int = 0
    work: dict[str, Work] = field(default_factory=dict)
    dropped: int = 0
    failures: list[FailureGroup] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)
    working: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    dataset: DatasetState | None = None
    report: str = ""
    workers: int = 1
    seconds_left: float = 0.0
    times_measured: bool = False
    last_task_s: float = 0.0
    next: str = ""
    sizes: BuildSizes | None = None

    def as_json(self) -> dict[str, Any]:
        """Return all of it in JSON values."""
        table = {"kind": "build", **asdict(self)}
        table["work"] = {kind: work._asdict() for kind, work in self.work.items()}
        sizes = self.sizes
        assert sizes is not None
        table["sizes"] = {
            "datasets": {name: room.bytes for name, room in sizes.datasets.items()},
            "stages": {name: room.bytes for name, room in sizes.stages.items()},
            "report": sizes.report.bytes,
        }
        return table


def build_status(root: Path, preset: Path | None = None) -> BuildStatus:
    """Look at a build.

    Parameters
    ----------
    root : Path
        Folder of the build, with ``work/`` in it.
    preset : Path, optional
        What is to be built there; if None the preset that the last build began with.

    Raises
    ------
    ConfigError
        The preset cannot be used; or the folder holds no settings that this version reads.
    """
    root = Path(os.path.realpath(root))
    with only_looking() as met:
        status = _status(root, preset)
    damaged = {str(error.path) for error in met} | set(status.damaged)
    status.damaged = sorted(os.path.relpath(path, root) for path in damaged)
    return status


def _status(root: Path, preset: Path | None) -> BuildStatus:
    last = _last_built(root)
    begun = read_begun(last) if last else None
    notes: list[str] = []
    running = holder(BuildFolder(root).lock)
    verdicts = None
    if running is not None and last is not None:  # it works by what it has frozen
        layout, index = last, if_there(partial(read_index, last.index)) or Index(())
        verdicts = begun.verdicts if begun else None
    else:
        layout = _layout_now(root, last, begun, preset, notes)
        index = _index_now(layout, notes)
    status = BuildStatus(str(root), layout.config.name, running=running, notes=notes)
    status.preset = str(preset.absolute()) if preset else begun.preset if begun else ""
    status.captures = len(index.capture_ids)
    status.workers = begun.workers if begun else 1
    began_s, status.last_task_s = (0.0, 0.0) if last is None else last_times(last)
    whole = _Whole.known(layout, index, notes, verdicts)
    _tell_stages(status, layout, index, whole)
    if whole.decisions is not None:
        codes = Counter(one.code for one in whole.decisions.rejected)
        status.left_out = dict(sorted(codes.items()))
    status.dataset = _dataset(layout, whole, notes)
    status.report = str(layout.report_page) if layout.report_page.is_file() else ""
    status.state = _state(status, layout, whole)
    if status.state not in (COMPLETE, TOO_MANY_FAILURES):
        _tell_error_log(layout, began_s, notes)
        made = status.dataset is not None and status.dataset.current
        if made and not any(work.left for work in status.work.values()):
            notes.append(
                "what is missing is a file of the report or dataset, or the end of the build"
            )
    else:
        status.work = {kind: Work(work.total, work.total) for kind, work in status.work.items()}
    _tell_time(status, layout)
    status.next = _next(status, begun)
    status.sizes = build_sizes(root)
    return status


def _last_built(root: Path) -> BuildLayout | None:
    """Return the configuration whose build began last."""

    def began(layout: BuildLayout) -> tuple[float, float]:
        return last_times(layout)[0], layout.config_file.stat().st_mtime

    return max(layouts_of(root), key=began, default=None)


def _layout_now(
    root: Path,
    last: BuildLayout | None,
    begun: Begun | None,
    preset: Path | None,
    notes: list[str],
) -> BuildLayout:
    """Return what a build would make now: the preset may have changed since the last one."""
    file = preset or (Path(begun.preset) if begun else None)
    if last is None and file is None:
        raise ConfigError(f"{root}/work holds no settings that this version of fg3d reads")
    if last is not None and file is None:
        notes.append("which preset was built here is not written down; its settings are")
        return last
    try:
        config = load_preset(str(file))
    except (ConfigError, OSError) as error:
        if last is None or preset is not None:
            raise
        notes.append(f"the preset cannot be read now: {sentence(error)}")
        return last
    lean = config.lean or bool(begun and "--lean" in begun.options)
    layout = layout_of(replace(config, lean=lean), root)
    if last is not None and layout.config_digest != last.config_digest:
        notes.append(_changed(layout, last))
    return layout


def _changed(now: BuildLayout, last: BuildLayout) -> str:
    """Say what has to be made anew where settings have changed since the last build."""
    stages = (*CHUNK_STAGES, "transform", "shards")
    anew = [stage for stage in stages if now.stage_digest(stage) != last.stage_digest(stage)]
    if now.config.sources != last.config.sources:
        return "the preset names other sources than the last build had; counted is what it asks for"
    if not anew:
        return "the preset has changed since the last build; all stages' products stay in use"
    return f"the preset has changed since the last build; made anew: {', '.join(anew)}"


def _index_now(layout: BuildLayout, notes: list[str]) -> Index:
    """List the captures that there are now; those of the last build where that fails."""
    known = if_there(lambda: read_index(layout.index))
    try:
        now = list_chunks(layout.config)
    except (CaptureError, ConfigError, OSError) as error:
        notes.append(
            f"the captures cannot be listed now ({sentence(error)}); counted are those of the "
            "last build"
        )
        return known or Index(())
    if known is not None and known.identity != now.identity:
        before, after = known.capture_keys, now.capture_keys
        changed = sum(before[name] != after[name] for name in before.keys() & after.keys())
        notes.append(
            f"captures since the last build: {len(after.keys() - before.keys())} new, "
            f"{len(before.keys() - after.keys())} gone, {changed} changed"
        )
    return now


@dataclass(frozen=True)
class _Whole:
    """What is known of the dataset that a build of now would make; None where nothing is yet."""

    index: str
    verdicts: str | None
    decisions: Decisions | None
    name: str | None

    @staticmethod
    def known(layout: BuildLayout, index: Index, notes: list[str], verdicts: str | None) -> _Whole:
        """Look at what there is by `verdicts`, a digest; by those of now where that is None."""
        try:
            verdicts = verdicts or verdicts_now(layout, index.capture_ids)
        except (ConfigError, OSError) as error:
            notes.append(f"the review list cannot be read: {sentence(error)}")
            return _Whole(index.identity, None, None, None)
        file = layout.decisions(index.identity, verdicts)
        decided: Decided | None = if_there(lambda: read_decisions(file))
        if decided is None:
            return _Whole(index.identity, verdicts, None, None)
        name = layout.dataset_digest(index.identity, decided.identity)
        return _Whole(index.identity, verdicts, decided.decisions, name)

    def complete(self, layout: BuildLayout) -> Completeness | None:
        if self.verdicts is None:
            return None
        return completeness(layout, self.index, self.verdicts)


def _tell_stages(status: BuildStatus, layout: BuildLayout, index: Index, whole: _Whole) -> None:
    name = whole.name
    drawn = None if name is None else if_there(lambda: read_draws(layout.draws(name)))
    expected = expected_products(layout, index, drawn)
    found = {
        s: stage_products(layout.stage_folder(s), products) for s, products in expected.items()
    }
    work = work_of(layout, index)
    work |= {stage: products.work for stage, products in found.items()}
    if name is not None:
        work["shards"] = _in_shards(layout, name, work["shards"].total)
    status.work = work
    status.dropped = found["captures"].dropped
    status.working = sorted({name for one in found.values() for name in one.working})
    status.damaged = [str(path) for one in found.values() for path in one.damaged]
    status.failures = [group for stage in found for group in _grouped(stage, found[stage])]


def _in_shards(layout: BuildLayout, dataset: str, total: int) -> Work:
    plan = if_there(lambda: read_plan(layout.plan(dataset)))
    if plan is None:
        return Work(0, total)
    folder = layout.dataset(dataset)
    there = [name for name in plan if has_full_length(folder / name, SHARD_SCHEMA)]
    return Work(sum(len(plan[name]) for name in there), sum(map(len, plan.values())))


def _grouped(stage: str, products: StageProducts) -> Iterable[FailureGroup]:
    by_code = sorted(products.failures, key=lambda failure: failure.code)
    groups = [(code, list(one)) for code, one in groupby(by_code, lambda failure: failure.code)]
    for code, failures in sorted(groups, key=lambda group: -len(group[1])):
        yield FailureGroup(stage, code, len(failures), page_for(code), failures[:FIRST])


def _dataset(layout: BuildLayout, whole: _Whole, notes: list[str]) -> DatasetState | None:
    if not layout.dataset_link.is_dir():
        return None
    folder = layout.dataset_link.resolve()
    current = whole.name is not None and folder == layout.dataset(whole.name).resolve()
    missing = missing_files(folder)
    try:
        manifest = read_manifest(folder)
    except (FileNotFoundError, ValueError):
        return DatasetState(str(folder), current, missing, 0)
    samples = sum(split["samples"] for split in manifest["splits"].values())
    if not current:
        notes += _verdicts_since(layout, whole, manifest)
    return DatasetState(str(folder), current, missing, samples)


def _verdicts_since(
    layout: BuildLayout, whole: _Whole, manifest: Mapping[str, Any]
) -> Iterable[str]:
    """Say what the verdicts of now would change of a dataset, where nothing else has changed."""
    if whole.verdicts is None:
        return
    rejected = {row["capture_id"] for row in manifest["rejected"]}
    decisions = whole.decisions or _decided_now(layout, whole.index)
    if decisions is None:
        return
    leave = sorted(decisions.rejected_ids - rejected)
    enter = sorted(rejected - decisions.rejected_ids)
    for names, how in ((leave, "would leave"), (enter, "would enter")):
        if names:
            more = f" and {len(names) - FIRST} more" if len(names) > FIRST else ""
            yield (
                f"the review list has changed since the dataset was written: "
                f"{', '.join(names[:FIRST])}{more} {how} it"
            )


def _decided_now(layout: BuildLayout, index: str) -> Decisions | None:
    """Decide by the verdicts of now, with the qualities that some earlier verdicts met."""
    for file in sorted(layout.work.glob("verdicts-*.json")):
        path = layout.decisions(index, file.stem.removeprefix("verdicts-"))
        known = if_there(partial(read_decisions, path))
        if known is not None:
            qualities = known.decisions.qualities
            verdicts = verdicts_of(read_review_list(layout.review_list))
            limit = layout.config.review.min_quality
            return decide(dict.fromkeys(qualities, ""), qualities, verdicts, limit)
    return None


def _state(status: BuildStatus, layout: BuildLayout, whole: _Whole) -> str:
    if status.running is not None:
        return RUNNING
    known = whole.complete(layout)
    if known is None:
        return INCOMPLETE
    allowed = layout.config.max_failure_rate
    return COMPLETE if known.failed <= allowed * known.captures else TOO_MANY_FAILURES


def _tell_error_log(folder: BuildFolder, began_s: float, notes: list[str]) -> None:
    """Name the record of errors that no sentence explains, where the last build added to it."""
    file = folder.work / "errors.log"
    if file.is_file() and file.stat().st_mtime >= began_s:
        last = file.read_text(encoding="utf-8", errors="replace").strip().rsplit("\n", 1)[-1]
        notes.append(f"a task failed by a fault of the program: {last}; details in {file}")


def _tell_time(status: BuildStatus, layout: BuildLayout) -> None:
    if status.state in (COMPLETE, TOO_MANY_FAILURES):
        return
    times = read_times(layout, status.workers)
    status.times_measured = bool(times)
    status.seconds_left = seconds_left(status.work, times, layout.config, status.workers)


def _next(status: BuildStatus, begun: Begun | None) -> str:
    if status.state == RUNNING:
        return shlex.join(["fg3d", "status", status.folder])
    if status.state == COMPLETE:
        return shlex.join(["fg3d", "verify", f"{status.folder}/dataset"])
    preset = status.preset or UNKNOWN_PRESET
    if status.state == TOO_MANY_FAILURES:
        return shlex.join(["fg3d", "captures", "check", preset])
    return build_command(preset, Path(status.folder), begun.options if begun else ())
