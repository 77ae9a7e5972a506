"""The stages that look at each capture by itself, chunk by chunk."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import luigi

from fg3d_builder.facemodel.storage import SCHEMA as MODEL_SCHEMA
from fg3d_builder.facemodel.storage import save_model
from fg3d_builder.files.atomic import write_bytes
from fg3d_builder.files.encoding import encode_png
from fg3d_builder.files.products import is_complete, write_product
from fg3d_builder.files.sealed import has_full_length, write_sealed_json
from fg3d_builder.heads.library import get_model, model_identity
from fg3d_builder.layout import CHUNK_STAGES, STAGES, BuildLayout
from fg3d_builder.pipeline.augmentation import ChunkInput, make_views
from fg3d_builder.pipeline.each_capture import StageResult
from fg3d_builder.pipeline.stages import (
    cached_model,
    detect_landmarks,
    fit_coarse,
    load_captures,
    register_all,
)
from fg3d_builder.tasks.base import BuildTask, log, stage_product
from fg3d_builder.tasks.chunks import Chunk, index_table, list_chunks, read_index
from fg3d_builder.tasks.progress import progress_line


class IndexCaptures(BuildTask):
    """Lists the captures of all sources; complete as long as the list is still true."""

    def complete(self) -> bool:
        """Whether the sources hold what the index says."""
        file = self.layout.index
        return file.is_file() and read_index(file) == list_chunks(self.layout.config)

    def run(self) -> None:
        """Write the index."""
        chunks = list_chunks(self.layout.config)
        write_sealed_json(self.layout.index, index_table(chunks))
        total = sum(len(chunk.entries) for chunk in chunks)
        log.info("%d captures in %d chunks", total, len(chunks))


class PrepareModel(BuildTask):
    """Gives the build its own copy of the face model."""

    def complete(self) -> bool:
        """Whether the copy is there in full length."""
        return has_full_length(self.layout.facemodel, MODEL_SCHEMA)

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
        before = CHUNK_STAGES.index(self.stage) - 1
        return [self.other(CHUNK_TASKS[CHUNK_STAGES[before]], chunk=self.chunk)]

    def content(self) -> Chunk:
        """Return what is in the chunk."""
        chunk = next((c for c in self.chunks() if c.name == self.chunk), None)
        if chunk is None:
            raise RuntimeError(f"{self.chunk}: the sources changed meanwhile; run the build again")
        return chunk

    def records(self, stage: str) -> dict[str, Any]:
        """Return what another stage has made of this chunk, by capture id."""
        return stage_product(self.layout, stage, self.chunk).records

    def result(self) -> StageResult[Any]:
        """Do the work."""
        raise NotImplementedError

    def run(self) -> None:
        """Do the work, write the product; log once per chunk how far the build is."""
        layout = self.layout
        result = self.result()
        write_sealed_json(layout.seconds(self.stage, self.chunk), result.seconds)
        write_result(layout, self.stage, layout.product(self.stage, self.chunk), result)
        if self.stage == STAGES[-1]:
            log.info(progress_line(layout, self.chunks(), luigi.interface.core().workers))


def write_result(layout: BuildLayout, stage: str, path: Path, result: StageResult[Any]) -> None:
    """Write a stage's records and failures, and the failures' pictures before them."""
    folder = layout.stage_folder(stage)
    failures = []
    for failure in result.failures:
        picture = layout.failure_picture(stage, failure.capture_id)
        write_bytes(folder / picture, encode_png(result.pictures[failure.capture_id]))
        failures.append(replace(failure, picture=picture))
        log.warning("%s: %s: %s", failure.capture_id, failure.code, failure.message)
    write_product(path, stage, layout.stage_digest(stage), result.records, failures)


class LoadCaptures(ChunkTask):
    """Stage 1."""

    stage = "captures"
    priority = 0

    def requires(self) -> list[luigi.Task]:
        """Need nothing: the index is complete before a chunk has a name."""
        return []

    def result(self) -> StageResult[Any]:
        """Load the chunk's captures."""
        chunk = self.content()
        return load_captures(self.layout.config.sources[chunk.source], chunk.entries)


class DetectLandmarks(ChunkTask):
    """Stage 3."""

    stage = "landmarks"
    priority = 1

    def result(self) -> StageResult[Any]:
        """Detect the landmarks of the chunk's captures."""
        return detect_landmarks(self.records("captures"), self.layout.config.landmarks)


class FitCoarse(ChunkTask):
    """Stage 4."""

    stage = "fitting"
    priority = 2

    def requires(self) -> list[luigi.Task]:
        """Need landmarks and the model."""
        return [*super().requires(), self.other(PrepareModel)]

    def result(self) -> StageResult[Any]:
        """Fit the 3DMM to the chunk's captures."""
        captures, landmarks = self.records("captures"), self.records("landmarks")
        model = cached_model(self.layout.facemodel)
        return fit_coarse(model, captures, landmarks, self.layout.config.fit)


class Register(ChunkTask):
    """Stage 5."""

    stage = "registration"
    priority = 3

    def result(self) -> StageResult[Any]:
        """Register the template to the chunk's captures."""
        captures, landmarks, fits = map(self.records, ("captures", "landmarks", "fitting"))
        model, config = cached_model(self.layout.facemodel), self.layout.config
        fused = config.sources[self.content().source].fuse
        return register_all(model, captures, landmarks, fits, config.registration, fused)


class MakeViews(ChunkTask):
    """Stage 6."""

    stage = "views"
    priority = 4

    def result(self) -> StageResult[Any]:
        """Turn the chunk's registered captures to other poses."""
        layout = self.layout
        model = cached_model(layout.facemodel)
        return make_views(model, chunk_input(layout, self.chunk), layout.config)


CHUNK_TASKS: dict[str, type[ChunkTask]] = {
    task.stage: task for task in (LoadCaptures, DetectLandmarks, FitCoarse, Register, MakeViews)
}


def chunk_input(layout: BuildLayout, chunk: str) -> ChunkInput:
    """Read what the augmentation stages want to know of a chunk."""
    return ChunkInput(*(stage_product(layout, stage, chunk).records for stage in STAGES))
