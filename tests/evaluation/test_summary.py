from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fg3d_builder.evaluation import (
    Correspondence,
    Places,
    ShapeError,
    VertexErrorMap,
    cumulative_error,
    yaw_table,
)
from fg3d_builder.records import Pose

POSE = Pose(1.0, np.eye(3), np.zeros(3))
ERRORS = arrays(np.float64, st.integers(1, 40), elements=st.floats(0, 0.2))


def test_yaw_intervals_share_out_all_samples() -> None:
    yaw = np.array([0.0, -15.0, 15.0000001, 15.1, -30.0, 30.1, 45.0, -44.0, 50.0])
    errors = np.arange(1.0, 10.0)
    table = yaw_table(errors, yaw)
    assert [row.samples for row in table.intervals] == [3, 2, 3]
    assert [row.mean for row in table.intervals] == [2.0, 4.5, 7.0]
    assert [row.median for row in table.intervals] == [2.0, 4.5, 7.0]
    assert (table.beyond.samples, table.beyond.mean, table.beyond.low_deg) == (1, 9.0, 45.0)
    assert (table.all.samples, table.all.mean) == (9, 5.0)


def test_rendered_views_fall_into_the_interval_that_they_end() -> None:
    yaw = np.array([-45.0, -30.0, -15.0, 0.0, 15.0, 30.0, 45.0])
    table = yaw_table(np.ones(7), yaw)
    assert [row.samples for row in table.intervals] == [3, 2, 2]


def test_an_empty_interval_has_no_mean() -> None:
    table = yaw_table(np.array([0.1, 0.2]), np.array([1.0, 2.0]))
    assert table.intervals[2].samples == 0
    assert np.isnan(table.intervals[2].mean)
    assert table.all.mean == pytest.approx(0.15)


@given(
    rows=st.lists(st.tuples(st.floats(0, 1), st.floats(-90, 90)), min_size=1, max_size=30),
    seed=st.integers(0, 100),
)
def test_the_sign_of_yaw_and_the_order_do_not_matter(
    rows: list[tuple[float, float]], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    errors, yaw = np.array(rows).T
    table = yaw_table(errors, yaw)
    order = rng.permutation(len(rows))
    other = yaw_table(errors[order], yaw[order] * rng.choice([-1, 1], len(rows)))
    parts = [*table.intervals, table.beyond]
    for one, two in zip(parts, [*other.intervals, other.beyond], strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-9)
    assert sum(row.samples for row in parts) == len(rows)
    total = sum(row.samples * row.mean for row in parts if row.samples)
    assert total / len(rows) == pytest.approx(table.all.mean, rel=1e-9, abs=1e-12)


def test_every_error_needs_a_finite_yaw() -> None:
    for yaw in (np.zeros(2), np.array([np.nan])):
        with pytest.raises(ValueError, match="finite yaw"):
            yaw_table(np.ones(1), yaw)


@given(errors=ERRORS, limit=st.floats(0.01, 0.3))
def test_cumulative_error_counts_samples(errors: np.ndarray, limit: float) -> None:
    curve = cumulative_error(errors, limit, 50)
    for threshold, fraction in zip(curve.thresholds, curve.fraction, strict=True):
        assert fraction == np.mean(errors <= threshold)
    assert np.all(np.diff(curve.fraction) >= 0)
    # The area, by summing a fine staircase.
    fine = (np.arange(4000) + 0.5) / 4000 * limit
    staircase = np.mean(errors[None] <= fine[:, None], axis=1).mean()
    assert curve.area == pytest.approx(staircase, abs=1e-3)


def test_cumulative_error_of_known_samples() -> None:
    curve = cumulative_error(np.array([0.0, 0.02, 0.04, np.inf]), 0.04, 5)
    np.testing.assert_allclose(curve.thresholds, [0, 0.01, 0.02, 0.03, 0.04])
    np.testing.assert_array_equal(curve.fraction, [0.25, 0.25, 0.5, 0.5, 0.75])
    assert curve.area == pytest.approx((1 + 0.5) / 4)
    assert yaw_table(np.array([0.1, np.inf]), np.zeros(2)).all.mean == np.inf


def test_errors_that_are_none_are_refused() -> None:
    for errors in (np.array([]), np.array([0.1, np.nan]), np.array([-0.1]), np.ones((2, 2))):
        with pytest.raises(ValueError, match="errors"):
            cumulative_error(errors, 0.1)
        with pytest.raises(ValueError, match="errors"):
            yaw_table(errors, np.zeros(len(errors)))
    for limit in (0.0, -1.0, np.inf, np.nan):
        with pytest.raises(ValueError, match="thresholds up to"):
            cumulative_error(np.ones(1), limit)


def _sample(index: list[int], values: list[float], count: int) -> tuple[ShapeError, Correspondence]:
    places = Places.at_vertices(np.array(index), count)
    error = ShapeError(float(np.mean(values)), np.array(values), POSE, True)
    return error, Correspondence.of(places, places)


def test_vertex_errors_average_over_the_samples_that_have_them() -> None:
    errors = VertexErrorMap(5)
    errors.add(*_sample([0, 1, 2], [0.1, 0.2, 0.3], 5))
    errors.add(*_sample([2, 1, 4], [0.5, 0.4, 0.7], 5))
    np.testing.assert_allclose(errors.mean, [0.1, 0.3, 0.4, np.nan, 0.7])


def test_vertex_errors_are_weighted_and_zero_weight_is_no_sample() -> None:
    errors = VertexErrorMap(3)
    for value, weight in ((0.1, 1.0), (0.4, 0.5)):
        error, pairs = _sample([0, 1], [value, 9.0], 3)
        errors.add(error, Correspondence.of(pairs.source, pairs.target, np.array([weight, 0.0])))
    np.testing.assert_allclose(errors.mean, [0.2, np.nan, np.nan])


def test_vertex_errors_of_another_mesh_are_refused() -> None:
    errors = VertexErrorMap(5)
    with pytest.raises(ValueError, match="map of 5 vertices, sample of 6"):
        errors.add(*_sample([0], [0.1], 6))
    error, pairs = _sample([0, 1], [0.1, 0.2], 5)
    with pytest.raises(ValueError, match="1 errors for 2 places"):
        errors.add(error._replace(per_place=np.ones(1)), pairs)
    between = Places.on_triangles(np.array([[0, 1, 2]]), np.array([0]), [[0.5, 0.5, 0.0]], 5)
    with pytest.raises(ValueError, match="between vertices"):
        errors.add(error._replace(per_place=np.ones(1)), Correspondence.of(between, between))
