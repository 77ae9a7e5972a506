"""Lean builds: a stage's product is dropped as soon as nothing of the build will read it.

Its facts stay, and an empty file beside them says that it was there: for Luigi its task is done. Of
a chunk all products go together, once the shards that hold its captures are written, its sheets are
drawn and its samples are counted. Where one of these is missing later, as after another verdict or
setting, the chunk starts from its captures again.
"""

from __future__ import annotations

from collections.abc import Collection

import luigi

from fg3d_builder.layout import CHUNK_STAGES
from fg3d_builder.pipeline.dataset import plan_shards
from fg3d_builder.tasks.base import if_there, log, pending
from fg3d_builder.tasks.chunk_tasks import (
    DROPPED_SUFFIX,
    STAGE_TASKS,
    MakeViews,
    Register,
    StageTask,
)
from fg3d_builder.tasks.dataset_tasks import (
    DecideReview,
    DrawDonors,
    TransformShapes,
    WholeTask,
    WriteShard,
    read_plan,
)
from fg3d_builder.tasks.report_tasks import DrawAugmentation, DrawSheets


def drop_unneeded(task: WholeTask, chunks: Collection[str]) -> int:
    """Drop the products of those of some chunks that nothing has to be made of any more.

    Parameters
    ----------
    task : WholeTask
        Any of the dataset's tasks. Nothing is dropped unless its build is lean.
    chunks : collection of str
        Names of chunks.

    Returns
    -------
    int
        How many chunks lost products.
    """
    if not task.layout.config.lean:
        return 0
    there = [name for name in chunks if any(one.path().is_file() for one in _stages(task, name))]
    finished = set(there) - still_needed(task, there)
    for name in finished:
        for one in _stages(task, name):
            if one.path().is_file():
                one.dropped_file().touch()  # first: whoever looks finds the one or the other
                one.path().unlink(missing_ok=True)
    return len(finished)


def make_again_if_needed(task: WholeTask) -> None:
    """Let the products of chunks be made again that were dropped and are needed after all.

    To be called before the build is planned. Decides what is left out of the dataset where nothing
    else is missing for that: it is by this that a dataset is known to be another one.
    """
    dropped = _dropped_chunks(task)
    if not dropped:
        return
    if task.decided() is None and not pending(task.for_chunks(Register)):
        task.whole(DecideReview).run()
    again = dropped if task.decided() is None else still_needed(task, dropped)
    if again:
        log.warning(
            "the products of %d chunks were dropped by a lean build and are needed again: these "
            "start from their captures",
            len(again),
        )
    for name in again:
        for one in _stages(task, name):
            one.dropped_file().unlink(missing_ok=True)
        for mark in task.layout.stage_folder("transform").glob(f"{name}-*{DROPPED_SUFFIX}"):
            mark.unlink(missing_ok=True)  # of draws that are not known yet


def still_needed(task: WholeTask, chunks: Collection[str]) -> set[str]:
    """Return those of some chunks of which something is still to be made."""
    if not task.whole(DrawDonors).complete():
        return set(chunks)
    shards = _shards_of_chunks(task)
    written: dict[str, bool] = {}

    def is_written(shard: str) -> bool:
        if shard not in written:
            written[shard] = task.whole(WriteShard, name=shard).complete()
        return written[shard]

    def is_finished(name: str) -> bool:
        kinds = (DrawSheets, TransformShapes, DrawAugmentation)
        made = (task.other(MakeViews, chunk=name), *(task.whole(k, chunk=name) for k in kinds))
        written_all = all(map(is_written, shards.get(name, ())))
        return written_all and all(one.complete() for one in made)

    return {name for name in chunks if not is_finished(name)}


def _shards_of_chunks(task: WholeTask) -> dict[str, set[str]]:
    """Return the shards that hold captures of each chunk, also where the plan is not written."""
    file = task.layout.plan(task.digest())
    plan = if_there(lambda: read_plan(file)) or plan_shards(
        task.members(), task.layout.config.shards, task.places()
    )
    found: dict[str, set[str]] = {}
    for shard, pairs in plan.items():
        for _, chunk in pairs:
            found.setdefault(chunk, set()).add(shard)
    return found


def _stages(task: WholeTask, chunk: str) -> list[StageTask]:
    """Return the tasks of all stages of a chunk."""
    stages: list[StageTask] = [task.other(STAGE_TASKS[s], chunk=chunk) for s in CHUNK_STAGES]
    if task.drawn() is not None:
        stages.append(task.whole(TransformShapes, chunk=chunk))
    return stages


def _dropped_chunks(task: WholeTask) -> set[str]:
    """Return the chunks of the build of which a product was dropped."""
    folders = [task.layout.stage_folder(stage) for stage in CHUNK_STAGES]
    names = {file.stem for folder in folders for file in folder.glob(f"*{DROPPED_SUFFIX}")}
    return names & set(task.index.names)


@WriteShard.event_handler(luigi.Event.SUCCESS)
def drop_after_shard(shard: WriteShard) -> None:
    """Drop what was needed for a shard alone."""
    drop_unneeded(shard, {chunk for _, chunk in shard.plan()[shard.name]})


@DrawAugmentation.event_handler(luigi.Event.SUCCESS)
def drop_after_counting(counts: DrawAugmentation) -> None:
    """Drop what was needed for the counts of a chunk alone."""
    drop_unneeded(counts, [counts.chunk])
