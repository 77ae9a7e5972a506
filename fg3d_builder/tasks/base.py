"""What all tasks of a build share: its folder, its frozen configuration, its products."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable
from functools import cache, lru_cache
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar

import cv2
import luigi

from fg3d_builder.files.products import Product, read_product
from fg3d_builder.files.sealed import DamagedFileError
from fg3d_builder.layout import BuildLayout
from fg3d_builder.pipeline.stages import CaptureFits
from fg3d_builder.records import Capture, Landmarks, Registration
from fg3d_builder.shards.rows import TransformedShape, ViewSet
from fg3d_builder.tasks.chunks import Index, read_index
from fg3d_builder.tasks.read_once import ReadOnce
from fg3d_builder.transform.donors import DonorFace

T = TypeVar("T", bound=luigi.Task)
R = TypeVar("R")

log = logging.getLogger("fg3d")

KEPT_BYTES = 64e6
"""Memory for products that were read: the stages of a chunk of four captures of 640 x 480 pixels
and the shapes made of them take 24 MB."""

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
    """A task of one build; knows the build's folder and frozen configuration.

    `requires` names the tasks whose files `run` reads, not only the last of them: a file that is
    missing early is made again also where all that was made of it is there.
    """

    root = luigi.Parameter(description="folder of the build")
    config = luigi.Parameter(description="digest of the frozen configuration")

    @classmethod
    @cache
    def get_params(cls) -> list[tuple[str, luigi.Parameter]]:
        """Return the parameters of this kind of task: Luigi looks for them at every task."""
        found: list[tuple[str, luigi.Parameter]] = super().get_params()
        return found

    @property
    def layout(self) -> BuildLayout:
        """Paths of the build."""
        return _frozen(Path(self.root), self.config)

    @property
    def index(self) -> Index:
        """Captures and chunks of the build."""
        return read_index(self.layout.index)

    @property
    def amount(self) -> tuple[str, int]:
        """Kind of work, and how many captures of it this task does; see `tasks.progress`."""
        return "", 0

    def times(self, seconds: float) -> list[tuple[str, int, float]]:
        """Return kind, captures and seconds of each kind of work that a run of some seconds did."""
        return [(*self.amount, seconds)]

    def made_file(self) -> Path:
        """Return the file that the task makes; what it costs is noted by its name."""
        raise NotImplementedError

    def preload(self) -> None:
        """Load what `run` needs whatever its captures are: processes forked later have it then."""

    def asks_for(self) -> list[luigi.Task]:
        """Return the tasks that `run` asks for, once what it requires is there: most ask for none.

        Those that do yield them. Machines that share a build ask as well, so that all take part.
        """
        return []

    def other(self, task: type[T], **more: Any) -> T:
        """Return another task of the same build."""
        return task(root=self.root, config=self.config, **more)

    def for_chunks(self, task: type[T], **more: Any) -> list[T]:
        """Return another task of the same build for every chunk."""
        return [self.other(task, chunk=name, **more) for name in self.index.names]


# The name says what is in it.
_frozen = lru_cache(maxsize=8)(BuildLayout.frozen)


def pending(tasks: Iterable[T]) -> list[T]:
    """Return the tasks that are not complete.

    Luigi spends as long on a complete task as on another. With tens of thousands of them it is
    given only what there is to do.
    """
    return [task for task in tasks if not task.complete()]


def made(task: luigi.Task, read: Callable[[], R]) -> R:
    """Read what a task has made; if that is gone or damaged, let the task make it again, here.

    Parameters
    ----------
    task : luigi.Task
        Its `run` is no generator.
    read : callable
        Reads it; is called a second time if need be.
    """
    try:
        return read()
    except (DamagedFileError, FileNotFoundError) as error:
        log.warning("%s: it is made again", error)
        task.run()
        return read()


def if_there(read: Callable[[], R]) -> R | None:
    """Read what a task has made; None where it is gone or damaged."""
    try:
        return read()
    except DamagedFileError as error:
        log.warning("%s: it is made again", error)
    except FileNotFoundError:
        pass
    return None


def stage_product(layout: BuildLayout, stage: str, chunk: str) -> Product[Any]:
    """Read a stage's product of one chunk."""
    return product_at(layout, stage, layout.product(stage, chunk))


def product_at(
    layout: BuildLayout, stage: str, path: Path, only: Collection[str] | None = None
) -> Product[Any]:
    """Read a stage's product at a path, of all captures or of some.

    Nobody writes into its arrays: tasks of this process share them.
    """
    about = path, stage, layout.stage_digest(stage), _KINDS[stage]
    if only is None or _read_whole.knows(*about):
        found = _read_whole(*about)
        return found if only is None else found.only(only)
    return read_product(*about, only)


_read_whole: ReadOnce[Product[Any]] = ReadOnce(read_product, KEPT_BYTES, attrgetter("array_bytes"))
