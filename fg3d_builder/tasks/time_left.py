"""How long the rest of a build takes, from what is left and how long it took so far.

Kinds of work that have not begun are foretold from those that have: how long a kind usually takes,
by what the configuration asks for, counts against the others alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from fg3d_builder.config import BuildConfig
from fg3d_builder.fullview.views import schedule
from fg3d_builder.geometry.pose import rotation_from_angles
from fg3d_builder.layout import CHUNK_STAGES
from fg3d_builder.records import Pose

KINDS = {
    "captures": "loaded",
    "landmarks": "landmarks",
    "fitting": "fitted",
    "registration": "registered",
    "views": "turned",
    "sheets": "drawn",
    "transform": "given new shapes",
    "shards": "in shards",
    "counts": "counted",
    "examples": "examples drawn",
}
"""Kinds of work in the order in which they are done, and what a person calls it when done."""

SAMPLE_S = 0.0003
"""Processor time that a sample takes on its way into a shard, on the machine of `usual_seconds`."""


class Work(NamedTuple):
    """How much there is of a kind of work: captures, of examples chunks.

    Attributes
    ----------
    done, total : int
    """

    done: int
    total: int

    @property
    def left(self) -> int:
        """What is not done."""
        return self.total - self.done


def turned_views(config: BuildConfig) -> int:
    """How many turned views a capture gets that looks straight into the camera."""
    frontal = Pose(1.0, rotation_from_angles(0.0, 0.0, 0.0), np.zeros(3))
    return len(schedule(frontal, config.fullview))


def new_shape_seconds(views: int) -> float:
    """Processor time of one new shape, and of its views; see `usual_seconds`.

    What it shares with the views of its capture counts as theirs.
    """
    return 0.19 + 0.036 * views


def usual_seconds(config: BuildConfig) -> dict[str, float]:
    """Return the processor time of a capture in each kind of work, of examples that of a chunk.

    Measured on one core with builds of 8 and 2 views a capture, with 4 new shapes and without, of
    480 lines an image; the affine method is that of `benchmarks.registration`.
    """
    views, shapes = turned_views(config), config.transform.shapes_per_capture
    return {
        "captures": 0.4,
        "landmarks": 0.13,
        "fitting": 0.33,
        "registration": 0.5 if config.registration.method == "membrane" else 6.5,
        "views": 0.45 + 0.036 * views,
        "sheets": 0.11,
        "transform": shapes * new_shape_seconds(views),
        "shards": SAMPLE_S * (1 + shapes) * (1 + views),
        "counts": 0.05,
        "examples": 0.65 + 0.044 * views + (0.58 if shapes else 0.0),
    }


def phases(config: BuildConfig) -> tuple[tuple[str, ...], ...]:
    """Return the kinds of work in groups, each of which waits for the end of those before it.

    New shapes wait until it is known who gives parts to whom, and views with them.
    """
    shaped = ("views", "transform") if config.transform.shapes_per_capture else ("transform",)
    first = tuple(kind for kind in (*CHUNK_STAGES, "sheets") if kind not in shaped)
    return first, shaped, ("shards",), ("counts", "examples")


def expected_seconds(times: Mapping[str, float], usual: Mapping[str, float]) -> dict[str, float]:
    """Return what a capture takes in each kind of work: measured, or else as the others let expect.

    Parameters
    ----------
    times : mapping of kind to float
        Measured seconds.
    usual : mapping of kind to float
        See `usual_seconds`.
    """
    in_all = sum(usual[kind] for kind in times)
    pace = sum(times.values()) / in_all if in_all else 1.0
    return {kind: times.get(kind, pace * seconds) for kind, seconds in usual.items()}


def seconds_left(
    work: Mapping[str, Work], times: Mapping[str, float], config: BuildConfig, workers: int
) -> float:
    """Estimate how long the rest takes.

    Parameters
    ----------
    work : mapping of kind to Work
    times : mapping of kind to float
        Measured seconds for a capture, of the kinds that are begun.
    config : BuildConfig
    workers : int
    """
    expected = expected_seconds(times, usual_seconds(config))
    together = dict.fromkeys(KINDS, config.chunk_size)
    together |= {"shards": config.shards.samples_per_shard, "examples": 1}
    left = 0.0
    for phase in phases(config):
        total = sum(work[kind].left * expected[kind] for kind in phase)
        # What one process does at one go, whatever the others do.
        alone = {kind: min(work[kind].left, together[kind]) * expected[kind] for kind in phase}
        # Stages of the chunk that is farthest behind wait for each other.
        chain = sum(alone.pop(stage) for stage in (*CHUNK_STAGES, "transform") if stage in alone)
        left += max(total / max(workers, 1), chain, *alone.values())
    return left


def share_done(work: Mapping[str, Work], usual: Mapping[str, float]) -> float:
    """Return how much of all work is done, in [0, 1], by the time that it usually takes.

    What was measured meanwhile does not count: the share would fall whenever it changes.
    """
    total = sum(amount.total * usual[kind] for kind, amount in work.items())
    return sum(amount.done * usual[kind] for kind, amount in work.items()) / total
