"""What a build's folder holds that nobody needs, and what it holds of a capture that is withdrawn.

Looks at nothing but ``work``, the datasets, the report, and what is set aside or half written among
them; whatever else a person keeps in the folder stays.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Collection, Iterable, Iterator
from functools import partial
from pathlib import Path

from fg3d_builder.errors import ConfigError
from fg3d_builder.files.atomic import abandoned
from fg3d_builder.files.products import SUFFIX
from fg3d_builder.files.sealed import DAMAGED_SUFFIX
from fg3d_builder.layout import CHUNK_STAGES, BuildFolder, BuildLayout
from fg3d_builder.pipeline.augmentation import capture_of
from fg3d_builder.report.page import SEARCH_INDEX
from fg3d_builder.report.page_set import INDEX, LISTING, pages_in
from fg3d_builder.review.review_list import read_review_list, update_review_list
from fg3d_builder.shards.manifest import MANIFEST_NAME
from fg3d_builder.tasks.base import if_there, log
from fg3d_builder.tasks.chunks import Index, read_index
from fg3d_builder.tasks.completeness import Completeness, read_completeness
from fg3d_builder.tasks.dataset_tasks import read_draws
from fg3d_builder.tasks.facts import read_facts
from fg3d_builder.tasks.report_tasks import WriteReport
from fg3d_builder.tasks.review import verdicts_now

_DATASET = re.compile(r"dataset-[0-9a-f]{12}")
"""Name of a folder that a build makes; others that begin like it are a person's."""

_OF_NO_CAPTURE = ("config-", "begun-")
"""Begin the names of the files in ``work/`` that hold settings alone."""


def layouts_of(root: Path) -> list[BuildLayout]:
    """Return the layouts of all configurations of this version that were built in a folder."""
    keys = [f.stem.removeprefix("config-") for f in sorted((root / "work").glob("config-*.json"))]
    found = []
    for key in keys:
        try:
            found.append(if_there(partial(BuildLayout.frozen, root, key)))
        except (ConfigError, KeyError) as error:  # another version's settings
            log.warning("%s is left out: %s", BuildFolder(root).frozen_file(key), error)
    return [layout for layout in found if layout is not None]


def linked_layouts(root: Path) -> list[BuildLayout]:
    """Return the layouts whose complete dataset is the one that ``dataset`` points at."""
    linked = BuildFolder(root).dataset_link.resolve().name
    known = [(layout, read_completeness(layout)) for layout in layouts_of(root)]
    return [layout for layout, made in known if made is not None and made.dataset == linked]


def unneeded(root: Path, layouts: Iterable[BuildLayout]) -> list[Path]:
    """List what the datasets of some configurations do not need.

    Parameters
    ----------
    root : Path
        Folder of the build.
    layouts : iterable of BuildLayout
        The configurations that count, in this folder. Their products are those of the captures
        of the last build.

    Returns
    -------
    list of Path
        Files, and folders of datasets as a whole.
    """
    needed: set[Path] = set()
    shown: set[str] | None = set()
    for layout in layouts:
        known = read_completeness(layout)
        needed |= _needed(layout, known)
        # Of a report that is not complete it is not known what it will show.
        shown = None if known is None or shown is None else shown | _shown_by(known)
    folder = BuildFolder(root)
    needed |= set(_costs_of(folder, needed))
    found = [file for file in _files(folder.work) if file not in needed]
    found += [dataset for dataset in _datasets(root) if dataset not in needed]
    if shown is not None:
        found += [
            f for f in _pictures_and_meshes(folder) if f"{f.parent.name}/{f.name}" not in shown
        ]
    return sorted({*found, *_leavings(root)})


def _shown_by(known: Completeness) -> set[str]:
    pictures, meshes = known.pictures, known.meshes
    return {*(f"pictures/{name}" for name in pictures), *(f"meshes/{name}" for name in meshes)}


def _pictures_and_meshes(folder: BuildFolder) -> Iterator[Path]:
    for kind in ("pictures", "meshes"):
        yield from _files(folder.report / kind)


def _needed(layout: BuildLayout, known: Completeness | None) -> set[Path]:
    """Return what a configuration needs: files, and folders of datasets."""
    needed = {layout.config_file, layout.index, layout.facemodel, layout.timings}
    needed |= {layout.completeness, layout.begun, layout.work / "errors.log"}
    if known is not None:
        needed.add(layout.root / known.dataset)
    index = if_there(lambda: read_index(layout.index))
    if index is None:
        return needed
    verdicts = verdicts_now(layout, index.capture_ids)
    report = WriteReport(root=str(layout.root), config=layout.config_digest, verdicts=verdicts)
    for task in report.stage_tasks(*CHUNK_STAGES):
        needed |= {task.path(), task.dropped_file(), task.facts_path()}
    needed |= {layout.verdicts(verdicts), report.decisions_file()}
    needed |= set(_failure_pictures(layout, set(index.capture_ids)))
    if report.decided() is None:
        return needed
    needed |= {sheets.rows_file() for sheets in report.sheets()}
    dataset = report.digest()
    needed |= {report.folder(), layout.plan(dataset), layout.draws(dataset), layout.donors(dataset)}
    if report.drawn() is not None:
        for shapes in report.transforms():
            needed |= {shapes.path(), shapes.dropped_file(), shapes.facts_path()}
        needed |= {counts.rows_file() for counts in report.augmentation()}
    return needed


def _costs_of(folder: BuildFolder, made: Collection[Path]) -> Iterator[Path]:
    """Give what says what some files, and the files of some datasets, have cost."""
    files = {(path.parent.name, path.stem) for path in made}
    datasets = {path.name for path in made}
    for file in _files(folder.costs):
        if file.parent.name in datasets or (file.parent.name, file.stem) in files:
            yield file


def _failure_pictures(layout: BuildLayout, captures: Collection[str]) -> Iterator[Path]:
    for stage in (*CHUNK_STAGES, "transform"):
        for file in _files(layout.stage_folder(stage) / "failures"):
            if capture_of(file.stem) in captures:
                yield file


def captures_of(root: Path, subjects: Collection[str]) -> set[str]:
    """Return the ids of all captures of some subjects that any build in a folder has had.

    Also of those that the sources no longer hold.
    """
    known = [held for held in _held(root).values() if held is not None]
    return {name for held in known for name, subject in held.items() if subject in subjects}


def _held(root: Path) -> dict[str, dict[str, str] | None]:
    """Return the captures of each chunk that has products, and their subjects.

    None of a chunk that no index lists and of which not all is known: it may hold anyone.
    """
    work = BuildFolder(root).work
    found: dict[str, dict[str, str] | None] = {
        chunk.name: {entry.capture_id: entry.subject_id for entry in chunk.entries}
        for index in _indices(root)
        for chunk in index.chunks
    }
    files: dict[str, list[Path]] = {}
    for stage in CHUNK_STAGES:
        for file in work.glob(f"{stage}-*/chunk-*.*"):
            files.setdefault(file.name.split(".")[0], []).append(file)
    return found | {name: _held_by(files[name]) for name in files if name not in found}


def _held_by(files: Iterable[Path]) -> dict[str, str] | None:
    """Tell the captures of a chunk and their subjects from the facts among its files."""
    listed: set[str] = set()
    subjects: dict[str, str] = {}
    for file in files:
        if file.suffix != ".json":
            continue
        facts = if_there(partial(read_facts, file))
        if facts is not None:
            listed |= set(facts.seconds)
            subjects |= {one.capture_id: one.subject_id for one in facts.failures}
            subjects |= {one.capture_id: one.subject_id for one in facts.members}
    return subjects if listed and listed <= set(subjects) else None


def subjects_and_captures(root: Path) -> tuple[set[str], set[str]]:
    """Return the ids of all subjects and captures that any build in a folder has had."""
    pairs = [pair for held in _held(root).values() if held for pair in held.items()]
    return {subject for _, subject in pairs}, {capture for capture, _ in pairs}


def is_named(root: Path, name: str) -> bool:
    """Whether a dataset or a description in a build's folder names a capture or subject."""
    described = [file for file in _files(BuildFolder(root).work) if file.suffix == ".json"]
    files = [file for file in described if not file.name.startswith(_OF_NO_CAPTURE)]
    manifests = [dataset / MANIFEST_NAME for dataset in _datasets(root)]
    return any(_names(file, {name}) for file in (*files, *manifests))


def captures_with_verdicts(root: Path) -> set[str]:
    """Return the ids of the captures in the review list of a build's folder."""
    file = root / "review.csv"
    return set(read_review_list(file).entries) if file.is_file() else set()


def files_of(root: Path, captures: Collection[str], subjects: Collection[str] = ()) -> list[Path]:
    """List all that a build's folder holds of some captures.

    Products hold all captures of a chunk, and datasets those of all: they are listed as a whole,
    and made again without the captures when the build is run. So are new shapes that have parts
    of a subject's face. What is damaged, or of captures that nothing names any more, may hold
    anyone: it is listed too.

    Parameters
    ----------
    root : Path
    captures : collection of str
        Ids of captures.
    subjects : collection of str
        Ids of subjects all of whose captures are among `captures`.

    Returns
    -------
    list of Path
        Files, and folders of datasets as a whole.
    """
    work, wanted = BuildFolder(root).work, set(captures)
    held = _held(root).items()
    chunks = {name for name, captures in held if captures is None or wanted & set(captures)}
    shapes = _chunks_with_parts_of(root, wanted, set(subjects))

    def belongs(file: Path) -> bool:
        name, folder = file.stem, file.parent
        if folder == work:
            written = file.suffix in (".json", ".log") and not name.startswith(_OF_NO_CAPTURE)
            return written and _names(file, wanted)
        if folder.name == "failures":
            return capture_of(name) in wanted
        chunk = name.rsplit("-", 1)[0]
        fused = folder.name.startswith("transform-") and chunk in shapes
        return name in chunks or chunk in chunks or fused

    found = [file for file in _files(work) if belongs(file)]
    digests = {file.stem.removeprefix("plan-") for file in found if file.stem.startswith("plan-")}
    digests |= {
        file.stem.removeprefix("draws-") for file in found if file.stem.startswith("draws-")
    }
    for donors in work.glob(f"donors-*{SUFFIX}"):
        key = donors.stem.removeprefix("donors-")
        if key in digests or not (work / f"draws-{key}.json").is_file():
            found.append(donors)
    for dataset in _datasets(root):
        key = dataset.name.removeprefix("dataset-")
        if key in digests or _names(dataset / MANIFEST_NAME, {*wanted, *subjects}):
            found.append(dataset)
    folder = BuildFolder(root)
    found += [file for file in _pictures_and_meshes(folder) if _shows(file.name, wanted)]
    # Pages hold names in many ways, and counts; they are quickly made again.
    found += [file for file in _pages(folder.report) if file.is_file()]
    return sorted({*found, *_leavings(root)})


def _pages(report: Path) -> list[Path]:
    return [*pages_in(report), *(report / name for name in (INDEX, LISTING, SEARCH_INDEX))]


def _chunks_with_parts_of(root: Path, captures: set[str], subjects: set[str]) -> set[str]:
    """Return the chunks that have new shapes with parts of a face that goes away.

    All chunks, where draws are damaged: nobody knows who gave parts.
    """
    chunks = [chunk for index in _indices(root) for chunk in index.chunks]
    receivers: set[str] = set()
    for file in (root / "work").glob("draws-*.json"):
        drawn = if_there(partial(read_draws, file))
        if drawn is None:
            return {chunk.name for chunk in chunks}
        gone = subjects | {s for s, (name, _) in drawn.faces.items() if name in captures}
        for name, shapes in drawn.draws.items():
            if any(gone & set(given.values()) for attempts in shapes for given in attempts):
                receivers.add(name)
    return {chunk.name for chunk in chunks if receivers & set(chunk.capture_ids)}


def forget_verdicts(root: Path, captures: Collection[str]) -> int:
    """Take captures out of the review list in a build's folder; return how many it had."""
    there = set(captures) & captures_with_verdicts(root)
    if there:
        update_review_list(root / "review.csv", lambda old: old.without(there))
    return len(there)


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder."""
    files = _files(path) if path.is_dir() and not path.is_symlink() else iter((path,))
    return sum(file.lstat().st_size for file in files)


def remove(root: Path, paths: Iterable[Path]) -> None:
    """Remove files and datasets, and what is empty then; links are removed, never followed."""
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    for folder, _, _ in os.walk(BuildFolder(root).work, topdown=False):
        if folder != str(BuildFolder(root).work) and not os.listdir(folder):
            os.rmdir(folder)
    link = BuildFolder(root).dataset_link
    if link.is_symlink() and not link.exists():
        link.unlink()


def _indices(root: Path) -> list[Index]:
    files = sorted((root / "work").glob("index-*.json"))
    found = [if_there(partial(read_index, file)) for file in files]
    return [index for index in found if index is not None]


def _datasets(root: Path) -> list[Path]:
    folders = [p for p in root.glob("dataset-*") if p.is_dir() and not p.is_symlink()]
    return sorted(p for p in folders if _DATASET.fullmatch(p.name))


def _leavings(root: Path) -> Iterator[Path]:
    """Give what was set aside, and what dead writers have left half written."""
    yield from abandoned(root)
    for folder in (BuildFolder(root).work, BuildFolder(root).report, *_datasets(root)):
        yield from (file for file in _files(folder) if file.name.endswith(DAMAGED_SUFFIX))


def _files(folder: Path) -> Iterator[Path]:
    """Give all files below a folder; links are files, wherever they point."""
    for path, folders, names in os.walk(folder):
        links = [name for name in folders if os.path.islink(os.path.join(path, name))]
        yield from (Path(path, name) for name in (*names, *links))


def _names(file: Path, ids: Collection[str]) -> bool:
    """Whether a text has one of some ids as a word of its own, or begins a file's name with it."""
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    # As JSON has them: a name with a quote is written with a backslash.
    written = {*ids, *(json.dumps(name, ensure_ascii=False)[1:-1] for name in ids)}
    one_of = "|".join(re.escape(name) for name in written)
    return bool(ids) and re.search(rf"(?<![\w.-])({one_of})(?![\w-])", text) is not None


def _shows(picture: str, captures: set[str]) -> bool:
    stem = capture_of(picture.rsplit(".", 1)[0])
    return any(stem == name or stem.endswith((f"-{name}", f"~{name}")) for name in captures)
