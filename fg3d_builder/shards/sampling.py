"""Which samples each step of each epoch sees: for any training, on one process or many.

An order is a function of seed, epoch and rank alone, so that a training can go on anywhere.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from fg3d_builder.records import Array


class EpochBatches:
    """Batches of sample numbers in a shuffled order; a batch sampler for torch's `DataLoader`.

    Every process of a distributed run takes every `world`-th sample of the same order, which is
    filled up from its start so that all have equally many. Incomplete batches are left out, but
    for the only one of a small dataset. Iterating gives the batches of the epoch that `set_epoch`
    named, at first those of epoch 0.

    Parameters
    ----------
    samples : int
        Of the dataset.
    batch_size : int
        Of one process.
    seed : int
    rank, world : int
        Number of this process, and how many there are.
    blocks : sequence of int
        Lengths of successive parts of the dataset, such as `ShardReader.shard_sizes`. If given,
        `mixed` of them at a time are shuffled together, and they come in a shuffled order: what is
        read lies close together, which a disk needs that is slow at random, or a dataset that is
        larger than the memory.
    mixed : int
        The more, the better shuffled.

    Raises
    ------
    ValueError
        Nothing to draw from, no such rank, or blocks that are not the whole dataset.
    """

    def __init__(
        self,
        samples: int,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
        blocks: Sequence[int] = (),
        mixed: int = 4,
    ) -> None:
        if samples < 1 or batch_size < 1:
            raise ValueError(f"{samples} samples in batches of {batch_size}")
        if not 0 <= rank < world:
            raise ValueError(f"rank {rank} of {world} processes")
        if blocks and (sum(blocks) != samples or mixed < 1):
            raise ValueError(f"{mixed} at a time of blocks of {sum(blocks)} of {samples} samples")
        self._samples, self._batch_size, self._seed = samples, batch_size, seed
        self._rank, self._world = rank, world
        self._blocks, self._mixed = tuple(blocks), mixed
        self._epoch, self._first_batch = 0, 0

    def __len__(self) -> int:
        own = -(-self._samples // self._world)
        return max(1, own // self._batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.epoch(self._epoch, self._first_batch))

    def set_epoch(self, epoch: int, first_batch: int = 0) -> None:
        """Choose what iterating gives: the batches of an epoch, from `first_batch` on."""
        self._epoch, self._first_batch = epoch, first_batch

    def epoch(self, epoch: int, first_batch: int = 0) -> list[list[int]]:
        """Return the batches of an epoch from `first_batch` on."""
        order = self._order(np.random.default_rng([self._seed, epoch]))
        padded = np.resize(order, -(-self._samples // self._world) * self._world)
        own = padded[self._rank :: self._world].tolist()
        size = self._batch_size
        return [own[i * size : (i + 1) * size] for i in range(first_batch, len(self))]

    def _order(self, rng: np.random.Generator) -> Array:
        if not self._blocks:
            return rng.permutation(self._samples)
        first = np.cumsum([0, *self._blocks])
        blocks = [np.arange(*bounds) for bounds in itertools.pairwise(first)]
        drawn = [blocks[number] for number in rng.permutation(len(blocks))]
        groups = (drawn[i : i + self._mixed] for i in range(0, len(drawn), self._mixed))
        return np.concatenate([rng.permutation(np.concatenate(group)) for group in groups])


def spread_out(count: int, wanted: int) -> list[int]:
    """At most `wanted` numbers below `count`, evenly spread."""
    number = min(count, wanted)
    return [i * count // number for i in range(number)]


def scattered(count: int, wanted: int) -> list[int]:
    """At most `wanted` numbers below `count`, ascending, the same ones each time.

    A split repeats itself: after the photo of a capture come its views, then those of the next
    shape. Numbers evenly apart could all be of one kind, such as photos alone; these are not.
    """
    if count <= wanted:
        return list(range(count))
    drawn = np.random.default_rng(0).choice(count, wanted, replace=False)
    return np.sort(drawn).tolist()


def in_order(samples: int, batch_size: int) -> Iterator[Sequence[int]]:
    """All samples in order, in batches of at most `batch_size`."""
    for start in range(0, samples, batch_size):
        yield range(start, min(start + batch_size, samples))
