"""From registered chunks to a dataset: what is left out, who gives parts to whom, the shards."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import luigi

from fg3d_builder.config import digest
from fg3d_builder.files.atomic import point_link, replacing, write_json
from fg3d_builder.files.products import Product, is_complete, read_product, write_product
from fg3d_builder.layout import STAGES, BuildLayout
from fg3d_builder.pipeline.augmentation import make_transforms
from fg3d_builder.pipeline.stages import cached_model
from fg3d_builder.records import Failure
from fg3d_builder.review.decisions import Decisions, decide
from fg3d_builder.shards.manifest import (
    MANIFEST_NAME,
    MODEL_NAME,
    TOPOLOGY_NAME,
    make_manifest,
    may_be_shared,
    shard_name,
)
from fg3d_builder.shards.rows import (
    TransformedShape,
    capture_row,
    captured_view,
    sample_image,
    shape_row,
)
from fg3d_builder.shards.schema import FROM_DETECTED, SPLITS
from fg3d_builder.shards.split import split_of
from fg3d_builder.shards.writer import ShardWriter, write_topology
from fg3d_builder.tasks.base import BuildTask, log, stage_product
from fg3d_builder.tasks.chunk_tasks import MakeViews, Register, chunk_input, write_result
from fg3d_builder.tasks.chunks import Chunk
from fg3d_builder.tasks.review import read_decisions, read_verdicts, write_decisions
from fg3d_builder.transform.donors import ATTEMPTS, DONATED_PARTS, DonorFace, draw_donors


class WholeTask(BuildTask):
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

    def whole(self, task: type[WholeTask], **more: Any) -> WholeTask:
        """Return another task about the same dataset."""
        return task(root=self.root, config=self.config, verdicts=self.verdicts, **more)


class DecideReview(WholeTask):
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


class PlanShards(WholeTask):
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


class DrawDonors(WholeTask):
    """Decides whose parts make the new shapes of each training capture (Sec. 6.3)."""

    def requires(self) -> list[luigi.Task]:
        """Need to know what is left out."""
        return [self.whole(DecideReview)]

    def complete(self) -> bool:
        """Whether draws and faces are there."""
        return self.decided() and self.layout.draws(self.digest()).is_file()

    def run(self) -> None:
        """Choose each training subject's face, then draw; the draws mark the whole as done."""
        layout, settings = self.layout, self.layout.config.transform
        members = self._training_captures()
        best = {subject: ranked[0][2:] for subject, ranked in members.items()}
        enough = len(best) > len(DONATED_PARTS)
        if settings.shapes_per_capture and not enough:
            log.warning(
                "no new shapes: they need %d training subjects, there are %d",
                len(DONATED_PARTS) + 1,
                len(best),
            )
        count = settings.shapes_per_capture if enough else 0
        draws = {
            name: [
                [
                    draw_donors(subject, f"{settings.salt}|{name}|{shape}", best, attempt)
                    for attempt in range(ATTEMPTS)
                ]
                for shape in range(count)
            ]
            for subject, ranked in members.items()
            for _, _, name, _ in ranked
        }
        faces = {subject: _donor_face(layout, *place) for subject, place in best.items()}
        path = layout.donors(self.digest())
        write_product(path, "donors", layout.stage_digest("donors"), faces if count else {})
        table = {"faces": best, "draws": draws if count else {}}
        write_json(layout.draws(self.digest()), table)

    def _training_captures(self) -> dict[str, list[tuple[bool, float, str, str]]]:
        """By subject: (shows an expression, minus quality, capture id, chunk)."""
        layout, settings = self.layout, self.layout.config.shards
        left_out = self.decisions().rejected_ids
        found: dict[str, list[tuple[bool, float, str, str]]] = {}
        for chunk in self.chunks():
            captures = stage_product(layout, "captures", chunk.name).records
            for name, record in stage_product(layout, "registration", chunk.name).records.items():
                subject = captures[name].subject_id
                split = split_of(subject, settings.test_fraction, settings.split_salt)
                if split == "train" and name not in left_out:
                    moved = captures[name].expression != "neutral"
                    found.setdefault(subject, []).append((moved, -record.quality, name, chunk.name))
        return {subject: sorted(found[subject]) for subject in sorted(found)}


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
        return transformed_path(self.layout, self.digest(), self.chunk)

    def run(self) -> None:
        """Fuse, transform and turn, unless another dataset's draws were the same for this chunk.

        That is known only now: when tasks are planned the draws may not have been made.
        """
        if is_complete(self.product()):
            return
        layout, dataset = self.layout, self.digest()
        draws, _ = chunk_draws(layout, dataset, self.chunk)
        path, kind = layout.donors(dataset), layout.stage_digest("donors")
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
        views = [MakeViews(root=self.root, config=self.config, chunk=c) for c in chunks]
        return [plan, *views, *(self.whole(TransformShapes, chunk=c) for c in chunks)]

    def planned(self) -> list[tuple[str, str]]:
        """Captures of this shard and their chunks; `PlanShards` must have run."""
        plan = json.loads(self.layout.plan(self.digest()).read_text(encoding="utf-8"))
        return [(name, chunk) for name, chunk in plan[self.name]]

    def complete(self) -> bool:
        """Whether the shard is there; it is moved there whole."""
        return self.decided() and (self.layout.dataset(self.digest()) / self.name).is_file()

    def run(self) -> None:
        """Write the samples of the captures that the plan names."""
        layout, dataset, settings = self.layout, self.digest(), self.layout.config.shards
        model = cached_model(layout.facemodel)
        writer = ShardWriter(self.name.split("-")[0], settings.image_format, model)
        for name, chunk in self.planned():
            records = _chunk_records(layout, dataset, chunk)
            taken, registration = records["captures"][name], records["registration"][name]
            initial = records["fitting"][name].initial
            view = captured_view(model, taken, initial, registration, settings)
            images = [sample_image(view, initial, FROM_DETECTED, settings.image_format)]
            if name in records["views"]:
                images += records["views"][name].views
            capture = writer.add_capture(capture_row(taken, registration))
            writer.add_shape(shape_row(registration), capture, images)
            for made in records["transform"].values():
                if made.capture_id == name:
                    writer.add_shape(made.shape, capture, made.views)
        path = layout.dataset(dataset) / self.name
        writer.write(path)
        log.info("%s: %d samples, %.1f MB", self.name, writer.sample_count, _megabytes(path))


class WriteManifest(WholeTask):
    """Describes the complete dataset and lets ``dataset`` point at it."""

    def requires(self) -> list[luigi.Task]:
        """Need the plan, and every chunk's views: what failed among them is told."""
        names = [chunk.name for chunk in self.chunks()]
        views = [MakeViews(root=self.root, config=self.config, chunk=name) for name in names]
        return [self.whole(PlanShards), self.whole(DrawDonors), *views]

    def complete(self) -> bool:
        """Whether the manifest is there and the link points at it."""
        if not self.decided():
            return False
        folder, link = self.layout.dataset(self.digest()), self.layout.dataset_link
        return (folder / MANIFEST_NAME).is_file() and link.resolve() == folder.resolve()

    def run(self) -> Iterator[Any]:
        """Have the shards written, then describe them."""
        layout, dataset = self.layout, self.digest()
        plan = json.loads(layout.plan(dataset).read_text(encoding="utf-8"))
        yield [
            *(self.whole(TransformShapes, chunk=chunk.name) for chunk in self.chunks()),
            *(self.whole(WriteShard, name=name) for name in plan),
        ]
        folder, model = layout.dataset(dataset), cached_model(layout.facemodel)
        folder.mkdir(parents=True, exist_ok=True)
        write_topology(folder / TOPOLOGY_NAME, model)
        if may_be_shared(model.licence):
            with replacing(folder / MODEL_NAME) as temporary:
                shutil.copyfile(layout.facemodel, temporary)
        failures = all_failures(layout, self.chunks())
        manifest = make_manifest(
            *(folder, layout.config, model, layout.facemodel, failures),
            *(self.decisions().rejected, self.decisions().accepted),
            augmentation_failures(layout, dataset, self.chunks()),
        )
        write_json(folder / MANIFEST_NAME, manifest)
        point_link(layout.dataset_link, folder.name)


def chunk_draws(
    layout: BuildLayout, dataset_digest: str, chunk: str
) -> tuple[dict[str, list[list[dict[str, str]]]], str]:
    """Return the draws of a chunk's captures, and their identity.

    The identity covers who was drawn and which capture stands for whom, so that a verdict
    about one capture costs only the shapes that it takes part in.
    """
    table = _draw_table(layout.draws(dataset_digest))
    captures = stage_product(layout, "captures", chunk).records
    mine = {name: table["draws"][name] for name in captures if name in table["draws"]}
    drawn = {s for shapes in mine.values() for tries in shapes for d in tries for s in d.values()}
    return mine, digest(mine, {subject: table["faces"][subject] for subject in sorted(drawn)})


def transformed_path(layout: BuildLayout, dataset_digest: str, chunk: str) -> Path:
    """Return where the new shapes of a chunk lie; `DrawDonors` must have run."""
    return layout.transformed(chunk, chunk_draws(layout, dataset_digest, chunk)[1])


def transformed_product(
    layout: BuildLayout, dataset_digest: str, chunk: str
) -> Product[TransformedShape]:
    """Read the new shapes of a chunk."""
    path = transformed_path(layout, dataset_digest, chunk)
    return read_product(path, "transform", layout.stage_digest("transform"), TransformedShape)


def all_failures(layout: BuildLayout, chunks: list[Chunk]) -> list[Failure]:
    """Collect the failures of all stages, sorted by capture id."""
    found = [
        failure
        for chunk in chunks
        for stage in STAGES
        for failure in stage_product(layout, stage, chunk.name).failures
    ]
    return sorted(found, key=lambda failure: failure.capture_id)


def augmentation_failures(
    layout: BuildLayout, dataset_digest: str, chunks: list[Chunk]
) -> list[Failure]:
    """Collect what could not be turned or transformed; the captures themselves are fine."""
    found: list[Failure] = []
    for chunk in chunks:
        found += stage_product(layout, "views", chunk.name).failures
        found += transformed_product(layout, dataset_digest, chunk.name).failures
    return sorted(found, key=lambda failure: failure.capture_id)


@lru_cache(maxsize=2)
def _draw_table(path: Path) -> dict[str, Any]:
    table: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return table


@lru_cache(maxsize=1)
def _chunk_records(layout: BuildLayout, dataset_digest: str, chunk: str) -> dict[str, Any]:
    """Everything that the samples of a chunk are made of; captures of one chunk are neighbours."""
    stages = ("captures", "fitting", "registration", "views")
    records = {stage: stage_product(layout, stage, chunk).records for stage in stages}
    made = transformed_product(layout, dataset_digest, chunk).records
    return {**records, "transform": made}


def _donor_face(layout: BuildLayout, capture_id: str, chunk: str) -> DonorFace:
    record = stage_product(layout, "registration", chunk).records[capture_id]
    return DonorFace(capture_id, record.shape_obj_mm, record.alpha_exp, record.confidence)


def _megabytes(path: Path) -> float:
    return path.stat().st_size / 1e6
