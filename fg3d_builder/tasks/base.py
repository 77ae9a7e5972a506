"""What all tasks of a build share: its folder, its frozen configuration, its products."""

from __future__ import annotations

import logging
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import cv2
import luigi

from fg3d_builder.files.products import Product, read_product
from fg3d_builder.layout import BuildLayout
from fg3d_builder.pipeline.stages import CaptureFits
from fg3d_builder.records import Capture, Landmarks, Registration
from fg3d_builder.shards.rows import TransformedShape, ViewSet
from fg3d_builder.tasks.chunks import Chunk, read_index
from fg3d_builder.transform.donors import DonorFace

T = TypeVar("T", bound=luigi.Task)

log = logging.getLogger("fg3d")

# OpenCV's own threads do not survive the fork into a worker; chunks run side by side anyway.
cv2.setNumThreads(1)

_KINDS: dict[str, type[Any]] = {
    "captures": Capture,
    "landmarks": Landmarks,
    "fitting": CaptureFits,
    "registration": Registration,
    "views": ViewSet,
    "donors": DonorFace,
    "transform": TransformedShape,
}


class BuildTask(luigi.Task):
    """A task of one build; knows the build's folder and frozen configuration."""

    root = luigi.Parameter(description="folder of the build")
    config = luigi.Parameter(description="digest of the frozen configuration")

    @cached_property
    def layout(self) -> BuildLayout:
        """Paths of the build."""
        return BuildLayout.frozen(Path(self.root), self.config)

    def chunks(self) -> list[Chunk]:
        """Chunks of the build; `IndexCaptures` must have run."""
        return read_index(self.layout.index)

    def other(self, task: type[T], **more: Any) -> T:
        """Return another task of the same build."""
        return task(root=self.root, config=self.config, **more)

    def for_chunks(self, task: type[T], **more: Any) -> list[T]:
        """Return another task of the same build for every chunk."""
        return [self.other(task, chunk=chunk.name, **more) for chunk in self.chunks()]


def stage_product(layout: BuildLayout, stage: str, chunk: str) -> Product[Any]:
    """Read a stage's product of one chunk."""
    path, digest = layout.product(stage, chunk), layout.stage_digest(stage)
    return read_product(path, stage, digest, _KINDS[stage])
