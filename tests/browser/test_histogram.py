"""Bars hold every finite figure once, and lead to the captures that they count."""

from __future__ import annotations

import itertools
import math

import numpy as np

from fg3d_builder.browser.histogram import BARS, histogram


def test_every_figure_is_in_the_bar_that_names_it() -> None:
    values = [*np.random.default_rng(3).exponential(1.0, 500), math.nan]
    bars = histogram(values, 0.0)
    assert len(bars) == BARS
    assert sum(bar.count for bar in bars) == 500
    for bar in bars:
        assert bar.count == sum(bar.low <= v < bar.high for v in values) or bar is bars[-1]
    assert max(bar.share for bar in bars) == 1.0
    for bar, after in itertools.pairwise(bars):
        assert bar.high == after.low


def test_the_scale_ends_at_a_round_figure_above_all() -> None:
    assert histogram([0.2, 4.4], 0.0)[-1].high == 5.0
    assert histogram([0.2, 0.11], 0.0)[-1].high == 0.2
    assert histogram([5.0], 0.0)[-1].count == 1
    assert histogram([0.0], 0.0)[-1].high == 1.0


def test_of_nothing_there_is_none() -> None:
    assert histogram([], 0.0) == []
    assert histogram([math.nan], 0.0, 1.0) == []
