"""Tiles, labels and text on paper."""

from __future__ import annotations

import numpy as np
import pytest

from fg3d_builder.report.paper import PAPER, contact_sheet, joined, message_card


def test_joined_pictures_keep_their_places_and_paper_fills_the_rest() -> None:
    dark, wide = np.zeros((10, 20, 3), np.uint8), np.full((5, 30, 3), 90, np.uint8)
    sheet = joined([dark, wide, dark], axis=0, gap=4)
    assert sheet.shape == (10 + 4 + 5 + 4 + 10, 30, 3)
    np.testing.assert_array_equal(sheet[:10, :20], dark)
    np.testing.assert_array_equal(sheet[14:19], wide)
    np.testing.assert_array_equal(sheet[23:, :20], dark)
    for rest in (sheet[:10, 20:], sheet[10:14], sheet[19:23], sheet[23:, 20:]):
        assert np.all(rest == PAPER)


def test_contact_sheet_holds_every_image() -> None:
    colours = [(200, 0, 0), (0, 200, 0), (0, 0, 200)]
    images = [(f"image {i}", np.full((50, 80, 3), c, np.uint8)) for i, c in enumerate(colours)]
    sheet = contact_sheet(images, title="three", columns=2, height=100)
    for colour in colours:
        assert np.all(sheet == colour, axis=2).sum() == 100 * 160
    with pytest.raises(ValueError, match="no images"):
        contact_sheet([])


def test_long_words_are_wrapped() -> None:
    card = message_card(["code", "/a/very/long/path" * 12], height=200, width=300)
    assert card.shape == (200, 300, 3)
    # Nothing is written into the right margin.
    assert np.all(card[:, 296:] == card[0, 0])
