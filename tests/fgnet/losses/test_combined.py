"""The weighted sum of the losses."""

from __future__ import annotations

import math

import pytest
import torch

from fg3d_builder.fgnet.losses import LossConfig, ReconstructionLoss
from fg3d_builder.fgnet.losses.plaster import plaster_errors
from fg3d_builder.fgnet.losses.visual_guided import visual_weights
from tests.fgnet.losses.shapes import Pair, pair


@pytest.fixture(scope="module")
def two() -> Pair:
    return pair()


def _loss(two: Pair, **weights: float) -> ReconstructionLoss:
    config = LossConfig(**{"mse": 0.0, "psd": 0.0, "vgd": 0.0, **weights}, plaster_size_px=32)  # type: ignore[arg-type]
    return ReconstructionLoss(config, two.model.mean, two.model.triangles)


def test_total_is_the_weighted_sum_and_terms_without_weight_are_absent(two: Pair) -> None:
    given = (two.predicted, two.target, two.confidence)
    alone = {name: _loss(two, **{name: 1.0})(*given) for name in ("mse", "psd", "vgd")}
    for name, terms in alone.items():
        assert terms.total.item() == pytest.approx(getattr(terms, name).item())
        others = [getattr(terms, other) for other in alone if other != name]
        assert all(math.isnan(other.item()) for other in others)
    mixed = _loss(two, mse=0.5, psd=20.0, vgd=2.0)(*given)
    expected = 0.5 * alone["mse"].mse + 20.0 * alone["psd"].psd + 2.0 * alone["vgd"].vgd
    torch.testing.assert_close(mixed.total, expected)


def test_guided_weights_are_constants_of_the_gradient(two: Pair) -> None:
    """The gradient of VGD is that of a weighted mean: 2 c w (S - S*) / sum c."""
    predicted = two.predicted.float().requires_grad_()
    loss = _loss(two, vgd=1.0)
    loss(predicted, two.target, two.confidence).total.backward()
    errors = plaster_errors(
        loss.cameras, predicted.detach(), two.target.float(), two.confidence.float()
    )
    weight = two.confidence * visual_weights(errors, loss.cameras.triangles, two.confidence)
    expected = 2 * weight[..., None] * (two.predicted - two.target) / two.confidence.sum()
    assert predicted.grad is not None
    torch.testing.assert_close(predicted.grad.double(), expected, atol=1e-7, rtol=1e-4)


@pytest.mark.parametrize("term", ["mse", "vgd"])
def test_confidence_enters_once(two: Pair, term: str) -> None:
    """A vertex of half the confidence pulls half as hard, whatever the pictures show of it."""
    known = two.confidence[0] > 0
    pulls = []
    for confidence in (known[None].double(), two.confidence):
        predicted = two.predicted.float().requires_grad_()
        _loss(two, **{term: 1.0})(predicted, two.target, confidence).total.backward()
        assert predicted.grad is not None
        pulls.append(predicted.grad[0].double().norm(dim=-1))
    pulled = pulls[0] > 1e-3 * pulls[0].max()
    assert pulled.sum() > 100
    ratio = (pulls[1] / pulls[0] / two.confidence[0])[pulled]
    torch.testing.assert_close(ratio, ratio.mean().expand_as(ratio), rtol=1e-4, atol=0)


def test_a_face_that_looks_wrong_weighs_more_than_one_that_looks_right(two: Pair) -> None:
    """Two faces, 0.1 and 1 times the displacement off, under both means.

    With d mm^2 the weighted mean of the wrong face alone: over faces the batch has
    (0.01 d + d) / 2, as both have the mean weight 1. Over the batch the weights are as the
    pictures' differences, a : 1, and their mean is 1: (0.01 d' 2a / (1 + a) + d 2 / (1 + a)) / 2.
    """
    off = two.predicted - two.target
    predicted = torch.cat([two.target + 0.1 * off, two.target + off])
    target, sure = two.target.expand(2, -1, -1), (two.confidence > 0).double().expand(2, -1)

    def vgd(face: slice, mean_over: str) -> float:
        config = LossConfig(vgd=1.0, plaster_size_px=32, vgd_mean_over=mean_over)
        loss = ReconstructionLoss(config, two.model.mean, two.model.triangles)
        return float(loss(predicted[face], target[face], sure[face]).vgd)

    right, wrong = vgd(slice(0, 1), "face"), vgd(slice(1, 2), "face")
    assert vgd(slice(0, 1), "batch") == pytest.approx(right)  # a batch of one face is that face
    assert right < 0.02 * wrong
    assert vgd(slice(0, 2), "face") == pytest.approx((right + wrong) / 2, rel=1e-5)
    cameras = _loss(two, vgd=1.0).cameras
    errors = plaster_errors(cameras, predicted, target, sure)
    seen = (errors.difference.abs() * (errors.weight > 0)).sum(dim=(1, 2, 3))
    a = float(seen[0] / seen[1])  # what pixels hand to both faces, up to their outlines
    assert 0.05 < a < 0.2
    by_hand = (right * 2 * a / (1 + a) + wrong * 2 / (1 + a)) / 2
    assert vgd(slice(0, 2), "batch") == pytest.approx(by_hand, rel=0.02)


def test_all_losses_vanish_at_the_target_and_pass_over_what_is_unknown(two: Pair) -> None:
    unknown = two.confidence[0] == 0
    predicted = two.target.clone()
    predicted[0, unknown] *= 0.95
    predicted = predicted.float().requires_grad_()
    terms = _loss(two, mse=1.0, psd=1.0, vgd=1.0)(predicted, two.target, two.confidence)
    terms.total.backward()
    assert terms.total.item() == 0
    assert predicted.grad is not None
    assert not predicted.grad.any()


def test_half_precision_around_it_changes_nothing(two: Pair) -> None:
    loss = _loss(two, mse=1.0, psd=1.0, vgd=1.0)
    plain = loss(two.predicted, two.target, two.confidence)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = loss(two.predicted, two.target, two.confidence)
    for a, b in zip(plain, inside, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)


def test_weights_that_train_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="mse, psd, vgd"):
        LossConfig(vgd=0.0)
    with pytest.raises(ValueError, match=r"mse = -1\.0: expected a number from 0"):
        LossConfig(mse=-1.0)
