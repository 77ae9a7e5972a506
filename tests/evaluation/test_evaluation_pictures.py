from __future__ import annotations

import numpy as np
import pytest
from matplotlib import colormaps
from toy_models import toy_model

from fg3d_builder.evaluation.pictures import ced_picture, error_map_picture


def _near(picture: np.ndarray, colour: tuple[float, ...], tolerance: float = 12) -> np.ndarray:
    away = np.abs(picture.astype(float) - 255 * np.array(colour[:3]))
    return np.asarray(away.max(axis=2) <= tolerance)


def test_the_better_curve_is_above() -> None:
    rng = np.random.default_rng(0)
    good = rng.uniform(0.01, 0.02, 200)
    picture = ced_picture({"bad": 2 * good, "good": good}, 0.06, "DACE")
    assert picture.shape == (520, 720, 3)
    assert picture.dtype == np.uint8
    # Methods are drawn from the best on; matplotlib's first colours are blue and orange.
    half = slice(220, 280)  # rows in the middle, clear of the legend
    blue = np.nonzero(_near(picture[half], (0.122, 0.467, 0.706)))[1]
    orange = np.nonzero(_near(picture[half], (1.0, 0.498, 0.055)))[1]
    assert len(blue) > 30
    assert len(orange) > 30
    assert blue.max() < orange.min()


def test_errors_are_drawn_where_they_are() -> None:
    """Errors on the subject's left alone are seen on the image's right of the front view."""
    model = toy_model()
    left = model.mean[:, 0] > 0
    values = np.where(left, 0.05, 0.0)
    values[model.mean[:, 1] > 60] = np.nan
    picture = error_map_picture(
        {"m": values}, model.mean, model.triangles, 0.05, views_deg=[(0.0, 0.0)]
    )
    face = picture[:, :290]  # without the colour bar
    dark_red, dark_blue = colormaps["turbo"](1.0), colormaps["turbo"](0.0)
    worst = np.nonzero(_near(face, dark_red, 40) & (face[..., 0] > 60))
    best = np.nonzero(_near(face, dark_blue, 40) & (face[..., 2] < 80))
    assert len(worst[1]) > 1000
    assert np.median(worst[1]) > np.median(best[1]) + 20
    unknown = np.ptp(face.astype(int), axis=2) <= 8
    unknown &= (face[..., 0] > 60) & (face[..., 0] < 200)
    assert unknown.sum() > 500
    assert np.median(np.nonzero(unknown)[0]) < np.median(worst[0])


def test_what_cannot_be_drawn_is_refused() -> None:
    model = toy_model()
    with pytest.raises(ValueError, match="no method"):
        ced_picture({}, 0.05)
    with pytest.raises(ValueError, match="error map 'm'"):
        error_map_picture({"m": np.zeros(3)}, model.mean, model.triangles, 0.05)
    for maps, limit in (({}, 0.05), ({"m": np.zeros(model.vertex_count)}, 0.0)):
        with pytest.raises(ValueError, match="nothing to draw"):
            error_map_picture(maps, model.mean, model.triangles, limit)
