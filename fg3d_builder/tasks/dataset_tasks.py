"""From registered chunks to a dataset: what is left out, who gives parts to whom, the shards."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import luigi

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.files.atomic import point_link, replacing, write_json
from fg3d_builder.files.products import is_complete, write_product
from fg3d_builder.files.sealed import has_full_length, read_sealed_as, write_sealed_json
from fg3d_builder.layout import CHUNK_STAGES, STAGES
from fg3d_builder.pipeline.augmentation import (
    make_transforms,
    make_views_and_transforms,
    shape_keys,
)
from fg3d_builder.pipeline.dataset import (
    DonorDraws,
    Draws,
    Member,
    add_capture,
    draw_all_donors,
    plan_shards,
)
from fg3d_builder.pipeline.each_capture import StageResult
from fg3d_builder.pipeline.preloading import preload_fits, preload_transforms
from fg3d_builder.pipeline.stages import cached_model
from fg3d_builder.records import Failure
from fg3d_builder.review.decisions import Decisions, decide
from fg3d_builder.shards.costs import Cost
from fg3d_builder.shards.manifest import (
    MANIFEST_NAME,
    MODEL_NAME,
    TOPOLOGY_NAME,
    make_manifest,
    may_be_shared,
    missing_files,
)
from fg3d_builder.shards.schema import SCHEMA as SHARD_SCHEMA
from fg3d_builder.shards.writer import ShardWriter, write_topology
from fg3d_builder.tasks.base import BuildTask, if_there, log, made, pending, product_at
from fg3d_builder.tasks.chunk_tasks import (
    STAGE_TASKS,
    MakeViews,
    Making,
    PrepareModel,
    Register,
    StageTask,
)
from fg3d_builder.tasks.chunks import Index
from fg3d_builder.tasks.facts import read_facts
from fg3d_builder.tasks.read_once import ReadOnce
from fg3d_builder.tasks.review import Decided, read_decisions, read_verdicts, write_decisions
from fg3d_builder.tasks.spending import Meter, costed, read_cost, write_cost
from fg3d_builder.transform.donors import DONATED_PARTS, DonorFace

SAMPLED = ("captures", "fitting", "registration")
"""Stages whose records samples are made of, beside the views and the new shapes."""


class WholeTask(BuildTask):
    """A task that needs all chunks registered, and a person's verdicts about them."""

    verdicts = luigi.Parameter(description="digest of the frozen verdicts of the review list")

    def requires(self) -> list[luigi.Task]:
        """Need to know what is left out."""
        return [self.whole(DecideReview)]

    def whole(self, task: type[WholeTask], **more: Any) -> Any:
        """Return another task about the same dataset."""
        return self.other(task, verdicts=self.verdicts, **more)

    def decisions_file(self) -> Path:
        """Where what is left out is written down."""
        return self.layout.decisions(self.index.identity, self.verdicts)

    def decided(self) -> Decided | None:
        """Return what is left out if it is known; before that a dataset has no identity."""
        return if_there(lambda: read_decisions(self.decisions_file()))

    def decisions(self) -> Decisions:
        """Return what is left out."""
        return self._decided().decisions

    def digest(self) -> str:
        """Identity of the dataset."""
        return self.layout.dataset_digest(self.index.identity, self._decided().identity)

    def _decided(self) -> Decided:
        return made(self.whole(DecideReview), lambda: read_decisions(self.decisions_file()))

    def folder(self) -> Path:
        """Folder of the dataset."""
        return self.layout.dataset(self.digest())

    def plan(self) -> dict[str, list[tuple[str, str]]]:
        """Return the (capture id, chunk) pairs of each shard."""
        return made(self.whole(PlanShards), lambda: read_plan(self.layout.plan(self.digest())))

    def draws(self) -> DonorDraws:
        """Return who gives parts to whom."""
        return made(self.whole(DrawDonors), lambda: read_draws(self.layout.draws(self.digest())))

    def drawn(self) -> DonorDraws | None:
        """Return who gives parts to whom if that is known."""
        if self.decided() is None:
            return None
        return if_there(lambda: read_draws(self.layout.draws(self.digest())))

    def members(self) -> list[Member]:
        """Return the captures of the dataset, in an order that no chunk decides."""
        left_out = self.decisions().rejected_ids
        return [m for m in registered_members(self) if m.capture_id not in left_out]

    def places(self) -> dict[str, str]:
        """Return the place of each capture in the order of the shards."""
        return self.index.places(self.layout.config.sources)

    def transforms(self) -> list[TransformShapes]:
        """Return the tasks that make all new shapes."""
        return [self.whole(TransformShapes, chunk=name) for name in self.index.names]

    def planned_early(self) -> list[StageTask]:
        """Return the tasks that need not know who gives parts to whom.

        Where there are new shapes, views are made together with them.
        """
        shaped = self.layout.config.transform.shapes_per_capture
        return self.stage_tasks(*(STAGES if shaped else CHUNK_STAGES))

    def augmenting(self, chunks: Iterable[str]) -> list[StageTask]:
        """Return the tasks that make what there is not yet of views and new shapes of some chunks.

        Of a chunk of which both are missing `TransformShapes` alone, which makes both.
        """
        tasks: list[StageTask] = []
        for name in chunks:
            shapes: TransformShapes = self.whole(TransformShapes, chunk=name)
            both: list[StageTask] = [self.other(MakeViews, chunk=name), shapes]
            todo = pending(both)
            tasks += [shapes] if shapes in todo and shapes.may_make_views() else todo
        return tasks

    def augmentation_failures(self) -> list[Failure]:
        """Collect what could not be turned or transformed; the captures themselves are fine."""
        tasks: list[StageTask] = [*self.for_chunks(MakeViews), *self.transforms()]
        return failures_of(tasks)

    def failures(self) -> list[Failure]:
        """Collect the failures of the stages that every capture of a dataset passes."""
        return failures_of(self.stage_tasks(*STAGES))

    def spent(self) -> list[tuple[str, int, Cost | None]]:
        """List what each task of the dataset was for and cost, see `shards.costs.cost_table`."""
        stages: list[StageTask] = [*self.stage_tasks(*CHUNK_STAGES), *self.transforms()]
        shards = [self.whole(WriteShard, name=name) for name in self.plan()]
        alone = [
            ("facemodel", self.other(PrepareModel)),
            ("donors", self.whole(DrawDonors)),
            ("manifest", self.whole(WriteManifest)),
        ]
        total = len(self.index.capture_ids)
        return [
            *((*task.amount, task.facts().cost) for task in stages),
            *((*task.amount, read_cost(task)) for task in shards),
            *((kind, total, read_cost(task)) for kind, task in alone),
        ]

    def stage_tasks(self, *stages: str) -> list[StageTask]:
        """Return the tasks of some stages for all chunks."""
        return [task for stage in stages for task in self.for_chunks(STAGE_TASKS[stage])]

    def model(self) -> FaceModel:
        """Return the face model."""
        return made(self.other(PrepareModel), lambda: cached_model(self.layout.facemodel))


class DecideReview(WholeTask):
    """Decides which registrations are left out of the dataset."""

    def requires(self) -> list[luigi.Task]:
        """Need every chunk's registration."""
        return [*pending(self.for_chunks(Register))]

    def complete(self) -> bool:
        """Whether it is decided."""
        return self.decided() is not None

    def run(self) -> None:
        """Compare every quality with the threshold, unless a person gave a verdict."""
        layout, members = self.layout, registered_members(self)
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
        if self.decided() is None:
            return False
        return if_there(lambda: read_plan(self.layout.plan(self.digest()))) is not None

    def run(self) -> None:
        """Plan, and write the plan."""
        plan = plan_shards(self.members(), self.layout.config.shards, self.places())
        write_sealed_json(self.layout.plan(self.digest()), plan)


class DrawDonors(WholeTask):
    """Decides whose parts make the new shapes of each training capture (Sec. 6.3)."""

    def requires(self) -> list[luigi.Task]:
        """Need to know what is left out, and the registrations that parts are taken of."""
        return [self.whole(DecideReview), *pending(self.for_chunks(Register))]

    def complete(self) -> bool:
        """Whether draws and faces are there."""
        return self.drawn() is not None and is_complete(self.layout.donors(self.digest()))

    def made_file(self) -> Path:
        """Return where the draws go."""
        return self.layout.draws(self.digest())

    @costed
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
        faces = {subject: self._face(*place) for subject, place in needed.items()}
        path = layout.donors(self.digest())
        write_product(path, "donors", layout.stage_digest("donors"), faces)
        write_sealed_json(layout.draws(self.digest()), asdict(drawn))

    def _face(self, capture_id: str, chunk: str) -> DonorFace:
        record = self.other(Register, chunk=chunk).product([capture_id]).records[capture_id]
        return DonorFace(capture_id, record.shape_obj_mm, record.alpha_exp, record.confidence)


class ChunkDraws:
    """The draws of chunks, remembered for one set of draws and captures: for one dataset."""

    def __init__(self) -> None:
        self._made_of: tuple[object, ...] = ()
        self._known: dict[str, tuple[Draws, str]] = {}

    def of(self, draws: DonorDraws, index: Index) -> dict[str, tuple[Draws, str]]:
        """Return what is remembered, by the chunk's name; it may be added to."""
        if [id(part) for part in self._made_of] != [id(draws), id(index)]:
            self._made_of, self._known = (draws, index), {}
        return self._known


_chunk_draws = ChunkDraws()


class TransformShapes(StageTask, WholeTask):
    """Stage 7: the new shapes of one chunk, with their views; also stage 6 where it is missing.

    Both turn the same captures, and preparing these takes long. Their products are two all the
    same: views do not hang upon draws.

    The product's name covers the draws: another dataset's may have been the same for this chunk.
    """

    stage = "transform"
    reads = STAGES
    detects = True
    preloads = (preload_fits, preload_transforms)
    priority = 5

    @property
    def amount(self) -> tuple[str, int]:
        """The captures of the chunk that get new shapes."""
        return self.stage, len(self.chunk_draws()[0])

    def requires(self) -> list[luigi.Task]:
        """Need the draws, and what the shapes are made of."""
        return [self.whole(DrawDonors), *super().requires()]

    def complete(self) -> bool:
        """Whether the shapes for these draws are there."""
        return self.drawn() is not None and super().complete()

    def chunk_draws(self) -> tuple[Draws, str]:
        """Return the draws of the chunk and their identity; told once for a process."""
        known = _chunk_draws.of(self.draws(), self.index)
        if self.chunk not in known:
            ids = self.content().capture_ids
            known[self.chunk] = self.draws().of_captures(ids, self.index.capture_keys)
        return known[self.chunk]

    def keys_of(self, names: Collection[str]) -> list[str]:
        """Return the keys of the shapes that some captures get."""
        return shape_keys(self.chunk_draws()[0], names)

    def path(self) -> Path:
        """Where the shapes go."""
        return self.layout.transformed(self.chunk, self.chunk_draws()[1])

    def products(self) -> list[Path]:
        """Return where the shapes go, and the views."""
        return [self.path(), *self.stage_task("views").products()]

    def may_make_views(self) -> bool:
        """Whether `run` makes the chunk's views where they are missing; before draws it may be."""
        return self.drawn() is None or bool(self.chunk_draws()[0])

    def run(self) -> None:
        """Make the new shapes, and views that are missing in one pass with them."""
        views = self.stage_task("views")
        if not self.chunk_draws()[0] or views.complete() or views.found() or self.found():
            super().run()
        else:
            self._run_with(views)

    def _run_with(self, views: StageTask) -> None:
        """Make views and new shapes; what both share counts as the views' cost."""
        making, making_views = Making(self), Making(views)
        with making.at_work():
            draws, _ = self.chunk_draws()
            chunk, model, config = self.input(), self.model(), self.layout.config
            turned, transformed = make_views_and_transforms(
                model, chunk, draws, self._faces(), config, making_views.at_work
            )
            with making_views.at_work():
                making_views.write(turned)
            making_views.finish()  # first: who finds the shapes finds the views
            making.write(transformed)
        making.finish(making_views.cost.wall_s)

    def times(self, seconds: float) -> list[tuple[str, int, float]]:
        """Return the time of the new shapes, and before it that of views made with them."""
        facts = if_there(lambda: read_facts(self.facts_path()))
        beside_s = 0.0 if facts is None else facts.beside_s
        if not 0.0 < beside_s < seconds:  # it ran for nothing: all was there
            return super().times(seconds)
        views, captures = self.stage_task("views").amount
        return [(views, captures, beside_s), *super().times(seconds - beside_s)]

    def result(self) -> StageResult[Any]:
        """Fuse, transform and turn."""
        draws, _ = self.chunk_draws()
        if not draws:
            return StageResult()
        config = self.layout.config
        return make_transforms(self.model(), self.input(), draws, self._faces(), config)

    def _faces(self) -> dict[str, DonorFace]:
        path = self.layout.donors(self.digest())
        whole = self.whole(DrawDonors)
        return made(whole, lambda: product_at(self.layout, "donors", path)).records


class WriteShard(WholeTask):
    """Stage 8: one shard.

    Written as soon as it can be: a lean build then drops what it was made of.
    """

    priority = 6
    name = luigi.Parameter(description="file name of the shard")

    @property
    def amount(self) -> tuple[str, int]:
        """Its captures."""
        return "shards", len(self.plan()[self.name])

    def requires(self) -> list[luigi.Task]:
        """Need the plan, and all that the samples of its captures are made of."""
        chunks = sorted({chunk for _, chunk in self.plan()[self.name]})
        stages = [self.other(STAGE_TASKS[s], chunk=chunk) for s in SAMPLED for chunk in chunks]
        return [*pending(stages), *self.augmenting(chunks), self.other(PrepareModel)]

    def complete(self) -> bool:
        """Whether the shard is there; it is moved there whole."""
        if self.decided() is None:
            return False
        return has_full_length(self.made_file(), SHARD_SCHEMA)

    def made_file(self) -> Path:
        """Return where the shard goes."""
        return self.folder() / self.name

    @costed
    def run(self) -> None:
        """Write the samples of the captures that the plan names."""
        settings, model = self.layout.config.shards, self.model()
        writer = ShardWriter(self.name.split("-")[0], settings.image_format, model)
        planned = self.plan()[self.name]
        # Chunks of one source follow upon each other, those of several are mixed.
        records = lru_cache(maxsize=len(self.layout.config.sources))(self._records)
        for name, chunk in planned:
            add_capture(writer, model, name, records(chunk), settings)
        path = self.made_file()
        writer.write(path)
        megabytes = path.stat().st_size / 1e6
        log.info("%s: %d samples, %.1f MB", self.name, writer.sample_count, megabytes)

    def _records(self, chunk: str) -> dict[str, dict[str, Any]]:
        """Read what the samples of a chunk's captures in this shard are made of, by stage."""
        names = [name for name, of_chunk in self.plan()[self.name] if of_chunk == chunk]
        stages = [self.other(STAGE_TASKS[s], chunk=chunk) for s in (*SAMPLED, "views")]
        records = {task.stage: task.product(names).records for task in stages}
        shapes: TransformShapes = self.whole(TransformShapes, chunk=chunk)
        records["transform"] = shapes.product(shapes.keys_of(names)).records
        return records


class WriteManifest(WholeTask):
    """Describes the complete dataset and lets ``dataset`` point at it.

    Asks for new shapes and shards, so it comes before them.
    """

    priority = 8

    def requires(self) -> list[luigi.Task]:
        """Need the plan, the draws, and what becomes of every capture.

        The manifest names what failed, also where nothing later is missing.
        """
        chunks = pending(self.planned_early())
        whole = [self.whole(PlanShards), self.whole(DrawDonors)]
        return [*whole, self.other(PrepareModel), *chunks]

    def complete(self) -> bool:
        """Whether all files of the dataset are there and the link points at it."""
        if self.decided() is None:
            return False
        folder = self.folder()
        linked = self.layout.dataset_link.resolve() == folder.resolve()
        return linked and not missing_files(folder)

    def made_file(self) -> Path:
        """Return where the manifest goes."""
        return self.folder() / MANIFEST_NAME

    def asks_for(self) -> list[luigi.Task]:
        """Ask for views and new shapes, and for the shards that hold them."""
        shards = [self.whole(WriteShard, name=name) for name in self.plan()]
        return [*self.augmenting(self.index.names), *pending(shards)]

    def run(self) -> Iterator[Any]:
        """Have the shards written, then describe them."""
        todo = self.asks_for()
        if todo:
            yield todo
        with Meter() as meter:
            self.describe()
        write_cost(self, meter.cost)

    def describe(self) -> None:
        """Write what the shards need beside them, and the manifest.

        What the dataset costs it does not know yet, see `tasks.build`.
        """
        layout, folder = self.layout, self.folder()
        folder.mkdir(parents=True, exist_ok=True)
        write_topology(folder / TOPOLOGY_NAME, self.model())
        if may_be_shared(self.model().licence):
            with replacing(folder / MODEL_NAME) as temporary:
                shutil.copyfile(layout.facemodel, temporary)
        manifest = make_manifest(
            folder,
            layout.config,
            self.model(),
            layout.facemodel,
            self.failures(),
            self.decisions().rejected,
            self.decisions().accepted,
            self.augmentation_failures(),
        )
        write_json(self.made_file(), manifest)
        point_link(layout.dataset_link, folder.name)


def failures_of(tasks: list[StageTask]) -> list[Failure]:
    """Collect the failures of tasks, sorted by capture id."""
    found = [failure for task in tasks for failure in task.facts().failures]
    return sorted(found, key=lambda failure: failure.capture_id)


def registered_members(task: BuildTask) -> list[Member]:
    """List all registered captures of a build, in the order of their ids."""
    facts = [registered.facts() for registered in task.for_chunks(Register)]
    return sorted((m for f in facts for m in f.members), key=lambda m: m.capture_id)


def _plan(plan: dict[str, Any]) -> dict[str, list[tuple[str, str]]]:
    return {name: [(capture, chunk) for capture, chunk in pairs] for name, pairs in plan.items()}


read_plan = ReadOnce(lambda path: read_sealed_as(path, _plan))
"""Reads what `PlanShards` wrote, once per process."""

read_draws = ReadOnce(lambda path: read_sealed_as(path, lambda table: DonorDraws(**table)))
"""Reads what `DrawDonors` wrote, once per process."""
