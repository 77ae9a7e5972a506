"""What the Basel models' files share: which way triangles and axes look, colours, checks."""

from __future__ import annotations

import numpy as np
import pytest
from model_writers_bfm import face_source, srgb

from fg3d_builder.facemodel.sources import basel_parts as parts
from fg3d_builder.rendering.shading import linear_from_srgb


def test_triangles_are_turned_outwards_by_geometry() -> None:
    source = face_source()
    inwards = source.polygons[:, [0, 2, 1]]
    for given in (source.polygons, inwards):
        turned = parts.turned_out(source.mean, given, "f: tri")
        np.testing.assert_array_equal(turned, source.polygons)
    mixed = source.polygons.copy()
    mixed[::2] = inwards[::2]
    with pytest.raises(ValueError, match="f: tri: the triangles look neither"):
        parts.turned_out(source.mean, mixed, "f: tri")


@pytest.mark.parametrize("signs", [(1, 1, 1), (1, 1, -1), (-1, 1, -1), (1, -1, -1)])
def test_axes_are_told_by_the_68_points(signs: tuple[int, int, int]) -> None:
    source = face_source()
    points = source.mean[source.landmarks68] * signs
    np.testing.assert_array_equal(parts.signs_of_axes(points, "f"), signs)


def test_points_of_no_face_are_refused() -> None:
    points = face_source().mean[face_source().landmarks68]
    for wrong in (points[:, [1, 0, 2]], points[::-1], np.zeros((68, 3))):
        with pytest.raises(ValueError, match="f: the 68 points do not lie"):
            parts.signs_of_axes(wrong, "f")


def test_colours_go_through_the_curve_and_modes_through_its_slope() -> None:
    rng = np.random.default_rng(1)
    mean = rng.uniform(0.02, 0.95, (40, 3))
    mean[0] = 0.01, 0.03, 0.04  # the straight part
    step = rng.normal(size=(40, 3, 2)) * 3e-4
    linear, modes = parts.linear_colours(mean, step.copy(), "f")
    np.testing.assert_allclose(srgb(linear), mean, atol=1e-6)
    assert modes is not None
    changed = linear_from_srgb(mean + step[:, :, 0]).astype(np.float64)
    np.testing.assert_allclose(linear + modes[:, :, 0], changed, atol=1e-5)


def test_white_is_one_or_255() -> None:
    colours = np.random.default_rng(0).uniform(0.1, 0.9, (20, 3))
    assert parts.colour_scale(colours, "f") == 1.0
    assert parts.colour_scale(255 * colours, "f") == 255.0
    for wrong in (-colours, 2000 * colours):
        with pytest.raises(ValueError, match="f: colours"):
            parts.colour_scale(wrong, "f")


def test_indices_are_whole_and_within() -> None:
    np.testing.assert_array_equal(parts.indices(np.array([1.0, 7.0]), 1, 7, "f"), [0, 6])
    for wrong in ([0.0, 1.0], [1.0, 8.0], [1.5], [np.nan], [1e300], [], [2.0**63]):
        with pytest.raises(ValueError, match=r"^f: "):
            parts.indices(np.array(wrong), 1, 7, "f")
    with pytest.raises(ValueError, match="expected numbers, found <U1"):
        parts.indices(np.array(["1"]), 1, 7, "f")


@pytest.mark.parametrize("upright", [True, False])
def test_corners_of_triangles_may_stand_or_lie(upright: bool) -> None:
    corners = np.array([[1, 2, 3], [2, 3, 4], [4, 5, 6], [1, 5, 3]])
    for given in (corners, corners.T):
        np.testing.assert_array_equal(parts.triangle_list(given, 1, 6, "f", upright), corners - 1)
    square = corners[:3]
    found = parts.triangle_list(square, 1, 6, "f", upright)
    np.testing.assert_array_equal(found, (square if upright else square.T) - 1)


def test_modes_that_tear_a_head_apart_are_refused() -> None:
    parts.sized_modes(np.full((2, 3, 1), 199.0), "f")
    for wrong in (201.0, -201.0, np.inf):
        with pytest.raises(ValueError, match="f: one standard deviation moves"):
            parts.sized_modes(np.full((2, 3, 1), wrong), "f")
    mean = face_source().mean
    parts.sized_mean(mean, "f")
    for wrong_mean in (mean * [10, 1, 1], mean + 1e5):
        with pytest.raises(ValueError, match="f: vertices lie up to"):
            parts.sized_mean(wrong_mean, "f")
