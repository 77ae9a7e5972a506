from __future__ import annotations

import numpy as np

from fg3d_builder.numerics.sampling import systematic_sample


def test_each_is_drawn_as_often_as_its_share() -> None:
    density = np.random.default_rng(0).random(50) * (np.arange(50) % 3 > 0)
    drawn = systematic_sample(density, 400)
    times = np.bincount(drawn, minlength=50)
    assert len(drawn) == 400
    assert np.all(np.abs(times - 400 * density / density.sum()) < 1.0)
    assert np.all(np.diff(drawn) >= 0)
    assert times[density == 0].sum() == 0
