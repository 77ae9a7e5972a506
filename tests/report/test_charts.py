"""Charts: what they count and where they draw it."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fg3d_builder.report.charts import (
    LONGEST_NUMBER,
    Line,
    counts_map,
    histogram,
    histogram_svg,
    lines_svg,
    map_svg,
    tick_words,
    ticks,
)
from fg3d_builder.report.coverage import CONTRADICTORY, MOST_TALLIED, skin_class, tallies, tally

numbers = st.one_of(st.none(), st.just(math.nan), st.floats(-1e6, 1e6))


@given(st.floats(-7, 8), st.floats(0.02, 7))
def test_numbers_of_a_logarithmic_axis_leave_room_for_its_label(low: float, decades: float) -> None:
    ends = [10.0**low, 10.0 ** (low + decades)]
    drawn = str(lines_svg([Line("rate", [1.0, 2.0], ends, 0)], "epoch", "learning rate", True))
    words = re.findall(r'text-anchor="end">([^<]+)</text>', drawn)
    assert words
    assert max(map(len, words)) <= LONGEST_NUMBER
    found = [float(word) for word in words]
    assert found == sorted(set(found))


@given(st.lists(numbers, max_size=60))
def test_every_value_is_counted_once(values: list[float | None]) -> None:
    found = histogram(values)
    assert found.total == len(values)
    assert found.unknown == sum(value is None or math.isnan(value) for value in values)
    assert np.all(np.diff(found.edges) > 0)
    assert len(found.counts) == len(found.edges) - 1


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60))
def test_with_fixed_ends_all_values_between_are_in_bars(values: list[float]) -> None:
    found = histogram(values, 0.0, 1.0, 20)
    assert (found.below, found.above) == (0, 0)
    assert found.counts.sum() == len(values)
    assert found.edges[0] == 0.0
    assert found.edges[-1] == pytest.approx(1.0)


@given(st.lists(st.integers(-5000, 5000).map(lambda n: n / 10), min_size=1, max_size=100))
def test_of_few_values_none_counts_as_beyond_an_end(values: list[float]) -> None:
    found = histogram(values)
    assert (found.below, found.above) == (0, 0)
    assert found.counts.sum() == len(values)


def test_a_value_far_out_does_not_squeeze_the_others() -> None:
    values = [*np.linspace(0.0, 1.0, 500).tolist(), 1e6]
    found = histogram(values)
    assert found.edges[-1] < 2.0
    assert found.above >= 1
    assert found.total == 501


def test_the_bars_say_the_counts() -> None:
    values = [0.05, 0.05, 0.95, 7.0, None]
    svg = histogram_svg(histogram(values, 0.0, 1.0, 10), "error, mm")
    told = [int(n) for n in re.findall(r"<title>[^<]*: (\d+)</title>", svg)]
    assert sorted(told) == [1, 1, 2]
    assert "above 1: 1" in svg
    assert ">error, mm</text>" in svg
    assert ">captures</text>" in svg


def test_a_map_counts_all_points() -> None:
    rng = np.random.default_rng(5)
    x, y = rng.normal(0, 30, 400), rng.normal(0, 10, 400)
    x_edges, y_edges, counts = counts_map(x, y, 10.0)
    assert counts.sum() == 400
    assert counts.shape == (len(y_edges) - 1, len(x_edges) - 1)
    row = np.searchsorted(y_edges, y[0], side="right") - 1
    column = np.searchsorted(x_edges, x[0], side="right") - 1
    assert counts[row, column] >= 1
    svg = map_svg(x_edges, y_edges, counts, "yaw", "pitch", "captures")
    told = re.findall(r": ([\d,]+) captures</title>", svg)
    assert sum(int(n.replace(",", "")) for n in told) == 400


def test_a_map_of_no_point_and_of_points_on_edges() -> None:
    assert counts_map(np.zeros(0), np.zeros(0), 10.0)[2].sum() == 0
    assert counts_map(np.array([-10.0, 0, 10]), np.array([0.0, 10, 20]), 10.0)[2].sum() == 3


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.37, 0.41), (-30, 1200), (3, 3)])
def test_ticks_are_few_and_within(low: float, high: float) -> None:
    found = ticks(low, high)
    assert 1 <= len(found) <= 7
    assert all(low - 1e-9 <= value <= high + 1e-9 for value in found)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([0.0, 0.25, 0.5], ["0.00", "0.25", "0.50"]),
        ([-0.1, 0.0, 0.1], ["-0.1", "0.0", "0.1"]),
        ([2.6620, 2.6625], ["2.6620", "2.6625"]),
        ([0.0, 1500.0, 3000.0], ["0", "1,500", "3,000"]),
        ([7.0], ["7"]),
    ],
)
def test_ticks_are_written_with_the_decimals_of_their_step(
    values: list[float], words: list[str]
) -> None:
    assert tick_words(values) == words


def heights(svg: str) -> list[float]:
    (points,) = re.findall(r'<polyline class="line c0" points="([^"]*)"', svg)
    return [float(pair.split(",")[1]) for pair in points.split()]


def test_a_curve_goes_down_where_its_values_do() -> None:
    svg = lines_svg([Line("loss", [1, 2, 3, 4], [8.0, 4.0, math.nan, 1.0])], "epoch", "mm")
    drawn = heights(svg)
    assert len(drawn) == 3
    assert drawn == sorted(drawn)  # further down is larger
    logarithmic = heights(lines_svg([Line("a", [1, 2, 3], [100.0, 10.0, 1.0])], "x", "y", True))
    assert logarithmic[1] == pytest.approx((logarithmic[0] + logarithmic[2]) / 2, abs=0.11)


def test_a_chart_without_values_says_so() -> None:
    assert "Nothing measured" in lines_svg([Line("a", [1.0], [math.nan])], "x", "y")


def test_names_in_charts_are_escaped() -> None:
    svg = lines_svg([Line("<b>&", [1, 2], [1.0, 2.0])], "<i>", "<u>")
    assert not re.search("<[biu]>", svg)


def test_a_tally_loses_nothing() -> None:
    names = [f"n{i}" for i in range(40) for _ in range(i + 1)]
    rows = tally(names)
    assert len(rows) == MOST_TALLIED
    assert sum(count for _, count, _ in rows) == len(names)
    assert rows[0][:2] == ("n39", 40)
    assert tally(["", "a", "a"]) == [("a", 2, 1.0), ("(not stated)", 1, 0.5)]


def test_sex_is_counted_where_any_capture_states_it() -> None:
    def row(subject: str, sex: str) -> dict[str, str]:
        return {"subject_id": subject, "sex": sex, "source": "folder", "expression": "neutral"}

    silent = [row("a", ""), row("b", "")]
    assert [one.title for one in tallies(silent)] == ["Sources", "Expressions"]
    rows = [row("a", "female"), row("a", "female"), row("a", ""), row("b", "male"), *silent[1:]]
    rows += [row("c", ""), row("d", "male"), row("d", "female")]
    by_title = {one.title: {name: count for name, count, _ in one.rows} for one in tallies(rows)}
    assert by_title["Sex"] == {"female": 3, "male": 2, "(not stated)": 3}
    assert by_title["Sex of subjects"] == {
        "female": 1,
        "male": 1,
        "(not stated)": 1,
        CONTRADICTORY: 1,
    }


def test_skin_classes_have_the_published_borders() -> None:
    angles = (-60, -29, 11, 29, 42, 56)
    names = ["dark", "brown", "tan", "intermediate", "light", "very light"]
    assert [skin_class(angle) for angle in angles] == names
