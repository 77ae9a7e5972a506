"""Mean errors on the face, with their scale in mm."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from toy_models import toy_model

from fg3d_builder.fgnet.training.pictures import CELL, save_error_maps, scale_end_mm


def colour(level: int) -> np.ndarray:
    """Of a level from 0 to 255, BGR."""
    return cv2.applyColorMap(np.array([[level]], np.uint8), cv2.COLORMAP_TURBO)[0, 0]


def has(picture: np.ndarray, level: int) -> bool:
    return bool((np.abs(picture.astype(int) - colour(level).astype(int)).max(axis=-1) <= 2).any())


@pytest.mark.parametrize(
    ("largest", "end"), [(0.2, 0.5), (0.5, 0.5), (0.51, 1.0), (2.2, 2.5), (7.0, 7.0)]
)
def test_the_scale_ends_at_a_round_value_above_the_maps(largest: float, end: float) -> None:
    assert scale_end_mm([np.full(50, largest), np.zeros(2)]) == pytest.approx(end)


def test_vertices_without_samples_do_not_count_and_few_far_out_neither() -> None:
    values = np.full(1000, 0.9)
    values[:5] = 100.0
    assert scale_end_mm([values, np.full(10, np.nan)]) == pytest.approx(1.0)
    assert scale_end_mm([np.full(10, np.nan)]) == pytest.approx(0.5)


def test_both_maps_share_the_scale_that_is_drawn_below(tmp_path: Path) -> None:
    model = toy_model()
    maps = {
        "none": np.zeros(model.vertex_count),
        "all": np.full(model.vertex_count, 2.0),
        "unknown": np.full(model.vertex_count, np.nan),
    }
    save_error_maps(tmp_path / "maps.png", model, maps)
    picture = cv2.imread(str(tmp_path / "maps.png"))
    faces, scale = picture[22 : 22 + CELL], picture[22 + CELL :]
    cells = [faces[:, CELL * i : CELL * (i + 1)] for i in range(3)]
    assert has(cells[0], 0)
    assert has(cells[1], 255)  # 2.0 mm is the end of the scale
    assert not has(cells[1], 0)
    assert not has(cells[2], 0)
    assert not has(cells[2], 255)
    bar = scale[10]
    assert np.array_equal(bar[20], colour(0))
    assert np.array_equal(bar[3 * CELL - 51], colour(255))
