"""The line that clothes begin at, against lines that are known."""

from __future__ import annotations

import numpy as np
import pytest

from fg3d_builder.fullview.collar import LEVELLING_DEG, collar_line, levelled
from fg3d_builder.records import Array

ROWS, COLUMNS = 120, 360
DEGREES = np.arange(COLUMNS) - 180.0
SEEN_DEG = 60.0


def worn(line: Array, seen: Array) -> tuple[Array, Array]:
    """Clothes from a line (C,) downwards and skin above it, in columns (C,) that are seen."""
    row = np.arange(ROWS)[:, None]
    return (row >= line) & seen, (row < line) & (row > 20) & seen


def rising(slope: float) -> Array:
    """A line (C,) that is lowest in front, in row 80, and rises by so many rows per degree."""
    return 80.0 - slope * np.abs(DEGREES)


@pytest.mark.parametrize("slope", [0.0, 0.2, 0.4])
def test_a_line_goes_on_as_it_was_last_seen_and_levels_off(slope: float) -> None:
    seen = np.abs(DEGREES) <= SEEN_DEG
    found = collar_line(*worn(rising(slope), seen))
    assert found is not None
    # Its kink in front is a bend, and rows are whole.
    off = np.abs(found - rising(slope))
    assert off[seen].max() < 1.0 + 3.0 * slope
    # A spline under tension between both ends, by its differential equation.
    open_deg, away = 180.0 - SEEN_DEG, 180.0 - np.abs(DEGREES)
    fall = (np.cosh(open_deg / LEVELLING_DEG) - np.cosh(away / LEVELLING_DEG)) / np.sinh(
        open_deg / LEVELLING_DEG
    )
    past = slope * LEVELLING_DEG * fall
    wanted = 80.0 - slope * SEEN_DEG - past
    beyond = np.abs(DEGREES) > SEEN_DEG
    # Where it was last seen its slope is told from whole rows.
    assert (np.abs(found - wanted) < 1.0 + 0.2 * past)[beyond].all()
    np.testing.assert_allclose(found[1:], found[1:][::-1], atol=1e-6)


def test_what_a_chin_hides_lies_between_what_is_seen_beside_it() -> None:
    seen = (np.abs(DEGREES) <= SEEN_DEG) & (np.abs(DEGREES) > 20)
    line = 80.0 - 0.005 * DEGREES**2
    found = collar_line(*worn(line, seen))
    assert found is not None
    assert np.abs(found - line)[np.abs(DEGREES) <= 20].max() < 1.5


def test_a_button_does_not_bend_the_line() -> None:
    seen = np.abs(DEGREES) <= SEEN_DEG
    line = rising(0.2)
    clothes, skin = worn(line, seen)
    clothes[40:46, 200:203], skin[40:46, 200:203] = True, False
    found, plain = collar_line(clothes, skin), collar_line(*worn(line, seen))
    assert found is not None
    assert plain is not None
    assert np.abs(found - plain).max() < 0.5


def test_without_skin_clothes_begin_where_they_are_seen_until_they_turn_away() -> None:
    seen = np.abs(DEGREES) <= 80
    # Beyond 50 degrees only what is ever lower faces the camera.
    line = np.where(np.abs(DEGREES) <= 50, rising(0.3), 65.0 + (np.abs(DEGREES) - 50))
    clothes, skin = worn(line, seen)
    found = collar_line(clothes, np.zeros_like(skin))
    assert found is not None
    assert np.abs(found - rising(0.3))[np.abs(DEGREES) <= 50].max() < 2.0
    assert (found[np.abs(DEGREES) > 60] < 65.0).all()


def test_a_beard_apart_from_the_clothes_is_no_part_of_them() -> None:
    seen = np.abs(DEGREES) <= SEEN_DEG
    clothes, skin = worn(rising(0.2), seen)
    plain = collar_line(clothes, skin)
    clothes[30:40, 160:200], skin[:60, 150:210] = True, False
    found = collar_line(clothes, skin)
    assert found is not None
    assert plain is not None
    np.testing.assert_allclose(found, plain)


def test_nothing_worn_has_no_line_nor_has_what_is_hardly_seen() -> None:
    nothing = np.zeros((ROWS, COLUMNS), dtype=bool)
    assert collar_line(nothing, ~nothing) is None
    assert collar_line(*worn(rising(0.4), np.abs(DEGREES - 60.0) < 10)) is None


def test_a_levelled_line_is_level_and_goes_back_to_where_it_was() -> None:
    line = np.round(rising(0.1))
    values = np.zeros((ROWS, COLUMNS, 2), np.float32)
    values[np.arange(ROWS)[:, None] >= line] = (1.0, 3.0)
    level = levelled(values, line)
    mean = int(line.mean())
    assert (level[: mean - 1] == 0.0).all()
    assert (level[mean + 2 :] == (1.0, 3.0)).all()
    away = np.abs(np.arange(ROWS)[:, None] - line) > 2
    np.testing.assert_allclose(levelled(level, line, back=True)[away], values[away], atol=1e-5)
