"""Weighted vertex errors."""

from __future__ import annotations

import torch

from fg3d_builder.fgnet.losses.vertex_error import weighted_squared_error


def test_by_hand() -> None:
    target = torch.zeros(2, 3, 3)
    predicted = torch.tensor(
        [[[1.0, 2, 2], [0, 3, 4], [7, 7, 7]], [[1.0, 0, 0], [0, 1, 0], [0, 0, 2]]]
    )
    weight = torch.tensor([[1.0, 0.5, 0.0], [1.0, 1.0, 1.0]])
    expected = torch.tensor([(9 + 0.5 * 25) / 1.5, (1 + 1 + 4) / 3])
    torch.testing.assert_close(weighted_squared_error(predicted, target, weight), expected)


def test_no_weight_no_error_no_gradient_even_where_nothing_is_known() -> None:
    predicted = torch.ones(1, 2, 3, requires_grad=True)
    target = torch.tensor([[[torch.nan] * 3, [0.0, 0.0, 0.0]]])
    loss = weighted_squared_error(predicted, target, torch.tensor([[0.0, 1.0]])).sum()
    loss.backward()
    torch.testing.assert_close(loss.detach(), torch.tensor(3.0))
    torch.testing.assert_close(predicted.grad, torch.tensor([[[0.0] * 3, [2.0] * 3]]))
    assert weighted_squared_error(predicted, target, torch.zeros(1, 2)).item() == 0


def test_emphasis_is_in_no_denominator_by_hand() -> None:
    """Errors 4 and 9 mm^2 of confidence 1 and 0.5: (4 e + 0.5 * 9 f) / 1.5."""
    target = torch.zeros(2, 2, 3)
    predicted = torch.tensor([[2.0, 0, 0], [0, 0, 3.0]]).expand(2, 2, 3)
    confidence = torch.tensor([1.0, 0.5]).expand(2, 2)
    emphasis = torch.tensor([[1.0, 1.0], [3.0, 0.0]])
    found = weighted_squared_error(predicted, target, confidence, emphasis)
    torch.testing.assert_close(found, torch.tensor([8.5 / 1.5, 12.0 / 1.5]))


def test_scale_of_the_confidence_does_not_matter() -> None:
    predicted, target = torch.randn(2, 1, 50, 3).unbind()
    weight = torch.rand(1, 50)
    torch.testing.assert_close(
        weighted_squared_error(predicted, target, weight),
        weighted_squared_error(predicted, target, weight * 0.01),
    )
