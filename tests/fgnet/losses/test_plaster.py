"""The plaster sculpture descriptor: pictures, distances, gradients."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from fg3d_builder.fgnet.losses.plaster import (
    PLASTER_VIEWS_DEG,
    PlasterViews,
    plaster_distance,
    plaster_errors,
)
from fg3d_builder.fgnet.training.settings import TRAIN_PRESETS
from fg3d_builder.fgnet.view_geometry import vertex_normals_batch
from fg3d_builder.geometry import meshes as geometry
from fg3d_builder.heads.library import default_model
from tests.fgnet.losses.shapes import SIZE, Pair, pair


@pytest.fixture(scope="module")
def two() -> Pair:
    return pair()


def _sphere(radius: float) -> tuple[np.ndarray, np.ndarray]:
    """A closed ball of small triangles."""
    rows, columns = 40, 80
    polar = np.pi * np.arange(1, rows) / rows
    turn = 2 * np.pi * np.arange(columns) / columns
    p, t = np.meshgrid(polar, turn, indexing="ij")
    ring = np.stack([np.sin(p) * np.cos(t), np.cos(p), -np.sin(p) * np.sin(t)], -1).reshape(-1, 3)
    faces = []
    for i in range(rows - 2):
        for j in range(columns):
            a, b = i * columns + j, i * columns + (j + 1) % columns
            faces += [[a, a + columns, b], [b, a + columns, b + columns]]
    top, bottom = len(ring), len(ring) + 1
    last = (rows - 2) * columns
    for j in range(columns):
        k = (j + 1) % columns
        faces += [[top, j, k], [bottom, last + k, last + j]]
    vertices = np.concatenate([ring, [[0, 1, 0], [0, -1, 0]]]) * radius
    return vertices, np.array(faces)


def test_a_white_ball_is_as_bright_as_geometry_says_from_everywhere() -> None:
    """Shade at distance r from the middle of an orthographic ball: sqrt(1 - (r / R)^2).

    Facets of 4.5 degrees are up to 0.015 off near the rim; half a pixel would be 0.07.
    """
    radius = 90.0
    vertices, triangles = _sphere(radius)
    size = 64
    cameras = PlasterViews(vertices, triangles, size)
    pictures = cameras(torch.from_numpy(vertices)[None], torch.ones(1, len(vertices)))
    centre = (size - 1) / 2
    mm_per_px = 1.15 * 2 * radius / size
    y, x = np.mgrid[:size, :size]
    r = np.hypot(x - centre, y - centre) * mm_per_px / radius
    expected = np.sqrt(np.clip(1 - r**2, 0, None))
    for view in pictures.shade[0].numpy():
        clear = np.abs(r - 1) > 0.03
        assert np.abs(view - expected)[clear & (r < 0.97)].max() < 0.015
        assert not view[r > 1.03].any()


def test_views_look_from_where_they_say(two: Pair) -> None:
    """A bump lightens and darkens pixels where pitch and yaw put it."""
    triangles = two.cameras.triangles[None]
    pictures = two.cameras(two.predicted, torch.ones_like(two.confidence))
    columns = (pictures.triangle[0] >= 0).any(dim=1).double()
    middle = [float((c * torch.arange(SIZE)).sum() / c.sum()) for c in columns]
    # Turned by +90 degrees the nose points to image right: the picture extends there.
    tip = int(two.model.mean[:, 2].argmax())
    for view, (pitch, yaw) in enumerate(PLASTER_VIEWS_DEG):
        shown = (triangles[0][pictures.triangle[0, view]] == tip).any(-1)
        shown &= pictures.triangle[0, view] >= 0
        y, x = (float(v.double().mean()) for v in torch.nonzero(shown, as_tuple=True))
        if yaw:
            assert (x - middle[view]) * np.sign(yaw) > SIZE * 0.1
        if pitch:
            frontal = torch.nonzero((triangles[0][pictures.triangle[0, 0]] == tip).any(-1))
            assert (float(frontal[:, 0].double().mean()) - y) * np.sign(pitch) > 3


def test_normals_are_those_of_the_geometry_module(two: Pair) -> None:
    counts = torch.arange(len(two.model.triangles))[None] % 3 > 0
    normals = vertex_normals_batch(two.target, two.cameras.triangles, counts)[0].numpy()
    some = two.model.triangles[counts[0].numpy()]
    expected = geometry.vertex_normals(two.target[0].numpy(), some)
    np.testing.assert_allclose(normals, expected, atol=1e-12)


def test_distance_by_plain_numpy(two: Pair) -> None:
    errors = plaster_errors(two.cameras, two.predicted, two.target, two.confidence)
    ours = float(plaster_distance(errors)[0])
    weight, difference = errors.weight[0].numpy(), errors.difference[0].numpy()
    shown = errors.target.triangle[0].numpy() >= 0
    slow = 0.0
    for v in range(5):
        pixels = weight[v][shown[v]].sum()
        slow += np.sqrt((weight[v] * difference[v] ** 2).sum() / pixels)
    assert ours == pytest.approx(slow, rel=0.01)
    assert slow > 0.05


@pytest.mark.parametrize("preset", list(TRAIN_PRESETS))
def test_pictures_of_the_presets_show_nearly_every_vertex(preset: str) -> None:
    """A vertex that no pixel shows never gets weight from VGD.

    In the pictures of one shape these are 3 % of the face at 128 pixels and 24 % at 64; VGD has
    those of two shapes, which leave 1 and 17 % (`benchmarks.plaster`).
    """
    model = default_model()
    shape, sure = torch.from_numpy(model.mean)[None], torch.ones(1, model.vertex_count)

    def unseen(size_px: int) -> float:
        cameras = PlasterViews(model.mean, model.triangles, size_px)
        pictures = cameras(shape, sure, differentiable=False)
        shown = np.zeros(model.vertex_count, dtype=bool)
        triangle = pictures.triangle[pictures.triangle >= 0].numpy()
        shown[model.triangles[triangle].ravel()] = True
        return float((~shown[model.reliable]).mean())

    assert unseen(TRAIN_PRESETS[preset].loss.plaster_size_px) < 0.04
    assert unseen(64) > 0.2


def test_equal_shapes_have_no_distance_and_a_finite_gradient(two: Pair) -> None:
    same = two.target.clone().requires_grad_()
    distance = plaster_distance(plaster_errors(two.cameras, same, two.target, two.confidence))
    distance.sum().backward()
    assert distance.item() == 0
    assert same.grad is not None
    assert not same.grad.any()


def test_gradient_by_finite_differences(two: Pair) -> None:
    """Along random directions, float64; the steps change no pixel's triangle (asserted).

    Pixel weights are constants of the gradient, so they are held here as well.
    """
    predicted = two.predicted.clone().requires_grad_()
    errors = plaster_errors(two.cameras, predicted, two.target, two.confidence)
    (gradient,) = torch.autograd.grad(plaster_distance(errors).sum(), predicted)
    generator = torch.Generator().manual_seed(104)
    step = 1e-5
    for _ in range(4):
        direction = torch.randn(predicted.shape, generator=generator, dtype=torch.float64)
        values = []
        for sign in (1, -1):
            moved = two.predicted + sign * step * direction
            found = plaster_errors(two.cameras, moved, two.target, two.confidence)
            assert torch.equal(found.predicted.triangle, errors.predicted.triangle)
            values.append(float(plaster_distance(found._replace(weight=errors.weight)).sum()))
        numeric = (values[0] - values[1]) / (2 * step)
        assert float((gradient * direction).sum()) == pytest.approx(numeric, rel=2e-4)


def test_without_confidence_there_is_no_error_and_no_gradient(two: Pair) -> None:
    """Vertices of confidence 0 may stand anywhere behind their own outline."""
    unknown = two.confidence[0] == 0
    assert 20 < int(unknown.sum()) < 1000
    results = []
    for inwards in (0.0, 5.0):
        predicted = two.predicted.clone()
        predicted[0, unknown] *= 1.0 - inwards / 80.0
        predicted.requires_grad_()
        errors = plaster_errors(two.cameras, predicted, two.target, two.confidence)
        distance = plaster_distance(errors).sum()
        distance.backward()
        assert predicted.grad is not None
        assert not predicted.grad[0, unknown].any()
        assert not errors.weight[~errors.predicted.known | ~errors.target.known].any()
        results.append(distance.item())
    # Only the pixels where the unknown surface hides or bares others differ.
    assert results[1] == pytest.approx(results[0], rel=0.01)


def test_the_rim_of_the_unknown_is_no_outline(two: Pair) -> None:
    """With shapes 1 mm apart, pixels around the hole differ as skin does.

    Skin against nothing would differ by 0.4 and more there.
    """
    moved = two.target + torch.tensor([1.0, 0.0, 0.0])
    errors = plaster_errors(two.cameras, moved, two.target, two.confidence)
    front = errors.difference[0, 0].abs() * (errors.weight[0, 0] > 0)
    hole = ~errors.target.known[0, 0]
    assert int(hole.sum()) > 20
    near = torch.nn.functional.max_pool2d(hole[None].float(), 5, 1, 2)[0] > 0
    assert front[near].max() < 0.2


def test_less_confidence_less_weight(two: Pair) -> None:
    """Doubting the half that is wrong lowers the distance."""
    wrong = two.predicted[0, :, 0] > 0
    predicted = torch.where(wrong[None, :, None], two.predicted, two.target)
    sure = torch.ones_like(two.confidence)
    doubtful = torch.where(wrong, 0.1, 1.0)[None].double()
    high, low = (
        float(plaster_distance(plaster_errors(two.cameras, predicted, two.target, c))[0])
        for c in (sure, doubtful)
    )
    assert 0 < low < 0.9 * high


def test_descent_on_the_distance_lowers_it(two: Pair) -> None:
    shape = two.predicted.clone().requires_grad_()
    optimiser = torch.optim.Adam([shape], lr=0.1)
    distances = []
    for _ in range(15):
        optimiser.zero_grad()
        errors = plaster_errors(two.cameras, shape, two.target, torch.ones_like(two.confidence))
        distance = plaster_distance(errors).sum()
        distance.backward()
        optimiser.step()
        distances.append(distance.item())
    assert distances[-1] < 0.8 * distances[0]


def write_pictures(path: str) -> None:
    """Both shapes and their difference, a row each, for a person to look at."""
    two = pair()
    cameras = PlasterViews(two.model.mean, two.model.triangles, 192)
    errors = plaster_errors(cameras, two.predicted, two.target, two.confidence)
    shown = errors.difference * errors.weight.sign()
    rows = [errors.predicted.shade, errors.target.shade, 0.5 + shown, errors.weight]
    sheet = np.concatenate([np.concatenate(list(r[0].numpy()), axis=1) for r in rows])
    cv2.imwrite(path, np.clip(sheet * 255, 0, 255).astype(np.uint8))
