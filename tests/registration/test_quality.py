"""Errors are predicted monotonically, the quality follows them, and every doubt is a sentence."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fg3d_builder.config import ReviewConfig
from fg3d_builder.records import QualityFigures
from fg3d_builder.registration.quality import (
    CALIBRATION_FILE,
    DOUBT_SHARE,
    MAX_DOUBTS,
    SENTENCES,
    SHORT_NAMES,
    SURFACE_LIMIT_MM,
    TOGETHER,
    VERTEX_LIMIT_MM,
    ErrorModel,
    QualityModel,
    calibrated_model,
    excess,
    quality_doubts,
    severity,
    weightiest,
)

NAMES = tuple(field.name for field in dataclasses.fields(QualityFigures))
FAULTS = tuple(name for name in NAMES if name != "noise_mm")
FLAWLESS = QualityFigures(*(0.0 for _ in NAMES))
OF_COVERAGE = ("uncovered", "gap_mm")

TWO_FAULTS = QualityModel(
    ordinary={"pull_mm": 1.0, "size": 0.1},
    vertex=ErrorModel(0.6, {"pull_mm": 2.0, "size": 50.0}),
    surface=ErrorModel(0.1, {"pull_mm": 0.5}),
    offset=0.0,
    slope=2.0,
)


def together(*errors_mm: float) -> float:
    """The errors of several figures as one."""
    return float(sum(e**TOGETHER for e in errors_mm) ** (1.0 / TOGETHER))


def test_errors_add_up_a_little_less_than_in_full() -> None:
    """sqrt(1 + 1) - 1 = 0.414 of a pull of 1 mm is beyond what is ordinary; a size of 0 is not."""
    figures = dataclasses.replace(FLAWLESS, pull_mm=1.0)
    judged = TWO_FAULTS.judge(figures)
    beyond = np.sqrt(2.0) - 1.0
    assert judged.vertex_mm == pytest.approx(together(0.6, 2.0 * beyond))
    assert judged.surface_mm == pytest.approx(together(0.1, 0.5 * beyond))
    assert np.hypot(0.6, 2.0 * beyond) < judged.vertex_mm < 0.6 + 2.0 * beyond
    worse = max(judged.vertex_mm / VERTEX_LIMIT_MM, judged.surface_mm / SURFACE_LIMIT_MM)
    assert judged.quality == pytest.approx(1.0 / (1.0 + worse**2))


def test_level_and_power_turn_what_the_figures_say_into_an_error() -> None:
    figures = dataclasses.replace(FLAWLESS, pull_mm=1.0)
    leveled = TWO_FAULTS._replace(vertex=TWO_FAULTS.vertex._replace(level=0.5, power=2.0))
    plain = TWO_FAULTS.judge(figures).vertex_mm
    assert leveled.judge(figures).vertex_mm == pytest.approx(0.5 * plain**2)


def test_an_error_at_a_limit_has_a_quality_of_one_half() -> None:
    assert severity(VERTEX_LIMIT_MM, 0.0) == severity(0.0, SURFACE_LIMIT_MM) == 1.0
    missing_mm = (VERTEX_LIMIT_MM**TOGETHER - 0.6**TOGETHER) ** (1.0 / TOGETHER)
    at_limit = missing_mm / 2.0 + 1.0
    figures = dataclasses.replace(FLAWLESS, pull_mm=float(np.sqrt(at_limit**2 - 1.0)))
    judged = TWO_FAULTS.judge(figures)
    assert judged.vertex_mm == pytest.approx(VERTEX_LIMIT_MM)
    assert judged.quality == pytest.approx(0.5)


def test_excess_is_quadratic_below_the_ordinary_and_linear_above() -> None:
    np.testing.assert_allclose(excess(np.array([0.0, 0.01]), 1.0), [0.0, 0.5e-4], atol=1e-8)
    assert excess(1000.0, 1.0) == pytest.approx(999.0, abs=1e-3)


def test_flawless_figures_are_good_and_ordinary_ones_too() -> None:
    model = calibrated_model()
    ordinary = dataclasses.replace(FLAWLESS, **model.ordinary)
    flawless, usual = model.judge(FLAWLESS), model.judge(ordinary)
    assert flawless.quality > 0.95
    assert flawless.quality > usual.quality > 0.5
    least_mm = model.vertex.level * model.vertex.floor_mm**model.vertex.power
    assert flawless.vertex_mm == pytest.approx(least_mm)
    assert flawless.vertex_mm < usual.vertex_mm < VERTEX_LIMIT_MM


figures_strategy = st.builds(QualityFigures, **{name: st.floats(0, 50) for name in NAMES})


@given(figures_strategy, st.sampled_from(FAULTS), st.floats(0, 1000))
def test_no_figure_gets_better_by_being_worse(
    figures: QualityFigures, name: str, more: float
) -> None:
    worse = dataclasses.replace(figures, **{name: getattr(figures, name) + more})
    before, after = calibrated_model().judge(figures), calibrated_model().judge(worse)
    assert 0.0 <= after.quality <= before.quality <= 1.0
    assert after.vertex_mm >= before.vertex_mm
    assert after.surface_mm >= before.surface_mm


@given(figures_strategy, st.floats(0, 20))
def test_noise_excuses_a_residual(figures: QualityFigures, more: float) -> None:
    noisy = dataclasses.replace(figures, noise_mm=figures.noise_mm + more)
    assert calibrated_model().judge(noisy).quality >= calibrated_model().judge(figures).quality


def test_how_much_was_seen_takes_no_part() -> None:
    """Hair over the forehead is no error of the face that is seen."""
    hidden = dataclasses.replace(FLAWLESS, uncovered=0.7, gap_mm=30.0)
    assert calibrated_model().judge(hidden) == calibrated_model().judge(FLAWLESS)
    assert not set(OF_COVERAGE) & set(calibrated_model().ordinary)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_number_is_not_trusted(name: str) -> None:
    figures = dataclasses.replace(FLAWLESS, **{name: float("nan")})
    # The noise counts through the residuals that it excuses.
    counts = {"noise_mm": "surface_mm"}.get(name, name) in calibrated_model().ordinary
    wanted = 0.0 if counts else calibrated_model().judge(FLAWLESS).quality
    assert calibrated_model().judge(figures).quality == wanted
    if counts and name != "noise_mm":
        assert quality_doubts(figures)[0].figure == name


def test_doubts_name_what_is_worst_in_a_sentence() -> None:
    """10 mm of pull predict 18 mm, a size of 0.3 predicts 11 mm: the larger comes first."""
    figures = dataclasses.replace(FLAWLESS, pull_mm=10.0, size=0.3)
    first, second = TWO_FAULTS.doubts(figures)
    assert (first.figure, second.figure) == ("pull_mm", "size")
    assert first.error_mm == pytest.approx(2.0 * (np.sqrt(101.0) - 1.0))
    assert second.error_mm == pytest.approx(50.0 * (np.sqrt(0.1) - 0.1))
    assert first.sentence == SENTENCES["pull_mm"]
    assert TWO_FAULTS.doubts(FLAWLESS) == []
    everything = QualityFigures(*(1000.0 for _ in NAMES))
    assert len(quality_doubts(everything)) == MAX_DOUBTS
    faint = VERTEX_LIMIT_MM * DOUBT_SHARE * 0.99 / 2.0 + 1.0
    below = dataclasses.replace(FLAWLESS, pull_mm=float(np.sqrt(faint**2 - 1.0)))
    assert TWO_FAULTS.doubts(below) == []


def test_what_is_no_doubt_by_itself_is_named_with_its_share() -> None:
    figures = dataclasses.replace(FLAWLESS, pull_mm=1.0)
    beyond = np.sqrt(2.0) - 1.0
    shares = TWO_FAULTS.shares(figures)
    assert list(shares) == ["pull_mm", "size"]
    by_surface, by_vertex = 0.5 * beyond / SURFACE_LIMIT_MM, 2.0 * beyond / VERTEX_LIMIT_MM
    assert shares["pull_mm"] == pytest.approx(max(by_surface, by_vertex))
    assert shares["size"] == 0.0
    assert weightiest(FLAWLESS) == ""
    model = calibrated_model()
    faint = dataclasses.replace(FLAWLESS, **{n: 0.8 * o for n, o in model.ordinary.items()})
    named = re.findall(r"([^,]+?) (\d+) %(?:, )?", weightiest(faint))
    expected = list(model.shares(faint).items())[:MAX_DOUBTS]
    assert named == [(SHORT_NAMES[n], f"{100 * share:.0f}") for n, share in expected]


def test_every_figure_that_counts_has_its_sentence_in_the_docs() -> None:
    table = json.loads(CALIBRATION_FILE.read_text(encoding="utf-8"))
    assert set(table["model"]["ordinary"]) <= set(SENTENCES) <= set(FAULTS)
    assert list(SHORT_NAMES) == list(SENTENCES)
    page = Path(__file__).resolve().parents[2] / "docs" / "concepts" / "quality.md"
    text = page.read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", text, re.MULTILINE)
    assert rows == list(SENTENCES.items())
    causes = text.split("## What usually causes them")[1]
    assert sorted(re.findall(r"`(\w+)`", causes)) == sorted(SENTENCES)


def test_the_default_threshold_is_the_calibrated_one() -> None:
    table = json.loads(CALIBRATION_FILE.read_text(encoding="utf-8"))
    assert ReviewConfig().min_quality == table["min_quality"]
    assert table["limits_mm"] == {"surface": SURFACE_LIMIT_MM, "vertex": VERTEX_LIMIT_MM}
