"""Luigi tasks, one per stage: paths, order and completion marks; the work is in `stages`.

The configuration is frozen into the build's folder when the build starts; tasks get the
folder and the configuration's digest only, so every process of a build, on every machine
that shares the folder, works by the same settings.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import luigi

from fg3d_builder.atomic import point_link, remove_abandoned, replacing, write_bytes, write_json
from fg3d_builder.config import BuildConfig, from_table, load_preset, to_table
from fg3d_builder.facemodel.library import get_model
from fg3d_builder.facemodel.storage import save_model
from fg3d_builder.layout import STAGES, BuildLayout, config_file, default_root
from fg3d_builder.products import Product, is_complete, read_product, write_product
from fg3d_builder.records import Array, Capture, Failure, Landmarks, Registration, Rejection
from fg3d_builder.report.figures import capture_figures, overall
from fg3d_builder.report.page import page_belongs_to, render_page
from fg3d_builder.report.sheets import capture_sheet
from fg3d_builder.review.decisions import Decisions, decide
from fg3d_builder.shards.base_image import base_image
from fg3d_builder.shards.manifest import (
    MANIFEST_NAME,
    MODEL_NAME,
    TOPOLOGY_NAME,
    make_manifest,
    may_be_shared,
    shard_name,
)
from fg3d_builder.shards.reader import read_manifest
from fg3d_builder.shards.schema import SPLITS
from fg3d_builder.shards.split import split_of
from fg3d_builder.shards.writer import ShardWriter, write_topology
from fg3d_builder.tasks.chunks import Chunk, index_table, list_chunks, read_index
from fg3d_builder.tasks.lock import claim
from fg3d_builder.tasks.progress import code_counts, progress_line, read_seconds
from fg3d_builder.tasks.review import (
    complete_list,
    freeze_verdicts,
    read_decisions,
    read_verdicts,
    write_decisions,
)
from fg3d_builder.tasks.stages import (
    CaptureFits,
    StageResult,
    cached_model,
    detect_landmarks,
    fit_coarse,
    load_captures,
    register_all,
)

log = logging.getLogger("fg3d")

# OpenCV's own threads do not survive the fork into a worker; chunks run side by side anyway.
cv2.setNumThreads(1)

_KINDS: dict[str, type[Any]] = {
    "captures": Capture,
    "landmarks": Landmarks,
    "fitting": CaptureFits,
    "registration": Registration,
}


_TRUTH_LINES = (
    ("3DMM from landmarks (aligned)", "landmark_fit"),
    ("3DMM from landmarks and depth", "coarse_fit"),
    ("registration", "registration"),
)


class TooManyFailuresError(Exception):
    """A build is complete, but more captures failed than the preset allows."""


class _Task(luigi.Task):
    """A task of one build; knows the build's folder and frozen configuration."""

    root = luigi.Parameter(description="folder of the build")
    config = luigi.Parameter(description="digest of the frozen configuration")

    @cached_property
    def layout(self) -> BuildLayout:
        """Paths of the build."""
        file = config_file(Path(self.root), self.config)
        table = json.loads(file.read_text(encoding="utf-8"))
        return BuildLayout(Path(self.root), from_table(BuildConfig, table, str(file)))

    def chunks(self) -> list[Chunk]:
        """Chunks of the build; `IndexCaptures` must have run."""
        return read_index(self.layout.index)


class IndexCaptures(_Task):
    """Lists the captures of all sources; complete as long as the list is still true."""

    def complete(self) -> bool:
        """Whether the sources hold what the index says."""
        file = self.layout.index
        return file.is_file() and read_index(file) == list_chunks(self.layout.config)

    def run(self) -> None:
        """Write the index."""
        chunks = list_chunks(self.layout.config)
        write_json(self.layout.index, index_table(chunks))
        total = sum(len(chunk.entries) for chunk in chunks)
        log.info("%d captures in %d chunks", total, len(chunks))


class PrepareModel(_Task):
    """Gives the build its own copy of the face model."""

    def complete(self) -> bool:
        """Whether the copy is there."""
        return self.layout.facemodel.is_file()

    def run(self) -> None:
        """Build, import or load the model, whichever the configuration says."""
        start = time.perf_counter()
        model = get_model(self.layout.config.facemodel)
        save_model(model, self.layout.facemodel)
        took = time.perf_counter() - start
        log.info("face model %s: %d vertices, %.0f s", model.name, model.vertex_count, took)


class _ChunkTask(_Task):
    """One stage's work on one chunk.

    Late stages have priority, so that the first chunks are soon done and problems soon seen.
    """

    chunk = luigi.Parameter(description="name of the chunk")
    stage = ""

    def complete(self) -> bool:
        """Whether the product is there in full length."""
        return is_complete(self.layout.product(self.stage, self.chunk))

    def requires(self) -> list[luigi.Task]:
        """Name the stage before this one."""
        before = STAGES.index(self.stage) - 1
        task = CHUNK_TASKS[STAGES[before]]
        return [task(root=self.root, config=self.config, chunk=self.chunk)]

    def result(self, layout: BuildLayout) -> StageResult[Any]:
        """Do the work."""
        raise NotImplementedError

    def run(self) -> None:
        """Do the work, write the product, say how far the build is once per chunk."""
        layout = self.layout
        result = self.result(layout)
        folder = layout.stage_folder(self.stage)
        failures = []
        for failure in result.failures:
            picture = layout.failure_picture(self.stage, failure.capture_id)
            write_bytes(folder / picture, _encoded(".png", result.pictures[failure.capture_id]))
            failures.append(_with_picture(failure, picture))
            log.warning("%s: %s: %s", failure.capture_id, failure.code, failure.message)
        write_json(layout.seconds(self.stage, self.chunk), result.seconds)
        path = layout.product(self.stage, self.chunk)
        write_product(path, self.stage, layout.stage_digest(self.stage), result.records, failures)
        if self.stage == STAGES[-1]:
            log.info(progress_line(layout, self.chunks(), luigi.interface.core().workers))


class LoadCaptures(_ChunkTask):
    """Stage 1."""

    stage = "captures"
    priority = 0

    def requires(self) -> list[luigi.Task]:
        """Need nothing: the index is complete before a chunk has a name."""
        return []

    def result(self, layout: BuildLayout) -> StageResult[Any]:
        """Load the chunk's captures."""
        chunk = next((c for c in self.chunks() if c.name == self.chunk), None)
        if chunk is None:
            raise RuntimeError(f"{self.chunk}: the sources changed meanwhile; run the build again")
        return load_captures(layout.config.sources[chunk.source], chunk.entries)


class DetectLandmarks(_ChunkTask):
    """Stage 3."""

    stage = "landmarks"
    priority = 1

    def result(self, layout: BuildLayout) -> StageResult[Any]:
        """Detect the landmarks of the chunk's captures."""
        captures = stage_product(layout, "captures", self.chunk).records
        return detect_landmarks(captures, layout.config.landmarks)


class FitCoarse(_ChunkTask):
    """Stage 4."""

    stage = "fitting"
    priority = 2

    def requires(self) -> list[luigi.Task]:
        """Need landmarks and the model."""
        return [*super().requires(), PrepareModel(root=self.root, config=self.config)]

    def result(self, layout: BuildLayout) -> StageResult[Any]:
        """Fit the 3DMM to the chunk's captures."""
        captures = stage_product(layout, "captures", self.chunk).records
        landmarks = stage_product(layout, "landmarks", self.chunk).records
        return fit_coarse(cached_model(layout.facemodel), captures, landmarks, layout.config.fit)


class Register(_ChunkTask):
    """Stage 5."""

    stage = "registration"
    priority = 3

    def result(self, layout: BuildLayout) -> StageResult[Any]:
        """Register the template to the chunk's captures."""
        captures, landmarks, fits = (
            stage_product(layout, stage, self.chunk).records
            for stage in ("captures", "landmarks", "fitting")
        )
        model = cached_model(layout.facemodel)
        return register_all(model, captures, landmarks, fits, layout.config.registration)


CHUNK_TASKS: dict[str, type[_ChunkTask]] = {
    task.stage: task for task in (LoadCaptures, DetectLandmarks, FitCoarse, Register)
}


class _WholeTask(_Task):
    """A task that needs all chunks registered, and a person's verdicts about them."""

    verdicts = luigi.Parameter(description="digest of the frozen verdicts of the review list")

    def decisions_file(self) -> Path:
        """Where it stands what is left out."""
        return self.layout.decisions([chunk.name for chunk in self.chunks()], self.verdicts)

    def decided(self) -> bool:
        """Whether it is known what is left out; before that a dataset has no identity."""
        return self.decisions_file().is_file()

    def decisions(self) -> Decisions:
        """Return what is left out; `DecideReview` must have run."""
        return read_decisions(self.decisions_file())

    def digest(self) -> str:
        """Identity of the dataset; `DecideReview` must have run."""
        left_out, accepted = self.decisions().rejected, self.decisions().accepted
        names = [chunk.name for chunk in self.chunks()]
        return self.layout.dataset_digest(names, [left_out, accepted])

    def whole(self, task: type[_WholeTask], **more: Any) -> _WholeTask:
        """Return another task about the same dataset."""
        return task(root=self.root, config=self.config, verdicts=self.verdicts, **more)


class DecideReview(_WholeTask):
    """Decides which registrations are left out of the dataset."""

    def requires(self) -> list[luigi.Task]:
        """Need every chunk's registration."""
        names = [chunk.name for chunk in self.chunks()]
        return [Register(root=self.root, config=self.config, chunk=name) for name in names]

    def complete(self) -> bool:
        """Whether it is decided."""
        return self.decided()

    def run(self) -> None:
        """Compare every quality with the threshold, unless a person gave a verdict."""
        layout = self.layout
        subjects, qualities = {}, {}
        for chunk in self.chunks():
            captures = stage_product(layout, "captures", chunk.name).records
            for name, record in stage_product(layout, "registration", chunk.name).records.items():
                subjects[name] = captures[name].subject_id
                qualities[name] = record.quality
        verdicts = read_verdicts(layout.verdicts(self.verdicts))
        limit = layout.config.review.min_quality
        write_decisions(self.decisions_file(), decide(subjects, qualities, verdicts, limit))


class PlanShards(_WholeTask):
    """Decides which capture goes into which shard, once it is known which captures there are."""

    def requires(self) -> list[luigi.Task]:
        """Need to know what is left out."""
        return [self.whole(DecideReview)]

    def complete(self) -> bool:
        """Whether the plan is there."""
        return self.decided() and self.layout.plan(self.digest()).is_file()

    def run(self) -> None:
        """Sort the captures of each split by id and fill shard after shard."""
        layout, settings = self.layout, self.layout.config.shards
        left_out = self.decisions().rejected_ids
        members: dict[str, list[tuple[str, str]]] = {split: [] for split in SPLITS}
        for chunk in self.chunks():
            captures = stage_product(layout, "captures", chunk.name).records
            for name in stage_product(layout, "registration", chunk.name).records:
                if name in left_out:
                    continue
                subject = captures[name].subject_id
                split = split_of(subject, settings.test_fraction, settings.split_salt)
                members[split].append((name, chunk.name))
        plan = {}
        for split in SPLITS:
            ordered = sorted(members[split])
            for number, start in enumerate(range(0, len(ordered), settings.samples_per_shard)):
                part = ordered[start : start + settings.samples_per_shard]
                plan[shard_name(split, number)] = part
        write_json(layout.plan(self.digest()), plan)


class WriteShard(_WholeTask):
    """Stage 8: one shard."""

    name = luigi.Parameter(description="file name of the shard")

    def requires(self) -> list[luigi.Task]:
        """Need the plan."""
        return [self.whole(PlanShards)]

    def complete(self) -> bool:
        """Whether the shard is there; it is moved there whole."""
        return (self.layout.dataset(self.digest()) / self.name).is_file()

    def run(self) -> None:
        """Write the base images of the captures that the plan names."""
        layout, config = self.layout, self.layout.config.shards
        model = cached_model(layout.facemodel)
        plan = json.loads(layout.plan(self.digest()).read_text(encoding="utf-8"))
        writer = ShardWriter(self.name.split("-")[0], config.image_format, model)
        loaded, records = "", {}
        for name, chunk in plan[self.name]:
            if chunk != loaded:
                stages = ("captures", "fitting", "registration")
                records = {s: stage_product(layout, s, chunk).records for s in stages}
                loaded = chunk
            rows = base_image(
                model,
                records["captures"][name],
                records["fitting"][name].initial,
                records["registration"][name],
                config,
            )
            capture = writer.add_capture(rows.capture)
            shape = writer.add_shape(rows.shape, capture)
            writer.add_sample(rows.sample, capture, shape)
        path = layout.dataset(self.digest()) / self.name
        writer.write(path)
        log.info("%s: %d samples, %.1f MB", self.name, writer.sample_count, _megabytes(path))


class WriteManifest(_WholeTask):
    """Describes the complete dataset and lets ``dataset`` point at it."""

    def requires(self) -> list[luigi.Task]:
        """Need the plan."""
        return [self.whole(PlanShards)]

    def complete(self) -> bool:
        """Whether the manifest is there and the link points at it."""
        if not self.decided():
            return False
        folder, link = self.layout.dataset(self.digest()), self.layout.dataset_link
        return (folder / MANIFEST_NAME).is_file() and link.resolve() == folder.resolve()

    def run(self) -> Iterator[Any]:
        """Have the shards written, then describe them."""
        layout, digest = self.layout, self.digest()
        plan = json.loads(layout.plan(digest).read_text(encoding="utf-8"))
        yield [self.whole(WriteShard, name=name) for name in plan]
        folder, model = layout.dataset(digest), cached_model(layout.facemodel)
        folder.mkdir(parents=True, exist_ok=True)
        write_topology(folder / TOPOLOGY_NAME, model)
        if may_be_shared(model.licence):
            with replacing(folder / MODEL_NAME) as temporary:
                shutil.copyfile(layout.facemodel, temporary)
        failures = all_failures(layout, self.chunks())
        manifest = make_manifest(
            *(folder, layout.config, model, layout.facemodel, failures),
            *(self.decisions().rejected, self.decisions().accepted),
        )
        write_json(folder / MANIFEST_NAME, manifest)
        point_link(layout.dataset_link, folder.name)


class DrawSheets(_ChunkTask):
    """Draws the contact sheets of one chunk and collects its figures."""

    def requires(self) -> list[luigi.Task]:
        """Need the registrations."""
        return [Register(root=self.root, config=self.config, chunk=self.chunk)]

    def complete(self) -> bool:
        """Whether the figures and every picture are there."""
        rows = self.layout.report_rows(self.chunk)
        if not rows.is_file():
            return False
        pictures = [row["picture"] for row in json.loads(rows.read_text(encoding="utf-8"))]
        return all((self.layout.report / picture).is_file() for picture in pictures)

    def run(self) -> None:
        """Draw, then write the figures: they mark the chunk as complete."""
        layout = self.layout
        model = cached_model(layout.facemodel)
        records = {s: stage_product(layout, s, self.chunk).records for s in STAGES}
        seconds = {s: read_seconds(layout, s, self.chunk) for s in STAGES}
        rows = []
        for name, registration in records["registration"].items():
            capture, fits = records["captures"][name], records["fitting"][name]
            landmarks = records["landmarks"][name]
            picture = layout.report_picture(name)
            sheet = capture_sheet(model, capture, landmarks, fits.coarse, registration)
            write_bytes(layout.report / picture, _encoded(".jpg", sheet))
            took = {s: seconds[s].get(name, 0.0) for s in STAGES}
            row = capture_figures(model, capture, fits.initial, fits.coarse, registration, took)
            rows.append({**row, "picture": picture})
        write_json(layout.report_rows(self.chunk), rows)


class WriteReport(_WholeTask):
    """Writes the HTML page."""

    def requires(self) -> list[luigi.Task]:
        """Need the dataset and all contact sheets."""
        names = [chunk.name for chunk in self.chunks()]
        sheets = [DrawSheets(root=self.root, config=self.config, chunk=name) for name in names]
        return [self.whole(WriteManifest), *sheets]

    def complete(self) -> bool:
        """Whether the page belongs to this dataset and this version of the report."""
        layout = self.layout
        if not self.decided():
            return False
        present = all(layout.report_rows(chunk.name).is_file() for chunk in self.chunks())
        return present and page_belongs_to(layout.report_page, self.page_digest())

    def page_digest(self) -> str:
        """Identity of the page."""
        return f"{self.digest()}-{self.layout.report_digest}"

    def run(self) -> None:
        """Copy the failures' pictures, then write the page."""
        layout = self.layout
        failures = []
        for failure in all_failures(layout, self.chunks()):
            picture = f"pictures/failed-{failure.stage}-{failure.capture_id}.png"
            source = layout.stage_folder(failure.stage) / failure.picture
            write_bytes(layout.report / picture, source.read_bytes())
            failures.append(_with_picture(failure, picture))
        manifest = read_manifest(layout.dataset(self.digest()))
        rows = report_rows(layout, self.chunks())
        page = render_page(
            *(layout.config.name, self.page_digest(), manifest, rows, failures),
            split_warnings(manifest),
        )
        write_bytes(layout.report_page, page.encode())


class BuildFG3D(luigi.Task):
    """Builds a dataset from a preset: captures in, verified shards and a report out.

    Runs again without harm: whatever is complete is kept.
    """

    preset = luigi.Parameter(default="tasks/demo.toml", description="build preset (TOML)")
    out = luigi.Parameter(default="", description="folder of the build; build/NAME if empty")

    done = False

    @property
    def layout(self) -> BuildLayout:
        """Paths of the build."""
        config = load_preset(self.preset)
        return BuildLayout(Path(self.out or default_root(config)).resolve(), config)

    def complete(self) -> bool:
        """Whether this task has said its summary; what is built is checked by the others."""
        return self.done

    def requires(self) -> list[luigi.Task]:
        """Freeze the configuration, keep other builds out, list the captures."""
        layout = self.layout
        if luigi.interface.core().local_scheduler:
            claim(layout.lock)  # a central scheduler keeps machines apart by itself
        remove_abandoned(layout.root)
        if not layout.config_file.is_file():
            write_json(layout.config_file, to_table(layout.config))
        return [IndexCaptures(root=str(layout.root), config=layout.config_digest)]

    def run(self) -> Iterator[Any]:
        """Have everything built, then sum up.

        Raises
        ------
        TooManyFailuresError
            More captures failed than the preset's ``max_failure_rate``.
        """
        layout = self.layout
        chunks = read_index(layout.index)
        names = [entry.capture_id for chunk in chunks for entry in chunk.entries]
        verdicts = freeze_verdicts(layout, names)
        report = WriteReport(root=str(layout.root), config=layout.config_digest, verdicts=verdicts)
        yield report
        complete_list(layout, names, report.decisions().qualities)
        failures = all_failures(layout, chunks)
        total = sum(len(chunk.entries) for chunk in chunks)
        for line in summary_lines(layout, chunks, failures):
            log.info(line)
        self.done = True
        rate, allowed = len(failures) / total, layout.config.max_failure_rate
        if rate > allowed:
            raise TooManyFailuresError(
                f"{len(failures)} of {total} captures failed ({rate:.0%}); "
                f"the preset allows {allowed:.0%}"
            )


def stage_product(layout: BuildLayout, stage: str, chunk: str) -> Product[Any]:
    """Read a stage's product of one chunk."""
    path, digest = layout.product(stage, chunk), layout.stage_digest(stage)
    return read_product(path, stage, digest, _KINDS[stage])


def all_failures(layout: BuildLayout, chunks: list[Chunk]) -> list[Failure]:
    """Collect the failures of all stages, sorted by capture id."""
    found = [
        failure
        for chunk in chunks
        for stage in STAGES
        for failure in stage_product(layout, stage, chunk.name).failures
    ]
    return sorted(found, key=lambda failure: failure.capture_id)


def report_rows(layout: BuildLayout, chunks: list[Chunk]) -> list[dict[str, Any]]:
    """Collect the report's figures of all chunks."""
    files = [layout.report_rows(chunk.name) for chunk in chunks]
    return [row for file in files for row in json.loads(file.read_text(encoding="utf-8"))]


def split_warnings(manifest: dict[str, Any]) -> list[str]:
    """Say which split is empty."""
    return [
        f"the {split} split is empty: no subject falls into it with this fraction and salt"
        for split, content in manifest["splits"].items()
        if not content["samples"]
    ]


def summary_lines(layout: BuildLayout, chunks: list[Chunk], failures: list[Failure]) -> list[str]:
    """Return what a person wants to know when a build ends."""
    rows = report_rows(layout, chunks)
    manifest = read_manifest(layout.dataset_link)
    total = sum(len(chunk.entries) for chunk in chunks)
    lines = [f"{layout.config.name}: {len(rows)} of {total} captures registered"]
    if failures:
        lines.append(f"failed: {code_counts(failures)}")
    rejected = [Rejection(**row) for row in manifest["rejected"]]
    if rejected:
        lines.append(f"left out: {code_counts(rejected)}; see {layout.review_list}")
    rows = [row for row in rows if row["capture_id"] not in {r.capture_id for r in rejected}]
    surface = overall(rows, "surface_mm")
    if surface:
        text = "distance to depth: mean {mean:.2f}, median {median:.2f}, 95 % {p95:.2f} mm"
        lines.append(text.format(**surface))
    for label, part in _TRUTH_LINES:
        vertex, across = (overall(rows, key, part) for key in ("truth_mm", "truth_surface_mm"))
        if vertex:
            means = f"{vertex['mean']:.2f} mm, across the surface {across['mean']:.2f} mm"
            lines.append(f"mean error to truth, {label}: {means}")
    counts = [f"{part['samples']} {split}" for split, part in manifest["splits"].items()]
    lines.append(f"dataset: {layout.dataset_link} ({', '.join(counts)} samples)")
    lines += split_warnings(manifest)
    lines.append(f"report: {layout.report_page}")
    return lines


def _with_picture(failure: Failure, picture: str) -> Failure:
    return Failure(
        *(failure.capture_id, failure.subject_id, failure.stage, failure.code, failure.message),
        picture,
    )


def _encoded(suffix: str, image: Array) -> bytes:
    options = [cv2.IMWRITE_JPEG_QUALITY, 88] if suffix == ".jpg" else []
    return bytes(cv2.imencode(suffix, image[..., ::-1], options)[1])


def _megabytes(path: Path) -> float:
    return path.stat().st_size / 1e6
