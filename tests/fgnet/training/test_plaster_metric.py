"""PSD as a measure, against what geometry says that the eye sees."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.fgnet.losses.plaster import PlasterViews, plaster_distance, plaster_errors
from fg3d_builder.fgnet.training.plaster_metric import METRIC_SIZE_PX, PlasterMetric
from fg3d_builder.records import Array


def _grid(places: Array) -> Array:
    """Two triangles per cell of a grid of (rows, columns) vertices, seen from +z."""
    a, b = places[:-1, :-1].ravel(), places[:-1, 1:].ravel()
    c, d = places[1:, :-1].ravel(), places[1:, 1:].ravel()
    return np.concatenate([np.stack([a, c, d], 1), np.stack([a, d, b], 1)])


def _plate() -> tuple[Array, Array, Array]:
    """A flat plate of 160 mm that faces +z, its triangles, and which vertices are not its rim."""
    side = np.linspace(80.0, -80.0, 33)
    y, x = np.meshgrid(side, -side, indexing="ij")
    vertices = np.stack([x, y, np.zeros_like(x)], -1).reshape(-1, 3)
    inner = (np.abs(vertices[:, :2]) < 50.0).all(axis=1)
    return vertices, _grid(np.arange(33 * 33).reshape(33, 33)), inner


def test_a_tilted_plate_is_as_much_darker_as_the_cosine_says() -> None:
    """Frontal: 1 against cos t; from 30 degrees above and below: cos 30 against cos(30 +- t)."""
    plate, triangles, inner = _plate()
    tilt = 12.0
    tilted = Rotation.from_euler("x", tilt, degrees=True).apply(plate)
    (found,) = PlasterMetric(plate, triangles)([tilted], plate, inner)
    seen = [(0.0, tilt), (30.0, 30.0 + tilt), (30.0, 30.0 - tilt)]
    cosines = np.cos(np.radians(seen))
    assert found == pytest.approx(np.abs(cosines[:, 0] - cosines[:, 1]).sum(), abs=2e-3)


def _ball(radius: float) -> tuple[Array, Array]:
    """A ball of cells of 3 degrees, open at the poles."""
    polar, turn = np.radians(np.arange(3, 180, 3)), np.radians(np.arange(0, 360, 3))
    p, t = np.meshgrid(polar, turn, indexing="ij")
    vertices = np.stack([np.sin(p) * np.sin(t), np.cos(p), np.sin(p) * np.cos(t)], -1)
    places = np.arange(len(polar) * len(turn)).reshape(len(polar), len(turn))
    return radius * vertices.reshape(-1, 3), _grid(np.hstack([places, places[:, :1]]))


def test_what_slides_along_the_skin_is_not_seen() -> None:
    """A ball turned by four cells: vertices are 17 mm away, and it looks as it did."""
    ball, triangles = _ball(80.0)
    turned = Rotation.from_euler("y", 12.0, degrees=True).apply(ball)
    assert np.linalg.norm(turned - ball, axis=1).max() > 16.0
    everywhere = np.ones(len(ball), dtype=bool)
    metric = PlasterMetric(ball, triangles)
    slid, larger = metric([turned, 1.1 * ball], ball, everywhere)
    assert slid < 0.01
    assert larger > 0.3


def test_what_is_not_in_c_does_not_count() -> None:
    plate, triangles, inner = _plate()
    dented = plate.copy()
    dented[~inner, 2] -= 15.0 * np.abs(np.sin(plate[~inner, 0]))
    everywhere = np.ones(len(plate), dtype=bool)
    metric = PlasterMetric(plate, triangles)
    assert metric([dented], plate, inner) == [0.0]
    assert metric([dented], plate, everywhere)[0] > 0.1


def test_pictures_of_128_pixels_tell_what_finer_ones_do() -> None:
    ball, triangles = _ball(80.0)
    everywhere = np.ones(len(ball), dtype=bool)
    egg = ball * [1.06, 1.0, 0.97]
    (coarse,) = PlasterMetric(ball, triangles)([egg], ball, everywhere)
    (fine,) = PlasterMetric(ball, triangles, 512)([egg], ball, everywhere)
    assert coarse == pytest.approx(fine, rel=0.05)


def test_it_is_the_distance_that_the_loss_minimises(toy_model: FaceModel) -> None:
    """Of pictures that the loss makes, with a confidence of 1 in C and of 0 elsewhere."""
    rng = np.random.default_rng(4)
    truth = toy_model.mean
    members = toy_model.reliable & (rng.random(len(truth)) < 0.97)
    scale = 0.02 * np.linalg.norm(np.ptp(truth, axis=0))
    shapes = [truth + rng.normal(size=3) * scale * np.sin(truth / (5 * scale)) for _ in range(3)]
    found = PlasterMetric(truth, toy_model.triangles)(shapes, truth, members)
    cameras = PlasterViews(truth, toy_model.triangles, METRIC_SIZE_PX)
    known = torch.from_numpy(members.astype(float))[None].expand(3, -1)
    answers = torch.from_numpy(np.stack(shapes))
    errors = plaster_errors(
        cameras, answers, torch.from_numpy(truth)[None].expand(3, -1, -1), known, False
    )
    np.testing.assert_allclose(found, plaster_distance(errors).numpy(), rtol=1e-6)
    assert min(found) > 0.05
