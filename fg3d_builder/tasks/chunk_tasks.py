"""The stages that look at each capture by itself, chunk by chunk."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import luigi

from fg3d_builder.config import BuildConfig
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.facemodel.storage import SCHEMA as MODEL_SCHEMA
from fg3d_builder.facemodel.storage import save_model
from fg3d_builder.files.atomic import write_bytes
from fg3d_builder.files.encoding import encode_png
from fg3d_builder.files.products import Product, is_complete, write_product
from fg3d_builder.files.sealed import has_full_length
from fg3d_builder.geometry.meshes import vertex_normals
from fg3d_builder.heads.library import get_model, head_population, model_identity
from fg3d_builder.layout import STAGES
from fg3d_builder.pipeline.augmentation import ChunkInput, make_views
from fg3d_builder.pipeline.dataset import Member
from fg3d_builder.pipeline.each_capture import StageResult, watched_by
from fg3d_builder.pipeline.preloading import preload_fits, preload_registrations
from fg3d_builder.pipeline.stages import (
    cached_model,
    detect_landmarks,
    fit_coarse,
    load_captures,
    load_detector_library,
    register_all,
)
from fg3d_builder.records import Failure, Registration
from fg3d_builder.registration.quality import quality_doubts
from fg3d_builder.shards.costs import Cost
from fg3d_builder.tasks.base import BuildTask, if_there, log, made, product_at
from fg3d_builder.tasks.chunks import Chunk, opened_source
from fg3d_builder.tasks.facts import Facts, read_facts, write_facts
from fg3d_builder.tasks.isolation import Journal
from fg3d_builder.tasks.spending import Meter, costed

DROPPED_SUFFIX = ".dropped"
"""Ends the name of the file that stands where a product was, see `tasks.lean`."""


class PrepareModel(BuildTask):
    """Gives the build its own copy of the face model."""

    priority = 10
    name: ClassVar[str] = "the face model"
    """What a person is told that is worked on: where nothing is cached yet, for minutes."""

    def complete(self) -> bool:
        """Whether the copy is there in full length."""
        return has_full_length(self.layout.facemodel, MODEL_SCHEMA)

    def made_file(self) -> Path:
        """Return where the copy goes."""
        return self.layout.facemodel

    @costed
    def run(self) -> None:
        """Build, import or load the model, whichever the configuration says."""
        start = time.perf_counter()
        if model_identity(self.layout.config.facemodel) != self.layout.facemodel_identity:
            raise RuntimeError("the face model changed meanwhile; run the build again")
        model = get_model(self.layout.config.facemodel)
        save_model(model, self.layout.facemodel)
        took = time.perf_counter() - start
        log.info("face model %s: %d vertices, %.0f s", model.name, model.vertex_count, took)


class ChunkTask(BuildTask):
    """Work on one chunk that reads products of stages."""

    chunk = luigi.Parameter(description="name of the chunk")
    reads: ClassVar[Sequence[str]] = ()
    """Stages whose products it reads."""
    uses_model: ClassVar[bool] = True
    detects: ClassVar[bool] = False
    """Whether it detects landmarks."""
    preloads: ClassVar[Sequence[Callable[[FaceModel, BuildConfig], None]]] = ()
    """What of the face model it gets ready for processes that are forked."""

    def preload(self) -> None:
        """Load the face model and the detector's library, where they are used."""
        if self.uses_model:
            model = cached_model(self.layout.facemodel)
            # The first compiled function that is called has Numba itself get ready: 0.2 s.
            vertex_normals(model.mean, model.triangles)
        if self.detects:
            load_detector_library(self.layout.config.landmarks)
        for prepare in self.preloads:
            prepare(cached_model(self.layout.facemodel), self.layout.config)

    def requires(self) -> list[luigi.Task]:
        """Name all that it reads: the products of stages, and the model."""
        stages = [self.stage_task(stage) for stage in self.reads]
        return [*stages, *([self.other(PrepareModel)] if self.uses_model else [])]

    def stage_task(self, stage: str) -> StageTask:
        """Return the task of a stage for this chunk."""
        return self.other(STAGE_TASKS[stage], chunk=self.chunk)

    def content(self) -> Chunk:
        """Return what is in the chunk."""
        chunk = self.index.by_name.get(self.chunk)
        if chunk is None:
            raise RuntimeError(f"{self.chunk}: the sources changed meanwhile; run the build again")
        return chunk

    def records(self, stage: str) -> dict[str, Any]:
        """Return what a stage has made of this chunk, by capture id."""
        return self.stage_task(stage).product().records

    def input(self) -> ChunkInput:
        """Return what the augmentation stages want to know of the chunk."""
        return ChunkInput(*map(self.records, STAGES))

    def model(self) -> FaceModel:
        """Return the face model."""
        return made(self.other(PrepareModel), lambda: cached_model(self.layout.facemodel))


class StageTask(ChunkTask):
    """One stage's work on one chunk: writes a product, and the facts of it.

    Late stages have priority, so that the first chunks are soon done and problems soon seen.
    """

    stage = ""

    @property
    def amount(self) -> tuple[str, int]:
        """The stage, and the captures of the chunk."""
        return self.stage, len(self.content().entries)

    def path(self) -> Path:
        """Where the product goes."""
        return self.layout.product(self.stage, self.chunk)

    def products(self) -> list[Path]:
        """Return where the products go that `run` may make."""
        return [self.path()]

    def facts_path(self) -> Path:
        """Where the facts go."""
        return self.path().with_suffix(".json")

    def dropped_file(self) -> Path:
        """Where it says that the product was there, and nothing needed it any more."""
        return self.path().with_suffix(DROPPED_SUFFIX)

    def complete(self) -> bool:
        """Whether the product is there in full length, or was dropped, and its facts."""
        there = is_complete(self.path()) or self.dropped_file().is_file()
        return there and self.facts_path().is_file()

    def product(self, only: Collection[str] | None = None) -> Product[Any]:
        """Return the product, with the records of all captures or of some."""
        return made(self, lambda: product_at(self.layout, self.stage, self.path(), only))

    def facts(self) -> Facts:
        """Return the facts of the product."""
        return made(self, lambda: read_facts(self.facts_path()))

    def result(self) -> StageResult[Any]:
        """Do the work."""
        raise NotImplementedError

    def registered(self, _records: Mapping[str, Any]) -> list[Member]:
        """List the captures of a dataset that the records make; registrations do."""
        return []

    def run(self) -> None:
        """Do the work, write facts and product; where they are there already, what is not."""
        if self.found():
            return
        making = Making(self)
        with making.at_work():
            making.write(self.result())
        making.finish()

    def found(self) -> bool:
        """Whether product, facts and pictures are there; facts alone are written if need be."""
        known = if_there(lambda: read_facts(self.facts_path()))
        whole = is_complete(self.path())
        if whole and known is not None and self._pictured(known.failures):
            return True
        product = None
        if whole:
            product = if_there(lambda: product_at(self.layout, self.stage, self.path()))
        if product is None or not self._pictured(product.failures):
            return False
        write_facts(self.facts_path(), Facts(product.failures, self.registered(product.records)))
        return True

    def picture(self, failure: Failure) -> Path:
        """Return the path of a failure's picture."""
        return self.layout.stage_folder(self.stage) / failure.picture

    def _pictured(self, failures: Sequence[Failure]) -> bool:
        return all(self.picture(failure).is_file() for failure in failures)


class Making:
    """The making of a stage's product of one chunk, at one go or bit by bit.

    Attributes
    ----------
    cost : Cost
        Of all `at_work` blocks that have ended.
    """

    def __init__(self, task: StageTask) -> None:
        self._task = task
        self._journal = Journal(task, task.path())
        self._facts = Facts()
        self.cost = Cost(0.0, 0.0, None)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Let a ``with`` block's costs be the product's, and its captures be noted as tried."""
        try:
            with Meter() as meter, watched_by(self._journal):
                yield
        finally:
            self._journal.close()
            self.cost = self.cost.plus(meter.cost)

    def write(self, result: StageResult[Any]) -> None:
        """Write the product, and the pictures of failures."""
        task = self._task
        failures = [self._with_picture(failure, result) for failure in result.failures]
        members = task.registered(result.records)
        digest = task.layout.stage_digest(task.stage)
        write_product(task.path(), task.stage, digest, result.records, failures)
        self._facts = Facts(failures, members, result.seconds)

    def finish(self, beside_s: float = 0.0) -> None:
        """Write the facts of the product that was written; for `beside_s` see `Facts`."""
        task = self._task
        write_facts(task.facts_path(), replace(self._facts, cost=self.cost, beside_s=beside_s))
        task.dropped_file().unlink(missing_ok=True)
        self._journal.remove()

    def _with_picture(self, failure: Failure, result: StageResult[Any]) -> Failure:
        log.warning("%s: %s: %s", failure.capture_id, failure.code, failure.message)
        name = self._task.layout.failure_picture(self._task.stage, failure.capture_id)
        shown = replace(failure, picture=name)
        write_bytes(self._task.picture(shown), encode_png(result.pictures[failure.capture_id]))
        return shown


class LoadCaptures(StageTask):
    """Stage 1."""

    stage = "captures"
    uses_model = False
    priority = 0

    def preload(self) -> None:
        """Load the heads that synthetic captures are drawn from."""
        if self.layout.config.sources[self.content().source].kind == "synthetic":
            head_population()

    def result(self) -> StageResult[Any]:
        """Load the chunk's captures.

        Raises
        ------
        FileNotFoundError
            One is gone since it was listed, as all are where a disk is no longer connected. As a
            failure it would be one for ever: when it is back it is the same capture.
        """
        chunk = self.content()
        source = opened_source(self.layout.config.sources[chunk.source])
        result = load_captures(source, chunk.entries)
        where = {entry.capture_id: entry.location for entry in chunk.entries}
        missing = [where[f.capture_id] for f in result.failures if f.code == "missing_file"]
        gone = [location for location in missing if not os.path.lexists(location)]
        if gone:
            text = f"{gone[0]} is gone since the build began; run the same command again"
            raise FileNotFoundError(text)
        return result


class DetectLandmarks(StageTask):
    """Stage 3."""

    stage = "landmarks"
    reads = ("captures",)
    uses_model = False
    detects = True
    priority = 1

    def result(self) -> StageResult[Any]:
        """Detect the landmarks of the chunk's captures."""
        return detect_landmarks(self.records("captures"), self.layout.config.landmarks)


class FitCoarse(StageTask):
    """Stage 4."""

    stage = "fitting"
    reads = ("captures", "landmarks")
    preloads = (preload_fits,)
    priority = 2

    def result(self) -> StageResult[Any]:
        """Fit the 3DMM to the chunk's captures."""
        captures, landmarks = map(self.records, self.reads)
        return fit_coarse(self.model(), captures, landmarks, self.layout.config.fit)


class Register(StageTask):
    """Stage 5."""

    stage = "registration"
    reads = ("captures", "landmarks", "fitting")
    preloads = (preload_registrations,)
    priority = 3

    def result(self) -> StageResult[Any]:
        """Register the template to the chunk's captures."""
        captures, landmarks, fits = map(self.records, self.reads)
        config = self.layout.config
        fused = config.sources[self.content().source].fuse
        return register_all(self.model(), captures, landmarks, fits, config.registration, fused)

    def registered(self, records: Mapping[str, Registration]) -> list[Member]:
        """List the registered captures."""
        captures = self.records("captures")
        return [
            Member(
                name,
                captures[name].subject_id,
                self.chunk,
                captures[name].expression == "neutral",
                record.quality,
                _reason(record),
            )
            for name, record in records.items()
        ]


class MakeViews(StageTask):
    """Stage 6."""

    stage = "views"
    reads = STAGES
    detects = True
    preloads = (preload_fits,)
    priority = 4

    def result(self) -> StageResult[Any]:
        """Turn the chunk's registered captures to other poses."""
        return make_views(self.model(), self.input(), self.layout.config)


STAGE_TASKS: dict[str, type[StageTask]] = {
    task.stage: task for task in (LoadCaptures, DetectLandmarks, FitCoarse, Register, MakeViews)
}


def _reason(registration: Registration) -> str:
    """Say what speaks against a registration."""
    figures = registration.quality_figures
    doubts = [] if figures is None else quality_doubts(figures)
    return " ".join(doubt.sentence for doubt in doubts)
