from __future__ import annotations

import pytest
import torch

from fg3d_builder.fgnet.data.perturbation import perturbed, step_generator
from fg3d_builder.fgnet.networks.architectures import NetworkInput

CPU = torch.device("cpu")


def views() -> torch.Tensor:
    """Two samples of three views: ramps, with an undrawn corner."""
    ramp = torch.linspace(0.2, 0.8, 16).expand(2, 3, 3, 16, 16).clone()
    ramp[..., :4, :4] = 0.0
    return 2.0 * ramp - 1.0


def test_no_strength_changes_nothing() -> None:
    given = NetworkInput(views=views())
    assert perturbed(given, 0.0, step_generator(0, 0, 0, CPU)) is given


def test_steps_differ_and_repeat() -> None:
    given = NetworkInput(views=views())
    one = perturbed(given, 1.0, step_generator(3, 7, 0, CPU)).views
    same = perturbed(given, 1.0, step_generator(3, 7, 0, CPU)).views
    other = perturbed(given, 1.0, step_generator(3, 8, 0, CPU)).views
    rank = perturbed(given, 1.0, step_generator(3, 7, 1, CPU)).views
    assert one is not None
    assert other is not None
    assert torch.equal(one, same)  # type: ignore[arg-type]
    assert not torch.equal(one, other)
    assert not torch.equal(one, rank)  # type: ignore[arg-type]
    assert one.min() >= -1.0
    assert one.max() <= 1.0


def test_views_of_a_sample_change_alike_and_samples_do_not() -> None:
    given = NetworkInput(views=views())
    found = perturbed(given, 1.0, step_generator(1, 2, 0, CPU)).views
    assert found is not None
    brightness = found[..., 8:, :].mean(dim=(2, 3, 4))
    # Grain is the only difference between equal views.
    assert (brightness - brightness[:, :1]).abs().max() < 0.005
    assert (brightness[0] - brightness[1]).abs().min() > 0.01


def test_undrawn_stays_black_and_geometry_stays() -> None:
    given = NetworkInput(views=views(), uv_from_view=torch.rand(2, 3, 16, 16, 2))
    found = perturbed(given, 1.0, step_generator(1, 2, 0, CPU))
    assert found.views is not None
    assert torch.all(found.views[..., :4, :4] == -1.0)
    assert found.uv_from_view is given.uv_from_view


def test_order_of_brightness_survives() -> None:
    """A ramp stays a ramp: shading keeps its sense."""
    given = NetworkInput(image=views()[:, 0])
    found = perturbed(given, 1.0, step_generator(5, 5, 0, CPU)).image
    assert found is not None
    rows = found[..., 8:, :].mean(dim=(1, 2))
    assert torch.all(rows[:, 4:] - rows[:, :-4] > -0.02)


def test_image_and_views_together_are_refused() -> None:
    both = NetworkInput(image=views()[:, 0], views=views())
    with pytest.raises(ValueError, match="not both"):
        perturbed(both, 1.0, step_generator(0, 0, 0, CPU))
