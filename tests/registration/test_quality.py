"""The quality score is monotone, and its figures are what their names say."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fg3d_builder.registration.quality import (
    QualityFigures,
    edge_ratios,
    flipped_triangles,
    stretch,
)

GOOD = QualityFigures(
    uncovered=0.05,
    surface_mm=0.2,
    noise_mm=0.1,
    landmark_ratio=0.02,
    deformation_mm=1.0,
    flipped=0.0,
    stretch=0.1,
)
FAULTS = ("uncovered", "surface_mm", "landmark_ratio", "deformation_mm", "flipped", "stretch")


def test_good_figures_score_high_and_perfect_ones_score_one() -> None:
    assert GOOD.score() > 0.95
    assert QualityFigures(0, 0, 0, 0, 0, 0, 0).score() == 1.0


@given(st.sampled_from(FAULTS), st.floats(0, 3), st.floats(0, 3))
def test_every_figure_lowers_the_score(name: str, a: float, b: float) -> None:
    low, high = sorted((a, b))
    better = dataclasses.replace(GOOD, **{name: low}).score()
    worse = dataclasses.replace(GOOD, **{name: high}).score()
    assert 0.0 <= worse <= better <= 1.0


@pytest.mark.parametrize(
    ("name", "grave"),
    [
        ("uncovered", 0.8),
        ("surface_mm", 3.0),
        ("landmark_ratio", 0.3),
        ("deformation_mm", 15.0),
        ("flipped", 0.1),
        ("stretch", 2.0),
    ],
)
def test_one_grave_fault_suffices(name: str, grave: float) -> None:
    assert dataclasses.replace(GOOD, **{name: grave}).score() < 0.3


def test_noise_excuses_a_residual() -> None:
    noisy = dataclasses.replace(GOOD, surface_mm=1.5)
    assert dataclasses.replace(noisy, noise_mm=2.0).score() > noisy.score()


def test_flipped_triangles_are_found() -> None:
    before = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]])
    triangles = np.array([[0, 1, 2], [1, 3, 2]])
    after = before.copy()
    after[3] = [0.2, 0.2, 0.0]
    assert flipped_triangles(before, after, triangles).tolist() == [False, True]
    assert not flipped_triangles(before, 3 * before + 1, triangles).any()


def test_edge_ratios_and_stretch() -> None:
    before = np.array([[0.0, 0, 0], [2, 0, 0], [0, 4, 0]])
    edges = np.array([[0, 1], [0, 2]])
    ratios = edge_ratios(before, before * [2.0, 0.5, 1.0], edges)
    np.testing.assert_allclose(ratios, [2.0, 0.5])
    assert stretch(np.ones(50)) == 0.0
    assert stretch(np.full(50, 2.0)) == pytest.approx(np.log(2))
    assert stretch(np.full(50, 0.25)) == pytest.approx(np.log(4))
