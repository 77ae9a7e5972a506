"""How long a build will take and how large it gets, before anything is built."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from fg3d_builder.config import BuildConfig
from fg3d_builder.pipeline.augmentation_report import drawn_chunks
from fg3d_builder.report.page import DRAWN
from fg3d_builder.tasks.time_left import SAMPLE_S, new_shape_seconds, turned_views, usual_seconds
from fg3d_builder.transform.donors import DONATED_PARTS

REFERENCE_PROBE_S = 0.122
"""`probe_seconds` of the machine that the costs below were measured on."""

BEGIN_S = 6.0
"""Processor time of a worker process before its first capture is done."""

ROUGH_VERTICES = 12_000
"""Of face models; the embedded one has a few less."""

SHEET_BYTES, EXAMPLE_BYTES = 240_000, 330_000
"""Of the report's contact sheets of captures, and of their turned views or new shapes."""


class Counts(NamedTuple):
    """What a build will be made of; `new_shapes` are those of `TransformConfig`.

    Attributes
    ----------
    captures, samples, views, chunks : int
        `views` are the turned views of a capture.
    """

    captures: int
    samples: int
    views: int
    new_shapes: int
    chunks: int


class StageCost(NamedTuple):
    """One kind of work: how often it is done, and the processor time of once, in seconds.

    Attributes
    ----------
    name : str
    times : int
    seconds : float
    """

    name: str
    times: int
    seconds: float

    @property
    def total(self) -> float:
        """Processor time of all of it."""
        return self.times * self.seconds


@dataclass(frozen=True)
class Sizes:
    """Bytes of the parts of a build.

    Attributes
    ----------
    dataset, work, report : int
        Bytes of the dataset, of products of stages, of the report.
    """

    dataset: int
    work: int
    report: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.dataset + self.work + self.report


def count_all(config: BuildConfig, captures: int, training: int, subjects: int) -> Counts:
    """Count what will be made.

    Parameters
    ----------
    config : BuildConfig
    captures : int
        All of them.
    training, subjects : int
        Captures of the training split, and how many people they show.
    """
    views = turned_views(config)
    enough = subjects > len(DONATED_PARTS)
    shapes = training * config.transform.shapes_per_capture if enough else 0
    chunks = -(-captures // config.chunk_size)
    return Counts(captures, (captures + shapes) * (1 + views), views, shapes, chunks)


def costs(config: BuildConfig, counts: Counts, loading_s: float) -> list[StageCost]:
    """Return the processor time of all stages, on the reference machine.

    `loading_s` is the mean time of loading or rendering a capture; for the others see
    `tasks.time_left.usual_seconds`.
    """
    usual = usual_seconds(config)
    drawn = drawn_count(counts.chunks)
    shards = -(-counts.captures // config.shards.samples_per_shard)
    return [
        StageCost("load", counts.captures, loading_s),
        StageCost("landmarks", counts.captures, usual["landmarks"]),
        StageCost("fit", counts.captures, usual["fitting"]),
        StageCost("register", counts.captures, usual["registration"]),
        StageCost("turn", counts.captures, usual["views"]),
        StageCost("new shapes", counts.new_shapes, new_shape_seconds(counts.views)),
        StageCost("shards", shards, 0.1 + SAMPLE_S * counts.samples / max(1, shards)),
        StageCost("sheets", counts.captures, usual["sheets"]),
        StageCost("augmentation sheets", drawn, usual["examples"]),
        StageCost("keeping chunks", counts.chunks, 0.6),
    ]


def drawn_count(chunks: int) -> int:
    """Chunks whose turned views and new shapes are drawn."""
    return len(drawn_chunks([str(number) for number in range(chunks)]))


def synthetic_loading_s(height: int, width: int) -> float:
    """Processor time of rendering a synthetic capture on the reference machine."""
    return 0.12 + 1.4e-6 * height * width


def sizes(config: BuildConfig, counts: Counts, pixels: int) -> Sizes:
    """Estimate the bytes of a build.

    Parameters
    ----------
    config : BuildConfig
    counts : Counts
    pixels : int
        Of all captures' images together.
    """
    shapes = counts.captures + counts.new_shapes
    per_pixel = 0.21 if config.shards.image_format == "jpeg" else 1.3
    image = int(per_pixel * config.shards.image_size**2)
    model = 2050 * ROUGH_VERTICES
    return Sizes(
        dataset=model + counts.samples * image + shapes * 16 * ROUGH_VERTICES,
        work=model
        + int(2.8 * pixels)
        + counts.captures * 70 * ROUGH_VERTICES
        + counts.samples * (image + 4_000)
        + counts.new_shapes * 13 * ROUGH_VERTICES,
        report=min(counts.captures, DRAWN) * (SHEET_BYTES + 40 * ROUGH_VERTICES)
        + counts.captures * 6_500
        + 2 * drawn_count(counts.chunks) * EXAMPLE_BYTES,
    )


def machine_factor() -> float:
    """How many times longer this machine takes than the reference machine, for one core."""
    return min(probe_seconds() for _ in range(3)) / REFERENCE_PROBE_S


def probe_seconds() -> float:
    """Processor time of a little work of the kinds that a build does."""
    rng = np.random.default_rng(0)
    points, table = rng.random((200_000, 3)), rng.random((300, 300))
    start = time.process_time()
    for _ in range(4):
        order = np.argsort(points[:, 0])
        turned = points[order] @ table[:3, :3]
        np.add.at(np.zeros(1000), (1000 * points[:, 1]).astype(int), turned[:, 2])
        np.linalg.solve(table @ table.T + np.eye(300), table)
    return time.process_time() - start


def wall_seconds(stages: list[StageCost], factor: float, workers: int) -> float:
    """Return how long a build with so many worker processes takes, each on a core of its own."""
    return BEGIN_S * factor + factor * sum(stage.total for stage in stages) / workers


def spread(count: int, wanted: int) -> Iterator[int]:
    """Yield at most `wanted` numbers below `count`, evenly spread."""
    step = max(1, -(-count // max(1, wanted)))
    yield from range(0, count, step)
