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
    """The gradient of VGD is that of a weighted mean: 2 c w (S - S*) / sum c w."""
    predicted = two.predicted.float().requires_grad_()
    loss = _loss(two, vgd=1.0)
    loss(predicted, two.target, two.confidence).total.backward()
    errors = plaster_errors(
        loss.cameras, predicted.detach(), two.target.float(), two.confidence.float()
    )
    weight = two.confidence * visual_weights(errors, loss.cameras.triangles, two.confidence)
    expected = 2 * weight[..., None] * (two.predicted - two.target) / weight.sum()
    assert predicted.grad is not None
    torch.testing.assert_close(predicted.grad.double(), expected, atol=1e-7, rtol=1e-4)


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
        assert torch.equal(a, b)


def test_weights_that_train_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="mse, psd, vgd"):
        LossConfig(vgd=0.0)
    with pytest.raises(ValueError, match=r"mse = -1\.0: expected a number from 0"):
        LossConfig(mse=-1.0)
