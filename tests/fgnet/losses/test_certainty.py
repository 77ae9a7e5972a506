"""What a network learns to say of its own errors."""

from __future__ import annotations

import torch

from fg3d_builder.fgnet.losses import LossConfig, ReconstructionLoss
from fg3d_builder.fgnet.losses.certainty import certainty_loss


def test_it_is_least_at_the_mean_distance() -> None:
    generator = torch.Generator().manual_seed(0)
    predicted = torch.zeros(1, 400, 3)
    target = torch.randn(1, 400, 3, generator=generator) * 2.0
    mean = target.norm(dim=-1).mean()
    confidence = torch.ones(1, 400)

    def loss(expected: float) -> float:
        said = torch.full((1, 400), expected)
        return float(certainty_loss(said, predicted, target, confidence))

    assert loss(float(mean)) < min(loss(0.9 * float(mean)), loss(1.1 * float(mean)))
    log_expected = torch.zeros(1, requires_grad=True)
    for _ in range(300):
        said = log_expected.exp().expand(1, 400)
        (slope,) = torch.autograd.grad(
            certainty_loss(said, predicted, target, confidence).sum(), log_expected
        )
        log_expected = (log_expected - 0.1 * slope).detach().requires_grad_()
    torch.testing.assert_close(log_expected.exp()[0], mean, rtol=1e-3, atol=0)


def test_shapes_get_no_gradient_and_unknown_vertices_do_not_count() -> None:
    predicted = torch.zeros(2, 5, 3, requires_grad=True)
    target = torch.ones(2, 5, 3)
    target[:, 4] = torch.nan
    confidence = torch.tensor([[1.0, 1.0, 1.0, 1.0, 0.0]] * 2)
    expected = torch.full((2, 5), 2.0, requires_grad=True)
    loss = certainty_loss(expected, predicted, target, confidence)
    torch.testing.assert_close(
        loss.detach(), torch.full((2,), torch.tensor(2.0).log() + 3.0**0.5 / 2.0)
    )
    loss.sum().backward()
    assert predicted.grad is None
    assert expected.grad is not None
    assert torch.all(expected.grad[:, 4] == 0.0)
    assert torch.isfinite(expected.grad).all()


def test_displacements_have_the_same_gradient_with_and_without_it() -> None:
    mean = torch.randn(6, 3, generator=torch.Generator().manual_seed(1)).double().numpy()
    triangles = torch.tensor([[0, 1, 2], [3, 4, 5]]).numpy()
    loss = ReconstructionLoss(LossConfig(mse=1.0, vgd=0.0), mean, triangles)
    target, confidence = torch.ones(2, 6, 3), torch.ones(2, 6)
    slopes = []
    for expected in (None, torch.full((2, 6), 3.0)):
        predicted = torch.zeros(2, 6, 3, requires_grad=True)
        loss(predicted, target, confidence, expected).total.backward()
        slopes.append(predicted.grad)
    torch.testing.assert_close(slopes[0], slopes[1])
