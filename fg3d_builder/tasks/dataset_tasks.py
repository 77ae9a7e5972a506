"""From registered chunks to a dataset: what is left out, who gives parts to whom, the shards."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import luigi

from fg3d_builder.files.atomic import point_link, replacing, write_json
from fg3d_builder.files.products import Product, is_complete, read_product, write_product
from fg3d_builder.files.sealed import has_full_length, read_sealed_json, write_sealed_json
from fg3d_builder.layout import STAGES, BuildLayout
from fg3d_builder.pipeline.augmentation import make_transforms
from fg3d_builder.pipeline.dataset import (
    DonorDraws,
    Draws,
    Member,
    add_capture,
    draw_all_donors,
    plan_shards,
)
from fg3d_builder.pipeline.stages import cached_model
from fg3d_builder.records import Failure, Registration
from fg3d_builder.registration.quality import quality_doubts
from fg3d_builder.review.decisions import Decisions, decide
from fg3d_builder.shards.manifest import (
    MANIFEST_NAME,
    MODEL_NAME,
    TOPOLOGY_NAME,
    make_manifest,
    may_be_shared,
    missing_files,
)
from fg3d_builder.shards.rows import TransformedShape
from fg3d_builder.shards.schema import SCHEMA as SHARD_SCHEMA
from fg3d_builder.shards.writer import ShardWriter, write_topology
from fg3d_builder.tasks.base import BuildTask, log, stage_product
from fg3d_builder.tasks.chunk_tasks import MakeViews, Register, chunk_input, write_result
from fg3d_builder.tasks.chunks import Chunk
from fg3d_builder.tasks.review import read_decisions, read_verdicts, write_decisions
from fg3d_builder.transform.donors import DONATED_PARTS, DonorFace

SAMPLED = ("captures", "fitting", "registration", "views")
"""Stages whose records samples are made of, beside the new shapes."""


class WholeTask(BuildTask):
    """A task that needs all chunks registered, and a person's verdicts about them."""

    verdicts = luigi.Parameter(description="digest of the frozen verdicts of the review list")

    def requires(self) -> list[luigi.Task]:
        """Need to know what is left out."""
        return [self.whole(DecideReview)]

    def decisions_file(self) -> Path:
        """Where what is left out is written down."""
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

    def whole(self, task: type[WholeTask], **more: Any) -> WholeTask:
        """Return another task about the same dataset."""
        return self.other(task, verdicts=self.verdicts, **more)

    def members(self) -> list[Member]:
        """Return the captures of the dataset; `DecideReview` must have run."""
        left_out = self.decisions().rejected_ids
        found = registered_members(self.layout, self.chunks())
        return [member for member in found if member.capture_id not in left_out]

    def chunk_draws(self, chunk: str) -> tuple[Draws, str]:
        """Return the draws of a chunk and their identity; `DrawDonors` must have run."""
        (entries,) = (known.entries for known in self.chunks() if known.name == chunk)
        draws = read_draws(self.layout.draws(self.digest()))
        return draws.of_captures([entry.capture_id for entry in entries])

    def transformed_path(self, chunk: str) -> Path:
        """Return where the new shapes of a chunk go; `DrawDonors` must have run."""
        return self.layout.transformed(chunk, self.chunk_draws(chunk)[1])

    def transformed(self, chunk: str) -> Product[TransformedShape]:
        """Read the new shapes of a chunk."""
        kind = self.layout.stage_digest("transform")
        return read_product(self.transformed_path(chunk), "transform", kind, TransformedShape)

    def augmentation_failures(self) -> list[Failure]:
        """Collect what could not be turned or transformed; the captures themselves are fine."""
        found: list[Failure] = []
        for chunk in self.chunks():
            found += stage_product(self.layout, "views", chunk.name).failures
            found += self.transformed(chunk.name).failures
        return sorted(found, key=lambda failure: failure.capture_id)


class DecideReview(WholeTask):
    """Decides which registrations are left out of the dataset."""

    def requires(self) -> list[luigi.Task]:
        """Need every chunk's registration."""
        return [*self.for_chunks(Register)]

    def complete(self) -> bool:
        """Whether it is decided."""
        return self.decided()

    def run(self) -> None:
        """Compare every quality with the threshold, unless a person gave a verdict."""
        layout = self.layout
        members = registered_members(layout, self.chunks())
        decisions = decide(
            {member.capture_id: member.subject_id for member in members},
            {member.capture_id: member.quality for member in members},
            read_verdicts(layout.verdicts(self.verdicts)),
            layout.config.review.min_quality,
            {member.capture_id: member.reason for member in members},
        )
        write_decisions(self.decisions_file(), decisions)


class PlanShards(WholeTask):
    """Decides which capture goes into which shard, once it is known which captures there are."""

    def complete(self) -> bool:
        """Whether the plan is there."""
        return self.decided() and self.layout.plan(self.digest()).is_file()

    def run(self) -> None:
        """Plan, and write the plan."""
        plan = plan_shards(self.members(), self.layout.config.shards)
        write_sealed_json(self.layout.plan(self.digest()), plan)


class DrawDonors(WholeTask):
    """Decides whose parts make the new shapes of each training capture (Sec. 6.3)."""

    def complete(self) -> bool:
        """Whether draws and faces are there."""
        return self.decided() and self.layout.draws(self.digest()).is_file()

    def run(self) -> None:
        """Draw, and collect the donors' faces; the draws mark the whole as done."""
        layout, config = self.layout, self.layout.config
        drawn = draw_all_donors(self.members(), config.shards, config.transform)
        if config.transform.shapes_per_capture and not drawn.draws:
            wanted, there = len(DONATED_PARTS) + 1, len(drawn.faces)
            log.warning(
                "no new shapes: they need %d training subjects, there are %d", wanted, there
            )
        needed = drawn.faces if drawn.draws else {}
        faces = {subject: _donor_face(layout, *place) for subject, place in needed.items()}
        path = layout.donors(self.digest())
        write_product(path, "donors", layout.stage_digest("donors"), faces)
        write_sealed_json(layout.draws(self.digest()), asdict(drawn))


class TransformShapes(WholeTask):
    """Stage 7: the new shapes of one chunk, with their views."""

    chunk = luigi.Parameter(description="name of the chunk")
    priority = 5

    def requires(self) -> list[luigi.Task]:
        """Need the draws."""
        return [self.whole(DrawDonors)]

    def complete(self) -> bool:
        """Whether the shapes for these draws are there."""
        drawn = self.layout.draws(self.digest()) if self.decided() else None
        return drawn is not None and drawn.is_file() and is_complete(self.product())

    def product(self) -> Path:
        """Where the shapes go; `DrawDonors` must have run."""
        return self.transformed_path(self.chunk)

    def run(self) -> None:
        """Fuse, transform and turn, unless another dataset's draws were the same for this chunk.

        That is known only now: when tasks are planned the draws may not have been made.
        """
        if is_complete(self.product()):
            return
        layout = self.layout
        draws, _ = self.chunk_draws(self.chunk)
        path, kind = layout.donors(self.digest()), layout.stage_digest("donors")
        result = make_transforms(
            cached_model(layout.facemodel),
            chunk_input(layout, self.chunk),
            draws,
            read_product(path, "donors", kind, DonorFace).records if draws else {},
            layout.config,
        )
        write_result(layout, "transform", self.product(), result)


class WriteShard(WholeTask):
    """Stage 8: one shard."""

    name = luigi.Parameter(description="file name of the shard")

    def requires(self) -> list[luigi.Task]:
        """Need the plan, and all samples of the captures in it."""
        plan = self.whole(PlanShards)
        if not plan.complete():
            return [plan]
        chunks = sorted({chunk for _, chunk in self.planned()})
        views = [self.other(MakeViews, chunk=chunk) for chunk in chunks]
        return [plan, *views, *(self.whole(TransformShapes, chunk=chunk) for chunk in chunks)]

    def planned(self) -> list[tuple[str, str]]:
        """Captures of this shard and their chunks; `PlanShards` must have run."""
        plan = read_sealed_json(self.layout.plan(self.digest()))
        return [(name, chunk) for name, chunk in plan[self.name]]

    def complete(self) -> bool:
        """Whether the shard is there in full length."""
        if not self.decided():
            return False
        return has_full_length(self.layout.dataset(self.digest()) / self.name, SHARD_SCHEMA)

    def run(self) -> None:
        """Write the samples of the captures that the plan names."""
        layout, settings = self.layout, self.layout.config.shards
        model = cached_model(layout.facemodel)
        writer = ShardWriter(self.name.split("-")[0], settings.image_format, model)
        # Captures of one chunk are neighbours in the plan: its products are read once.
        for chunk, planned in itertools.groupby(self.planned(), key=lambda pair: pair[1]):
            records = {stage: stage_product(layout, stage, chunk).records for stage in SAMPLED}
            records["transform"] = self.transformed(chunk).records
            for name, _ in planned:
                add_capture(writer, model, name, records, settings)
        path = layout.dataset(self.digest()) / self.name
        writer.write(path)
        megabytes = path.stat().st_size / 1e6
        log.info("%s: %d samples, %.1f MB", self.name, writer.sample_count, megabytes)


class WriteManifest(WholeTask):
    """Describes the complete dataset and lets ``dataset`` point at it."""

    def requires(self) -> list[luigi.Task]:
        """Need the plan, and every chunk's views: the manifest names what failed among them."""
        return [self.whole(PlanShards), self.whole(DrawDonors), *self.for_chunks(MakeViews)]

    def complete(self) -> bool:
        """Whether the manifest and all that it describes are there, and the link points at it."""
        if not self.decided():
            return False
        folder, link = self.layout.dataset(self.digest()), self.layout.dataset_link
        return link.resolve() == folder.resolve() and not missing_files(folder)

    def run(self) -> Iterator[Any]:
        """Have the shards written, then describe them."""
        layout, dataset = self.layout, self.digest()
        yield [
            *self.for_chunks(TransformShapes, verdicts=self.verdicts),
            *(self.whole(WriteShard, name=name) for name in read_sealed_json(layout.plan(dataset))),
        ]
        folder, model = layout.dataset(dataset), cached_model(layout.facemodel)
        folder.mkdir(parents=True, exist_ok=True)
        write_topology(folder / TOPOLOGY_NAME, model)
        if may_be_shared(model.licence):
            with replacing(folder / MODEL_NAME) as temporary:
                shutil.copyfile(layout.facemodel, temporary)
        manifest = make_manifest(
            folder,
            layout.config,
            model,
            layout.facemodel,
            all_failures(layout, self.chunks()),
            self.decisions().rejected,
            self.decisions().accepted,
            self.augmentation_failures(),
        )
        write_json(folder / MANIFEST_NAME, manifest)
        point_link(layout.dataset_link, folder.name)


def registered_members(layout: BuildLayout, chunks: list[Chunk]) -> list[Member]:
    """List all registered captures; every chunk must be registered."""
    found = []
    for chunk in chunks:
        captures = stage_product(layout, "captures", chunk.name).records
        for name, record in stage_product(layout, "registration", chunk.name).records.items():
            neutral = captures[name].expression == "neutral"
            subject = captures[name].subject_id
            reason = _reason(record)
            found.append(Member(name, subject, chunk.name, neutral, record.quality, reason))
    return found


def _reason(registration: Registration) -> str:
    """Say what speaks against a registration."""
    figures = registration.quality_figures
    doubts = [] if figures is None else quality_doubts(figures)
    return " ".join(doubt.sentence for doubt in doubts)


def all_failures(layout: BuildLayout, chunks: list[Chunk]) -> list[Failure]:
    """Collect the failures of all stages, sorted by capture id."""
    found = [
        failure
        for chunk in chunks
        for stage in STAGES
        for failure in stage_product(layout, stage, chunk.name).failures
    ]
    return sorted(found, key=lambda failure: failure.capture_id)


@lru_cache(maxsize=2)
def read_draws(path: Path) -> DonorDraws:
    """Read what `DrawDonors` wrote, once per process: the name covers the content."""
    return DonorDraws(**read_sealed_json(path))


def _donor_face(layout: BuildLayout, capture_id: str, chunk: str) -> DonorFace:
    record = stage_product(layout, "registration", chunk).records[capture_id]
    return DonorFace(capture_id, record.shape_obj_mm, record.alpha_exp, record.confidence)
