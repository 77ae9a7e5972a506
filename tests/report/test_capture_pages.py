"""Sheets of captures: every one has its place, also what could not be read."""

from __future__ import annotations

import numpy as np

from fg3d_builder.captures import CaptureEntry, make_capture
from fg3d_builder.errors import CaptureError
from fg3d_builder.records import Capture, Landmarks
from fg3d_builder.report.capture_pages import COLUMNS, HEIGHT, ROWS, capture_row, pages

ENTRY = CaptureEntry("anna-1", "anna", "/captures/anna-1", expression="smile")


def capture(width: int, height: int) -> Capture:
    rgb = np.full((height, width, 3), [200, 30, 30], np.uint8)
    camera = (width, width, width / 2, height / 2)
    return make_capture(rgb, np.full((height, width), 500.0), camera, "anna")


def face(width: int, height: int) -> Landmarks:
    middle = np.array([width / 2, height / 2])
    points = middle + 20 * np.random.default_rng(0).standard_normal((68, 2))
    return Landmarks("ibug68", points, np.ones(68), "toy")


def test_a_good_capture_has_three_pictures() -> None:
    label, picture = capture_row(ENTRY, capture(200, 300), face(200, 300), None)
    assert label == "anna-1   anna   smile"
    assert picture.shape == (HEIGHT, 160 + 2 * HEIGHT + 12, 3)
    np.testing.assert_array_equal(picture[5, 5], [200, 30, 30])


def test_what_could_not_be_read_is_a_card() -> None:
    error = CaptureError("missing_file", "/captures/anna-1: none of color.png found")
    _, card = capture_row(ENTRY, None, None, error)
    assert card.shape[0] == HEIGHT
    assert (card < 100).any(), "there is ink on it"
    _, row = capture_row(ENTRY, capture(200, 300), None, error)
    assert row.shape[1] > 2 * 160


def test_wide_pictures_are_cut() -> None:
    _, picture = capture_row(ENTRY, capture(2000, 200), face(2000, 200), None)
    assert picture.shape[1] <= 4 * HEIGHT + 12


def test_landmarks_of_no_use_show_the_whole_image() -> None:
    nothing = Landmarks("ibug68", np.full((68, 2), np.nan), np.zeros(68), "toy")
    _, picture = capture_row(ENTRY, capture(200, 300), nothing, None)
    assert picture.shape == (HEIGHT, 3 * 160 + 12, 3)


def test_many_captures_take_several_pages() -> None:
    rows = [capture_row(ENTRY, capture(60, 90), None, None)] * (COLUMNS * ROWS + 1)
    found = list(pages(rows))
    assert len(found) == 2
    assert found[0].shape[0] > 5 * found[1].shape[0]
    assert list(pages([])) == []
