"""What is known of each capture of a build, as it is on disk now: finished or still running.

Nothing but small files is read: the index, the facts of the stages, the report's figures, and of
registrations that the report has not drawn yet the table at the head of their product. What was
read is kept as long as none of a chunk's files changes, so that a page is there at once when it is
asked for again.
"""

from __future__ import annotations

import contextlib
import math
import os
import threading
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from fg3d_builder.config import BuildConfig, digest
from fg3d_builder.errors import ConfigError
from fg3d_builder.files.hashes import sha256
from fg3d_builder.files.products import SUFFIX, read_figures
from fg3d_builder.files.sealed import DamagedFileError, read_sealed_json
from fg3d_builder.layout import CHUNK_STAGES, STAGES, BuildFolder, BuildLayout
from fg3d_builder.records import SEXES, Failure
from fg3d_builder.shards.manifest import read_manifest
from fg3d_builder.tasks.chunks import Chunk, Index, read_index
from fg3d_builder.tasks.facts import Facts, read_facts
from fg3d_builder.tasks.read_once import ReadOnce

WAITING, FAILED, REGISTERED = STATES = ("waiting", "failed", "registered")
"""How far a capture has come."""

_UNKNOWN = math.nan

_TOLD = 5
"""Damaged files that are named on a page."""


@dataclass(frozen=True)
class ListedCapture:
    """What a list says of one capture.

    Attributes
    ----------
    capture_id, subject_id, expression : str
        ``""`` where it is not known (yet).
    source : str
        Kind of the source and what tells it from the build's others.
    chunk : str
        Name of its chunk.
    state : str
        One of `STATES`.
    failure : Failure, optional
        Why it has no registration.
    augmentation_failures : tuple of Failure
        Why it could not be turned, or has fewer new shapes than it should.
    quality : float
        See `Registration.quality`; NaN without registration, as are the other figures.
    error_mm, surface_mm : float
        Predicted mean error of the visible face's vertices, and across its surface.
    coverage : float
        Share in [0, 1] of the visible reliable face that was measured.
    distance_mm : float
        Median distance of the visible reliable face to the depth; NaN before the report has
        measured it.
    doubts : str
        What speaks against the registration, in sentences.
    converged : bool
    sex : str
        As the capture states it, once the report has drawn it; ``""`` where it does not.
    sheet : str
        Path of the contact sheet relative to the report's folder, or ``""``.
    stamp : str
        Changes whenever a file that any of this came from does.
    """

    capture_id: str
    subject_id: str
    expression: str
    source: str
    chunk: str
    state: str = WAITING
    failure: Failure | None = None
    augmentation_failures: tuple[Failure, ...] = ()
    quality: float = _UNKNOWN
    error_mm: float = _UNKNOWN
    surface_mm: float = _UNKNOWN
    coverage: float = _UNKNOWN
    distance_mm: float = _UNKNOWN
    doubts: str = ""
    converged: bool = True
    sex: str = ""
    sheet: str = ""
    stamp: str = ""


class Reason(NamedTuple):
    """Why captures failed: the same code of another stage is another reason.

    Attributes
    ----------
    stage, code : str
        See `Failure`.
    """

    stage: str
    code: str

    def __str__(self) -> str:
        return f"{self.stage}: {self.code}"

    @staticmethod
    def of(failure: Failure) -> Reason:
        """Return the reason of a failure."""
        return Reason(failure.stage, failure.code)


class DatasetNow(NamedTuple):
    """The complete dataset that a build's folder holds.

    Attributes
    ----------
    left_out : frozenset of str
        Ids of captures that are not in it: rejected or failed.
    samples : dict of str to int
        By split.
    """

    left_out: frozenset[str]
    samples: dict[str, int]


@dataclass(frozen=True)
class Listing:
    """All captures of a build at one moment.

    Attributes
    ----------
    layout : BuildLayout
    captures : dict of str to ListedCapture
        By id, in the order of the ids.
    dataset : DatasetNow, optional
        None where there is none, or one of other settings or captures.
    problems : tuple of str
        What could not be read, in sentences.
    """

    layout: BuildLayout
    captures: dict[str, ListedCapture]
    dataset: DatasetNow | None
    problems: tuple[str, ...] = ()

    @cached_property
    def states(self) -> Counter[str]:
        """How many captures are in each state."""
        return Counter(capture.state for capture in self.captures.values())

    def is_registered(self, capture_id: str) -> bool:
        """Tell whether the build has a registration of that id."""
        found = self.captures.get(capture_id)
        return found is not None and found.state == REGISTERED

    @cached_property
    def failures(self) -> list[tuple[Reason, int]]:
        """How many captures failed for each reason, the most frequent first."""
        failed = [c.failure for c in self.captures.values() if c.failure is not None]
        return Counter(map(Reason.of, failed)).most_common()

    @cached_property
    def augmentation_failures(self) -> list[tuple[Reason, int]]:
        """How many captures have no turned views, or fewer new shapes, for each reason."""
        reasons = [set(map(Reason.of, c.augmentation_failures)) for c in self.captures.values()]
        return Counter(reason for found in reasons for reason in found).most_common()

    @cached_property
    def sources(self) -> list[str]:
        """The sources that captures come from, sorted."""
        return sorted({capture.source for capture in self.captures.values()})

    @cached_property
    def sexes(self) -> list[str]:
        """What captures say of their subjects' sex, in the order of `SEXES`; without silence."""
        stated = {capture.sex for capture in self.captures.values()}
        return [sex for sex in SEXES if sex in stated]


Stamp = tuple[int, int, int]
"""Number, time and length of a file, which tell whether it is another one."""

Stamps = dict[str, dict[str, Stamp]]
"""By folder and name of the file."""


class BuildListing:
    """Reads the listing of a build, and again what has changed since.

    Parameters
    ----------
    root : Path
        Folder of the build.

    Raises
    ------
    ConfigError
        There is no build.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._known: dict[str, tuple[str, tuple[ListedCapture, ...]]] = {}
        self._damaged: dict[Path, tuple[str, Stamp]] = {}
        self._key = ""
        self._last: Listing | None = None
        newest_layout(root)

    def now(self) -> Listing:
        """Read what has changed and return all."""
        with self._lock:
            self._last = self._read()
            return self._last

    def last(self) -> Listing:
        """Return what `now` has read last: good for the pictures of a page that it was read for."""
        return self._last or self.now()

    def _read(self) -> Listing:
        layout = newest_layout(self._root)
        if layout.config_digest != self._key:
            self._key, self._known, self._damaged = layout.config_digest, {}, {}
        damaged: list[DamagedFileError] = []
        index = _index(layout, damaged)
        chunks = index.chunks if index else ()
        sources = source_labels(layout.config)
        stamps = _stamps(layout)
        rows, shapes = _by_chunk(stamps["report"]), _by_chunk(stamps["transform"])
        found: dict[str, ListedCapture] = {}
        for chunk in chunks:
            files = _ChunkFiles.of(layout, chunk.name, stamps, rows, shapes)
            known = self._known.get(chunk.name)
            if known is None or known[0] != files.stamp:
                reader = _ChunkReader(layout, chunk, sources[chunk.source], files, damaged)
                known = self._known[chunk.name] = files.stamp, reader.captures()
            found.update((capture.capture_id, capture) for capture in known[1])
        problems = self._still_damaged(damaged)
        if index is None and layout.index not in self._damaged:
            problems.append("the captures are not listed yet: the build has just begun")
        if chunks and not stamps["captures"]:
            problems.append(
                "no products of this version and these settings are there: build again to see them"
            )
        return Listing(
            layout, dict(sorted(found.items())), _dataset(layout, found), tuple(problems)
        )

    def _still_damaged(self, met: list[DamagedFileError]) -> list[str]:
        """Say which files were found damaged, now or earlier, and have not been made again."""
        for error in met:
            self._damaged[error.path] = str(error), _stamp(error.path)
        self._damaged = {
            path: (text, stamp)
            for path, (text, stamp) in self._damaged.items()
            if _stamp(path) == stamp
        }
        texts = [text for text, _ in self._damaged.values()]
        more = [f"{len(texts) - _TOLD:,} more files are damaged"] if len(texts) > _TOLD else []
        return [f"{text}; build again to have it made again" for text in texts[:_TOLD]] + more


def newest_layout(root: Path) -> BuildLayout:
    """Return the paths of the settings that were built in a folder last.

    Raises
    ------
    ConfigError
        There are none, or none that can be read.
    """
    folder = BuildFolder(root)

    def last_used(key: str) -> float:
        names = ("config-{}.json", "begun-{}.json", "timings-{}.csv", "complete-{}.json")
        files = [folder.work / name.format(key) for name in names]
        return max((file.stat().st_mtime for file in files if file.is_file()), default=0.0)

    keys = [file.stem.removeprefix("config-") for file in folder.work.glob("config-*.json")]
    if not keys:
        raise ConfigError(f"no build at {root}; `fg3d build PRESET` makes one")
    try:
        return BuildLayout.frozen(root, max(keys, key=last_used))
    except DamagedFileError as error:
        raise ConfigError(f"{error}; build again") from None


def source_labels(config: BuildConfig) -> list[str]:
    """Return what a person calls each source: its kind, and its folder where there are several."""
    kinds = [source.kind for source in config.sources]
    named = [
        f"{source.kind} {Path(source.path).name}" if source.path else source.kind
        for source in config.sources
    ]
    labels = kinds if len(set(kinds)) == len(kinds) else named
    if len(set(labels)) < len(labels):
        labels = [f"{number}: {label}" for number, label in enumerate(labels, 1)]
    return labels


@dataclass(frozen=True)
class _ChunkFiles:
    """The small files of one chunk.

    Attributes
    ----------
    stamp : str
        Of all of them together.
    rows : Path, optional
        The report's figures.
    shapes : Path, optional
        The facts of its new shapes.
    """

    stamp: str
    rows: Path | None
    shapes: Path | None

    @staticmethod
    def of(
        layout: BuildLayout,
        chunk: str,
        stamps: Stamps,
        rows: Mapping[str, str],
        shapes: Mapping[str, str],
    ) -> _ChunkFiles:
        names = [(stage, f"{chunk}.json") for stage in CHUNK_STAGES]
        names.append(("registration", chunk + SUFFIX))
        extra = [("report", rows.get(chunk, "")), ("transform", shapes.get(chunk, ""))]
        found = [stamps[folder].get(name) for folder, name in (*names, *extra)]
        rows_file, shapes_file = (
            _folders(layout)[folder] / name if name else None for folder, name in extra
        )
        return _ChunkFiles(repr(found), rows_file, shapes_file)


class _ChunkReader:
    """Reads what is known of the captures of one chunk."""

    def __init__(
        self,
        layout: BuildLayout,
        chunk: Chunk,
        source: str,
        files: _ChunkFiles,
        damaged: list[DamagedFileError],
    ) -> None:
        self._layout, self._chunk, self._source = layout, chunk, source
        self._files, self._damaged = files, damaged

    def captures(self) -> tuple[ListedCapture, ...]:
        """Return the captures of the chunk as far as they have come."""
        members = {member.capture_id: member for member in self._facts("registration").members}
        failures = self._failures(everyone=len(members) == len(self._chunk.entries))
        figures = self._figures() if members else {}
        augmented = self._augmentation_failures() if members else []
        stamp = sha256(self._files.stamp.encode())[:12]
        found = []
        for entry in self._chunk.entries:
            name = entry.capture_id
            listed = ListedCapture(
                name, entry.subject_id, entry.expression, self._source, self._chunk.name
            )
            if name in members:
                member = members[name]
                listed = replace(
                    listed,
                    subject_id=member.subject_id,
                    state=REGISTERED,
                    quality=_number(member.quality),
                    doubts=member.reason,
                    augmentation_failures=tuple(
                        f for f in augmented if _is_about(f.capture_id, name)
                    ),
                    **figures.get(name, {}),
                )
            elif name in failures:
                failure = failures[name]
                subject = listed.subject_id or failure.subject_id
                listed = replace(listed, subject_id=subject, state=FAILED, failure=failure)
            found.append(replace(listed, stamp=stamp))
        return tuple(found)

    def _facts(self, stage: str) -> Facts:
        return self._facts_at(self._layout.facts(stage, self._chunk.name))

    def _facts_at(self, path: Path) -> Facts:
        try:
            return read_facts(path)
        except FileNotFoundError:
            return Facts()
        except DamagedFileError as error:
            self._damaged.append(error)
            return Facts()

    def _failures(self, everyone: bool) -> dict[str, Failure]:
        """Return why captures have no registration; nothing to read where all have one."""
        found = [] if everyone else [f for stage in STAGES for f in self._facts(stage).failures]
        return {failure.capture_id: failure for failure in found}

    def _augmentation_failures(self) -> list[Failure]:
        shapes = self._files.shapes
        made = self._facts_at(shapes).failures if shapes else ()
        return [*self._facts("views").failures, *made]

    def _figures(self) -> dict[str, dict[str, Any]]:
        """Return figures by capture id: the report's, or those in the product's own table."""
        if self._files.rows is not None:
            try:
                rows = read_sealed_json(self._files.rows, self._files.rows.parent.name)
                return {row["capture_id"]: _of_row(row) for row in rows}
            except FileNotFoundError:
                pass
            except DamagedFileError as error:
                self._damaged.append(error)
        layout = self._layout
        product = layout.product("registration", self._chunk.name)
        try:
            records = read_figures(product, "registration", layout.stage_digest("registration"))
            return {name: _of_record(record) for name, record in records.items()}
        except (FileNotFoundError, KeyError, TypeError, ValueError):  # dropped, or damaged
            return {}


def _of_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Take the figures of a list out of `report.figures.capture_figures`."""
    return {
        "expression": row["expression"],
        "sex": row["sex"],
        "error_mm": _number(row["predicted_error_mm"]),
        "surface_mm": _number(row["predicted_surface_mm"]),
        "coverage": _number(row["coverage"]),
        "distance_mm": _number(row["surface_mm"].get("median")),
        "converged": row["converged"],
        "sheet": row["picture"],
    }


def _of_record(record: Mapping[str, Any]) -> dict[str, Any]:
    """Take the figures of a list out of a `Registration` without its arrays."""
    return {
        "error_mm": _number(record.get("predicted_error_mm")),
        "surface_mm": _number(record.get("predicted_surface_mm")),
        "coverage": _number(record.get("coverage")),
        "converged": record["converged"],
    }


def _number(value: float | None) -> float:
    return _UNKNOWN if value is None else float(value)


def _is_about(key: str, capture_id: str) -> bool:
    """Tell whether a failure of views or new shapes is about a capture."""
    return key == capture_id or key.startswith(f"{capture_id}.transform-")


def _index(layout: BuildLayout, damaged: list[DamagedFileError]) -> Index | None:
    try:
        return read_index(layout.index)
    except FileNotFoundError:
        return None
    except DamagedFileError as error:
        damaged.append(error)
        return None


def _folders(layout: BuildLayout) -> dict[str, Path]:
    """Return the folders whose small files a listing is made of."""
    stages = {stage: layout.stage_folder(stage) for stage in (*CHUNK_STAGES, "transform")}
    return {**stages, "report": layout.work / f"report-{layout.report_digest}"}


def _stamps(layout: BuildLayout) -> Stamps:
    found: Stamps = {}
    for name, folder in _folders(layout).items():
        products = name == "registration"
        with contextlib.ExitStack() as stack:
            try:
                entries = stack.enter_context(os.scandir(folder))
            except FileNotFoundError:
                found[name] = {}
                continue
            found[name] = {
                entry.name: _stamp(entry)
                for entry in entries
                if entry.name.endswith(".json") or (products and entry.name.endswith(SUFFIX))
            }
    return found


def _stamp(file: os.DirEntry[str] | Path) -> Stamp:
    """Return the stamp of a file; zeros where there is none."""
    try:
        seen = file.stat()
    except FileNotFoundError:
        return (0, 0, 0)
    return seen.st_ino, seen.st_mtime_ns, seen.st_size


def _by_chunk(stamps: Mapping[str, Stamp]) -> dict[str, str]:
    """Return the newest file of each chunk, where names are ``CHUNK-DIGEST.json``."""
    ordered = sorted(stamps, key=lambda name: stamps[name][1])
    return {name.rsplit("-", 1)[0]: name for name in ordered}


_manifest = ReadOnce(lambda path: read_manifest(path.parent), kept=1)


def _dataset(layout: BuildLayout, captures: Collection[str]) -> DatasetNow | None:
    """Return what the folder's dataset holds, where it is of these settings and captures."""
    try:
        manifest = _manifest(layout.dataset_link / "manifest.json")
    except (FileNotFoundError, ValueError):
        return None
    if manifest["config_digest"] != digest(layout.config):
        return None
    left_out = frozenset(row["capture_id"] for row in manifest["rejected"])
    left_out |= frozenset(row["capture_id"] for row in manifest["failures"])
    # Its captures are not named: of others, nobody can say here whether they are in it.
    inside = sum(part["captures"] for part in manifest["splits"].values())
    if not left_out <= set(captures) or inside + len(left_out) != len(captures):
        return None
    samples = {split: part["samples"] for split, part in manifest["splits"].items()}
    return DatasetNow(left_out, samples)
