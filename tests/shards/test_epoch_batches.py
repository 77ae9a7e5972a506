"""Which samples a step sees: each once an epoch, shared out, and again the same."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest

from fg3d_builder.shards.sampling import EpochBatches, in_order


def test_every_sample_is_seen_once_an_epoch() -> None:
    batches = EpochBatches(12, 4, seed=5)
    first, second = batches.epoch(0), batches.epoch(1)
    assert sorted(chain.from_iterable(first)) == list(range(12))
    assert first != second
    assert first == EpochBatches(12, 4, seed=5).epoch(0)
    assert first != EpochBatches(12, 4, seed=6).epoch(0)


def test_an_epoch_goes_on_where_it_stopped() -> None:
    batches = EpochBatches(30, 4, seed=5)
    assert len(batches) == 7  # the incomplete one is left out
    assert batches.epoch(3, first_batch=4) == batches.epoch(3)[4:]
    assert batches.epoch(3, first_batch=7) == []


def test_processes_share_an_epoch() -> None:
    shares = [EpochBatches(10, 2, seed=5, rank=rank, world=3) for rank in range(3)]
    seen = [list(chain.from_iterable(share.epoch(2))) for share in shares]
    assert {len(own) for own in seen} == {4}  # 10 filled up to 12
    assert set(chain.from_iterable(seen)) == set(range(10))


def test_a_small_dataset_is_one_batch() -> None:
    assert [len(b) for b in EpochBatches(3, 8, seed=1).epoch(0)] == [3]
    with pytest.raises(ValueError, match="0 samples"):
        EpochBatches(0, 8, seed=1)


def test_iterating_gives_the_epoch_that_was_named() -> None:
    batches = EpochBatches(30, 4, seed=5)
    assert list(batches) == batches.epoch(0)
    batches.set_epoch(3, first_batch=4)
    assert list(batches) == batches.epoch(3)[4:]
    assert len(batches) == 7


def test_the_order_of_epochs_stays_what_it_is() -> None:
    # Runs that were begun go on with this order: it must not change with the code.
    assert EpochBatches(10, 5, seed=3).epoch(2) == [[7, 4, 1, 8, 6], [0, 2, 9, 3, 5]]


def test_blocks_come_whole_and_some_at_a_time() -> None:
    lengths = [28, 36, 32, 24, 40, 20]
    block = np.repeat(np.arange(6), lengths)
    batches = EpochBatches(180, 1, seed=2, blocks=lengths, mixed=2)
    order = list(chain.from_iterable(batches.epoch(0)))
    assert sorted(order) == list(range(180))
    assert order != list(chain.from_iterable(batches.epoch(1)))
    came = [int(number) for number in block[order]]
    drawn = list(dict.fromkeys(came))
    assert drawn != sorted(drawn)
    group = {number: place // 2 for place, number in enumerate(drawn)}
    groups = [group[number] for number in came]
    assert groups == sorted(groups)  # two blocks, then two others
    within = [number for number in came if group[number] == 0]
    assert np.count_nonzero(np.diff(within)) > 10  # shuffled together, not one after the other


def test_processes_share_blocks() -> None:
    shares = [
        EpochBatches(12, 2, seed=1, rank=rank, world=3, blocks=[5, 7], mixed=1) for rank in range(3)
    ]
    seen = [chain.from_iterable(share.epoch(0)) for share in shares]
    assert sorted(chain.from_iterable(seen)) == list(range(12))


def test_what_cannot_be_drawn_from_is_refused() -> None:
    with pytest.raises(ValueError, match="rank 3 of 3"):
        EpochBatches(12, 2, seed=1, rank=3, world=3)
    with pytest.raises(ValueError, match="blocks of 11 of 12 samples"):
        EpochBatches(12, 2, seed=1, blocks=[5, 6])


def test_in_order() -> None:
    assert [list(batch) for batch in in_order(5, 2)] == [[0, 1], [2, 3], [4]]
