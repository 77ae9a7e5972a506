"""Visual-guided weights against pixel-by-pixel bookkeeping, and in both directions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fg3d_builder.fgnet.losses.plaster import (
    PLASTER_VIEWS_DEG,
    WINDOW,
    PlasterErrors,
    PlasterPictures,
    plaster_errors,
)
from fg3d_builder.fgnet.losses.visual_guided import trace_to_vertices, visual_weights
from fg3d_builder.geometry.meshes import vertex_normals
from fg3d_builder.geometry.pose import rotation_from_angles
from fg3d_builder.rendering.fragments import Fragments
from fg3d_builder.rendering.rasterizer import rasterize
from tests.fgnet.losses.shapes import SIZE, Pair, pair


@pytest.fixture(scope="module")
def two() -> Pair:
    return pair()


def _reference_weights(two: Pair) -> np.ndarray:
    """Eq. 8 with a loop over pixels: own camera, the other rasteriser, nothing vectorised."""
    confidence = two.confidence[0].numpy()
    triangles = two.model.triangles
    sure = (confidence[triangles] > 0).all(axis=1)
    mean = two.model.mean
    centre = (mean.min(axis=0) + mean.max(axis=0)) / 2
    far = 1e5
    diameter = 2 * np.linalg.norm(mean - centre, axis=1).max()
    focal = far * SIZE / (WINDOW * diameter)
    camera = np.array([[focal, 0, (SIZE - 1) / 2], [0, focal, (SIZE - 1) / 2], [0, 0, 1]])
    weights = np.zeros(len(mean))
    for pitch, yaw in PLASTER_VIEWS_DEG:
        rotation = rotation_from_angles(pitch, yaw, 0.0)
        seen: list[Fragments] = []
        shades = []
        for shape in (two.predicted[0].numpy(), two.target[0].numpy()):
            placed = (shape - centre) @ rotation.T + [0, 0, far]
            seen.append(rasterize(placed, triangles, camera, SIZE, SIZE))
            shades.append(np.maximum(0, -(vertex_normals(shape, triangles[sure]) @ rotation[2])))
        for y in range(SIZE):
            for x in range(SIZE):
                bright = [0.0, 0.0]
                if any(f.triangle[y, x] >= 0 and not sure[f.triangle[y, x]] for f in seen):
                    continue
                corners = [triangles[f.triangle[y, x]] for f in seen]
                shares = [f.barycentric[y, x] for f in seen]
                for i in range(2):
                    if seen[i].triangle[y, x] >= 0:
                        bright[i] = float(shares[i] @ shades[i][corners[i]])
                error = abs(bright[0] - bright[1])
                for i in range(2):
                    if seen[i].triangle[y, x] >= 0:
                        for corner, share in zip(corners[i], shares[i], strict=True):
                            weights[corner] += error * share
    return weights / ((weights * confidence).sum() / confidence.sum())


def test_weights_are_those_of_the_slow_reference(two: Pair) -> None:
    errors = plaster_errors(two.cameras, two.predicted, two.target, two.confidence)
    ours = visual_weights(errors, two.cameras.triangles, two.confidence)[0].numpy()
    slow = _reference_weights(two)
    # The reference reads coordinates on the rasteriser's grid of 1/256 pixel.
    assert np.abs(ours - slow).mean() < 0.01
    assert np.corrcoef(ours, slow)[0, 1] > 0.9995


@pytest.mark.parametrize("differentiable", [True, False])
def test_weights_on_the_grid_equal_the_slow_reference(two: Pair, differentiable: bool) -> None:
    cameras = two.cameras
    cameras.on_grid = True
    try:
        errors = plaster_errors(cameras, two.predicted, two.target, two.confidence, differentiable)
        ours = visual_weights(errors, cameras.triangles, two.confidence)[0].numpy()
    finally:
        cameras.on_grid = False
    np.testing.assert_allclose(ours, _reference_weights(two), atol=1e-5)


def test_exchanging_the_shapes_changes_nothing(two: Pair) -> None:
    there, back = (
        visual_weights(
            plaster_errors(two.cameras, a, b, two.confidence),
            two.cameras.triangles,
            two.confidence,
        )
        for a, b in ((two.predicted, two.target), (two.target, two.predicted))
    )
    torch.testing.assert_close(there, back, atol=1e-12, rtol=1e-12)


def test_all_that_pixels_hold_reaches_the_vertices(two: Pair) -> None:
    errors = plaster_errors(two.cameras, two.predicted, two.target, two.confidence)
    pixels = torch.rand(errors.difference.shape, dtype=torch.float64)
    n = two.predicted.shape[1]
    traced = trace_to_vertices(pixels, errors.target, two.cameras.triangles, n)
    total = pixels[errors.target.triangle >= 0].sum()
    torch.testing.assert_close(traced.sum(), total, atol=1e-6, rtol=1e-9)


def test_no_weight_without_confidence_and_none_for_equal_shapes(two: Pair) -> None:
    errors = plaster_errors(two.cameras, two.predicted, two.target, two.confidence)
    weights = visual_weights(errors, two.cameras.triangles, two.confidence)
    assert not weights[two.confidence == 0].any()
    mean = (weights * two.confidence).sum() / two.confidence.sum()
    assert mean.item() == pytest.approx(1.0)
    same = plaster_errors(two.cameras, two.target, two.target, two.confidence)
    assert not visual_weights(same, two.cameras.triangles, two.confidence).any()


def test_the_outline_that_the_descriptor_misses_gets_weight(two: Pair) -> None:
    """Fig. 5: a shape narrower than its target errs at the target's outline."""
    narrow = two.target * torch.tensor([0.9, 1.0, 1.0], dtype=torch.float64)
    sure = torch.ones_like(two.confidence)
    errors = plaster_errors(two.cameras, narrow, two.target, sure)
    weights = visual_weights(errors, two.cameras.triangles, sure)[0]
    front = (errors.target.triangle[0, 0] >= 0) & (errors.predicted.triangle[0, 0] < 0)
    outline = two.cameras.triangles[errors.target.triangle[0, 0][front]].unique()
    assert int(front.sum()) > 20
    assert weights[outline].mean() > 2.0


@pytest.mark.parametrize(("mean_over", "totals"), [("batch", (0.0, 2.0)), ("face", (0.0, 1.0))])
def test_of_a_right_and_a_wrong_face_the_wrong_one_has_all_weight(
    two: Pair, mean_over: str, totals: tuple[float, float]
) -> None:
    """In units of a face's vertices. Over the batch the mean of 0 and 2 is 1."""
    shapes, targets = torch.cat([two.target, two.predicted]), two.target.expand(2, -1, -1)
    trust = torch.ones_like(two.confidence).expand(2, -1)
    errors = plaster_errors(two.cameras, shapes, targets, trust)
    weights = visual_weights(errors, two.cameras.triangles, trust, mean_over)
    np.testing.assert_allclose(weights.mean(dim=-1).numpy(), totals, atol=1e-12)


@pytest.mark.parametrize(("mean_over", "share"), [("batch", 0.25), ("face", 0.5)])
def test_a_face_that_looks_a_third_as_wrong_has_a_third_of_the_weight(
    two: Pair, mean_over: str, share: float
) -> None:
    """Total weights 1 : 3 over a batch, as the pictures' differences are; 1 : 1 over faces."""
    errors = plaster_errors(two.cameras, two.predicted, two.target, two.confidence)
    both = PlasterErrors(
        *(PlasterPictures(*(torch.cat([v, v]) for v in shown)) for shown in errors[:2]),
        torch.cat([errors.difference / 3, errors.difference]),
        torch.cat([errors.weight, errors.weight]),
    )
    trust = two.confidence.expand(2, -1)
    weights = visual_weights(both, two.cameras.triangles, trust, mean_over)
    total = (weights * trust).sum(dim=-1)
    assert float(total[0] / total.sum()) == pytest.approx(share)
    assert float(total.sum()) == pytest.approx(2 * float(two.confidence.sum()))


def test_another_mean_is_refused(two: Pair) -> None:
    errors = plaster_errors(two.cameras, two.predicted, two.target, two.confidence)
    with pytest.raises(ValueError, match="mean_over = 'epoch'"):
        visual_weights(errors, two.cameras.triangles, two.confidence, "epoch")


def test_a_batch_is_its_faces_one_by_one(two: Pair) -> None:
    shapes = torch.cat([two.predicted, two.target * 1.02])
    targets = torch.cat([two.target, two.predicted])
    trust = torch.cat([two.confidence, torch.ones_like(two.confidence)])
    both = visual_weights(
        plaster_errors(two.cameras, shapes, targets, trust), two.cameras.triangles, trust, "face"
    )
    for i in range(2):
        s = slice(i, i + 1)
        errors = plaster_errors(two.cameras, shapes[s], targets[s], trust[s])
        one = visual_weights(errors, two.cameras.triangles, trust[s])
        torch.testing.assert_close(both[s], one)
