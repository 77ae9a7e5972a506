from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fg3d_builder.errors import ConfigError
from fg3d_builder.transform.donors import DONATED_PARTS, DonorRing

SUBJECTS = st.sets(st.text("abcdefgh0123", min_size=1, max_size=4), min_size=6, max_size=15)


@given(SUBJECTS, st.integers(0, 3))
def test_donors_are_different_subjects_and_not_the_host(subjects: set[str], attempt: int) -> None:
    host = min(subjects)
    donors = DonorRing(subjects).draw(host, "draw", attempt)
    assert set(donors) == set(DONATED_PARTS)
    assert len(set(donors.values())) == len(DONATED_PARTS)
    assert host not in donors.values()
    assert set(donors.values()) <= subjects


@given(SUBJECTS, st.integers(0, 5))
def test_a_subject_that_gave_nothing_can_leave_without_a_change(
    subjects: set[str], number: int
) -> None:
    host = min(subjects)
    donors = DonorRing(subjects).draw(host, f"draw-{number}")
    for name in subjects - {host} - set(donors.values()):
        assert DonorRing(subjects - {name}).draw(host, f"draw-{number}") == donors


def test_order_of_the_candidates_does_not_matter() -> None:
    names = [f"s{i}" for i in range(9)]
    assert DonorRing(names).draw("s0", "x") == DonorRing(names[::-1]).draw("s0", "x")


def test_draws_differ_and_use_everybody() -> None:
    names = [f"s{i}" for i in range(12)]
    ring = DonorRing(names)
    noses = [ring.draw("s0", f"draw-{i}")["nose"] for i in range(300)]
    # 300 uniform draws of 11: each is expected 27 times, 4 standard deviations are 20.
    assert all(7 <= noses.count(name) <= 48 for name in names[1:])


def test_everybody_is_drawn_about_equally_often() -> None:
    names = [f"subject-{i}" for i in range(40)]
    ring = DonorRing(names)
    drawn = [ring.draw("nobody", str(i))[part] for i in range(2000) for part in ("eyes", "cheeks")]
    counts = np.array([drawn.count(name) for name in names])
    # 100 each: 10 by chance, 6 by places on the ring.
    assert counts.std() < 18


def test_too_few_subjects_are_named() -> None:
    with pytest.raises(ConfigError, match="4 other subjects"):
        DonorRing(["a", "b", "c", "d"]).draw("a", "x")
