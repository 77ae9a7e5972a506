"""What a person calls a task."""

from __future__ import annotations

import luigi

from fg3d_builder.tasks.chunk_tasks import ChunkTask, StageTask


def what(task: luigi.Task) -> str:
    """Name a task as a person would."""
    if isinstance(task, StageTask):
        return f"{task.chunk}, stage {task.stage}"
    if isinstance(task, ChunkTask):
        return f"{task.chunk}, {task.task_family}"
    return str(getattr(task, "name", "") or task.task_family)
