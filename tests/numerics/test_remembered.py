"""What is remembered is the function's own result, and not another argument's."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fg3d_builder.numerics.remembered import KEPT, remembered
from fg3d_builder.records import Array


class Pair(NamedTuple):
    first: Array
    second: Array


def test_a_result_is_found_once_as_long_as_its_arrays_are_the_same() -> None:
    calls = []

    @remembered(lambda pair: (pair.first,))
    def total(pair: Pair) -> float:
        calls.append(pair)
        return float(pair.first.sum())

    pair = Pair(np.arange(4.0), np.zeros(1))
    assert total(pair) == total(pair._replace(second=np.ones(1))) == 6.0
    assert len(calls) == 1
    # Equal is not the same: only identity is cheap to compare.
    assert total(Pair(np.arange(4.0), np.zeros(1))) == 6.0
    assert len(calls) == 2


def test_many_arguments_do_not_get_each_others_results() -> None:
    @remembered(lambda pair: (pair.first,))
    def first(pair: Pair) -> float:
        return float(pair.first[0])

    for value in range(10 * KEPT):
        # Arrays that are gone may leave their identity to the next ones.
        assert first(Pair(np.full(3, float(value)), np.zeros(0))) == value
